#include "node/node_project.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "fleet/setting.h"
#include "net/digest.h"
#include "net/json.h"
#include "node/node_change.h"
#include "node/node_orders.h"
#include "node/node_project_owner.h"
#include "sys/clock.h"
#include "sys/fds.h"
#include "sys/home.h"

#define TIME_MS      10000
#define MEMORY_BYTES ((int64_t)256 << 20)
#define PIDS         16
#define KEPT_MOST    1000
#define AT_ONCE      4    /* readers; the others wait in line */
#define BAD_HOLDS_MS 1000 /* a mistake may be of another file: a script that is missing. So it is looked at anew */
#define ID_MAX       64
#define KEY_MOST     36 /* as lua/dss/model/project.lua says */

struct identity {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec changed, modified;
};

struct waiter {
	struct list link;
	node_project_fn *fn;
	void *data;
};

struct project {
	struct node_projects *in;
	struct list in_line; /* waits for a reader to be free */
	char key[KEY_MOST + 1];
	struct identity of; /* what the answer was made of, or is being made of */
	char *answer;       /* owned; NULL: none yet */
	size_t answer_len;
	bool is_good;         /* data; else {"errors"} */
	bool is_whole;        /* and all files that it names are there */
	int64_t told_ms;      /* mono: when the answer came */
	char process[ID_MAX]; /* that reads it now; "" = none */
	struct list waiters;
	struct loop_timer *limit;
};

struct node_projects {
	struct node *node;
	char dir[4096];
	struct map *by_key; /* owned */
	struct map *owners; /* node_project_owner.c */
	int64_t last;       /* counts processes of this backend */
	struct list line;   /* of projects, first come first */
	int readers;        /* at work, up to AT_ONCE */
	bool is_reading, is_stopped;
};

/* --- the file --- */

/* -1 with errno. Links out of projects/ are not followed: what stands there is users'. */
static int look(const struct node_projects *t, const char *key, struct identity *out)
{
	char path[sizeof(t->dir) + 16], below[KEY_MOST + 16];
	struct open_how how = { .flags = O_PATH | O_CLOEXEC,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS };
	struct stat st;
	snprintf(path, sizeof(path), "%s/projects", t->dir);
	snprintf(below, sizeof(below), "%s/project.lua", key);
	int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -1;
	int fd = (int)syscall(SYS_openat2, dir, below, &how, sizeof(how)), why = errno;
	fds_close(&dir);
	if (fd < 0)
		return errno = why, -1;
	int rc = fstat(fd, &st);
	fds_close(&fd);
	if (rc == 0)
		*out = (struct identity){ st.st_dev, st.st_ino, st.st_size, st.st_ctim, st.st_mtim };
	return rc;
}

static bool is_same(const struct identity *a, const struct identity *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size && a->changed.tv_sec == b->changed.tv_sec &&
	       a->changed.tv_nsec == b->changed.tv_nsec && a->modified.tv_sec == b->modified.tv_sec &&
	       a->modified.tv_nsec == b->modified.tv_nsec;
}

static bool is_key(const char *key)
{
	size_t n = strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
	return n > 0 && n <= KEY_MOST && key[n] == '\0';
}

/* --- answers --- */

static void read_next(struct node_projects *t);

static void tell(struct project *p, const char *why)
{
	struct list all;
	struct err err = { 0 };
	list_init(&all);
	list_each (&p->waiters, l) { /* who is told may ask again */
		list_remove(l);
		list_push(&all, l);
	}
	p->process[0] = '\0';
	list_remove(&p->in_line);
	loop_timer_stop(p->limit);
	if (why)
		err_set(&err, "%s", why);
	for (struct list *l; (l = list_first(&all));) {
		struct waiter w = *list_of(l, struct waiter, link);
		list_remove(l);
		free(list_of(l, struct waiter, link));
		w.fn(w.data,
		     why          ? NODE_PROJECT_FAILED
		     : p->is_good ? NODE_PROJECT_GOOD
				  : NODE_PROJECT_BAD,
		     why ? NULL : p->answer, why ? 0 : p->answer_len, why ? &err : NULL);
	}
	read_next(p->in);
}

/* Processes of the project get its variables also where nobody asked for its file since the backend's start. */
static void keep_facts(struct project *p)
{
	json_t *data = p->is_good ? json_parse_object(p->answer, p->answer_len, NULL) : NULL;
	p->is_whole = data && json_array_size(json_object_get(data, "missing")) == 0;
	const json_t *declared = json_object_get(data, "variables");
	char *text = declared ? json_dumps(declared, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
	if (text)
		settings_declare(p->in->node->settings, p->key, text);
	free(text);
	if (data)
		project_owner_keep(p->in->owners, p->key, data);
	json_decref(data);
}

const char *node_projects_last_owner(const struct node_projects *t, const char *key, const json_t **tags)
{
	return project_owner_find(t->owners, key, tags);
}

void node_projects_token(const struct node *n, const char *process, char out[DIGEST_HEX_SIZE])
{
	char text[ID_MAX + 16];
	snprintf(text, sizeof(text), "project:%s", process);
	digest_hmac_sha256_hex(n->key, n->key_len, text, strlen(text), out);
}

static struct project *by_process(struct node_projects *t, const char *process)
{
	size_t cursor = 0;
	for (struct project *p; (p = map_next(t->by_key, &cursor));)
		if (p->process[0] && strcmp(p->process, process) == 0)
			return p;
	return NULL;
}

void node_projects_handle(struct node_projects *t, struct gate_request *req)
{
	const struct http_request *http = req->http;
	const char *given = http_field(http, "authorization"), *id = http_query(http, "process"),
		   *status = http_query(http, "status");
	char token[DIGEST_HEX_SIZE];
	struct err err = { 0 };
	struct project *p = id ? by_process(t, id) : NULL;
	if (strcmp(http->method, "POST") != 0) {
		gate_reply_error(req, 405, NULL, "%s takes POST only", http->path);
		return;
	}
	bool is_change = id && strncmp(id, "change-", 7) == 0, is_its = false;
	if ((p || is_change) && given && strncasecmp(given, "Bearer ", 7) == 0 && strlen(id) < ID_MAX) {
		node_projects_token(t->node, id, token);
		is_its = strlen(given + 7) == strlen(token) && text_is_same_secret(given + 7, token, strlen(token));
	}
	if (is_its && is_change &&
	    node_changes_told(t->node->changes, id, http->body.data ? http->body.data : "", http->body.len)) {
		gate_reply_json(req, 200, "{}", 2);
		return;
	}
	if (!is_its || !p) {
		gate_reply_error(req, 404, NULL, "nobody waits for that");
		return;
	}
	const char *body = http->body.data ? http->body.data : "";
	if (!json_is_valid(body, http->body.len, &err)) {
		gate_reply_error(req, 400, NULL, "%s", err.text);
		return;
	}
	char *answer = malloc(http->body.len + 1);
	if (answer) {
		memcpy(answer, body, http->body.len);
		answer[http->body.len] = '\0';
		free(p->answer);
		p->answer = answer;
		p->answer_len = http->body.len;
		p->is_good = status && strcmp(status, "0") == 0;
		p->told_ms = clock_mono_ms();
		keep_facts(p);
	}
	gate_reply_json(req, 200, "{}", 2);
	tell(p, answer ? NULL : "no memory for what the project says");
}

static void give_up(struct project *p, const char *why)
{
	char text[1200];
	memset(&p->of, 0, sizeof(p->of)); /* the next one asks anew */
	free(p->answer);
	p->answer = NULL;
	snprintf(text, sizeof(text), "unable to read projects/%s/project.lua: %s", p->key, why);
	tell(p, text);
}

bool node_projects_ended(struct node_projects *t, const struct judge_end *end)
{
	struct project *p = by_process(t, end->id);
	char text[1000], ours[ID_MAX];
	if (strncmp(end->id, "project-", 8) != 0)
		return false;
	snprintf(ours, sizeof(ours), "project-%lld-", (long long)t->node->facts.epoch);
	if (strncmp(end->id, ours, strlen(ours)) == 0 && t->readers > 0)
		t->readers--;
	if (!p) {
		read_next(t);
		return true;
	}
	if (strcmp(end->cause, "oom_limit") == 0)
		snprintf(text, sizeof(text), "it needs more than 256 MB of memory");
	else
		snprintf(text, sizeof(text), "the process that read it ended without an answer (%s): %.700s", end->cause,
			 end->text);
	give_up(p, text);
	return true;
}

static void on_limit(void *data)
{
	struct project *p = data;
	struct err err = { 0 };
	if (node_orders_stop(p->in->node, p->process, "deadline", "it took longer than 10 s", 0, &err) < 0)
		log_warn("unable to stop %s: %s", p->process, err.text);
	give_up(p, "it took longer than 10 s");
}

/* --- the process --- */

struct about {
	struct node_projects *in;
	char process[ID_MAX];
};

static void on_spawned(void *data, const struct wire_view *msg)
{
	struct about *a = data;
	struct project *p = by_process(a->in, a->process);
	if (msg->type == WIRE_fail)
		a->in->readers--; /* no end will be told */
	if (p && msg->type == WIRE_fail)
		give_up(p, wire_get_text(msg, WF_text));
	free(a);
}

static void put_environment(const struct node *n, const struct project *p, struct buf *b)
{
	char line[4300], share[4096];
	wire_text(b, WF_env, "PATH=/usr/local/bin:/usr/bin:/bin");
	wire_text(b, WF_env, "LANG=C.UTF-8");
	snprintf(line, sizeof(line), "DSS_BACKEND_URL=%s", n->backend_url);
	wire_text(b, WF_env, line);
	snprintf(line, sizeof(line), "DSS_PROJECT_PROCESS=%s", p->process);
	wire_text(b, WF_env, line);
	if (home_share(share, sizeof(share)) == 0) {
		snprintf(line, sizeof(line), "DSS_SHARE=%s", share);
		wire_text(b, WF_env, line);
	}
}

static int spawn(struct node_projects *t, struct project *p, struct err *err)
{
	struct node *n = t->node;
	char program[4096], text[200], token[DIGEST_HEX_SIZE];
	struct about *a = n->keeper && n->facts.is_connected ? calloc(1, sizeof(*a)) : NULL;
	if (!a || home_program("dssd", program, sizeof(program)) < 0) {
		free(a);
		return err_set(err, "there is no keeper to order it");
	}
	snprintf(p->process, sizeof(p->process), "project-%lld-%lld", (long long)n->facts.epoch, (long long)++t->last);
	*a = (struct about){ .in = t };
	memcpy(a->process, p->process, sizeof(a->process));
	struct buf *b = node_keeper_begin(n->keeper, WIRE_spawn);
	wire_text(b, WF_id, p->process);
	wire_text(b, WF_kind, "project");
	wire_text(b, WF_argv, program);
	wire_text(b, WF_argv, "project");
	wire_text(b, WF_argv, "--tell");
	wire_text(b, WF_argv, t->dir);
	wire_text(b, WF_argv, p->key);
	put_environment(n, p, b);
	wire_text(b, WF_cwd, "/");
	if (n->run_user[0] && strcmp(n->facts.isolation, "none") != 0)
		wire_text(b, WF_user, n->run_user);
	snprintf(text, sizeof(text), "{\"kind\":\"project\",\"project\":\"%s\"}", p->key);
	wire_text(b, WF_label, text);
	snprintf(text, sizeof(text), "run/projects/%s/%s", p->key, p->process);
	wire_text(b, WF_box, text);
	snprintf(text, sizeof(text), "kernel:%s", p->process);
	wire_text(b, WF_sink, text);
	snprintf(text, sizeof(text), "[project %s] ", p->key);
	wire_text(b, WF_prefix, text);
	wire_text(b, WF_ready, "exec");
	snprintf(text, sizeof(text), "memory=%lld", (long long)MEMORY_BYTES);
	wire_text(b, WF_limit, text);
	wire_text(b, WF_limit, "swap=0");
	snprintf(text, sizeof(text), "pids=%d", PIDS);
	wire_text(b, WF_limit, text);
	node_projects_token(n, p->process, token);
	wire_bytes(b, WF_secrets, token, strlen(token));
	wire_text(b, WF_mask, token);
	if (node_keeper_end(n->keeper, on_spawned, a, err) == 0) {
		t->readers++;
		loop_timer_start(p->limit, TIME_MS);
		return 0;
	}
	free(a);
	p->process[0] = '\0';
	return -1;
}

/* What the file is now is what is told: it may have changed while its project stood in line. */
static void read_next(struct node_projects *t)
{
	struct err err = { 0 };
	if (t->is_reading) /* who was told asked again */
		return;
	t->is_reading = true;
	for (struct list *l; !t->is_stopped && t->readers < AT_ONCE && (l = list_first(&t->line));) {
		struct project *p = list_of(l, struct project, in_line);
		list_remove(l);
		if (look(t, p->key, &p->of) < 0)
			give_up(p, strerror(errno));
		else if (spawn(t, p, &err) < 0)
			give_up(p, err.text);
	}
	t->is_reading = false;
}

/* --- asking --- */

static void project_free(struct project *p)
{
	loop_timer_free(&p->limit);
	free(p->answer);
	free(p);
}

/* One that is gone makes room for another. */
static void forget(struct node_projects *t, const char *key)
{
	struct project *p = map_get(t->by_key, key);
	if (!p || p->process[0] || list_first(&p->waiters))
		return;
	map_remove(t->by_key, key);
	project_free(p);
}

static struct project *project_of(struct node_projects *t, const char *key)
{
	struct project *p = map_get(t->by_key, key);
	if (p || map_count(t->by_key) >= KEPT_MOST)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->in = t;
	snprintf(p->key, sizeof(p->key), "%s", key);
	list_init(&p->waiters);
	list_init(&p->in_line);
	p->limit = loop_timer_new(t->node->loop, on_limit, p);
	if (!p->limit || map_set(t->by_key, key, p) < 0) {
		loop_timer_free(&p->limit);
		free(p);
		return NULL;
	}
	return p;
}

static bool holds(const struct project *p)
{
	return p->is_whole || clock_mono_ms() - p->told_ms < BAD_HOLDS_MS;
}

void node_projects_ask(struct node_projects *t, const char *key, node_project_fn *fn, void *data)
{
	struct err err = { 0 };
	struct identity now = { 0 };
	if (!is_key(key) || look(t, key, &now) < 0) {
		int why = errno;
		bool is_missing = !is_key(key) || why == ENOENT || why == ENOTDIR;
		if (is_missing && is_key(key))
			forget(t, key);
		err_sys(&err, is_missing ? ENOENT : why, "unable to read projects/%.40s/project.lua", key);
		fn(data, is_missing ? NODE_PROJECT_MISSING : NODE_PROJECT_FAILED, NULL, 0, &err);
		return;
	}
	struct project *p = project_of(t, key);
	if (p && p->answer && !p->process[0] && is_same(&p->of, &now) && holds(p)) {
		fn(data, p->is_good ? NODE_PROJECT_GOOD : NODE_PROJECT_BAD, p->answer, p->answer_len, NULL);
		return;
	}
	struct waiter *w = p && !t->is_stopped ? calloc(1, sizeof(*w)) : NULL;
	if (!w) {
		if (t->is_stopped)
			err_set(&err, "the backend is ending");
		else if (map_count(t->by_key) >= KEPT_MOST)
			err_set(&err, "there are more than %d projects", KEPT_MOST);
		else
			err_set(&err, "no memory");
		fn(data, NODE_PROJECT_FAILED, NULL, 0, &err);
		return;
	}
	*w = (struct waiter){ .fn = fn, .data = data };
	list_init(&w->link);
	list_push(&p->waiters, &w->link);
	/* Saved once more while it is read: the next one sees it. */
	if (p->process[0] || !list_is_empty(&p->in_line))
		return;
	list_push(&t->line, &p->in_line);
	read_next(t);
}

/* --- set-up --- */

struct node_projects *node_projects_new(struct node *n, const char *dir, struct err *err)
{
	struct node_projects *t = calloc(1, sizeof(*t));
	if (t) {
		t->node = n;
		snprintf(t->dir, sizeof(t->dir), "%s", dir);
		list_init(&t->line);
		t->by_key = map_new();
		t->owners = map_new();
	}
	if (!t || !t->by_key || !t->owners) {
		err_set(err, "unable to start: no memory");
		node_projects_free(&t);
		return NULL;
	}
	return t;
}

void node_projects_stop(struct node_projects *t)
{
	size_t cursor = 0;
	t->is_stopped = true;
	for (struct project *p; (p = map_next(t->by_key, &cursor));)
		tell(p, "the backend is ending");
}

void node_projects_free(struct node_projects **tp)
{
	struct node_projects *t = *tp;
	size_t cursor = 0;
	if (!t)
		return;
	for (struct project *p; t->by_key && (p = map_next(t->by_key, &cursor));)
		project_free(p);
	map_free(&t->by_key);
	project_owners_free(&t->owners);
	free(t);
	*tp = NULL;
}
