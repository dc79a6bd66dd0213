#include "ctl/why_job.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "ctl/ctl.h"

enum { PATH_ROOM = 1000, NEWEST = 1000 };

bool why_job_is_id(const char *name)
{
	return strncmp(name, "Build_", 6) == 0 && strstr(name, "_(NP)_") != NULL;
}

/* The project of a job among the newest; false: there is none of that id. */
static bool find_project(const json_t *rows, const char *job, char *out, size_t room)
{
	size_t i;
	const json_t *row;
	json_array_foreach(rows, i, row)
	{
		const json_t *def = json_object_get(row, "def");
		if (strcmp(rest_text(def, "id"), job) != 0)
			continue;
		snprintf(out, room, "%s", rest_text(def, "projectKey"));
		return true;
	}
	return false;
}

static int look_for(struct rest *rest, const char *job, char *project, size_t room)
{
	char path[60], shown[300];
	struct rest_answer a = { 0 };
	snprintf(path, sizeof(path), "/api/jobs?limit=%d", NEWEST);
	int code = rest_ask(rest, "GET", path, NULL, &a);
	text_escape(shown, sizeof(shown), job, strlen(job));
	if (code == CTL_DONE && !find_project(a.json, job, project, room))
		code = ctl_fail(CTL_NOT_FOUND, "no job %s is among your newest; name its project, too: dssctl why job PROJECT/JOB",
				shown);
	rest_answer_fini(&a);
	return code;
}

static void add(json_t *subjects, const char *one)
{
	if (*one)
		json_array_append_new(subjects, json_string(one));
}

static void add_subjects(const json_t *base, json_t *subjects)
{
	json_t *all = json_object_get(base, "activities"), *row;
	const char *id;
	add(subjects, rest_text(base, "taskId"));
	for (int turn = 0; turn < 2; turn++)
		json_object_foreach(all, id, row) if ((rest_text(row, "reason")[0] != '\0') == (turn == 0))
			add(subjects, rest_text(row, "processId"));
}

int why_job_read(struct rest *rest, const char *words, json_t **status, json_t *subjects)
{
	char project[200], path[PATH_ROOM], p[300], j[500];
	const char *slash = strchr(words, '/'), *job = slash ? slash + 1 : words;
	struct rest_answer a = { 0 };
	int code = CTL_DONE;
	snprintf(project, sizeof(project), "%.*s", slash ? (int)(slash - words) : 0, words);
	if (!text_is_id(job, strlen(job)) || (slash && !text_is_id(project, strlen(project))))
		return ctl_misuse("why", NULL, NULL, "a job is named JOB or PROJECT/JOB");
	if (!slash && (code = look_for(rest, job, project, sizeof(project))) != CTL_DONE)
		return code;
	if (rest_escape(project, p, sizeof(p)) < 0 || rest_escape(job, j, sizeof(j)) < 0)
		return ctl_misuse("why", NULL, NULL, "that is too long for a job's name");
	snprintf(path, sizeof(path), "/public/api/projects/%s/jobs/%s/", p, j);
	code = rest_ask(rest, "GET", path, NULL, &a);
	if (code == CTL_DONE) {
		*status = json_incref(a.json);
		add_subjects(json_object_get(a.json, "baseStatus"), subjects);
	}
	rest_answer_fini(&a);
	return code;
}

void why_job_print(const json_t *status)
{
	char name[300], text[1500];
	const json_t *base = json_object_get(status, "baseStatus"), *def = json_object_get(base, "def");
	json_t *all = json_object_get(base, "activities"), *row;
	const char *id, *reason = rest_text(base, "reason");
	text_escape(name, sizeof(name), rest_text(def, "id"), strlen(rest_text(def, "id")));
	text_escape(text, sizeof(text), reason, strlen(reason));
	printf("job %s of project %s is %s%s%s; its task is %s\n", name, rest_text(def, "projectKey"), rest_text(base, "state"),
	       *reason ? ": " : "", text, rest_text(base, "taskId"));
	json_object_foreach(all, id, row)
	{
		reason = rest_text(row, "reason");
		text_escape(name, sizeof(name), id, strlen(id));
		text_escape(text, sizeof(text), reason, strlen(reason));
		if (*reason)
			printf("          %s waits, position %.0f: %s\n", name, rest_number(row, "position", 1), text);
	}
	putchar('\n');
}
