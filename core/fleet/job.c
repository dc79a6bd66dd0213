#include "fleet/job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "fleet/fleet.h"
#include "fleet/job_inner.h"
#include "fleet/jtext.h"
#include "net/json.h"
#include "sys/clock.h"

static const char *const names[] = { "NOT_STARTED", "WAITING", "RUNNING", "DONE", "FAILED", "ABORTED", "SKIPPED" };
#define NAMES (int)(sizeof(names) / sizeof(names[0]))

const char *job_state_name(enum job_state s)
{
	return names[s];
}

int job_state_named(const char *name)
{
	for (int i = 0; i < NAMES; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return -1;
}

/* --- plans --- */

static int check_id(const json_t *o, const char *key, size_t room, struct err *err)
{
	const char *id = NULL;
	if (json_get_text(o, key, JSON_REQUIRED, &id, err) < 0)
		return -1;
	if (strlen(id) >= room || !text_is_id(id, strlen(id)))
		return err_set(err, "\"%s\" is no valid id", key);
	return 0;
}

static int check_activity(const json_t *a, struct err *err)
{
	const char *kind = NULL;
	json_t *list = NULL;
	if (!json_is_object(a))
		return err_set(err, "an activity has to be an object");
	if (check_id(a, "activityId", JOB_NAME_MAX, err) < 0 || json_get_text(a, "kind", JSON_REQUIRED, &kind, err) < 0 ||
	    json_get_list(a, "after", JSON_OPTIONAL, &list, err) < 0)
		return -1;
	if (strcmp(kind, "java") == 0)
		return 0;
	if (json_get_list(a, "argv", JSON_REQUIRED, &list, err) < 0)
		return -1;
	return json_array_size(list) > 0
		       ? 0
		       : err_set(err, "argv of activity %s is empty", json_string_value(json_object_get(a, "activityId")));
}

static json_t *read_plan(const void *json, size_t len, struct err *err)
{
	json_t *plan = json_parse_object(json, len, err), *list = NULL, *a;
	size_t i;
	if (!plan)
		return NULL;
	int rc = json_get_list(plan, "activities", JSON_REQUIRED, &list, err) < 0 ||
				 check_id(plan, "jobId", JOB_NAME_MAX, err) < 0 ||
				 check_id(plan, "projectKey", JOB_NAME_MAX, err) < 0
			 ? -1
			 : 0;
	if (rc == 0 && json_array_size(list) > JOB_ACTIVITIES_MOST)
		rc = err_set(err, "more than %d activities", JOB_ACTIVITIES_MOST);
	json_array_foreach(list, i, a) if (rc == 0) rc = check_activity(a, err);
	if (rc < 0)
		json_decref(plan);
	return rc < 0 ? NULL : plan;
}

int job_check_plan(const void *json, size_t len, struct err *err)
{
	json_t *plan = read_plan(json, len, err);
	if (!plan)
		return -1;
	json_decref(plan);
	return 0;
}

struct job *job_new(const char *task, const char *project, const char *id, const char *owner, const void *plan, size_t len,
		    struct err *err)
{
	struct job *job = calloc(1, sizeof(*job));
	json_t *a;
	size_t i;
	if (!job) {
		err_set(err, "no memory");
		return NULL;
	}
	list_init(&job->link);
	snprintf(job->task, sizeof(job->task), "%s", task);
	snprintf(job->project, sizeof(job->project), "%s", project);
	snprintf(job->id, sizeof(job->id), "%s", id);
	snprintf(job->owner, sizeof(job->owner), "%s", owner);
	job->plan = read_plan(plan, len, err);
	const json_t *list = json_object_get(job->plan, "activities");
	job->activities = calloc(json_array_size(list) + 1, sizeof(*job->activities));
	if (!job->plan || !job->activities) {
		job_free(&job);
		return NULL;
	}
	json_array_foreach(list, i, a)
	{
		struct job_activity *to = &job->activities[job->n++];
		*to = (struct job_activity){ .job = job, .spec = a, .code = -1, .signal = -1, .peak_bytes = -1 };
		to->id = json_string_value(json_object_get(a, "activityId"));
		to->kind = json_string_value(json_object_get(a, "kind"));
	}
	return job;
}

void job_free(struct job **jp)
{
	struct job *job = *jp;
	if (!job)
		return;
	list_remove(&job->link);
	for (size_t i = 0; i < job->n; i++)
		free(job->activities[i].message);
	free(job->activities);
	json_decref(job->plan);
	free(job);
	*jp = NULL;
}

int job_put_kernel_payload(const struct future *f, struct buf *out)
{
	static const char *const kept[] = { "activityId", "kind",  "after",  "recipe",    "class",
					    "classpath",  "state", "params", "timeoutMs", NULL };
	json_t *plan = json_parse_object(f->payload, f->payload_len, NULL), *list = json_array(), *a;
	json_t *whole = json_object();
	size_t i;
	json_array_foreach(json_object_get(plan, "activities"), i, a)
	{
		json_t *o = json_object();
		for (size_t j = 0; kept[j]; j++)
			if (json_object_get(a, kept[j]))
				json_object_set(o, kept[j], json_object_get(a, kept[j]));
		/* A class of the project runs in the kernel itself: it gets what a process would. */
		if (json_object_get(a, "kind") && strcmp(json_string_value(json_object_get(a, "kind")), "java") == 0) {
			json_object_set(o, "inputs", json_object_get(a, "inputs"));
			json_object_set(o, "outputs", json_object_get(a, "outputs"));
			json_object_set(o, "cwd", json_object_get(a, "cwd"));
		}
		json_array_append_new(list, o);
	}
	json_object_set_new(whole, "jobId", json_string(f->job));
	json_object_set_new(whole, "projectKey", json_string(f->project));
	json_object_set_new(whole, "activities", list);
	int rc = plan ? json_put(out, whole) : -1;
	json_decref(whole);
	json_decref(plan);
	return rc;
}

/* --- the table --- */

struct job_activity *job_activity(const struct job *job, const char *id)
{
	for (size_t i = 0; i < job->n; i++)
		if (strcmp(job->activities[i].id, id) == 0)
			return &job->activities[i];
	return NULL;
}

bool job_runs_in_kernel(const struct job_activity *a)
{
	return strcmp(a->kind, "java") == 0;
}

size_t job_count_alive(const struct job *job)
{
	size_t n = 0;
	for (size_t i = 0; i < job->n; i++)
		n += job->activities[i].is_alive;
	return n;
}

struct job *jobs_of(struct jobs *jobs, const char *task)
{
	struct err err = { 0 };
	struct job *job = map_get(jobs->by_task, task);
	const struct future *f = job ? NULL : fleet_live(jobs->fleet, task);
	if (!f || !f->job || !f->payload)
		return job;
	job = job_new(f->id, f->project ? f->project : "", f->job, f->owner, f->payload, f->payload_len, &err);
	if (!job || map_set(jobs->by_task, task, job) < 0) {
		log_error("job %s has no plan: %s", f->job, err.text[0] ? err.text : "no memory");
		job_free(&job);
		return NULL;
	}
	job->jobs = jobs;
	list_push(&jobs->all, &job->link);
	return job;
}

struct job *jobs_at_hand(const struct jobs *jobs, const char *task)
{
	return map_get(jobs->by_task, task);
}

struct job_activity *jobs_by_process(struct jobs *jobs, const char *process)
{
	list_each (&jobs->all, l) {
		struct job *job = list_of(l, struct job, link);
		for (size_t i = 0; i < job->n; i++)
			if (job->activities[i].process[0] && strcmp(job->activities[i].process, process) == 0)
				return &job->activities[i];
	}
	return NULL;
}

void jobs_each(struct jobs *jobs, jobs_fn *fn, void *data)
{
	list_each (&jobs->all, l)
		fn(data, list_of(l, struct job, link));
}

void jobs_tidy(struct jobs *jobs, struct job *job)
{
	if (!job->is_over || job_count_alive(job) > 0 || job->saving > 0)
		return;
	map_remove(jobs->by_task, job->task);
	if (jobs->on_forgotten)
		jobs->on_forgotten(jobs->data, job);
	job_free(&job);
}

void jobs_on_forgotten(struct jobs *jobs, jobs_fn *fn, void *data)
{
	jobs->on_forgotten = fn;
	jobs->data = data;
}

/* --- ends --- */

static void say(struct job_activity *a, const char *text)
{
	char *copy = text && *text ? strdup(text) : NULL;
	free(a->message);
	a->message = copy;
}

static void end_at(struct job_activity *a, enum job_state state, int64_t ended_ms, const char *why)
{
	a->state = state;
	a->ended_ms = ended_ms;
	if (why)
		say(a, why);
	if (job_save(a, NULL, NULL) < 0)
		log_error("unable to save activity %s of job %s: the store takes nothing now", a->id, a->job->id);
}

static void end(struct job_activity *a, enum job_state state, const char *why)
{
	end_at(a, state, clock_wall_ms(), why);
}

/* A time that the kernel told, where it can be true. */
static int64_t believed(int64_t told_ms, int64_t least_ms)
{
	int64_t now = clock_wall_ms();
	return told_ms >= least_ms && told_ms <= now ? told_ms : now;
}

bool job_told(struct job_activity *a, enum job_state state, int64_t began_ms, int64_t ended_ms, const char *message)
{
	/* Of one that has a process, the keeper's word counts. */
	if (a->state >= JOB_DONE || a->is_alive || state == a->state)
		return false;
	/* Users' code runs in that kernel: what it says is done has to be its own. */
	if (!job_runs_in_kernel(a) && (state == JOB_RUNNING || state == JOB_DONE))
		return false;
	if (state == JOB_RUNNING) {
		a->state = state;
		a->started_ms = believed(began_ms, 1);
		job_save(a, NULL, NULL);
		return true;
	}
	if (state < JOB_DONE)
		return false;
	/* A short one, whose running was never told: what it makes was begun all the same. */
	if (!a->started_ms && began_ms > 0)
		a->started_ms = believed(began_ms, 1);
	end_at(a, state, believed(ended_ms, a->started_ms > 0 ? a->started_ms : 1), message);
	return true;
}

static bool take_word(struct job *job, const char *id, const json_t *word)
{
	struct job_activity *a = json_is_object(word) ? job_activity(job, id) : NULL;
	const char *state = json_string_value(json_object_get(word, "state"));
	const char *message = json_string_value(json_object_get(word, "message"));
	int64_t began = (int64_t)json_integer_value(json_object_get(word, "startTime"));
	int64_t ended = (int64_t)json_integer_value(json_object_get(word, "endTime"));
	int s = state ? job_state_named(state) : -1;
	return a && s >= 0 && job_told(a, (enum job_state)s, began, ended, message);
}

bool job_take_words(struct job *job, const json_t *state)
{
	const char *id;
	json_t *word;
	bool is_other = false;
	json_object_foreach(json_object_get(state, "activities"), id, word) is_other |= take_word(job, id, word);
	return is_other;
}

void job_over(struct job *job, const struct future *f)
{
	bool is_aborted = f->state == FUTURE_ABORTED;
	json_t *result = f->result ? json_parse_object(f->result, f->result_len, NULL) : NULL;
	job_take_words(job, result);
	json_decref(result);
	job->is_over = true;
	for (size_t i = 0; i < job->n; i++) {
		struct job_activity *a = &job->activities[i];
		if (a->state >= JOB_DONE)
			continue;
		if (a->is_alive) /* its process is being ended; the end says what became of it */
			continue;
		if (f->state == FUTURE_DONE)
			end(a, job_runs_in_kernel(a) ? JOB_DONE : JOB_SKIPPED, NULL);
		else if (a->state == JOB_RUNNING)
			end(a, is_aborted ? JOB_ABORTED : JOB_FAILED,
			    is_aborted ? NULL : "Its kernel ended, or did not tell what became of it.");
		else
			end(a, is_aborted ? JOB_ABORTED : JOB_SKIPPED, NULL);
	}
}

/* --- set-up --- */

struct jobs *jobs_new(struct fleet *fleet, struct err *err)
{
	struct jobs *jobs = calloc(1, sizeof(*jobs));
	if (!jobs) {
		err_set(err, "unable to load the jobs: no memory");
		return NULL;
	}
	list_init(&jobs->all);
	jobs->fleet = fleet;
	jobs->by_task = map_new();
	jobs->datasets = map_new();
	if (!jobs->by_task || !jobs->datasets || store_run_now(fleet_store(fleet), job_store_load, jobs, err) < 0) {
		if (!err->text[0])
			err_set(err, "unable to load the jobs: no memory");
		jobs_free(&jobs);
	}
	return jobs;
}

void jobs_free(struct jobs **jp)
{
	struct jobs *jobs = *jp;
	size_t cursor = 0;
	if (!jobs)
		return;
	list_each (&jobs->all, l) {
		struct job *job = list_of(l, struct job, link);
		job_free(&job);
	}
	for (struct job_dataset *d; (d = map_next(jobs->datasets, &cursor));)
		free(d);
	map_free(&jobs->by_task);
	map_free(&jobs->datasets);
	free(jobs);
	*jp = NULL;
}

/* --- datasets --- */

int jobs_datasets_json(const struct jobs *jobs, const char *project, struct buf *out)
{
	size_t cursor = 0, n = strlen(project);
	buf_putc(out, '{');
	for (const struct job_dataset *d; (d = map_next(jobs->datasets, &cursor));) {
		if (strncmp(d->key, project, n) != 0 || d->key[n] != '/')
			continue;
		jtext_member(out, d->key + n + 1);
		buf_putc(out, '{');
		jtext_text(out, "job", d->built.job);
		if (d->built.built_ms) {
			jtext_int(out, "started_at", d->built.started_ms);
			jtext_int(out, "built_at", d->built.built_ms);
			jtext_some_text(out, "definition", d->built.definition);
			jtext_some_text(out, "script", d->built.script);
		} else {
			jtext_bool(out, "is_partial", true);
		}
		buf_putc(out, '}');
	}
	buf_putc(out, '}');
	return out->failed ? -1 : 0;
}

void job_note_dataset(struct jobs *jobs, const char *project, const char *name, const struct job_built *built)
{
	char key[2 * JOB_NAME_MAX + 2];
	snprintf(key, sizeof(key), "%s/%s", project, name);
	struct job_dataset *d = map_get(jobs->datasets, key);
	if (!d) {
		d = calloc(1, sizeof(*d));
		if (!d || map_set(jobs->datasets, key, d) < 0) {
			free(d);
			log_error("no memory to remember that dataset %s was built; it is built again the next time", key);
			return;
		}
		snprintf(d->key, sizeof(d->key), "%s", key);
	}
	d->built = *built;
}
