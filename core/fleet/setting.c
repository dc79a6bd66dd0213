#include "fleet/setting.h"

#include <jansson.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "fleet/store_sql.h"
#include "fleet/store_texts.h"
#include "net/json.h"
#include "sys/clock.h"

#define NAME_ROOM 200 /* project and key as one name */

struct settings {
	struct store *store;
	struct map *by_name; /* owned: struct entry */
	size_t bytes;
};

struct entry {
	struct setting s; /* its texts are ours */
	size_t len;
};

static void entry_free(struct entry *e)
{
	if (!e)
		return;
	free((char *)e->s.project);
	free((char *)e->s.key);
	free((char *)e->s.json);
	free((char *)e->s.by);
	free(e);
}

static struct entry *entry_new(const struct setting *s)
{
	struct entry *e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->s = (struct setting){ strdup(s->project), strdup(s->key), strdup(s->json ? s->json : ""), strdup(s->by ? s->by : ""),
				 s->at_ms };
	if (e->s.project && e->s.key && e->s.json && e->s.by) {
		e->len = strlen(e->s.json);
		return e;
	}
	entry_free(e);
	return NULL;
}

static const char *name_of(const char *project, const char *key, char out[NAME_ROOM])
{
	snprintf(out, NAME_ROOM, "%.127s/%.60s", project, key); /* no key of a project has a slash */
	return out;
}

static void forget(struct settings *t, const char *project, const char *key)
{
	char name[NAME_ROOM];
	struct entry *e = map_remove(t->by_name, name_of(project, key, name));
	if (e)
		t->bytes -= e->len;
	entry_free(e);
}

/* Takes e. */
static int keep(struct settings *t, struct entry *e)
{
	char name[NAME_ROOM];
	name_of(e->s.project, e->s.key, name);
	struct entry *old = map_get(t->by_name, name);
	if (map_set(t->by_name, name, e) < 0) {
		entry_free(e);
		return -1;
	}
	t->bytes += e->len - (old ? old->len : 0);
	entry_free(old);
	return 0;
}

/* --- loading --- */

static int load_all(void *data, struct store_sql *sql, struct err *err)
{
	struct settings *t = data;
	sqlite3_stmt *st = NULL;
	bool is_whole = true;
	int rc = sqlite3_prepare_v2(store_sql_db(sql), "SELECT project, key, json, by, at_ms FROM project_setting", -1, &st, NULL);
	while (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		const struct setting s = { store_texts_column(st, 0), store_texts_column(st, 1), store_texts_column(st, 2),
					   store_texts_column(st, 3), sqlite3_column_int64(st, 4) };
		struct entry *e = entry_new(&s);
		is_whole = e && keep(t, e) == 0 && is_whole;
		rc = SQLITE_OK;
	}
	if (rc != SQLITE_DONE)
		store_sql_fault(sql, rc, "read", err);
	else if (!is_whole)
		err_set(err, "unable to load what was set of projects: no memory");
	sqlite3_finalize(st);
	return rc == SQLITE_DONE && is_whole ? 0 : -1;
}

struct settings *settings_new(struct store *store, struct err *err)
{
	struct settings *t = calloc(1, sizeof(*t));
	if (t)
		t->by_name = map_new();
	if (!t || !t->by_name) {
		err_set(err, "unable to load what was set of projects: no memory");
		settings_free(&t);
		return NULL;
	}
	t->store = store;
	if (store_run_now(store, load_all, t, err) < 0)
		settings_free(&t);
	return t;
}

void settings_free(struct settings **tp)
{
	struct settings *t = *tp;
	size_t cursor = 0;
	if (!t)
		return;
	for (struct entry *e; t->by_name && (e = map_next(t->by_name, &cursor));)
		entry_free(e);
	map_free(&t->by_name);
	free(t);
	*tp = NULL;
}

/* --- reading --- */

const struct setting *settings_get(const struct settings *t, const char *project, const char *key)
{
	char name[NAME_ROOM];
	const struct entry *e = map_get(t->by_name, name_of(project, key, name));
	return e ? &e->s : NULL;
}

void settings_each(const struct settings *t, const char *project, setting_fn *fn, void *data)
{
	size_t cursor = 0;
	for (const struct entry *e; (e = map_next(t->by_name, &cursor));)
		if (strcmp(e->s.project, project) == 0)
			fn(data, &e->s);
}

/* --- writing --- */

struct change {
	struct store_job base;
	struct settings *settings;
	struct entry *entry; /* json "": forget that one; NULL: all of project */
	char *project;
	store_done_fn *fn;
	void *data;
};

static int run_statement(struct store_sql *sql, const char *statement, const struct setting *s, const char *project,
			 struct err *err)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(store_sql_db(sql), statement, -1, &st, NULL);
	if (rc == SQLITE_OK) {
		sqlite3_bind_text(st, 1, s ? s->project : project, -1, SQLITE_STATIC);
		if (s)
			sqlite3_bind_text(st, 2, s->key, -1, SQLITE_STATIC);
		if (s && s->json[0]) {
			sqlite3_bind_text(st, 3, s->json, -1, SQLITE_STATIC);
			sqlite3_bind_text(st, 4, s->by, -1, SQLITE_STATIC);
			sqlite3_bind_int64(st, 5, s->at_ms);
		}
		rc = sqlite3_step(st);
	}
	rc = rc == SQLITE_DONE ? SQLITE_OK : store_sql_fault(sql, rc, "write", err);
	sqlite3_finalize(st);
	return rc;
}

static int run_change(struct store_job *base, struct store_sql *sql, struct err *err)
{
	const struct change *c = (const struct change *)base;
	if (!c->entry)
		return run_statement(sql, "DELETE FROM project_setting WHERE project = ?1", NULL, c->project, err);
	return run_statement(sql,
			     c->entry->s.json[0] ? "INSERT OR REPLACE INTO project_setting (project, key, json, by, at_ms)"
						   " VALUES (?1, ?2, ?3, ?4, ?5)"
						 : "DELETE FROM project_setting WHERE project = ?1 AND key = ?2",
			     &c->entry->s, NULL, err);
}

static void forget_all(struct settings *t, const char *project)
{
	size_t cursor = 0;
	for (struct entry *e; (e = map_next(t->by_name, &cursor));)
		if (strcmp(e->s.project, project) == 0)
			forget(t, project, e->s.key); /* the current one may go */
}

static void tell_change(struct store_job *base, const struct store_answer *answer)
{
	struct change *c = (struct change *)base;
	if (answer->outcome == STORE_OK && !c->entry) {
		forget_all(c->settings, c->project);
	} else if (answer->outcome == STORE_OK && !c->entry->s.json[0]) {
		forget(c->settings, c->entry->s.project, c->entry->s.key);
	} else if (answer->outcome == STORE_OK) {
		if (keep(c->settings, c->entry) < 0)
			log_error("no memory: what was set of project %s holds after the backend's next start", c->project);
		c->entry = NULL;
	}
	if (c->fn)
		c->fn(c->data, answer);
	else if (answer->outcome != STORE_OK)
		log_error("unable to save what was set of project %s: %s", c->project, answer->err.text);
}

static void release_change(struct store_job *base)
{
	struct change *c = (struct change *)base;
	entry_free(c->entry);
	free(c->project);
	free(c);
}

static int post(struct settings *t, const char *project, struct entry *e, store_done_fn *fn, void *data, struct err *err)
{
	struct change *c = calloc(1, sizeof(*c));
	char *copy = strdup(project);
	if (!c || !copy) {
		free(c);
		free(copy);
		entry_free(e);
		return err_set(err, "unable to keep it: no memory");
	}
	*c = (struct change){ { run_change, tell_change, release_change }, t, e, copy, fn, data };
	return store_write_job(t->store, &c->base) < 0 ? err_set(err, "the store takes nothing now") : 0;
}

int settings_put(struct settings *t, const struct setting *s, store_done_fn *fn, void *data, struct err *err)
{
	struct setting now = *s;
	size_t len = s->json ? strlen(s->json) : 0;
	if (len > SETTING_JSON_MAX)
		return err_set(err, "it is %zu KB long, more than %zu", len >> 10, SETTING_JSON_MAX >> 10);
	if (t->bytes + len > SETTINGS_JSON_MAX)
		return err_set(err, "what was set of all projects is %zu MB already", t->bytes >> 20);
	if (!now.at_ms)
		now.at_ms = clock_wall_ms();
	struct entry *e = entry_new(&now);
	if (!e)
		return err_set(err, "unable to keep it: no memory");
	return post(t, s->project, e, fn, data, err);
}

void settings_declare(struct settings *t, const char *project, const char *json)
{
	struct err err = { 0 };
	const struct setting s = { project, "declared", json, "", clock_wall_ms() };
	const struct setting *was = settings_get(t, project, s.key);
	if (was ? strcmp(was->json, json) == 0 : strcmp(json, "{}") == 0)
		return;
	struct entry *e = entry_new(&s);
	if (!e || keep(t, e) < 0 || settings_put(t, &s, NULL, NULL, &err) < 0)
		log_warn("unable to keep the variables of project %s: %s", project, err.text[0] ? err.text : "no memory");
}

int settings_drop(struct settings *t, const char *project, store_done_fn *fn, void *data, struct err *err)
{
	return post(t, project, NULL, fn, data, err);
}

/* --- variables --- */

static json_t *parsed(const struct settings *t, const char *project, const char *key)
{
	const struct setting *s = settings_get(t, project, key);
	json_t *v = s ? json_loads(s->json, 0, NULL) : NULL;
	if (json_is_object(v))
		return v;
	json_decref(v);
	return json_object();
}

bool settings_owner(const struct settings *t, const char *project, char *out, size_t room)
{
	json_t *p = settings_get(t, project, "permissions") ? parsed(t, project, "permissions") : NULL;
	const char *owner = json_string_value(json_object_get(json_object_get(p, "set"), "owner"));
	bool is_set = owner && *owner && strlen(owner) < room;
	if (is_set)
		strcpy(out, owner);
	json_decref(p);
	return is_set;
}

static json_t *as_text(const json_t *v)
{
	if (json_is_string(v))
		return json_string(json_string_value(v));
	char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
	json_t *out = text ? json_string(text) : NULL;
	free(text);
	return out;
}

int settings_variables(const struct settings *t, const char *project, bool is_typed, struct buf *out)
{
	json_t *all = parsed(t, "", "variables"), *declared = parsed(t, project, "declared"),
	       *set = parsed(t, project, "variables"), *v;
	const char *name;
	size_t i;
	int rc = -1;
	if (!all || !declared || !set)
		goto out;
	json_array_foreach(json_object_get(set, "removed"), i, v) if (json_is_string(v))
		json_object_del(declared, json_string_value(v));
	if (json_object_update(all, declared) < 0)
		goto out;
	if (json_is_object(v = json_object_get(set, "standard")) && json_object_update(all, v) < 0)
		goto out;
	if (json_is_object(v = json_object_get(set, "local")) && json_object_update(all, v) < 0)
		goto out;
	if (!is_typed)
		json_object_foreach(all, name, v)
		{
			json_t *text = as_text(v);
			if (!text || json_object_set_new(all, name, text) < 0)
				goto out;
		}
	rc = json_put(out, all);
out:
	json_decref(all);
	json_decref(declared);
	json_decref(set);
	return rc;
}
