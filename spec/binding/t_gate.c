/* t_gate: an HTTP server with a few routes, raw sockets and the HTTP client, all on one loop that the spec turns. */
#include <errno.h>
#include <fcntl.h>
#include <lua.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/list.h"
#include "gate/pages.h"
#include "gate/server.h"
#include "gate/tunnel.h"
#include "net/client.h"
#include "net/json.h"
#include "sys/fds.h"
#include "sys/loop.h"
#include "sys/sock.h"

static struct loop *loop;
static struct loop_timer *bound;

static int fails(lua_State *L, const struct err *err)
{
	lua_pushnil(L);
	lua_pushstring(L, err->text);
	return 2;
}

static void on_bound(void *data)
{
	(void)data;
}

/* turn(ms): one turn of the loop, which waits up to ms for something to happen. */
static int turn(lua_State *L)
{
	loop_timer_start(bound, luaL_optinteger(L, 1, 20));
	loop_run_once(loop, true);
	return 0;
}

/* --- the server --- */

enum { WAITING_MAX = 64 };

struct server {
	struct gate *gate;
	int port;
	struct gate_request *waiting[WAITING_MAX];
	int n, gone;
	struct tunnel *tunnel; /* all is passed on */
	struct tunnel_target target;
	int ended;          /* passed requests that were answered, or cut off */
	bool answers_later; /* what could not be passed waits for `answer` */
	struct pages *pages;
};

static struct server *server(lua_State *L)
{
	return luaL_checkudata(L, 1, "t_gate.server");
}

static void on_gone(void *data, struct gate_request *req)
{
	struct server *s = data;
	for (int i = 0; i < s->n; i++)
		s->gone += s->waiting[i] == req;
}

static void tell_info(struct gate_request *req)
{
	json_t *o = json_pack("{s:s,s:s,s:i,s:i,s:s,s:o,s:s}", "method", req->http->method, "peer", req->peer, "uid", (int)req->uid,
			      "pid", (int)req->pid, "path", req->http->path, "segments", json_array(), "q",
			      http_query(req->http, "q") ? http_query(req->http, "q") : "");
	for (size_t i = 0; i < req->http->nsegments; i++)
		json_array_append_new(json_object_get(o, "segments"), json_string(req->http->segment[i]));
	gate_reply_value(req, 200, o);
}

static long number(const struct gate_request *req, size_t i)
{
	return req->http->nsegments > i ? atol(req->http->segment[i]) : 0;
}

static void tell_bytes(struct gate_request *req)
{
	size_t n = (size_t)number(req, 1);
	char *bytes = malloc(n + 1);
	memset(bytes, 'x', n);
	gate_reply(req, 200, "text/plain", bytes, n);
	free(bytes);
}

static void tell_file(struct gate_request *req)
{
	FILE *f = tmpfile();
	for (long i = 0; i < number(req, 1); i++)
		fputc('a' + (int)(i % 26), f);
	fflush(f);
	/* The second number is what is promised beyond the file's end. */
	gate_reply_file(req, 200, "text/plain", fcntl(fileno(f), F_DUPFD_CLOEXEC, 0), 0, number(req, 1) + number(req, 2));
	fclose(f);
}

/* What a page is made of, small. The bytes in place of gzip's are told apart from the plain ones by the client. */
static const struct pages_file some_files[] = {
	{ "index.html", "text/html; charset=utf-8", "e1", "<plain>", 7, "GZ", 2, false },
	{ "web/main-4F2A9C1B.js", "text/javascript; charset=utf-8", "e2", "let plain", 9, "GZIP", 4, true },
	{ "web/licences.txt", "text/plain; charset=utf-8", "e3", "small", 5, NULL, 0, false },
};
static const struct pages_set some_pages = { some_files, 3, "0123456789ab" }, no_pages = { NULL, 0, "" };

/* As the routes do: "/" is index.html, /web/… is of the folder web. */
static void tell_page(struct pages *pages, struct gate_request *req)
{
	char name[512] = "";
	for (size_t i = 0; i < req->http->nsegments; i++)
		snprintf(name + strlen(name), sizeof(name) - strlen(name), "%s%s", i > 0 ? "/" : "", req->http->segment[i]);
	pages_reply(pages, req, name[0] != '\0' ? name : "index.html");
}

static void on_request(void *data, struct gate_request *req)
{
	struct server *s = data;
	const char *first = req->http->nsegments > 0 ? req->http->segment[0] : "";
	if (s->pages != NULL) {
		tell_page(s->pages, req);
	} else if (strcmp(first, "echo") == 0) {
		gate_reply(req, 200, "text/plain", req->http->body.data, req->http->body.len);
	} else if (strcmp(first, "info") == 0) {
		tell_info(req);
	} else if (strcmp(first, "bytes") == 0) {
		tell_bytes(req);
	} else if (strcmp(first, "file") == 0) {
		tell_file(req);
	} else if (strcmp(first, "empty") == 0) {
		gate_reply(req, 204, NULL, NULL, 0);
	} else if (strcmp(first, "field") == 0) {
		gate_set_field(req, http_query(req->http, "n"), http_query(req->http, "v"));
		gate_reply_text(req, 200, "ok", 2);
	} else if (strncmp(first, "later", 5) == 0 && s->n < WAITING_MAX) {
		s->waiting[s->n++] = req;
		if (strcmp(first, "later-gone") == 0)
			gate_on_gone(req, on_gone, s);
	} else {
		gate_reply_error(req, 404, NULL, "%s does not exist", req->http->path);
	}
}

static void on_passed(void *data, struct gate_request *req, int status, const char *why)
{
	struct server *s = data;
	s->ended++;
	if (req != NULL && s->answers_later && s->n < WAITING_MAX)
		s->waiting[s->n++] = req;
	else if (req != NULL)
		gate_reply_error(req, status, NULL, "%s", why);
}

static void on_request_to_pass(void *data, struct gate_request *req)
{
	struct server *s = data;
	if (strcmp(req->http->method, "DELETE") == 0)
		gate_reply_text(req, 200, "ours", 4);
	else if (strcmp(req->http->method, "PATCH") == 0 && s->n < WAITING_MAX)
		s->waiting[s->n++] = req;
	else
		tunnel_pass(s->tunnel, req, &s->target, on_passed, s);
}

static lua_Integer get(lua_State *L, const char *name, lua_Integer otherwise)
{
	lua_getfield(L, 1, name);
	lua_Integer n = luaL_optinteger(L, -1, otherwise);
	lua_pop(L, 1);
	return n;
}

static const char *get_text(lua_State *L, const char *name)
{
	lua_getfield(L, 1, name);
	const char *text = lua_tostring(L, -1);
	lua_pop(L, 1); /* the table keeps it */
	return text;
}

/* "some", "none", "built", or a folder */
static struct pages *make_pages(const char *which)
{
	if (strcmp(which, "some") == 0)
		return pages_new(&some_pages, NULL);
	if (strcmp(which, "none") == 0)
		return pages_new(&no_pages, NULL);
	return pages_new(&pages_built, strcmp(which, "built") == 0 ? NULL : which);
}

/* server{ path = unix socket, host = name allowed, connections_max = …, pages = "some", … } */
static int server_new(lua_State *L)
{
	struct gate_settings set;
	struct err err;
	const char *hosts[] = { get_text(L, "host"), NULL }, *path = get_text(L, "path"), *address = get_text(L, "address");
	const char *pages = get_text(L, "pages");
	gate_settings_init(&set);
	set.version = "1.2.3";
	set.api_version = "14";
	set.hosts = hosts;
	set.connections_max = (size_t)get(L, "connections_max", (lua_Integer)set.connections_max);
	set.per_peer_max = (size_t)get(L, "per_peer_max", (lua_Integer)set.per_peer_max);
	set.body_max = (size_t)get(L, "body_max", (lua_Integer)set.body_max);
	set.answer_max = (size_t)get(L, "answer_max", (lua_Integer)set.answer_max);
	set.unsent_max = (size_t)get(L, "unsent_max", (lua_Integer)set.unsent_max);
	set.memory_max = (size_t)get(L, "memory_max", (lua_Integer)set.memory_max);
	set.header_ms = get(L, "header_ms", set.header_ms);
	set.body_ms = get(L, "body_ms", set.body_ms);
	set.idle_ms = get(L, "idle_ms", set.idle_ms);
	set.write_ms = get(L, "write_ms", set.write_ms);
	int fd = path != NULL ? sock_listen_unix(path, 0600, &err) : sock_listen_tcp(address ? address : "127.0.0.1", 0, &err);
	if (fd < 0)
		return fails(L, &err);
	struct server *s = lua_newuserdatauv(L, sizeof(*s), 0);
	*s = (struct server){ .port = sock_port(fd), .pages = pages != NULL ? make_pages(pages) : NULL };
	luaL_setmetatable(L, "t_gate.server");
	s->gate = gate_new(loop, fd, &set, on_request, s, &err);
	return s->gate == NULL ? fails(L, &err) : 1;
}

/* tunnel{ port = | socket =, prefix =, depth =, user =, is_proxied =, strips =, answers_later =, most = … }: a server that passes all but DELETE on, PATCH when it is told to */
static int tunnel_make(lua_State *L)
{
	struct gate_settings set;
	struct tunnel_settings limits;
	struct err err;
	const char *prefix = get_text(L, "prefix"), *user = get_text(L, "user"), *path = get_text(L, "socket");
	gate_settings_init(&set);
	tunnel_settings_init(&limits);
	set.is_head_only = true;
	limits.most = (size_t)get(L, "most", (lua_Integer)limits.most);
	limits.memory_max = (size_t)get(L, "memory_max", (lua_Integer)limits.memory_max);
	limits.connect_ms = get(L, "connect_ms", limits.connect_ms);
	limits.body_ms = get(L, "body_ms", limits.body_ms);
	limits.answer_ms = get(L, "answer_ms", limits.answer_ms);
	limits.write_ms = get(L, "write_ms", limits.write_ms);
	limits.idle_ms = get(L, "idle_ms", limits.idle_ms);
	limits.tick_ms = get(L, "tick_ms", limits.tick_ms);
	int fd = sock_listen_tcp("127.0.0.1", 0, &err);
	if (fd < 0)
		return fails(L, &err);
	struct server *s = lua_newuserdatauv(L, sizeof(*s), 0);
	*s = (struct server){ .port = sock_port(fd) };
	luaL_setmetatable(L, "t_gate.server");
	s->target.port = (int)get(L, "port", 0);
	s->target.route.depth = (size_t)get(L, "depth", 0);
	s->target.route.is_proxied = get(L, "is_proxied", 0) != 0;
	s->target.route.strips_authorization = get(L, "strips", 0) != 0;
	s->answers_later = get(L, "answers_later", 0) != 0;
	snprintf(s->target.socket, sizeof(s->target.socket), "%s", path ? path : "");
	snprintf(s->target.route.prefix, sizeof(s->target.route.prefix), "%s", prefix ? prefix : "");
	snprintf(s->target.route.user, sizeof(s->target.route.user), "%s", user ? user : "");
	snprintf(s->target.route.peer, sizeof(s->target.route.peer), "127.0.0.1");
	s->gate = gate_new(loop, fd, &set, on_request_to_pass, s, &err);
	s->tunnel = s->gate == NULL ? NULL : tunnel_new(loop, &limits, &err);
	return s->tunnel == NULL ? fails(L, &err) : 1;
}

static int server_tunnel(lua_State *L)
{
	struct server *s = server(L);
	struct tunnel_stats st;
	tunnel_get_stats(s->tunnel, &st);
	lua_newtable(L);
	lua_pushinteger(L, (lua_Integer)st.open), lua_setfield(L, -2, "open");
	lua_pushinteger(L, (lua_Integer)st.upgraded), lua_setfield(L, -2, "upgraded");
	lua_pushinteger(L, (lua_Integer)st.memory), lua_setfield(L, -2, "memory");
	lua_pushinteger(L, (lua_Integer)st.passed), lua_setfield(L, -2, "passed");
	lua_pushinteger(L, (lua_Integer)st.failed), lua_setfield(L, -2, "failed");
	lua_pushinteger(L, s->ended), lua_setfield(L, -2, "ended");
	return 1;
}

static int server_end_upgraded(lua_State *L)
{
	tunnel_drain(server(L)->tunnel);
	return 0;
}

static int server_free(lua_State *L)
{
	struct server *s = server(L);
	tunnel_free(&s->tunnel);
	gate_free(&s->gate);
	pages_free(&s->pages);
	return 0;
}

static int server_gc(lua_State *L)
{
	struct server *s = server(L);
	tunnel_free(&s->tunnel);
	gate_free(&s->gate);
	pages_free(&s->pages);
	for (int i = 0; i < s->n; i++)
		if (s->waiting[i] != NULL)
			gate_reply_text(s->waiting[i], 200, "", 0);
	s->n = 0;
	return 0;
}

static int server_drain(lua_State *L)
{
	gate_drain(server(L)->gate);
	return 0;
}

static int server_pages_version(lua_State *L)
{
	lua_pushstring(L, pages_version(server(L)->pages));
	return 1;
}

static int server_port(lua_State *L)
{
	lua_pushinteger(L, server(L)->port);
	return 1;
}

#define STAT(name) (lua_pushinteger(L, (lua_Integer)st.name), lua_setfield(L, -2, #name))

static int server_stats(lua_State *L)
{
	struct server *s = server(L);
	struct gate_stats st;
	gate_get_stats(s->gate, &st);
	lua_newtable(L);
	STAT(accepted), STAT(requests), STAT(refused_full), STAT(refused_peer), STAT(bad), STAT(timed_out), STAT(cut_slow);
	STAT(connections), STAT(waiting), STAT(memory);
	lua_pushinteger(L, s->gone);
	lua_setfield(L, -2, "gone");
	lua_pushinteger(L, s->n);
	lua_setfield(L, -2, "deferred");
	return 1;
}

static struct gate_request *waiting(lua_State *L, bool takes)
{
	struct server *s = server(L);
	lua_Integer i = luaL_checkinteger(L, 2);
	luaL_argcheck(L, i >= 1 && i <= s->n && s->waiting[i - 1] != NULL, 2, "no such deferred request");
	struct gate_request *req = s->waiting[i - 1];
	if (takes)
		s->waiting[i - 1] = NULL;
	return req;
}

static int server_answer(lua_State *L)
{
	size_t len;
	const char *text = luaL_checklstring(L, 3, &len);
	gate_reply_text(waiting(L, true), 200, text, len);
	return 0;
}

static int server_pass(lua_State *L)
{
	struct server *s = server(L);
	tunnel_pass(s->tunnel, waiting(L, true), &s->target, on_passed, s);
	return 0;
}

static int server_is_gone(lua_State *L)
{
	lua_pushboolean(L, gate_is_gone(waiting(L, false)));
	return 1;
}

static int stream_begin(lua_State *L)
{
	lua_pushboolean(L, gate_stream_begin(waiting(L, false), 200, "text/event-stream") == 0);
	return 1;
}

static int stream_write(lua_State *L)
{
	size_t len;
	const char *text = luaL_checklstring(L, 3, &len);
	lua_pushboolean(L, gate_stream_write(waiting(L, false), text, len) == 0);
	return 1;
}

static int stream_end(lua_State *L)
{
	gate_stream_end(waiting(L, true));
	return 0;
}

static int stream_unsent(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)gate_stream_unsent(waiting(L, false)));
	return 1;
}

/* --- raw sockets --- */

static int *sock(lua_State *L)
{
	return luaL_checkudata(L, 1, "t_gate.sock");
}

static int push_sock(lua_State *L, int fd, const struct err *err)
{
	if (fd < 0)
		return fails(L, err);
	*(int *)lua_newuserdatauv(L, sizeof(int), 0) = fd;
	luaL_setmetatable(L, "t_gate.sock");
	return 1;
}

/* connect(port | path, receive buffer, address) */
static int sock_connect(lua_State *L)
{
	struct err err = { 0 };
	int fd = lua_isinteger(L, 1) ? sock_connect_tcp(luaL_optstring(L, 3, "127.0.0.1"), (int)lua_tointeger(L, 1), &err)
				     : sock_connect_unix(luaL_checkstring(L, 1), &err);
	int size = (int)luaL_optinteger(L, 2, 0);
	if (fd >= 0 && size > 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	return push_sock(L, fd, &err);
}

static int sock_listen(lua_State *L)
{
	struct err err = { 0 };
	return push_sock(L, sock_listen_tcp("127.0.0.1", (int)luaL_optinteger(L, 1, 0), &err), &err);
}

static int sock_take(lua_State *L)
{
	struct err err = { 0 };
	return push_sock(L, sock_accept(*sock(L), &err), &err);
}

static int sock_get_port(lua_State *L)
{
	lua_pushinteger(L, sock_port(*sock(L)));
	return 1;
}

/* send(bytes) → how many were taken | nil, error */
static int sock_send(lua_State *L)
{
	size_t len;
	const char *bytes = luaL_checklstring(L, 2, &len);
	ssize_t n = send(*sock(L), bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n >= 0 || errno == EAGAIN) {
		lua_pushinteger(L, n < 0 ? 0 : n);
		return 1;
	}
	lua_pushnil(L);
	lua_pushstring(L, strerror(errno));
	return 2;
}

/* recv(most) → bytes ("": none yet) | nil, "closed" or the error */
static int sock_recv(lua_State *L)
{
	static char bytes[65536];
	size_t most = (size_t)luaL_optinteger(L, 2, sizeof(bytes));
	ssize_t n = recv(*sock(L), bytes, most < sizeof(bytes) ? most : sizeof(bytes), MSG_DONTWAIT);
	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == ENOTCONN))) {
		lua_pushlstring(L, bytes, n < 0 ? 0 : (size_t)n);
		return 1;
	}
	lua_pushnil(L);
	lua_pushstring(L, n == 0 ? "closed" : strerror(errno));
	return 2;
}

static int sock_shut(lua_State *L)
{
	shutdown(*sock(L), SHUT_WR);
	return 0;
}

static int sock_close(lua_State *L)
{
	fds_close(sock(L));
	return 0;
}

static int sock_reset(lua_State *L)
{
	struct linger now = { 1, 0 };
	setsockopt(*sock(L), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	fds_close(sock(L));
	return 0;
}

/* --- no descriptors --- */

static int taken[1024], ntaken;

static int exhaust(lua_State *L)
{
	struct rlimit lim;
	int fd;
	getrlimit(RLIMIT_NOFILE, &lim);
	lim.rlim_cur = 256;
	setrlimit(RLIMIT_NOFILE, &lim);
	while (ntaken < 1024 && (fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		taken[ntaken++] = fd;
	lua_pushinteger(L, ntaken);
	return 1;
}

static int release(lua_State *L)
{
	struct rlimit lim;
	(void)L;
	while (ntaken > 0)
		close(taken[--ntaken]);
	getrlimit(RLIMIT_NOFILE, &lim);
	lim.rlim_cur = lim.rlim_max < 4096 ? lim.rlim_max : 4096;
	setrlimit(RLIMIT_NOFILE, &lim);
	return 0;
}

/* --- the client --- */

struct box {
	struct client *client;
	int answers; /* a reference to the table number → answer */
	int calls;
	struct client_call *call[4096];
};

struct ticket {
	struct box *box;
	int n;
};

static lua_State *main_state;

static struct box *box(lua_State *L)
{
	return luaL_checkudata(L, 1, "t_gate.client");
}

static void on_answer(void *data, const struct client_answer *a)
{
	static const char *const outcomes[] = { "ok", "not connected", "unknown", "timed out", "broken", "too large" };
	struct ticket *t = data;
	lua_State *L = main_state;
	lua_rawgeti(L, LUA_REGISTRYINDEX, t->box->answers);
	lua_newtable(L);
	lua_pushstring(L, outcomes[a->outcome]), lua_setfield(L, -2, "outcome");
	lua_pushinteger(L, a->status), lua_setfield(L, -2, "status");
	lua_pushlstring(L, a->body, a->len), lua_setfield(L, -2, "body");
	lua_pushstring(L, a->content_type), lua_setfield(L, -2, "content_type");
	lua_pushstring(L, a->error), lua_setfield(L, -2, "error");
	lua_pushboolean(L, a->was_new), lua_setfield(L, -2, "was_new");
	lua_rawseti(L, -2, t->n);
	lua_pop(L, 1);
	t->box->call[t->n] = NULL;
	free(t);
}

static int client_make(lua_State *L)
{
	struct err err;
	struct box *b = lua_newuserdatauv(L, sizeof(*b), 0);
	memset(b, 0, sizeof(*b));
	luaL_setmetatable(L, "t_gate.client");
	lua_newtable(L);
	b->answers = luaL_ref(L, LUA_REGISTRYINDEX);
	b->client = client_new(loop, (size_t)luaL_optinteger(L, 1, 100), &err);
	return b->client == NULL ? fails(L, &err) : 1;
}

/* request{ method, url, … } → number | nil, error */
static int client_ask(lua_State *L)
{
	struct box *b = box(L);
	struct err err;
	lua_replace(L, 1);
	const char *fields[] = { get_text(L, "field"), NULL }, *body = get_text(L, "body");
	struct client_order o = { .method = get_text(L, "method"),
				  .url = get_text(L, "url"),
				  .unix_path = get_text(L, "unix_path"),
				  .bearer = get_text(L, "bearer"),
				  .fields = fields,
				  .body = body,
				  .body_len = body ? strlen(body) : 0,
				  .peer = get_text(L, "peer"),
				  .is_known_only = get(L, "known_only", 0) != 0,
				  .is_last = get(L, "last", 0) != 0,
				  .connect_ms = get(L, "connect_ms", 0),
				  .timeout_ms = get(L, "timeout_ms", 0),
				  .answer_max = (size_t)get(L, "answer_max", 0) };
	struct ticket *t = malloc(sizeof(*t));
	luaL_argcheck(L, b->calls + 1 < 4096, 2, "too many calls");
	*t = (struct ticket){ b, b->calls + 1 };
	struct client_call *call = client_request(b->client, &o, on_answer, t, &err);
	if (call == NULL) {
		free(t);
		return fails(L, &err);
	}
	b->call[++b->calls] = call;
	lua_pushinteger(L, b->calls);
	return 1;
}

static int client_answer_get(lua_State *L)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, box(L)->answers);
	lua_rawgeti(L, -1, luaL_checkinteger(L, 2));
	return 1;
}

static int client_stop(lua_State *L)
{
	lua_Integer n = luaL_checkinteger(L, 2);
	luaL_argcheck(L, n > 0 && n < 4096, 2, "no such call");
	client_cancel(&box(L)->call[n]); /* its ticket is lost: a spec may */
	return 0;
}

static int client_under_way(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)client_count(box(L)->client));
	return 1;
}

static int client_end(lua_State *L)
{
	client_free(&box(L)->client);
	return 0;
}

/* --- the module --- */

static void add_class(lua_State *L, const char *name, const luaL_Reg *words, lua_CFunction gc)
{
	luaL_newmetatable(L, name);
	luaL_newlibtable(L, ((luaL_Reg[24]){ { 0 } }));
	luaL_setfuncs(L, words, 0);
	lua_setfield(L, -2, "__index");
	lua_pushcfunction(L, gc);
	lua_setfield(L, -2, "__gc");
	lua_pop(L, 1);
}

int luaopen_t_gate(lua_State *L)
{
	static const luaL_Reg of_server[] = {
		{ "port", server_port },
		{ "stats", server_stats },
		{ "free", server_free },
		{ "drain", server_drain },
		{ "pages_version", server_pages_version },
		{ "answer", server_answer },
		{ "pass", server_pass },
		{ "is_gone", server_is_gone },
		{ "begin", stream_begin },
		{ "write", stream_write },
		{ "finish", stream_end },
		{ "unsent", stream_unsent },
		{ "tunnel", server_tunnel },
		{ "end_upgraded", server_end_upgraded },
		{ NULL, NULL },
	};
	static const luaL_Reg of_sock[] = {
		{ "send", sock_send },   { "recv", sock_recv },   { "shut", sock_shut },     { "close", sock_close },
		{ "reset", sock_reset }, { "accept", sock_take }, { "port", sock_get_port }, { NULL, NULL },
	};
	static const luaL_Reg of_client[] = {
		{ "request", client_ask },     { "answer", client_answer_get }, { "cancel", client_stop },
		{ "count", client_under_way }, { "free", client_end },          { NULL, NULL },
	};
	static const luaL_Reg words[] = {
		{ "turn", turn },          { "server", server_new },  { "connect", sock_connect },
		{ "listen", sock_listen }, { "client", client_make }, { "exhaust", exhaust },
		{ "release", release },    { "tunnel", tunnel_make }, { NULL, NULL },
	};
	struct err err;
	if (loop == NULL) {
		loop = loop_new(&err);
		bound = loop == NULL ? NULL : loop_timer_new(loop, on_bound, NULL);
		if (bound == NULL)
			return luaL_error(L, "%s", err.text);
	}
	lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
	main_state = lua_tothread(L, -1);
	lua_pop(L, 1);
	add_class(L, "t_gate.server", of_server, server_gc);
	add_class(L, "t_gate.sock", of_sock, sock_close);
	add_class(L, "t_gate.client", of_client, client_end);
	luaL_newlib(L, words);
	return 1;
}
