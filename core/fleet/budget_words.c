/* budget_words: what people read of the budget: why somebody waits, what can never be, who could take too much. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "fleet/budget_inner.h"
#include "fleet/fleet_inner.h"
#include "fleet/jtext.h"

#define NAMES_MOST 6 /* pools named in a sentence */
#define OVERCOMMIT "budget.overcommit"

/* "28.5 of 30.0 GB" */
void budget_print_part(int64_t part, int64_t whole, char *out, size_t room)
{
	char a[32], b[32];
	text_print_size(part, a, sizeof(a));
	text_print_size(whole, b, sizeof(b));
	char *unit_a = strrchr(a, ' '), *unit_b = strrchr(b, ' ');
	if (unit_a && unit_b && strcmp(unit_a, unit_b) == 0)
		*unit_a = 0;
	snprintf(out, room, "%s of %s", a, b);
}

struct share {
	const char *name;
	int64_t bytes;
};

/* The greatest first; what has no place is "others". shares are put in order. */
static void print_shares(struct share *shares, size_t n, char *out, size_t room)
{
	struct share others = { "others", 0 };
	char size[32];
	size_t len = 0;
	out[0] = 0;
	for (size_t i = 1; i < n; i++)
		for (size_t j = i; j > 0 && shares[j].bytes > shares[j - 1].bytes; j--) {
			struct share s = shares[j];
			shares[j] = shares[j - 1];
			shares[j - 1] = s;
		}
	for (size_t i = 0; i < n && len < room; i++) {
		if (i >= NAMES_MOST)
			others.bytes += shares[i].bytes;
		else if (shares[i].bytes > 0)
			len += (size_t)snprintf(out + len, room - len, "%s%s %s", len ? ", " : "", shares[i].name,
						text_print_size(shares[i].bytes, size, sizeof(size)));
	}
	if (others.bytes && len < room)
		snprintf(out + len, room - len, ", others %s", text_print_size(others.bytes, size, sizeof(size)));
}

/* "1.0 GB, 1016 MB are left": rounded sums alone read as if it fitted. */
void budget_print_need(int64_t need, int64_t left, char *out, size_t room)
{
	char a[32], b[32];
	text_print_size(need, a, sizeof(a));
	if (left > 0)
		snprintf(out, room, "%s, %s are left", a, text_print_size(left, b, sizeof(b)));
	else
		snprintf(out, room, "%s, nothing is left", a);
}

/* What is promised to whom. */
static void print_promise(const struct fleet *fleet, char *out, size_t room)
{
	struct share shares[64] = {
		{ "services", fleet->budget.services_bytes },
		{ "recipes", guests_promise(fleet->guests, "recipe") },
		{ "webapps", guests_promise(fleet->guests, "webapp") },
		{ "notebooks", guests_promise(fleet->guests, "notebook") },
	};
	size_t n = 4;
	list_each (&fleet->pools, l) {
		const struct pool *p = list_of(l, struct pool, link);
		if (n < sizeof(shares) / sizeof(shares[0]))
			shares[n++] = (struct share){ p->spec->name, budget_pool_promise(p) };
	}
	print_shares(shares, n, out, room);
}

void budget_read_shares(const struct fleet *fleet, struct budget_shares *out)
{
	out->promise_bytes = budget_promise(fleet);
	print_promise(fleet, out->text, sizeof(out->text));
}

static void say_why(const struct fleet *fleet, const struct budget_shares *shares, int64_t bytes, char *out, size_t room)
{
	int64_t promise = shares->promise_bytes, total = fleet->budget.total_bytes;
	char part[96], need[96];
	budget_print_part(promise, total, part, sizeof(part));
	budget_print_need(bytes, total - promise, need, sizeof(need));
	snprintf(out, room, "the node's memory is promised: %s (%s); it needs %s%s", part, shares->text, need,
		 promise + bytes <= total ? "; what is free is kept for others that come first" : "");
}

bool budget_why(const struct future *f, char *out, size_t room)
{
	const struct fleet *fleet = f->fleet;
	const struct pool *p = f->in_pool;
	struct budget_shares shares;
	if (!fleet || !p || !p->short_bytes || budget_size_for(f) < p->short_bytes)
		return false;
	budget_read_shares(fleet, &shares);
	say_why(fleet, &shares, budget_size_for(f), out, room);
	return true;
}

void budget_guest_why(const struct fleet *fleet, const struct budget_shares *shares, int64_t bytes, char *out, size_t room)
{
	struct budget_shares now;
	if (!shares)
		budget_read_shares(fleet, &now);
	say_why(fleet, shares ? shares : &now, bytes, out, room);
}

int budget_check_guest(const struct fleet *fleet, int64_t bytes, const char *what, struct err *err)
{
	const struct budget *b = &fleet->budget;
	char needs[32], total[32], machine[32], reserve[32];
	if (!b->total_bytes || bytes <= b->total_bytes)
		return 0;
	return err_set(
		err,
		"limits.memory of %s is %s, more than the node's whole memory budget, %s: %s less %s for people and the system",
		what, text_print_size(bytes, needs, sizeof(needs)), text_print_size(b->total_bytes, total, sizeof(total)),
		text_print_size(b->machine_bytes, machine, sizeof(machine)),
		text_print_size(b->reserve_bytes, reserve, sizeof(reserve)));
}

int budget_check(const struct fleet *fleet, const struct pool *pool, int64_t bytes, struct err *err)
{
	const struct budget *b = &fleet->budget;
	char needs[32], total[32], machine[32], reserve[32];
	int64_t size = pool->spec->memory_bytes; /* not what was measured: that is a guess */
	const char *what = bytes > size ? "limits.memory" : "each kernel of the pool";
	if (bytes > size)
		size = bytes;
	if (!b->total_bytes || size <= b->total_bytes)
		return 0;
	return err_set(err,
		       "%s of pool \"%s\" (%s) needs %s, more than the node's whole memory budget, %s: %s less %s for people and "
		       "the system",
		       what, pool->spec->name, pool->spec->source ? pool->spec->source : "?",
		       text_print_size(size, needs, sizeof(needs)), text_print_size(b->total_bytes, total, sizeof(total)),
		       text_print_size(b->machine_bytes, machine, sizeof(machine)),
		       text_print_size(b->reserve_bytes, reserve, sizeof(reserve)));
}

/* --- the load --- */

static int64_t most_of(const struct pool *pool)
{
	return pool->is_retired ? 0 : budget_times(pool->spec->max, budget_kernel_size(pool));
}

void budget_look_over(struct fleet *fleet)
{
	const struct budget *b = &fleet->budget;
	char text[900], sum_text[32], total_text[32], each[32], all[32], source[256] = "";
	int64_t sum = 0;
	size_t len = 0;
	int named = 0, left = 0;
	if (!b->total_bytes)
		return;
	list_each (&fleet->pools, l)
		sum += most_of(list_of(l, struct pool, link));
	if (sum <= b->total_bytes) {
		alerts_clear(fleet->alerts, OVERCOMMIT);
		fleet->overcommit[0] = 0;
		return;
	}
	len = (size_t)snprintf(text, sizeof(text), "the pools could take %s, the node's memory budget is %s: ",
			       text_print_size(sum, sum_text, sizeof(sum_text)),
			       text_print_size(b->total_bytes, total_text, sizeof(total_text)));
	list_each (&fleet->pools, l) {
		const struct pool *p = list_of(l, struct pool, link);
		if (p->is_retired)
			continue;
		if (named == NAMES_MOST || len > sizeof(text) - 200) {
			left++;
			continue;
		}
		if (!named++ && p->spec->source)
			snprintf(source, sizeof(source), "%.255s", p->spec->source);
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%.64s %d x %s = %s", named > 1 ? ", " : "",
					p->spec->name, p->spec->max, text_print_size(budget_kernel_size(p), each, sizeof(each)),
					text_print_size(most_of(p), all, sizeof(all)));
	}
	if (left)
		len += (size_t)snprintf(text + len, sizeof(text) - len, " and %d more pools", left);
	snprintf(text + len, sizeof(text) - len, "; tasks wait when it is used up, lower max or limits.memory");
	if (strcmp(text, fleet->overcommit) == 0)
		return;
	snprintf(fleet->overcommit, sizeof(fleet->overcommit), "%s", text);
	log_warn("budget: %s", text);
	alerts_raise(fleet->alerts, OVERCOMMIT, ALERT_WARNING, NULL, source[0] ? source : NULL, text);
}

int budget_json(const struct fleet *fleet, struct buf *out)
{
	const struct budget *b = &fleet->budget;
	buf_putc(out, '{');
	jtext_int(out, "machineBytes", b->machine_bytes);
	jtext_int(out, "reserveBytes", b->reserve_bytes);
	jtext_int(out, "budgetBytes", b->total_bytes);
	jtext_int(out, "promisedBytes", budget_promise(fleet));
	jtext_int(out, "servicesBytes", b->services_bytes);
	jtext_int(out, "guestsBytes", guests_promise(fleet->guests, NULL));
	jtext_int(out, "recipesBytes", guests_promise(fleet->guests, "recipe"));
	jtext_int(out, "webappsBytes", guests_promise(fleet->guests, "webapp"));
	jtext_int(out, "notebooksBytes", guests_promise(fleet->guests, "notebook"));
	jtext_member(out, "pools");
	buf_putc(out, '[');
	list_each (&fleet->pools, l) {
		const struct pool *p = list_of(l, struct pool, link);
		jtext_next(out);
		buf_putc(out, '{');
		jtext_text(out, "name", p->spec->name);
		jtext_int(out, "kernels", pool_count_alive(p));
		jtext_int(out, "kernelBytes", budget_kernel_size(p));
		jtext_int(out, "promisedBytes", budget_pool_promise(p));
		jtext_int(out, "mostBytes", most_of(p));
		jtext_some_int(out, "waitsForBytes", p->short_bytes ? p->short_bytes : -1);
		buf_putc(out, '}');
	}
	buf_puts(out, "]}");
	return out->failed ? -1 : 0;
}
