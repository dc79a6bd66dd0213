/*
 * node_notebook_door: notebooks/door.sock, where the Jupyter server announces a kernel that it is about to start and gets a nonce for it once there
 * is a place, and where the launcher in that kernel's place registers itself with it. Only the server's own process is heard, and only its own
 * children are registered: code in a kernel, though it runs as the same user, is neither.
 *
 *     POST /announce {"kernel","path","cwd","spec"}         the server: {"nonce"}, or 409 and why not; takes as long as the place does
 *     POST /register {"nonce"}                              the launcher: {} once it lives in its box
 *     POST /note     {"kernel","what","path"?}              the server: restart, shutdown, moved
 */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "fleet/fleet.h"
#include "fleet/jtext.h"
#include "gate/server.h"
#include "net/json.h"
#include "node/node_notebook_inner.h"
#include "node/node_project.h"
#include "sys/clock.h"
#include "sys/proc.h"
#include "sys/sock.h"

#define BODY_MAX    (64 * 1024)
#define PATH_MOST   2000
#define PLACE_MS    50000  /* less than the server waits for its answer */
#define REGISTER_MS 120000 /* from the nonce to the launcher, a backend's restart among it */
#define NONCE_BYTES 24

struct notebook_door {
	struct gate *gate;
	uid_t uid;
};

/* --- a start --- */

static void refuse(struct gate_request *req, int status, const char *text)
{
	gate_reply_error(req, status, NULL, "%s", text);
}

static void answer(struct notebook_start *s, int status, const char *text)
{
	struct gate_request *req = s->req;
	s->req = NULL;
	if (req)
		refuse(req, status, text);
}

static void let_go(struct notebook_start *s)
{
	explicit_bzero(s->nonce, sizeof(s->nonce));
	free(s);
}

void notebook_start_free(struct notebook_start **sp)
{
	struct notebook_start *s = *sp;
	*sp = NULL;
	if (!s)
		return;
	answer(s, 409, "another start of this kernel came before");
	loop_timer_free(&s->timer);
	guest_leave(&s->guest);
	s->is_over = true;
	if (s->asked == 0)
		let_go(s);
}

/* The answer to a question has come. true: nobody waits for it any more. */
static bool is_over(struct notebook_start *s)
{
	s->asked--;
	if (s->is_over && s->asked == 0)
		let_go(s);
	else if (!s->is_over)
		return false;
	return true;
}

static void give_up(struct notebook_start *s, int status, const char *text)
{
	struct notebook_entry *e = s->e;
	log_warn("kernel %s of notebook \"%s\" is not started: %s", e->k.id, e->k.path, text);
	answer(s, status, text);
	notebook_start_free(&e->start);
	if (!e->k.is_alive && !e->ended_ms)
		notebook_forget(e);
}

static void on_late(void *data)
{
	struct notebook_start *s = data;
	char why[800], text[900];
	int position = 0;
	if (s->req && guest_why(s->guest, why, sizeof(why), &position)) {
		snprintf(text, sizeof(text), "no place within %d s, position %d: %s", PLACE_MS / 1000, position, why);
		give_up(s, 409, text);
	} else {
		give_up(s, 409, "its process did not come");
	}
}

static struct notebook_start *start_new(struct notebook_entry *e)
{
	struct notebook_start *s = calloc(1, sizeof(*s));
	if (!s || !(s->timer = loop_timer_new(e->in->node->loop, on_late, s))) {
		free(s);
		return NULL;
	}
	s->e = e;
	return s;
}

void notebook_start_put(const struct notebook_start *s, struct buf *out)
{
	buf_putc(out, '{');
	jtext_text(out, "process", s->process);
	jtext_text(out, "nonce", s->nonce_hash);
	jtext_int(out, "server", s->server_pid);
	jtext_int(out, "until", s->until_ms);
	buf_putc(out, '}');
}

static void copy_member(const json_t *o, const char *key, char *out, size_t room)
{
	const char *text = json_string_value(json_object_get(o, key));
	snprintf(out, room, "%s", text ? text : "");
}

struct notebook_start *notebook_start_again(struct notebook_entry *e, const json_t *saved)
{
	int64_t until_ms = json_integer_value(json_object_get(saved, "until")), left = until_ms - clock_wall_ms();
	struct notebook_start *s = saved && left > 0 ? start_new(e) : NULL;
	if (!s)
		return NULL;
	copy_member(saved, "process", s->process, sizeof(s->process));
	copy_member(saved, "nonce", s->nonce_hash, sizeof(s->nonce_hash));
	s->server_pid = (int)json_integer_value(json_object_get(saved, "server"));
	s->until_ms = until_ms;
	loop_timer_start(s->timer, left < REGISTER_MS ? left : REGISTER_MS);
	return s;
}

/* --- announced: whose it is, a place, the row --- */

static void on_kept(void *data, const struct store_answer *kept)
{
	struct notebook_start *s = data;
	char text[DIGEST_HEX_SIZE + 32];
	if (is_over(s))
		return;
	if (kept->outcome != STORE_OK) {
		give_up(s, 503, kept->err.text);
		return;
	}
	int len = snprintf(text, sizeof(text), "{\"nonce\":\"%s\"}", s->nonce);
	struct gate_request *req = s->req;
	s->req = NULL;
	if (req)
		gate_reply_json(req, 200, text, (size_t)len);
	explicit_bzero(text, sizeof(text));
	explicit_bzero(s->nonce, sizeof(s->nonce));
	loop_timer_start(s->timer, REGISTER_MS);
}

static void go_on(struct notebook_start *s)
{
	struct err err = { 0 };
	loop_timer_stop(s->timer);
	if (digest_random_hex(s->nonce, NONCE_BYTES, &err) < 0) {
		give_up(s, 503, err.text);
		return;
	}
	digest_sha256_hex(s->nonce, strlen(s->nonce), s->nonce_hash);
	s->until_ms = clock_wall_ms() + REGISTER_MS;
	s->asked++;
	if (notebook_keep(s->e, on_kept, s) < 0) {
		s->asked--;
		give_up(s, 503, "the store takes nothing now");
	}
}

static void on_place(void *data, struct guest *g, const struct err *why)
{
	struct notebook_start *s = data;
	(void)g;
	if (why)
		give_up(s, 409, why->text);
	else
		go_on(s);
}

static void ask_place(struct notebook_start *s)
{
	struct notebook_entry *e = s->e;
	struct err err = { 0 };
	char hash[DIGEST_HEX_SIZE];
	e->limit_bytes = 0;
	int64_t limit = notebook_find_limit(e, s->process, &err);
	if (limit < 0) {
		give_up(s, 409, err.text);
		return;
	}
	e->limit_bytes = limit;
	/* One that is restarted is about to give its own place back. */
	if (e->wish == NOTEBOOK_RESTARTS)
		guest_leave(&e->guest);
	const struct guest_facts facts = notebook_facts(e, s->process, hash);
	s->guest = guest_ask(fleet_guests(e->in->node->fleet), &facts, NULL, on_place, s);
	if (!s->guest)
		give_up(s, 503, "the backend has no memory");
	else
		loop_timer_start(s->timer, PLACE_MS);
}

static void on_project(void *data, enum node_project state, const char *json, size_t len, const struct err *why)
{
	struct notebook_start *s = data;
	if (is_over(s))
		return;
	struct notebook_kernel *k = &s->e->k;
	json_t *project = state == NODE_PROJECT_GOOD ? json_parse_object(json, len, NULL) : NULL;
	if (state == NODE_PROJECT_FAILED) {
		give_up(s, 503, why->text);
		return;
	}
	if (state == NODE_PROJECT_MISSING)
		k->project[0] = '\0';
	json_decref(s->e->tags);
	s->e->tags = json_incref(json_object_get(project, "tags"));
	copy_member(project, "owner", k->user, sizeof(k->user));
	if (!k->user[0])
		snprintf(k->user, sizeof(k->user), "admin");
	json_decref(project);
	ask_place(s);
}

/* The first folder of its name, or of where it works: projects/KEY/… */
static void find_project(const struct node_notebooks *t, const char *path, const char *cwd, char *out, size_t room)
{
	char projects[NOTEBOOK_DIR_MAX + 16];
	size_t n = (size_t)snprintf(projects, sizeof(projects), "%s/projects/", t->dir);
	const char *from = strchr(path, '/') ? path : strncmp(cwd, projects, n) == 0 ? cwd + n : "";
	size_t len = strcspn(from, "/");
	out[0] = '\0';
	if (len > 0 && len < room && text_is_id(from, len)) {
		memcpy(out, from, len);
		out[len] = '\0';
	}
}

static bool is_spec(const char *s)
{
	return strlen(s) < sizeof(((struct notebook_kernel *)0)->spec) && text_is_id(s, strlen(s));
}

static int read_announcement(const json_t *body, const char **kernel, const char **path, const char **cwd, const char **spec,
			     struct err *err)
{
	*path = *cwd = "";
	if (json_get_text(body, "kernel", JSON_REQUIRED, kernel, err) < 0 ||
	    json_get_text(body, "path", JSON_OPTIONAL, path, err) < 0 || json_get_text(body, "cwd", JSON_OPTIONAL, cwd, err) < 0 ||
	    json_get_text(body, "spec", JSON_REQUIRED, spec, err) < 0)
		return -1;
	*path = *path ? *path : "";
	*cwd = *cwd ? *cwd : "";
	if (!text_is_id(*kernel, strlen(*kernel)) || strlen(*kernel) >= sizeof(((struct notebook_kernel *)0)->id))
		return err_set(err, "\"%.80s\" is no kernel's id", *kernel);
	return strlen(*path) <= PATH_MOST ? 0 : err_set(err, "the notebook's name is longer than %d bytes", PATH_MOST);
}

static void announce(struct node_notebooks *t, struct gate_request *req, const json_t *body)
{
	const char *kernel = NULL, *path = NULL, *cwd = NULL, *spec = NULL;
	struct node *n = t->node;
	struct err err = { 0 };
	if (read_announcement(body, &kernel, &path, &cwd, &spec, &err) < 0) {
		refuse(req, 400, err.text);
		return;
	}
	if (n->is_draining || !n->facts.is_taken_up) {
		refuse(req, 503, "the backend starts nothing now");
		return;
	}
	struct notebook_entry *e = notebook_get(t, kernel);
	if (e && e->is_unwanted) {
		char text[1700];
		snprintf(text, sizeof(text), "%.1500s Open the notebook again for a new kernel.",
			 e->k.message ? e->k.message : "It was ended.");
		refuse(req, 409, text);
		return;
	}
	struct notebook_start *s = e ? start_new(e) : NULL;
	if (!s) {
		refuse(req, 503, "the backend has no memory");
		return;
	}
	notebook_start_free(&e->start);
	e->start = s;
	s->req = req;
	s->server_pid = (int)req->pid;
	snprintf(s->process, sizeof(s->process), "notebook-%lld-%lld", (long long)n->facts.epoch, (long long)++t->last);
	notebook_set_text(&e->k.path, path);
	snprintf(e->k.spec, sizeof(e->k.spec), "%s", is_spec(spec) ? spec : "");
	find_project(t, path, cwd, e->k.project, sizeof(e->k.project));
	s->asked++;
	if (e->k.project[0])
		node_projects_ask(n->projects, e->k.project, on_project, s);
	else
		on_project(s, NODE_PROJECT_MISSING, NULL, 0, NULL);
}

/* --- registered: into its box --- */

struct boxing {
	struct notebook_start *s;
	struct gate_request *req;
	int pid;
};

static void take_place(struct notebook_start *s, int pid)
{
	struct notebook_entry *e = s->e;
	struct notebook_kernel *k = &e->k;
	if (k->is_alive)
		snprintf(e->before, sizeof(e->before), "%s", k->process);
	snprintf(k->process, sizeof(k->process), "%s", s->process);
	k->pid = pid;
	k->is_alive = true;
	k->started_ms = clock_wall_ms();
	k->cause[0] = '\0';
	free(k->message);
	k->message = NULL;
	e->ended_ms = 0;
	e->wish = NOTEBOOK_GOES_ON;
	guest_leave(&e->guest);
	e->guest = s->guest;
	s->guest = NULL;
	notebook_start_free(&e->start);
	notebook_keep(e, NULL, NULL);
	log_info("%s: kernel %s (pid %d) of notebook \"%s\", user %s", k->process, k->id, pid, k->path, k->user);
	node_notebooks_look(e->in);
}

static void on_boxed(void *data, const struct wire_view *msg)
{
	struct boxing *b = data;
	struct notebook_start *s = b->s;
	if (is_over(s)) {
		refuse(b->req, 409, "the backend is ending, or the kernel was started once more meanwhile");
	} else if (msg->type == WIRE_fail) {
		refuse(b->req, 409, wire_get_text(msg, WF_text));
		give_up(s, 409, wire_get_text(msg, WF_text));
	} else {
		take_place(s, b->pid);
		gate_reply_json(b->req, 200, "{}", 2);
	}
	free(b);
}

static struct notebook_start *start_for(struct node_notebooks *t, const char *nonce)
{
	char hash[DIGEST_HEX_SIZE];
	size_t cursor = 0;
	digest_sha256_hex(nonce, strlen(nonce), hash);
	for (struct notebook_entry *e; (e = map_next(t->by_id, &cursor));)
		if (e->start && e->start->nonce_hash[0] && text_is_same_secret(e->start->nonce_hash, hash, sizeof(hash) - 1))
			return e->start;
	return NULL;
}

static void register_process(struct node_notebooks *t, struct gate_request *req, const json_t *body)
{
	const char *nonce = NULL;
	struct proc_stat st;
	struct err err = { 0 };
	if (json_get_text(body, "nonce", JSON_REQUIRED, &nonce, &err) < 0) {
		refuse(req, 400, err.text);
		return;
	}
	if (!t->node->facts.is_taken_up) {
		refuse(req, 503, "the backend is starting");
		return;
	}
	struct notebook_start *s = start_for(t, nonce);
	if (!s || proc_read(req->pid, &st) < 0 || st.ppid != s->server_pid) {
		log_warn("pid %d, uid %u wanted to be a notebook's kernel and is none that was announced", (int)req->pid,
			 (unsigned)req->uid);
		refuse(req, 403, "this process was not announced by the Jupyter server");
		return;
	}
	s->nonce_hash[0] = '\0'; /* once */
	struct boxing *b = calloc(1, sizeof(*b));
	if (b) {
		*b = (struct boxing){ s, req, (int)req->pid };
		s->asked++;
		if (notebook_order_box(s->e, s->process, b->pid, on_boxed, b, &err) == 0)
			return;
		s->asked--;
		free(b);
	} else {
		err_set(&err, "the backend has no memory");
	}
	refuse(req, 409, err.text);
	give_up(s, 409, err.text);
}

/* --- what is to become of one --- */

static void note(struct node_notebooks *t, struct gate_request *req, const json_t *body)
{
	const char *kernel = NULL, *what = NULL, *path = NULL;
	struct err err = { 0 };
	if (json_get_text(body, "kernel", JSON_REQUIRED, &kernel, &err) < 0 ||
	    json_get_text(body, "what", JSON_REQUIRED, &what, &err) < 0 ||
	    json_get_text(body, "path", JSON_OPTIONAL, &path, &err) < 0) {
		refuse(req, 400, err.text);
		return;
	}
	struct notebook_entry *e = map_get(t->by_id, kernel);
	if (!e) {
		refuse(req, 404, "that kernel does not exist");
		return;
	}
	if (strcmp(what, "moved") == 0 && path && strlen(path) <= PATH_MOST)
		notebook_set_text(&e->k.path, path);
	else if (strcmp(what, "restart") == 0)
		e->wish = NOTEBOOK_RESTARTS;
	else if (strcmp(what, "shutdown") == 0)
		e->wish = NOTEBOOK_SHUTS_DOWN;
	gate_reply_json(req, 200, "{}", 2);
	if (e->wish == NOTEBOOK_SHUTS_DOWN && !e->k.is_alive && !e->start)
		notebook_forget(e);
	else
		notebook_keep(e, NULL, NULL);
}

/* --- the door --- */

static void handle(void *data, struct gate_request *req)
{
	static const struct {
		const char *name;
		void (*fn)(struct node_notebooks *t, struct gate_request *req, const json_t *body);
		bool is_servers;
	} routes[] = { { "announce", announce, true }, { "note", note, true }, { "register", register_process, false } };
	struct node_notebooks *t = data;
	const struct http_request *http = req->http;
	size_t i = 0, n = sizeof(routes) / sizeof(routes[0]);
	struct err err = { 0 };
	while (i < n &&
	       !(http->nsegments == 1 && strcmp(http->segment[0], routes[i].name) == 0 && strcmp(http->method, "POST") == 0))
		i++;
	if (i == n) {
		refuse(req, 404, "that does not exist");
		return;
	}
	if (req->uid != t->door->uid) {
		refuse(req, 403, "this door is for the Jupyter server's user");
		return;
	}
	if (routes[i].is_servers && (!t->server_pid || req->pid != t->server_pid)) {
		/* a server that was just started may come before the word that it was */
		refuse(req, t->server_pid ? 403 : 503, "this door is for the Jupyter server of this instance");
		return;
	}
	json_t *body = json_parse_object(http->body.data ? http->body.data : "", http->body.len, &err);
	if (!body) {
		refuse(req, 400, err.text);
		return;
	}
	routes[i].fn(t, req, body);
	json_decref(body);
}

static int find_uid(const struct node *n, uid_t *uid, struct err *err)
{
	const struct passwd *pw = n->run_user[0] ? getpwnam(n->run_user) : NULL;
	*uid = pw ? pw->pw_uid : geteuid();
	return pw || !n->run_user[0] ? 0 : err_set(err, "user %s does not exist", n->run_user);
}

static int open_gate(struct node_notebooks *t, const char *path, struct err *err)
{
	struct gate_settings s;
	gate_settings_init(&s);
	s.version = s.api_version = DSS_VERSION;
	s.body_max = BODY_MAX;
	s.per_peer_max = s.connections_max;
	/* the folder's group is the run user's: nobody else comes near */
	int fd = find_uid(t->node, &t->door->uid, err) < 0 ? -1 : sock_listen_unix(path, t->node->run_user[0] ? 0666 : 0600, err);
	if (fd >= 0)
		t->door->gate = gate_new(t->node->loop, fd, &s, handle, t, err);
	return t->door->gate ? 0 : -1;
}

int notebook_door_new(struct node_notebooks *t, struct err *err)
{
	char path[NOTEBOOK_DIR_MAX + 32];
	struct stat st;
	snprintf(path, sizeof(path), "%s/notebooks", t->dir);
	if (!t->is_ours)
		return 0;
	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)) {
		log_error("no kernel of a notebook can be started: the instance has no folder notebooks/, which dssctl init makes");
		return 0;
	}
	if (!(t->door = calloc(1, sizeof(*t->door))))
		return err_set(err, "unable to open the door for kernels: no memory");
	strcat(path, "/door.sock");
	return open_gate(t, path, err) < 0 ? err_add(err, "unable to open the door for kernels of notebooks") : 0;
}

void notebook_door_stop(struct node_notebooks *t)
{
	size_t cursor = 0;
	if (!t->door)
		return;
	for (struct notebook_entry *e; (e = map_next(t->by_id, &cursor));) {
		if (e->start)
			answer(e->start, 503, "the backend is ending");
		notebook_start_free(&e->start);
		e->guest = NULL; /* the fleet's, and goes with it */
	}
	if (t->door->gate)
		gate_free(&t->door->gate);
	free(t->door);
	t->door = NULL;
}
