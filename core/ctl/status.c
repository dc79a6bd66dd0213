/* status: the top-level processes, as the keeper knows them; works without a backend. */
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "ctl/bell.h"
#include "ctl/front.h"
#include "ctl/opt.h"
#include "ctl/rest.h"
#include "ctl/say.h"
#include "sys/home.h"

enum { ASK_MS = 10000, GLANCE_MS = 1000 };

struct status {
	struct ctl *ctl;
	json_t *processes;
	struct say_table *table;
	bool all_ready;
};

static json_t *text_or_null(const char *s)
{
	return s[0] != '\0' ? json_string(s) : json_null();
}

static json_t *time_or_null(int64_t ms)
{
	return ms > 0 ? json_integer(ms) : json_null();
}

static json_t *row_json(struct ctl *ctl, const struct bell_row *r)
{
	char trouble[FRONT_TROUBLE_MAX];
	json_t *o = json_object();
	json_object_set_new(o, "name", json_string(r->name));
	json_object_set_new(o, "pid", r->pid > 0 ? json_integer(r->pid) : json_null());
	json_object_set_new(o, "state", json_string(r->state));
	json_object_set_new(o, "wanted", text_or_null(r->wanted));
	json_object_set_new(o, "startedAt", time_or_null(r->started_ms));
	json_object_set_new(o, "readyAt", time_or_null(r->ready_ms));
	json_object_set_new(o, "restarts", json_integer(r->restarts));
	json_object_set_new(o, "crashes", json_integer(r->crashes));
	json_object_set_new(o, "memoryBytes", r->memory_bytes >= 0 ? json_integer(r->memory_bytes) : json_null());
	json_object_set_new(o, "cause", text_or_null(r->cause));
	json_object_set_new(o, "text", text_or_null(r->text));
	json_object_set_new(o, "nextTryAt", time_or_null(r->next_ms));
	json_object_set_new(o, "giveUpAt", time_or_null(r->give_up_ms));
	json_object_set_new(o, "box", text_or_null(r->box));
	json_object_set_new(o, "cgroup", text_or_null(r->cgroup));
	if (strcmp(r->name, "nginx") == 0 && front_trouble(ctl, trouble, sizeof(trouble)))
		json_object_set_new(o, "trouble", json_string(trouble));
	return o;
}

static enum say_tone tone_of(const struct bell_row *r)
{
	if (r->is_running)
		return SAY_GOOD;
	if (strcmp(r->state, "failed") == 0 || strcmp(r->state, "backoff") == 0)
		return SAY_BAD;
	return strcmp(r->wanted, "down") == 0 ? SAY_DIM : SAY_WARN;
}

static void fill_row(struct say_table *t, const struct bell_row *r)
{
	char pid[16] = "", since[48], restarts[24], memory[32] = "", last[800], next[48], give_up[48];
	if (r->pid > 0)
		snprintf(pid, sizeof(pid), "%d", (int)r->pid);
	snprintf(restarts, sizeof(restarts), "%lld", (long long)r->restarts);
	if (r->memory_bytes >= 0)
		text_print_size(r->memory_bytes, memory, sizeof(memory));
	int n = snprintf(last, sizeof(last), "%s%s%s", r->cause, r->cause[0] != '\0' && r->text[0] != '\0' ? ": " : "", r->text);
	if (r->next_ms > 0 && !r->is_running)
		n += snprintf(last + n, sizeof(last) - (size_t)n, "%snext try %s", n > 0 ? "; " : "",
			      say_time(r->next_ms, next, sizeof(next)));
	if (strcmp(r->state, "failed") == 0 && n < (int)sizeof(last))
		snprintf(last + n, sizeof(last) - (size_t)n, "; given up, dss restart %s tries anew", r->name);
	else if (r->give_up_ms > 0 && !r->is_running && n < (int)sizeof(last))
		snprintf(last + n, sizeof(last) - (size_t)n, ", given up %s", say_time(r->give_up_ms, give_up, sizeof(give_up)));
	say_cell(t, SAY_PLAIN, r->name);
	say_cell(t, SAY_PLAIN, pid);
	say_cell(t, tone_of(r), r->state);
	say_cell(t, SAY_PLAIN, say_since(r->ready_ms > 0 ? r->ready_ms : r->started_ms, since, sizeof(since)));
	say_cell(t, SAY_PLAIN, restarts);
	say_cell(t, SAY_PLAIN, memory);
	say_cell(t, SAY_PLAIN, last);
}

static void take_row(void *data, const struct bell_row *r)
{
	struct status *s = data;
	if (strcmp(r->kind, "keeper") != 0 && strcmp(r->kind, "service") != 0)
		return;
	/* A service that someone stopped is as wanted. */
	if (!r->is_running && strcmp(r->wanted, "down") != 0)
		s->all_ready = false;
	json_array_append_new(s->processes, row_json(s->ctl, r));
	fill_row(s->table, r);
}

static void print_json(const char *instance, const char *isolation, const char *cgroups, json_t *processes)
{
	json_t *o = json_object();
	json_object_set_new(o, "instance", text_or_null(instance));
	json_object_set_new(o, "isolation", text_or_null(isolation));
	json_object_set_new(o, "cgroups", text_or_null(cgroups));
	json_object_set(o, "processes", processes);
	json_dumpf(o, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(o);
}

static int no_keeper(struct ctl *ctl, struct status *s, const struct err *err)
{
	char id[16] = "";
	home_instance_id(ctl->dir, id, sizeof(id), NULL);
	if (ctl->json)
		print_json(id, "", "", s->processes);
	return ctl_unreached(ctl, err);
}

static void print_part(const json_t *node, const char *member, const char *name)
{
	char size[32];
	int64_t bytes = (int64_t)rest_number(node, member, 0);
	if (bytes > 0)
		printf(", %s %s", name, text_print_size(bytes, size, sizeof(size)));
}

/* "memory: 12.1 of 27.0 GB promised, recipes 1.0 GB"; nothing where the backend cannot tell at once. */
static void print_memory(struct ctl *ctl)
{
	char promised[32], budget[32];
	json_t *node = rest_glance(ctl, "/api/node", GLANCE_MS);
	int64_t budget_bytes = (int64_t)rest_number(node, "budgetBytes", 0);
	if (budget_bytes > 0) {
		text_print_size((int64_t)rest_number(node, "promisedBytes", 0), promised, sizeof(promised));
		text_print_size(budget_bytes, budget, sizeof(budget));
		const char *unit = strrchr(promised, ' '), *other = strrchr(budget, ' ');
		bool is_same = unit != NULL && other != NULL && strcmp(unit, other) == 0;
		printf("memory: %.*s of %s promised", is_same ? (int)(unit - promised) : (int)strlen(promised), promised, budget);
		print_part(node, "recipesBytes", "recipes");
		print_part(node, "webappsBytes", "webapps");
		print_part(node, "notebooksBytes", "notebooks");
		putchar('\n');
	}
	json_decref(node);
}

/* "page and API: http://127.0.0.1:11200/" */
static void print_address(struct ctl *ctl)
{
	char path[PATH_MAX];
	json_t *ports = ctl_path(ctl, "run/ports.json", path, sizeof(path), NULL) == 0 ? json_load_file(path, 0, NULL) : NULL;
	json_int_t page = json_integer_value(json_object_get(ports, "page"));
	if (page > 0)
		printf("page and API: %s://127.0.0.1:%d/\n", json_is_true(json_object_get(ports, "tls")) ? "https" : "http",
		       (int)page);
	json_decref(ports);
}

static int print_status(struct ctl *ctl, struct status *s)
{
	struct err err = { 0 };
	struct bell *bell = NULL;
	if (bell_open(&bell, ctl->dir, &err) < 0)
		return no_keeper(ctl, s, &err);
	const struct bell_welcome *k = bell_keeper(bell);
	s->all_ready = true;
	int code = CTL_DONE;
	if (bell_ask(bell, "status", "", false, ASK_MS, take_row, NULL, s, &err) != BELL_DONE) {
		code = ctl_fail(CTL_FAILED, "%s", err.text);
	} else if (ctl->json) {
		print_json(k->instance, k->isolation, k->cgroups, s->processes);
	} else {
		bool is_open = strcmp(k->isolation, "none") == 0;
		printf("instance %s in %s; isolation: %s%s; cgroups: %s\n", k->instance, ctl->dir, k->isolation,
		       is_open ? " (code in any kernel can act as admin)" : "", k->cgroups);
		print_memory(ctl);
		print_address(ctl);
		say_table_print(s->table, stdout);
		front_note(ctl);
	}
	if (code == CTL_DONE && !s->all_ready)
		code = CTL_FAILED;
	bell_close(&bell);
	return code;
}

int status_show(struct ctl *ctl)
{
	static const char *const titles[] = { "NAME", "PID", "STATE", "SINCE", "RESTARTS", "MEMORY", "LAST END" };
	struct status s = { ctl, json_array(), say_table_new(titles, sizeof(titles) / sizeof(titles[0])), false };
	int code = s.processes != NULL && s.table != NULL ? print_status(ctl, &s) : ctl_fail(CTL_FAILED, "no memory");
	say_table_free(&s.table);
	json_decref(s.processes);
	return code;
}

int status_command(struct ctl *ctl, int argc, char **argv)
{
	const struct opt opts[] = { { 0 } };
	struct opt_words words = {
		.usage = "[--json]",
		.about = "The top-level processes. Exit 0: all are ready; 1: one is not; 6: the instance is not running."
	};
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (code = ctl_find(ctl)) != CTL_DONE)
		return code;
	return status_show(ctl);
}
