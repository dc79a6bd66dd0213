/*
 * node_notebook_door: notebooks/door.sock, where the Jupyter server announces a kernel that it is about to start and gets a nonce for it once there
 * is a place, and where the launcher in that kernel's place registers itself with it. Only the server's own process is heard, and only its own
 * children are registered: code in a kernel, though it runs as the same user, is neither.
 *
 *     POST /announce {"kernel","path","cwd","spec"}         the server: {"nonce"}, or 409 and why not; takes as long as the place does
 *     POST /register {"nonce"}                              the launcher: {} once it lives in its box
 *     POST /note     {"kernel","what","path"?}              the server: restart, shutdown, moved
 */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/map.h"
#include "fleet/feed.h"
#include "fleet/fleet.h"
#include "fleet/jtext.h"
#include "gate/server.h"
#include "net/json.h"
#include "node/node_notebook_inner.h"
#include "sys/clock.h"
#include "sys/proc.h"
#include "sys/sock.h"

#define BODY_MAX  (64 * 1024)
#define PATH_MOST 2000
/* Connections: the server's are never kept out by those of others, who are processes of the same user. A launcher needs one. */
#define CONNECTIONS 1024
#define STRANGERS   64 /* all of them */
#define CHILDS      4  /* each of the server's */

struct notebook_door {
	struct gate *gate;
	uid_t uid;
};

void notebook_refuse(struct gate_request *req, int status, const char *text)
{
	gate_reply_error(req, status, NULL, "%s", text);
}

/* --- what is to become of one --- */

struct moving {
	struct node_notebooks *in;
	char kernel[64];
	int moves;
};

/* Its rights follow its name: whose it is now. */
static void on_whose(void *data, const struct notebook_whose *w)
{
	struct moving *m = data;
	struct notebook_entry *e = map_get(m->in->by_id, m->kernel);
	if (e && e->moves == m->moves && !m->in->is_stopped) {
		if (w->refusal)
			log_warn("kernel %s of notebook \"%s\": its user is still %s: %s", e->k.id, e->k.path, e->k.user,
				 w->refusal);
		snprintf(e->k.project, sizeof(e->k.project), "%s", w->project);
		if (w->user[0])
			snprintf(e->k.user, sizeof(e->k.user), "%s", w->user);
		e->is_moving = false;
		notebook_keep(e, NULL, NULL);
		node_notebooks_look(m->in);
	}
	free(m);
}

void notebook_move(struct notebook_entry *e, const char *path)
{
	struct moving *m = calloc(1, sizeof(*m));
	if (path)
		notebook_set_text(&e->k.path, path);
	e->moves++;
	e->is_moving = true;
	if (!m) {
		log_error("kernel %s of notebook \"%s\": no memory to ask whose it is now", e->k.id, e->k.path);
		return;
	}
	*m = (struct moving){ .in = e->in, .moves = e->moves };
	memcpy(m->kernel, e->k.id, sizeof(m->kernel));
	notebook_ask_whose(e->in, e->k.path, "", on_whose, m);
}

/* Who asks for it by its old name finds what became of it. */
static void tell_moved(const struct notebook_entry *e, const char *path)
{
	struct buf detail;
	buf_init(&detail, 32768);
	buf_putc(&detail, '{');
	jtext_text(&detail, "from", e->k.path);
	jtext_text(&detail, "notebook", path);
	jtext_some_text(&detail, "session", notebook_session_of(e->in, e->k.id));
	buf_putc(&detail, '}');
	struct store_fact fact = {
		"notebook.moved", e->k.id, detail.failed ? NULL : detail.data, 0, 0, e->k.user[0] ? e->k.user : FEED_OWN_ADMIN
	};
	store_add_fact(fleet_store(e->in->node->fleet), &fact, NULL, NULL);
	buf_fini(&detail);
}

static void wish(struct notebook_entry *e, enum notebook_wish what)
{
	e->wish = what;
	e->wish_ms = clock_wall_ms();
}

static void note(struct node_notebooks *t, struct gate_request *req, const json_t *body)
{
	const char *kernel = NULL, *what = NULL, *path = NULL;
	struct err err = { 0 };
	if (json_get_text(body, "kernel", JSON_REQUIRED, &kernel, &err) < 0 ||
	    json_get_text(body, "what", JSON_REQUIRED, &what, &err) < 0 ||
	    json_get_text(body, "path", JSON_OPTIONAL, &path, &err) < 0) {
		notebook_refuse(req, 400, err.text);
		return;
	}
	struct notebook_entry *e = map_get(t->by_id, kernel);
	if (!e) {
		notebook_refuse(req, 404, "that kernel does not exist");
		return;
	}
	if (strcmp(what, "restart") == 0)
		wish(e, NOTEBOOK_RESTARTS);
	else if (strcmp(what, "shutdown") == 0)
		wish(e, NOTEBOOK_SHUTS_DOWN);
	gate_reply_json(req, 200, "{}", 2);
	if (e->wish == NOTEBOOK_SHUTS_DOWN && !e->k.is_alive && !e->start) {
		notebook_forget(e);
		return;
	}
	if (strcmp(what, "moved") == 0 && path && strlen(path) <= PATH_MOST) {
		if (strcmp(path, e->k.path) != 0)
			tell_moved(e, path);
		notebook_move(e, path);
	}
	notebook_keep(e, NULL, NULL);
}

/* --- the door --- */

static void handle(void *data, struct gate_request *req)
{
	static const struct {
		const char *name;
		void (*fn)(struct node_notebooks *t, struct gate_request *req, const json_t *body);
		bool is_servers;
	} routes[] = { { "announce", notebook_announce, true }, { "note", note, true }, { "register", notebook_register, false } };
	struct node_notebooks *t = data;
	const struct http_request *http = req->http;
	size_t i = 0, n = sizeof(routes) / sizeof(routes[0]);
	struct err err = { 0 };
	while (i < n &&
	       !(http->nsegments == 1 && strcmp(http->segment[0], routes[i].name) == 0 && strcmp(http->method, "POST") == 0))
		i++;
	if (i == n) {
		notebook_refuse(req, 404, "that does not exist");
		return;
	}
	if (req->uid != t->door->uid) {
		notebook_refuse(req, 403, "this door is for the Jupyter server's user");
		return;
	}
	if (routes[i].is_servers && (!t->server_pid || req->pid != t->server_pid)) {
		/* a server that was just started may come before the word that it was */
		notebook_refuse(req, t->server_pid ? 403 : 503, "this door is for the Jupyter server of this instance");
		return;
	}
	json_t *body = json_parse_object(http->body.data ? http->body.data : "", http->body.len, &err);
	if (!body) {
		notebook_refuse(req, 400, err.text);
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

static size_t own_room(void *data, uid_t uid, pid_t pid)
{
	const struct node_notebooks *t = data;
	struct proc_stat st;
	if (uid != t->door->uid || !t->server_pid)
		return 0;
	if (pid == t->server_pid)
		return CONNECTIONS;
	return proc_read(pid, &st) == 0 && st.ppid == t->server_pid ? CHILDS : 0;
}

static int open_gate(struct node_notebooks *t, const char *path, struct err *err)
{
	struct gate_settings s;
	gate_settings_init(&s);
	s.version = s.api_version = DSS_VERSION;
	s.body_max = BODY_MAX;
	s.connections_max = CONNECTIONS;
	s.per_peer_max = STRANGERS;
	s.own_room = own_room;
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
			notebook_start_answer(e->start, 503, "the backend is ending");
		notebook_start_free(&e->start);
		e->guest = NULL; /* the fleet's, and goes with it */
	}
	if (t->door->gate)
		gate_free(&t->door->gate);
	free(t->door);
	t->door = NULL;
}
