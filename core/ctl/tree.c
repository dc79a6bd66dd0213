#include "ctl/tree.h"

#include <langinfo.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "ctl/ctl.h"
#include "ctl/rest.h"
#include "ctl/say.h"

enum { DEPTH_MAX = 12, LINE_ROOM = 400, NAME_ROOM = 300, NONE = -1 };

struct node {
	const json_t *row; /* borrowed */
	const char *id;
	int parent;     /* NONE: a root */
	bool is_task;   /* what the kernel above works on: no process */
	bool is_member; /* lives in its parent's box */
	bool is_drawn;
	int order; /* among what its parent started */
};

struct tree {
	struct node *nodes;
	int count, room;
	int *sorted;
	struct say_table *table;
	bool is_utf8;
};

/* --- who is below whom --- */

static int add(struct tree *t, struct node node)
{
	if (t->count == t->room) {
		int room = t->room ? 2 * t->room : 64;
		struct node *more = realloc(t->nodes, (size_t)room * sizeof(*more));
		if (!more)
			return NONE;
		t->nodes = more;
		t->room = room;
	}
	t->nodes[t->count] = node;
	return t->count++;
}

static int find(const struct tree *t, const char *id)
{
	for (int i = 0; *id && i < t->count; i++)
		if (!t->nodes[i].is_task && !t->nodes[i].is_member && strcmp(t->nodes[i].id, id) == 0)
			return i;
	return NONE;
}

static int find_task(const struct tree *t, int kernel, const char *task)
{
	for (int i = 0; *task && i < t->count; i++)
		if (t->nodes[i].is_task && t->nodes[i].parent == kernel && strcmp(rest_text(t->nodes[i].row, "taskId"), task) == 0)
			return i;
	return NONE;
}

static int order_of(const json_t *row)
{
	static const char *const firsts[] = { "logger", "backend", "nginx", "jupyter", NULL };
	static const char *const kinds[] = { "service", "kernel", "recipe", "webapp", "train", NULL };
	int i;
	for (i = 0; firsts[i]; i++)
		if (strcmp(rest_text(row, "id"), firsts[i]) == 0)
			return i;
	for (i = 0; kinds[i] && strcmp(rest_text(row, "kind"), kinds[i]) != 0; i++)
		;
	return 10 + i;
}

static bool is_kernel(const json_t *row)
{
	return strcmp(rest_text(row, "kind"), "kernel") == 0;
}

static double pid_of(const json_t *row, const char *key)
{
	return rest_number(row, key, -1);
}

/* Those who live in its box; itself is there already. Members that started members stand above them. */
static int add_members(struct tree *t, int process)
{
	const json_t *row = t->nodes[process].row, *members = json_object_get(row, "members");
	int first = t->count;
	size_t i;
	json_t *m;
	json_array_foreach(members, i,
			   m) if (pid_of(m, "pid") != pid_of(row, "pid") &&
				  add(t, (struct node){ m, "", process, .is_member = true, .order = (int)i }) < 0) return -1;
	for (int k = first; k < t->count; k++)
		for (int above = first; above < t->count; above++)
			if (above != k && pid_of(t->nodes[k].row, "parentPid") == pid_of(t->nodes[above].row, "pid"))
				t->nodes[k].parent = above;
	return 0;
}

static int build(struct tree *t, const json_t *rows)
{
	json_t *row;
	size_t i;
	json_array_foreach(rows, i,
			   row) if (add(t, (struct node){ row, rest_text(row, "id"), NONE, .order = order_of(row) }) < 0) return -1;
	int processes = t->count, keeper = find(t, "keeper");
	for (int k = 0; k < processes; k++)
		if (is_kernel(t->nodes[k].row) && *rest_text(t->nodes[k].row, "taskId") &&
		    add(t, (struct node){ t->nodes[k].row, rest_text(t->nodes[k].row, "taskId"), k, .is_task = true }) < 0)
			return -1;
	for (int k = 0; k < processes; k++) {
		struct node *n = &t->nodes[k];
		int above = find(t, rest_text(n->row, "parentId"));
		int task = above >= 0 ? find_task(t, above, rest_text(n->row, "taskId")) : NONE;
		n->parent = k == keeper ? NONE : task >= 0 ? task : above >= 0 && above != k ? above : keeper;
	}
	for (int k = 0; k < processes; k++)
		if (add_members(t, k) < 0)
			return -1;
	return 0;
}

/* "fek-9" stands before "fek-10". */
static int compare_ids(const char *a, const char *b)
{
	for (; *a && *b; a++, b++) {
		if (*a >= '0' && *a <= '9' && *b >= '0' && *b <= '9') {
			char *after_a, *after_b;
			unsigned long long x = strtoull(a, &after_a, 10), y = strtoull(b, &after_b, 10);
			if (x != y)
				return x < y ? -1 : 1;
			a = after_a - 1;
			b = after_b - 1;
		} else if (*a != *b) {
			break;
		}
	}
	return (unsigned char)*a - (unsigned char)*b;
}

static int compare(const void *a, const void *b, void *data)
{
	const struct tree *t = data;
	const struct node *x = &t->nodes[*(const int *)a], *y = &t->nodes[*(const int *)b];
	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	int by_id = compare_ids(x->id, y->id);
	return by_id ? by_id : *(const int *)a - *(const int *)b;
}

/* --- a line --- */

static const char *name_of(const struct node *n, char room[NAME_ROOM])
{
	static const char *const names[] = { "activityId", "model", NULL };
	if (n->is_member)
		return *rest_text(n->row, "name") ? rest_text(n->row, "name") : rest_text(n->row, "command");
	if (n->is_task)
		return *rest_text(n->row, "jobId") ? rest_text(n->row, "jobId") : n->id;
	if (*rest_text(n->row, "webApp")) {
		snprintf(room, NAME_ROOM, "%s/%s", rest_text(n->row, "project"), rest_text(n->row, "webApp"));
		return room;
	}
	for (const char *const *k = names; *k && !is_kernel(n->row); k++)
		if (*rest_text(n->row, *k))
			return rest_text(n->row, *k);
	return n->id;
}

static void put_memory(struct say_table *t, const json_t *row)
{
	char used[64] = "", limit[64], text[160];
	double memory = rest_number(row, "memoryBytes", -1), most = rest_number(row, "limitBytes", -1);
	if (memory >= 0)
		text_print_size((int64_t)memory, used, sizeof(used));
	snprintf(text, sizeof(text), "%s%s%s", used, memory >= 0 && most > 0 ? " / " : "",
		 memory >= 0 && most > 0 ? text_print_size((int64_t)most, limit, sizeof(limit)) : "");
	say_cell(t, memory >= 0 && most > 0 && memory > 0.9 * most ? SAY_WARN : SAY_PLAIN, text);
}

static void put_cpu(struct say_table *t, const json_t *row)
{
	char text[64] = "";
	double seconds = rest_number(row, "cpuSeconds", -1);
	if (seconds >= 0 && seconds < 60)
		snprintf(text, sizeof(text), "%.1f s", seconds);
	else if (seconds >= 0)
		text_print_duration((int64_t)(seconds * 1000), text, sizeof(text));
	say_cell(t, SAY_PLAIN, text);
}

static enum say_tone tone_of(const char *state)
{
	static const char *const good[] = { "running", "busy", "ready", "up", NULL }, *const bad[] = { "failed", "killed", NULL };
	for (const char *const *s = good; *s; s++)
		if (strcmp(*s, state) == 0)
			return SAY_GOOD;
	for (const char *const *s = bad; *s; s++)
		if (strcmp(*s, state) == 0)
			return SAY_BAD;
	return strcmp(state, "ended") == 0 || strcmp(state, "dead") == 0 ? SAY_DIM : SAY_PLAIN;
}

static void put_line(struct tree *t, const struct node *n, const char *before)
{
	char line[LINE_ROOM], room[NAME_ROOM];
	const char *user = rest_text(n->row, "user"), *kind = rest_text(n->row, "kind");
	bool is_job = n->is_task && *rest_text(n->row, "jobId");
	snprintf(line, sizeof(line), "%s%s", before, name_of(n, room));
	say_cell(t->table, n->is_member ? SAY_DIM : SAY_PLAIN, line);
	say_cell(t->table, SAY_PLAIN, is_job ? "job" : n->is_task ? "task" : n->is_member ? "member" : kind);
	say_cell(t->table, SAY_PLAIN, n->is_member ? "" : user);
	say_cell(t->table, SAY_PLAIN, n->is_member ? "" : rest_text(n->row, "project"));
	if (n->is_task) { /* its memory and its time are the kernel's */
		say_cell(t->table, SAY_PLAIN, "");
		say_cell(t->table, SAY_PLAIN, "");
		say_cell(t->table, SAY_GOOD, "running");
		say_cell(t->table, SAY_PLAIN, "");
		return;
	}
	put_memory(t->table, n->row);
	put_cpu(t->table, n->row);
	say_cell(t->table, tone_of(rest_text(n->row, "state")), rest_text(n->row, "state"));
	snprintf(line, sizeof(line), "%.0f", rest_number(n->row, "pid", 0));
	say_cell(t->table, SAY_DIM, strcmp(line, "0") == 0 ? "" : line);
}

/* --- the whole --- */

static void draw(struct tree *t, int at, const char *before, bool is_last, bool is_root, int depth)
{
	char line[LINE_ROOM], below[LINE_ROOM];
	int children = 0, seen = 0;
	t->nodes[at].is_drawn = true;
	snprintf(line, sizeof(line), "%s%s", before, is_root ? "" : t->is_utf8 ? is_last ? "└─ " : "├─ " : is_last ? "`- " : "|- ");
	snprintf(below, sizeof(below), "%s%s", before, is_root ? "" : is_last ? "   " : t->is_utf8 ? "│  " : "|  ");
	put_line(t, &t->nodes[at], line);
	for (int i = 0; i < t->count; i++)
		children += t->nodes[i].parent == at;
	for (int i = 0; i < t->count && depth < DEPTH_MAX; i++) {
		int child = t->sorted[i];
		if (t->nodes[child].parent == at && !t->nodes[child].is_drawn)
			draw(t, child, below, ++seen == children, false, depth + 1);
	}
}

/* What the tree cannot show. */
static void print_notes(const struct tree *t)
{
	char text[600], name[2 * NAME_ROOM], room[NAME_ROOM];
	for (int i = 0; i < t->count; i++) {
		const struct node *n = &t->nodes[i];
		const char *note = rest_text(n->row, "note");
		size_t shown = json_array_size(json_object_get(n->row, "members"));
		double left = rest_number(n->row, "membersCount", 0) - (double)shown;
		if (n->is_task || n->is_member)
			continue;
		const char *plain = name_of(n, room);
		text_escape(name, sizeof(name), plain, strlen(plain));
		text_escape(text, sizeof(text), note, strlen(note));
		if (left > 0)
			printf("%s: and %.0f more in its box\n", name, left);
		if (text[0] != '\0')
			printf("%s: %s\n", name, text);
	}
}

void tree_print(const json_t *rows)
{
	static const char *const titles[] = { "PROCESS", "KIND", "USER", "PROJECT", "MEMORY", "CPU", "STATE", "PID" };
	struct tree t = { .is_utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0 };
	t.table = say_table_new(titles, sizeof(titles) / sizeof(titles[0]));
	if (!t.table || build(&t, rows) < 0 || !(t.sorted = calloc((size_t)t.count + 1, sizeof(*t.sorted)))) {
		ctl_fail(CTL_FAILED, "no memory");
		goto out;
	}
	for (int i = 0; i < t.count; i++)
		t.sorted[i] = i;
	qsort_r(t.sorted, (size_t)t.count, sizeof(*t.sorted), compare, &t);
	for (int i = 0; i < t.count; i++)
		if (t.nodes[t.sorted[i]].parent == NONE)
			draw(&t, t.sorted[i], "", true, true, 0);
	/* Those whose parents go in a circle, as nothing should. */
	for (int i = 0; i < t.count; i++)
		if (!t.nodes[i].is_drawn)
			draw(&t, i, "", true, true, DEPTH_MAX);
	say_table_print(t.table, stdout);
	print_notes(&t);
out:
	say_table_free(&t.table);
	free(t.sorted);
	free(t.nodes);
}
