#include "node/node_board.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/json.h"
#include "node/node_board_inner.h"
#include "sys/clock.h"

#define LOOKED_MS   50   /* a look not older than that is good enough for who asks */
#define GONE_MOST   4096 /* rows that went, for those who come back */
#define GONE_MS     600000
#define ROW_MAX     ((size_t)64 << 10)
#define SHARE_GRAIN 10  /* changes below that are no news: a hundredth of a core */
#define CPU_GRAIN   100 /* a tenth of a second */
#define NUMBERS_NEW (-1)

const char *const board_kinds[BOARD_KINDS] = { "future",   "job",   "recipe", "training", "webapp",
					       "notebook", "macro", "kernel", "service" };
static const unsigned topics[BOARD_KINDS] = { 0, BOARD_JOBS, BOARD_JOBS, BOARD_MODELS, BOARD_WEBAPPS, BOARD_NOTEBOOKS, BOARD_MACROS,
					      0, 0 };

/* --- rows --- */

static void row_free(struct board_row *row)
{
	free(row->text);
	free(row->owner);
	free(row->what);
	free(row);
}

static void forget_row(struct node_board *b, struct board_row *row)
{
	list_remove(&row->link);
	if (row->is_named)
		map_remove(b->by_id, row->id);
	row_free(row);
}

struct node_board *node_board_new(struct node *n)
{
	struct node_board *b = calloc(1, sizeof(*b));
	if (!b)
		return NULL;
	b->node = n;
	b->cpu_share = -1;
	list_init(&b->rows);
	list_init(&b->macros);
	buf_init(&b->scratch, ROW_MAX);
	buf_init(&b->shared.text, SIZE_MAX / 4);
	b->by_id = map_new();
	if (!b->by_id)
		node_board_free(&b);
	return b;
}

void node_board_free(struct node_board **bp)
{
	struct node_board *b = *bp;
	if (!b)
		return;
	list_each (&b->rows, l)
		row_free(list_of(l, struct board_row, link));
	board_forget_macros(b);
	map_free(&b->by_id);
	buf_fini(&b->scratch);
	buf_fini(&b->shared.text);
	free(b->shared.login);
	free(b->told_node.text);
	free(b->told_pools.text);
	free(b);
	*bp = NULL;
}

int board_join(char out[BOARD_ID_MAX], enum board_kind kind, const char *first, const char *second, const char *third)
{
	const char *parts[] = { board_kinds[kind], ":", first, second ? "/" : "", second ? second : "", third ? "/" : "",
				third ? third : "" };
	size_t at = 0;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		size_t len = strlen(parts[i]);
		if (len >= BOARD_ID_MAX - at)
			return -1;
		memcpy(out + at, parts[i], len + 1);
		at += len;
	}
	return 0;
}

uint64_t board_mix_text(uint64_t print, const char *s)
{
	uint64_t h = 1469598103934665603u;
	for (; s && *s; s++)
		h = (h ^ (unsigned char)*s) * 1099511628211u;
	return board_mix(print, h);
}

/* It has the newest rev now. */
static void move_up(struct node_board *b, struct board_row *row)
{
	row->rev = ++b->rev;
	list_remove(&row->link);
	list_push(&b->rows, &row->link);
	b->topics |= topics[row->kind];
}

static void go(struct node_board *b, struct board_row *row)
{
	free(row->text);
	free(row->what);
	row->text = row->what = NULL;
	row->gone_mono_ms = b->now_mono_ms;
	row->numbers = (struct board_numbers){ -1, -1, -1, -1 };
	row->print = 0;
	b->nlive--;
	b->ngone++;
	move_up(b, row);
}

/* Somebody else's from now on: to whom it was it is gone for ever, and comes anew to whom it is. */
static void leave_behind(struct node_board *b, struct board_row *row)
{
	map_remove(b->by_id, row->id);
	row->is_named = false;
	if (!row->gone_mono_ms)
		go(b, row);
}

static struct board_row *make_row(struct node_board *b, enum board_kind kind, const char *id, const char *owner)
{
	size_t len = strlen(id);
	struct board_row *row = calloc(1, sizeof(*row) + len + 1);
	if (!row || !(row->owner = strdup(owner))) {
		free(row);
		return NULL;
	}
	memcpy(row->id, id, len + 1);
	list_init(&row->link);
	row->kind = kind;
	row->numbers = (struct board_numbers){ -1, -1, -1, -1 };
	if (map_set(b->by_id, id, row) < 0) {
		row_free(row);
		return NULL;
	}
	row->is_named = true;
	row->rev = ++b->rev; /* also without a text: the list is by rev */
	list_push(&b->rows, &row->link);
	b->nlive++;
	return row;
}

struct board_row *board_see(struct node_board *b, enum board_kind kind, const char *id, const char *owner, uint64_t print,
			    bool *is_same)
{
	struct board_row *row = map_get(b->by_id, id);
	owner = owner ? owner : "";
	if (row && strcmp(row->owner, owner) != 0) {
		leave_behind(b, row);
		row = NULL;
	}
	if (row && row->gone_mono_ms) { /* it is back */
		row->gone_mono_ms = 0;
		b->ngone--;
		b->nlive++;
	}
	if (!row && !(row = make_row(b, kind, id, owner)))
		return NULL;
	row->round = b->round;
	*is_same = row->text && row->print == print;
	row->print = print;
	row->is_waiting = row->is_busy = false;
	return row;
}

void board_write(struct node_board *b, struct board_row *row, const struct board_facts *f)
{
	struct buf *text = &b->scratch;
	buf_clear(text);
	board_put_row(text, row->kind, row->id, f);
	if (text->failed || (row->text && row->len == text->len && memcmp(row->text, text->data, text->len) == 0))
		return;
	char *copy = malloc(text->len + 1);
	if (!copy) {
		row->print = 0; /* again in the next round */
		return;
	}
	memcpy(copy, text->data, text->len + 1);
	free(row->text);
	row->text = copy;
	row->len = text->len;
	move_up(b, row);
}

void board_set_process(struct board_row *row, const char *process)
{
	if (strcmp(row->process, process ? process : "") != 0)
		snprintf(row->process, sizeof(row->process), "%s", process ? process : "");
}

/* --- a look --- */

static bool is_news(int64_t was, int64_t is, int64_t grain)
{
	return was != is && (was < 0 || is < 0 || is - was >= grain || was - is >= grain);
}

static bool take_numbers(const struct node_board *b, struct board_row *row)
{
	struct curve_now now = { -1, -1, -1, -1 };
	struct board_numbers *n = &row->numbers;
	if (row->process[0])
		curves_now(b->node->curves, row->process, &now);
	if (n->memory_bytes == now.memory_bytes && n->peak_bytes == now.peak_bytes &&
	    !is_news(n->share_milli, now.share_milli, SHARE_GRAIN) && !is_news(n->cpu_ms, now.cpu_ms, CPU_GRAIN))
		return false;
	*n = (struct board_numbers){ now.memory_bytes, now.peak_bytes, now.share_milli, now.cpu_ms };
	return true;
}

/* The oldest of those that went are forgotten. */
static void forget_gone(struct node_board *b)
{
	list_each (&b->rows, l) {
		struct board_row *row = list_of(l, struct board_row, link);
		if (b->ngone == 0)
			return;
		if (!row->gone_mono_ms)
			continue;
		if (b->ngone <= GONE_MOST && b->now_mono_ms - row->gone_mono_ms < GONE_MS)
			return;
		b->floor = row->rev;
		b->ngone--;
		forget_row(b, row);
	}
}

void board_begin(struct node_board *b, int64_t mono_ms)
{
	b->looked_mono_ms = b->now_mono_ms = mono_ms;
	b->now_wall_ms = clock_wall_ms();
	b->round++;
}

static void end_round(struct node_board *b)
{
	bool has_numbers = false;
	size_t left = b->nlive + b->ngone;
	struct list *l = b->rows.next;
	for (; left > 0 && l != &b->rows; left--) { /* those that go move behind the last of them */
		struct board_row *row = list_of(l, struct board_row, link);
		l = l->next;
		if (row->gone_mono_ms)
			continue;
		if (row->round != b->round)
			go(b, row);
		else if (take_numbers(b, row)) {
			row->numbers_rev = NUMBERS_NEW;
			has_numbers = true;
		}
	}
	if (!has_numbers)
		return;
	b->rev++;
	list_each (&b->rows, p) {
		struct board_row *row = list_of(p, struct board_row, link);
		if (row->numbers_rev == NUMBERS_NEW)
			row->numbers_rev = b->rev;
	}
}

void board_end(struct node_board *b)
{
	end_round(b);
	forget_gone(b);
}

void node_board_refresh(struct node_board *b)
{
	int64_t now = clock_mono_ms();
	if (b->looked_mono_ms && now - b->looked_mono_ms < LOOKED_MS)
		return;
	board_begin(b, now);
	if (b->node->facts.is_taken_up) {
		board_look_at_tasks(b);
		board_look_at_guests(b);
		board_end(b);
	}
	board_look_at_node(b);
}

/* --- who is told what --- */

static bool may_see(const struct board_row *row, const char *login)
{
	return !login || strcmp(row->owner, login) == 0;
}

/* Its text for that viewer, without its last brace. It ends with `"ends":[]` where it is_spare. */
static void put_text(struct buf *out, const struct board_row *row, const char *login)
{
	if (login || !row->is_spare) {
		buf_put(out, row->text, row->len);
		return;
	}
	buf_put(out, row->text, row->len - 1);
	buf_puts(out, "\"kill\"]");
}

bool node_board_find(const struct node_board *b, int64_t epoch, int64_t rev, struct board_place *out)
{
	*out = BOARD_FROM_START;
	if (epoch != b->node->facts.epoch || rev < b->floor || rev > b->rev || rev <= 0)
		return false;
	out->rev = out->base = out->numbers = rev;
	out->is_whole = true;
	return true;
}

/* The first that is newer than rev, or the list's head. */
static struct list *after(struct node_board *b, int64_t rev)
{
	struct list *l = b->rows.prev;
	while (l != &b->rows && list_of(l, struct board_row, link)->rev > rev)
		l = l->prev;
	return l->next;
}

/* The rows that are newer than `from`, until out is full; returns the rev up to which they were looked at. */
static int64_t put_rows(struct node_board *b, const char *login, int64_t from, size_t most, struct buf *out, bool *is_any)
{
	int64_t rev = from;
	bool is_first = true;
	buf_puts(out, ",\"rows\":[");
	for (struct list *l = after(b, from); l != &b->rows; l = l->next) {
		const struct board_row *row = list_of(l, struct board_row, link);
		if (out->len >= most) {
			buf_putc(out, ']');
			return rev;
		}
		rev = row->rev;
		if (row->gone_mono_ms || !row->text || !may_see(row, login))
			continue;
		if (!is_first)
			buf_putc(out, ',');
		is_first = false;
		put_text(out, row, login);
		buf_putc(out, '}');
	}
	buf_putc(out, ']');
	*is_any |= !is_first;
	return b->rev;
}

static void put_gone(struct node_board *b, const char *login, int64_t from, int64_t to, struct buf *out, bool *is_any)
{
	bool is_first = true;
	for (struct list *l = after(b, from); l != &b->rows; l = l->next) {
		const struct board_row *row = list_of(l, struct board_row, link), *other;
		if (row->rev > to)
			break;
		if (!row->gone_mono_ms || !may_see(row, login))
			continue;
		other = row->is_named ? NULL : map_get(b->by_id, row->id);
		if (other && !other->gone_mono_ms && may_see(other, login))
			continue; /* another's now, and seen as well */
		buf_puts(out, is_first ? ",\"gone\":[" : ",");
		json_put_text(out, row->id, strlen(row->id));
		is_first = false;
	}
	if (!is_first) {
		buf_putc(out, ']');
		*is_any = true;
	}
}

/* Of rows that were told with this event, and of older ones where they are others than before, once all rows are told. */
static void put_numbers(struct node_board *b, const char *login, const struct board_place *at, int64_t to, struct buf *out,
			bool *is_any)
{
	bool is_first = true, is_last = to == b->rev;
	for (struct list *l = is_last ? b->rows.next : after(b, at->rev); l != &b->rows; l = l->next) {
		const struct board_row *row = list_of(l, struct board_row, link);
		if (row->rev > to)
			break;
		if (row->gone_mono_ms || row->numbers_rev == 0 || (row->rev <= at->rev && row->numbers_rev <= at->numbers) ||
		    !may_see(row, login))
			continue;
		buf_puts(out, is_first ? ",\"numbers\":[" : ",");
		board_put_numbers(out, row);
		is_first = false;
	}
	if (!is_first) {
		buf_putc(out, ']');
		*is_any = true;
	}
}

/* Returns the rev up to which all was told; -1: no memory, nothing was put. */
static int64_t write_event(struct node_board *b, const char *login, const struct board_place *at, size_t most, struct buf *out)
{
	bool is_any = !at->is_told || !at->is_whole;
	struct buf body;
	size_t head = out->len;
	buf_init(&body, SIZE_MAX / 4);
	buf_puts(&body, at->is_whole ? "" : ",\"whole\":true");
	int64_t to = put_rows(b, login, at->rev, most, &body, &is_any);
	put_gone(b, login, at->rev > at->base ? at->rev : at->base, to, &body, &is_any);
	put_numbers(b, login, at, to, &body, &is_any);
	if (is_any || to < b->rev) {
		buf_printf(out, "event: board\ndata: {\"rev\":\"%lld-%lld\"", (long long)b->node->facts.epoch, (long long)to);
		buf_put(out, body.data, body.len);
		buf_puts(out, "}\n\n");
	}
	if (body.failed || out->failed) {
		out->len = head;
		to = -1;
	}
	buf_fini(&body);
	return to;
}

bool node_board_put(struct node_board *b, const char *login, struct board_place *at, size_t most, struct buf *out)
{
	int64_t from = at->rev, to;
	if (at->is_whole && b->floor > at->rev && b->floor > at->base) { /* something that it was told went, and is forgotten */
		at->is_whole = false;
		from = at->rev = 0;
	}
	if (at->is_told && at->is_whole && from == b->rev)
		return false;
	if (!at->is_whole)
		at->base = at->numbers = b->rev; /* each row comes with its numbers */
	bool is_plain = at->is_told && at->is_whole && at->numbers == from;
	bool is_alike = is_plain && from == b->shared.from && b->rev == b->shared.to && b->shared.text.data &&
			(login ? b->shared.login && strcmp(login, b->shared.login) == 0 : !b->shared.login);
	if (is_alike) {
		buf_put(out, b->shared.text.data, b->shared.text.len);
		at->rev = at->numbers = b->rev;
		return false;
	}
	size_t was = out->len;
	to = write_event(b, login, at, most, out);
	if (to < 0)
		return false;
	if (is_plain && to == b->rev) {
		buf_clear(&b->shared.text);
		free(b->shared.login);
		b->shared.login = login ? strdup(login) : NULL;
		b->shared.from = from;
		buf_put(&b->shared.text, out->data ? out->data + was : "", out->len - was);
		b->shared.to = b->shared.text.failed || (login && !b->shared.login) ? -1 : to;
	}
	at->is_whole = at->is_told = true;
	at->rev = to;
	if (to == b->rev)
		at->numbers = to;
	return to < b->rev;
}

void node_board_json(struct node_board *b, const char *login, struct buf *out)
{
	bool is_first = true;
	buf_putc(out, '[');
	list_each (&b->rows, l) {
		const struct board_row *row = list_of(l, struct board_row, link);
		if (row->gone_mono_ms || !row->text || !may_see(row, login))
			continue;
		if (!is_first)
			buf_putc(out, ',');
		is_first = false;
		put_text(out, row, login);
		board_put_inline(out, row);
		buf_putc(out, '}');
	}
	buf_putc(out, ']');
}

void node_board_note(struct node_board *b, enum board_topic topic)
{
	b->topics |= topic;
}

unsigned node_board_take_topics(struct node_board *b)
{
	unsigned taken = b->topics;
	b->topics = 0;
	return taken;
}
