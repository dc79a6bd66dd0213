#include "node/node_change.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/log.h"
#include "base/text.h"
#include "net/json.h"
#include "node/node_orders.h"
#include "node/node_project.h"
#include "node/node_spawn.h"
#include "sys/home.h"

#define MAKE_MS      10000
#define REMOVE_MS    600000 /* a million files */
#define MEMORY_BYTES ((int64_t)128 << 20)
#define PIDS         4
#define AT_ONCE      16
#define ID_MAX       64
#define KEY_MAX      36           /* as lua/dss/model/project.lua and bind/project_change.c have it */
#define TEXT_MAX     (100 * 1024) /* of a project.lua: a text of the environment holds 128 KB */

struct change {
	struct list link;
	struct node_changes *in;
	char id[ID_MAX], key[KEY_MAX + 1];
	bool is_make;
	char *why; /* owned; what it said of its failure; NULL */
	struct loop_timer *limit;
	node_change_fn *fn;
	void *data;
};

struct node_changes {
	struct node *node;
	char dir[4096];
	struct list all;
	int64_t last;
};

/* Frees it. code: an errno, 0 = done. */
static void tell(struct change *c, int code, const char *why)
{
	struct err err = { 0 };
	node_change_fn *fn = c->fn;
	void *data = c->data;
	if (why)
		err_set(&err, "unable to %s project %s: %s", c->is_make ? "make" : "remove", c->key, why);
	else if (code && c->why)
		err_set(&err, "unable to %s project %s: %s", c->is_make ? "make" : "remove", c->key, c->why);
	else if (code)
		err_sys(&err, code, "unable to %s project %s", c->is_make ? "make" : "remove", c->key);
	err.code = code;
	list_remove(&c->link);
	loop_timer_free(&c->limit);
	free(c->why);
	free(c);
	fn(data, code || why ? &err : NULL);
}

static struct change *by_id(struct node_changes *t, const char *id)
{
	list_each (&t->all, l)
		if (strcmp(list_of(l, struct change, link)->id, id) == 0)
			return list_of(l, struct change, link);
	return NULL;
}

bool node_changes_told(struct node_changes *t, const char *process, const char *body, size_t len)
{
	struct change *c = by_id(t, process);
	json_t *said = c ? json_parse_object(body, len, NULL) : NULL;
	const char *why = json_string_value(json_object_get(said, "why"));
	if (c && why) {
		free(c->why);
		c->why = strdup(why);
	}
	json_decref(said);
	return c != NULL;
}

bool node_changes_ended(struct node_changes *t, const struct judge_end *end)
{
	struct change *c = by_id(t, end->id);
	char text[800];
	if (strncmp(end->id, "change-", 7) != 0)
		return false;
	if (!c)
		return true;
	snprintf(text, sizeof(text), "its process was ended (%s): %.600s", end->cause, end->text);
	if (end->code >= 0)
		tell(c, end->code, NULL);
	else
		tell(c, EIO, text);
	return true;
}

static void on_limit(void *data)
{
	struct change *c = data;
	struct err err = { 0 };
	if (node_orders_stop(c->in->node, c->id, "deadline", "it took too long", 0, &err) < 0)
		log_warn("unable to stop %s: %s", c->id, err.text);
	tell(c, ETIMEDOUT, NULL);
}

struct about {
	struct node_changes *in;
	char id[ID_MAX];
};

static void on_spawned(void *data, const struct wire_view *msg)
{
	struct about *a = data;
	struct change *c = by_id(a->in, a->id);
	if (c && msg->type == WIRE_fail)
		tell(c, EIO, wire_get_text(msg, WF_text));
	free(a);
}

/* The text is no longer than TEXT_MAX; without memory the whole order fails: it never makes a project that is empty instead. */
static void put_text(struct buf *b, const char *text)
{
	struct buf env;
	buf_init(&env, TEXT_MAX + 64);
	buf_puts(&env, "DSS_PROJECT_TEXT=");
	buf_puts(&env, text);
	if (env.failed)
		b->failed = true;
	else
		wire_text(b, WF_env, env.data);
	buf_fini(&env);
}

static int spawn(const struct change *c, const char *text, bool keeps_data, struct err *err)
{
	struct node *n = c->in->node;
	char program[4096], line[4300], share[4096], token[DIGEST_HEX_SIZE];
	struct about *a = n->keeper && n->facts.is_connected ? calloc(1, sizeof(*a)) : NULL;
	if (!a || home_program("dssd", program, sizeof(program)) < 0) {
		free(a);
		return err_set(err, "there is no keeper to order it");
	}
	a->in = c->in;
	memcpy(a->id, c->id, sizeof(a->id));
	struct buf *b = node_keeper_begin(n->keeper, WIRE_spawn);
	wire_text(b, WF_id, c->id);
	wire_text(b, WF_kind, "project");
	const char *const argv[] = { program, "project",
				     text         ? "--make"
				     : keeps_data ? "--remove-but-data"
						  : "--remove",
				     c->in->dir, c->key };
	for (size_t i = 0; i < sizeof(argv) / sizeof(argv[0]); i++)
		wire_text(b, WF_argv, argv[i]);
	wire_text(b, WF_env, "PATH=/usr/local/bin:/usr/bin:/bin");
	wire_text(b, WF_env, "LANG=C.UTF-8");
	snprintf(line, sizeof(line), "DSS_BACKEND_URL=%s", n->backend_url);
	wire_text(b, WF_env, line);
	snprintf(line, sizeof(line), "DSS_PROJECT_PROCESS=%s", c->id);
	wire_text(b, WF_env, line);
	if (home_share(share, sizeof(share)) == 0)
		node_spawn_put_env(b, "DSS_SHARE", share);
	if (text)
		put_text(b, text);
	wire_text(b, WF_cwd, "/");
	node_spawn_put_user(n, b);
	snprintf(line, sizeof(line), "run/projects/%s/%s", c->key, c->id);
	wire_text(b, WF_box, line);
	snprintf(line, sizeof(line), "kernel:%s", c->id);
	wire_text(b, WF_sink, line);
	snprintf(line, sizeof(line), "[project %s] ", c->key);
	wire_text(b, WF_prefix, line);
	wire_text(b, WF_ready, "exec");
	snprintf(line, sizeof(line), "{\"kind\":\"project\",\"project\":\"%s\"}", c->key);
	wire_text(b, WF_label, line);
	snprintf(line, sizeof(line), "memory=%lld", (long long)MEMORY_BYTES);
	wire_text(b, WF_limit, line);
	snprintf(line, sizeof(line), "pids=%d", PIDS);
	wire_text(b, WF_limit, line);
	node_projects_token(n, c->id, token);
	wire_bytes(b, WF_secrets, token, strlen(token));
	wire_text(b, WF_mask, token);
	if (node_keeper_end(n->keeper, on_spawned, a, err) == 0)
		return 0;
	free(a);
	return -1;
}

/* A key that was cut would be another project's. */
static int check(const char *key, const char *text, struct err *err)
{
	const char *verb = text ? "make" : "remove";
	size_t len = strlen(key);
	if (!text_is_id(key, len))
		return err_set(err, "unable to %s the project: its key is no name", verb);
	if (len > KEY_MAX)
		return err_set(err, "unable to %s project %s: its key is longer than %d bytes", verb, key, KEY_MAX);
	if (text && strlen(text) > TEXT_MAX)
		return err_set(err, "unable to %s project %s: its project.lua is longer than %d KB", verb, key, TEXT_MAX / 1024);
	return 0;
}

void node_changes_order(struct node_changes *t, const char *key, const char *text, bool keeps_data, node_change_fn *fn, void *data)
{
	struct err err = { 0 };
	if (check(key, text, &err) < 0) {
		fn(data, &err);
		return;
	}
	struct change *c = list_count(&t->all) < AT_ONCE ? calloc(1, sizeof(*c)) : NULL;
	if (!c) {
		err_set(&err, "unable to change project %s: too many are being made and removed; ask again", key);
		fn(data, &err);
		return;
	}
	*c = (struct change){ .in = t, .is_make = text != NULL, .fn = fn, .data = data };
	snprintf(c->key, sizeof(c->key), "%s", key);
	snprintf(c->id, sizeof(c->id), "change-%lld-%lld", (long long)t->node->facts.epoch, (long long)++t->last);
	list_init(&c->link);
	list_push(&t->all, &c->link);
	c->limit = loop_timer_new(t->node->loop, on_limit, c);
	if (!c->limit)
		tell(c, ENOMEM, NULL);
	else if (spawn(c, text, keeps_data, &err) < 0)
		tell(c, EIO, err.text);
	else
		loop_timer_start(c->limit, text ? MAKE_MS : REMOVE_MS);
}

struct node_changes *node_changes_new(struct node *n, const char *dir)
{
	struct node_changes *t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->node = n;
	snprintf(t->dir, sizeof(t->dir), "%s", dir);
	list_init(&t->all);
	return t;
}

void node_changes_free(struct node_changes **tp)
{
	if (!*tp)
		return;
	list_each (&(*tp)->all, l)
		tell(list_of(l, struct change, link), ECANCELED, "the backend is ending");
	free(*tp);
	*tp = NULL;
}
