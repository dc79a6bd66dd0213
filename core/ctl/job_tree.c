#include "ctl/job_tree.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "ctl/rest.h"

enum { DEPTH_MAX = 8 };

static const char *parent_of(const json_t *rows, const json_t *row)
{
	const char *parent = rest_text(row, "parentId");
	const json_t *other;
	size_t i;
	json_array_foreach(rows, i, other) if (parent[0] != '\0' && strcmp(rest_text(other, "id"), parent) == 0) return parent;
	return strcmp(rest_text(row, "id"), "keeper") == 0 ? "" : "keeper";
}

/* What lives in a box beside what was started there itself (stamp): a line for each, one deeper, and what is not shown. */
static void add_members(const json_t *row, int depth, json_t *out)
{
	const json_t *members = json_object_get(row, "members"), *m;
	double left = rest_number(row, "membersCount", 0) - (double)json_array_size(members);
	size_t i;
	char text[200];
	json_array_foreach(members, i, m)
	{
		if (rest_number(m, "pid", 0) == rest_number(row, "pid", -1))
			continue;
		snprintf(text, sizeof(text), "%*s%.100s", 2 * depth, "", rest_text(m, "name"));
		json_t *line = json_pack("{s:s, s:O, s:O}", "id", text, "pid", json_object_get(m, "pid"), "memoryBytes",
					 json_object_get(m, "memoryBytes"));
		if (line)
			json_array_append_new(out, line);
	}
	if (left > 0) {
		snprintf(text, sizeof(text), "%*sand %.0f more", 2 * depth, "", left);
		json_array_append_new(out, json_pack("{s:s}", "id", text));
	}
	if (rest_text(row, "note")[0] != '\0') {
		snprintf(text, sizeof(text), "%*s(note)", 2 * depth, "");
		json_array_append_new(out, json_pack("{s:s, s:s}", "id", text, "taskId", rest_text(row, "note")));
	}
}

static void add_below(const json_t *rows, const char *parent, int depth, json_t *out)
{
	json_t *row;
	size_t i;
	char id[300];
	if (depth > DEPTH_MAX)
		return;
	json_array_foreach(rows, i, row)
	{
		if (strcmp(parent_of(rows, row), parent) != 0)
			continue;
		json_t *copy = json_copy(row);
		snprintf(id, sizeof(id), "%*s%s", 2 * depth, "", rest_text(row, "id"));
		json_object_set_new(copy, "id", json_string(id));
		/* A recipe is known by its activity. */
		if (rest_text(row, "activityId")[0] != '\0')
			json_object_set(copy, "taskId", json_object_get(row, "activityId"));
		json_array_append_new(out, copy);
		add_members(row, depth + 1, out);
		add_below(rows, rest_text(row, "id"), depth + 1, out);
	}
}

void job_tree_sort(json_t **rows)
{
	json_t *out = json_array();
	bool has_keeper = false;
	size_t i;
	json_t *row;
	json_array_foreach(*rows, i, row) has_keeper = has_keeper || strcmp(rest_text(row, "id"), "keeper") == 0;
	add_below(*rows, has_keeper ? "" : "keeper", 0, out);
	json_decref(*rows);
	*rows = out;
}
