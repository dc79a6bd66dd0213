#include "logger/sink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/map.h"
#include "base/text.h"

struct sink_table {
	struct map *by_path;
};

/* --- names --- */

static int refuse(const char *text, struct err *err)
{
	char shown[80];
	text_escape(shown, sizeof(shown), text, strlen(text));
	return err_set(err, "unable to use sink \"%s\": it is none of service:NAME, kernel:ID, job:PROJECT:JOB, null", shown);
}

static bool has_head(const char *text, const char *head, const char **rest)
{
	size_t n = strlen(head);
	*rest = text + n;
	return strncmp(text, head, n) == 0;
}

int sink_parse(const char *text, struct sink_place *out, struct err *err)
{
	const char *id;
	*out = (struct sink_place){ .kind = SINK_NULL };
	if (strcmp(text, "null") == 0)
		return 0;
	if (has_head(text, "service:", &id) && text_is_id(id, strlen(id))) {
		out->kind = SINK_SERVICE;
		/* Jupyter's log has had this name for as long as people have looked for it. */
		snprintf(out->name, sizeof(out->name), "%s.log", strcmp(id, "jupyter") == 0 ? "ipython" : id);
		strcpy(out->folder, "run");
		return 0;
	}
	if (has_head(text, "kernel:", &id) && text_is_id(id, strlen(id))) {
		out->kind = SINK_KERNEL;
		snprintf(out->id, sizeof(out->id), "%s", id);
		strcpy(out->name, "backend.log");
		strcpy(out->folder, "run");
		return 0;
	}
	const char *project, *job = NULL;
	if (has_head(text, "job:", &project) && (job = strchr(project, ':')) != NULL &&
	    text_is_id(project, (size_t)(job - project)) && text_is_id(job + 1, strlen(job + 1))) {
		out->kind = SINK_JOB;
		snprintf(out->folder, sizeof(out->folder), "jobs/%.*s/%s", (int)(job - project), project, job + 1);
		strcpy(out->name, "output.log");
		return 0;
	}
	return refuse(text, err);
}

/* --- the table --- */

struct sink_table *sink_table_new(void)
{
	struct sink_table *table = calloc(1, sizeof(*table));
	if (table != NULL && (table->by_path = map_new()) == NULL) {
		free(table);
		table = NULL;
	}
	return table;
}

void sink_table_free(struct sink_table **table)
{
	if (*table == NULL)
		return;
	map_free(&(*table)->by_path);
	free(*table);
	*table = NULL;
}

static void print_path(const struct sink_place *place, char *out, size_t room)
{
	snprintf(out, room, "%s/%s", place->folder, place->name);
}

static struct sink *make(const struct sink_place *place, int64_t cap)
{
	struct sink *sink = calloc(1, sizeof(*sink));
	if (sink == NULL)
		return NULL;
	sink->place = *place;
	if (place->kind == SINK_NULL)
		return sink;
	sink->file = logfile_new(place->folder, place->name, place->kind == SINK_JOB, cap);
	if (sink->file == NULL)
		sink_free(&sink);
	return sink;
}

struct sink *sink_use(struct sink_table *table, const struct sink_place *place, int64_t cap)
{
	char path[sizeof(place->folder) + sizeof(place->name)];
	print_path(place, path, sizeof(path));
	struct sink *sink = map_get(table->by_path, path);
	if (sink == NULL) {
		sink = make(place, cap);
		if (sink == NULL)
			return NULL;
		if (map_set(table->by_path, path, sink) < 0) {
			sink_free(&sink);
			return NULL;
		}
	}
	sink->users++;
	return sink;
}

bool sink_leave(struct sink_table *table, struct sink *sink)
{
	if (--sink->users > 0)
		return false;
	char path[sizeof(sink->place.folder) + sizeof(sink->place.name)];
	print_path(&sink->place, path, sizeof(path));
	map_remove(table->by_path, path);
	return true;
}

void sink_free(struct sink **sink)
{
	if (*sink == NULL)
		return;
	logfile_free(&(*sink)->file);
	free(*sink);
	*sink = NULL;
}
