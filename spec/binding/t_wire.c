/* t_wire: the wire's codec and link, for specs. */
#include <lua.h>
#include <lauxlib.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "keeper/boxes.h"
#include "keeper/proc.h"
#include "keeper/wire.h"
#include "sys/fds.h"
#include "sys/sock.h"

static int messages(lua_State *L)
{
	lua_newtable(L);
	const struct wire_message_info *m;
	for (size_t i = 0; (m = wire_message_at(i)) != NULL; i++) {
		lua_newtable(L);
		lua_pushinteger(L, m->number), lua_setfield(L, -2, "number");
		lua_pushstring(L, m->name), lua_setfield(L, -2, "name");
		lua_pushstring(L, m->from), lua_setfield(L, -2, "from");
		lua_pushstring(L, m->to), lua_setfield(L, -2, "to");
		lua_pushstring(L, m->required), lua_setfield(L, -2, "required");
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}

static int fields(lua_State *L)
{
	lua_newtable(L);
	const struct wire_field_info *f;
	for (size_t i = 0; (f = wire_field_at(i)) != NULL; i++) {
		lua_newtable(L);
		lua_pushinteger(L, f->number), lua_setfield(L, -2, "number");
		lua_pushlstring(L, &f->type, 1), lua_setfield(L, -2, "type");
		lua_setfield(L, -2, f->name);
	}
	return 1;
}

static int type_of(lua_State *L, int at)
{
	if (lua_isinteger(L, at))
		return (int)lua_tointeger(L, at);
	const char *name = luaL_checkstring(L, at);
	const struct wire_message_info *m;
	for (size_t i = 0; (m = wire_message_at(i)) != NULL; i++)
		if (strcmp(m->name, name) == 0)
			return m->number;
	return luaL_error(L, "no message %s", name);
}

static struct wire_field_info field_of(lua_State *L, int at)
{
	const struct wire_field_info *f;
	if (lua_isinteger(L, at))
		return (struct wire_field_info){ (int)lua_tointeger(L, at), "?", 'B' };
	const char *name = luaL_checkstring(L, at);
	for (size_t i = 0; (f = wire_field_at(i)) != NULL; i++)
		if (strcmp(f->name, name) == 0)
			return *f;
	luaL_error(L, "no field %s", name);
	return (struct wire_field_info){ 0 };
}

/* encode(type, { "id", "x", "pid", 7, … }, [nfds]) -> frame; or nil and what is left in the buffer */
static int encode(lua_State *L)
{
	struct buf out;
	buf_init(&out, 4 * WIRE_FRAME_MAX);
	size_t mark = wire_begin(&out, (enum wire_type)type_of(L, 1));
	lua_Integer n = (lua_Integer)lua_rawlen(L, 2);
	for (lua_Integer i = 1; i < n; i += 2) {
		lua_rawgeti(L, 2, i);
		lua_rawgeti(L, 2, i + 1);
		struct wire_field_info f = field_of(L, -2);
		size_t len;
		if (lua_isinteger(L, -1)) {
			wire_int(&out, (enum wire_field)f.number, lua_tointeger(L, -1));
		} else if (f.type == 'T') {
			wire_text(&out, (enum wire_field)f.number, luaL_checkstring(L, -1));
		} else {
			const char *p = luaL_checklstring(L, -1, &len);
			wire_bytes(&out, (enum wire_field)f.number, p, len);
		}
		lua_pop(L, 2);
	}
	if (wire_end(&out, mark) < 0) {
		lua_pushnil(L);
		lua_pushinteger(L, (lua_Integer)out.len);
	} else {
		if (!lua_isnoneornil(L, 3))
			out.data[6] = (char)lua_tointeger(L, 3);
		lua_pushlstring(L, out.data, out.len);
		buf_fini(&out);
		return 1;
	}
	buf_fini(&out);
	return 2;
}

/* A copy that ends where the bytes end, so that a reader's slip is seen. */
static unsigned char *exact_copy(lua_State *L, int at, size_t *len)
{
	const char *p = luaL_checklstring(L, at, len);
	unsigned char *copy = malloc(*len > 0 ? *len : 1);
	memcpy(copy, p, *len);
	return copy;
}

static void push_view(lua_State *L, const struct wire_view *v)
{
	lua_newtable(L);
	lua_pushstring(L, wire_type_name(v->type)), lua_setfield(L, -2, "name");
	lua_pushinteger(L, v->type), lua_setfield(L, -2, "type");
	lua_pushinteger(L, v->nfds), lua_setfield(L, -2, "nfds");
	const struct wire_field_info *f;
	for (size_t i = 0; (f = wire_field_at(i)) != NULL; i++) {
		enum wire_field number = (enum wire_field)f->number;
		if (!wire_has(v, number))
			continue;
		size_t n;
		if (f->type == 'I') {
			lua_pushinteger(L, wire_get_int(v, number, -1));
		} else if (f->type == 'B') {
			const char *p = wire_get_bytes(v, number, &n);
			lua_pushlstring(L, p, n);
		} else if (wire_count(v, number) == 1) {
			lua_pushstring(L, wire_get_text(v, number));
		} else {
			lua_newtable(L);
			const char *s;
			for (n = 0; (s = wire_get_nth(v, number, n)) != NULL; n++)
				lua_pushstring(L, s), lua_rawseti(L, -2, (lua_Integer)n + 1);
		}
		lua_setfield(L, -2, f->name);
	}
}

/* parse(bytes) -> bytes used, fields; 0 = not whole; nil, text */
static int parse(lua_State *L)
{
	size_t len;
	unsigned char *p = exact_copy(L, 1, &len);
	struct wire_view v;
	struct err err;
	ssize_t used = wire_parse(p, len, &v, &err);
	if (used < 0) {
		lua_pushnil(L);
		lua_pushstring(L, err.text);
	} else {
		lua_pushinteger(L, used);
		if (used > 0)
			push_view(L, &v);
		else
			lua_pushnil(L);
	}
	free(p);
	return 2;
}

/* check(bytes, from) -> true, or nil and the text */
static int check(lua_State *L)
{
	size_t len;
	unsigned char *p = exact_copy(L, 1, &len);
	struct wire_view v;
	struct err err;
	int rc = -1;
	if (wire_parse(p, len, &v, &err) > 0)
		rc = wire_check(&v, *luaL_checkstring(L, 2), &err);
	free(p);
	if (rc == 0) {
		lua_pushboolean(L, 1);
		return 1;
	}
	lua_pushnil(L);
	lua_pushstring(L, err.text);
	return 2;
}

/* get(bytes, field) -> int (or -1), text, count, length of bytes; on frames nobody checked. */
static int get(lua_State *L)
{
	size_t len, n = 0;
	unsigned char *p = exact_copy(L, 1, &len);
	enum wire_field f = (enum wire_field)field_of(L, 2).number;
	struct wire_view v;
	if (wire_parse(p, len, &v, NULL) <= 0) {
		free(p);
		return luaL_error(L, "no frame");
	}
	lua_pushinteger(L, wire_get_int(&v, f, -1));
	lua_pushstring(L, wire_get_text(&v, f));
	lua_pushinteger(L, (lua_Integer)wire_count(&v, f));
	const void *b = wire_get_bytes(&v, f, &n);
	lua_pushinteger(L, b != NULL ? (lua_Integer)n : -1);
	free(p);
	return 4;
}

/* --- a link with the spec as its peer --- */

struct peer {
	struct loop *loop;
	struct wire_link *link;
	int fd; /* the spec's end */
	lua_State *L;
	int log; /* registry: what arrived */
	char on; /* 'f': the link is freed in its callback */
	char gone[ERR_TEXT_MAX];
};

static void on_message(void *data, struct wire_link *link, const struct wire_view *msg, const int *fds, size_t nfds)
{
	struct peer *p = data;
	if (p->on == 'f') {
		/* Freed first: the view must still be readable until we return. */
		wire_link_free(&link);
		p->link = NULL;
	}
	lua_rawgeti(p->L, LUA_REGISTRYINDEX, p->log);
	push_view(p->L, msg);
	lua_pushinteger(p->L, (lua_Integer)nfds);
	lua_setfield(p->L, -2, "received");
	lua_rawseti(p->L, -2, (lua_Integer)lua_rawlen(p->L, -2) + 1);
	lua_pop(p->L, 1);
	for (size_t i = 0; i < nfds; i++) {
		if (write(fds[i], "!", 1) < 0)
			snprintf(p->gone, sizeof(p->gone), "a descriptor that came cannot be written");
		close(fds[i]);
	}
}

static void on_gone(void *data, struct wire_link *link, const struct err *why)
{
	struct peer *p = data;
	snprintf(p->gone, sizeof(p->gone), "%s", why->text);
	wire_link_free(&link);
	p->link = NULL;
}

static struct peer *check_peer(lua_State *L)
{
	return luaL_checkudata(L, 1, "t_wire.peer");
}

/* link([out_max], ["f"]) */
static int new_link(lua_State *L)
{
	int pair[2];
	struct err err;
	size_t out_max = (size_t)luaL_optinteger(L, 1, 1024 * 1024);
	char on = *luaL_optstring(L, 2, " ");
	struct peer *p = lua_newuserdata(L, sizeof(*p));
	*p = (struct peer){ .on = on, .L = L, .fd = -1 };
	luaL_setmetatable(L, "t_wire.peer");
	if (sock_pair(pair, &err) < 0 || (p->loop = loop_new(&err)) == NULL)
		return luaL_error(L, "%s", err.text);
	p->fd = pair[1];
	p->link = wire_link_new(p->loop, pair[0], out_max, on_message, on_gone, p);
	lua_newtable(L);
	p->log = luaL_ref(L, LUA_REGISTRYINDEX);
	return 1;
}

static int peer_gc(lua_State *L)
{
	struct peer *p = check_peer(L);
	wire_link_free(&p->link);
	fds_close(&p->fd);
	loop_free(&p->loop);
	return 0;
}

/* Writes raw bytes (with fds) into the spec's end; how many went, or nil and errno's text. */
static int peer_raw(lua_State *L)
{
	struct peer *p = check_peer(L);
	size_t len, n = 0;
	const char *bytes = luaL_checklstring(L, 2, &len);
	int fds[8];
	for (int i = 3; i <= lua_gettop(L) && n < 8; i++)
		fds[n++] = (int)luaL_checkinteger(L, i);
	ssize_t sent = sock_send_fds(p->fd, bytes, len, fds, n);
	if (sent < 0)
		return luaL_fileresult(L, 0, NULL);
	lua_pushinteger(L, sent);
	return 1;
}

/* Reads raw bytes from the spec's end: bytes, number of descriptors; nil: nothing there; "" = closed. */
static int peer_read(lua_State *L)
{
	struct peer *p = check_peer(L);
	static char room[65536];
	int fds[8];
	size_t n = 8;
	ssize_t got = sock_recv_fds(p->fd, room, sizeof(room), fds, &n);
	if (got < 0)
		return luaL_fileresult(L, 0, NULL);
	lua_pushlstring(L, room, (size_t)got);
	lua_pushinteger(L, (lua_Integer)n);
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
	return 2;
}

static int peer_turn(lua_State *L)
{
	struct peer *p = check_peer(L);
	p->L = L;
	loop_run_once(p->loop, false);
	return 0;
}

static int peer_log(lua_State *L)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, check_peer(L)->log);
	return 1;
}

static int peer_gone(lua_State *L)
{
	struct peer *p = check_peer(L);
	if (p->gone[0] == '\0')
		lua_pushnil(L);
	else
		lua_pushstring(L, p->gone);
	return 1;
}

static int peer_send(lua_State *L)
{
	struct peer *p = check_peer(L);
	size_t len, n = 0;
	const char *bytes = luaL_checklstring(L, 2, &len);
	int fds[WIRE_FDS_MAX];
	for (int i = 3; i <= lua_gettop(L) && n < WIRE_FDS_MAX; i++)
		fds[n++] = (int)luaL_checkinteger(L, i);
	struct buf b;
	buf_init(&b, 4 * WIRE_FRAME_MAX);
	buf_put(&b, bytes, len);
	lua_pushboolean(L, p->link != NULL && wire_link_send(p->link, &b, fds, n) == 0);
	buf_fini(&b);
	return 1;
}

static int peer_waiting(lua_State *L)
{
	struct peer *p = check_peer(L);
	lua_pushinteger(L, p->link != NULL ? (lua_Integer)wire_link_waiting(p->link) : -1);
	return 1;
}

static int peer_flush(lua_State *L)
{
	struct peer *p = check_peer(L);
	lua_pushboolean(L, p->link != NULL && wire_link_flush(p->link, (int)luaL_checkinteger(L, 2)) == 0);
	return 1;
}

static int peer_pending(lua_State *L)
{
	struct peer *p = check_peer(L);
	const struct buf *b = wire_link_pending(p->link);
	lua_pushlstring(L, b->data != NULL ? b->data : "", b->len);
	return 1;
}

static int peer_preload(lua_State *L)
{
	struct peer *p = check_peer(L);
	size_t len;
	const char *bytes = luaL_checklstring(L, 2, &len);
	lua_pushboolean(L, wire_link_preload(p->link, bytes, len) == 0);
	return 1;
}

static int peer_close(lua_State *L)
{
	fds_close(&check_peer(L)->fd);
	return 0;
}

static int make_pipe(lua_State *L)
{
	int pair[2];
	if (pipe2(pair, O_CLOEXEC | O_NONBLOCK) < 0)
		return luaL_error(L, "no pipe");
	lua_pushinteger(L, pair[0]);
	lua_pushinteger(L, pair[1]);
	return 2;
}

static int close_fd(lua_State *L)
{
	close((int)luaL_checkinteger(L, 1));
	return 0;
}

/* How many bytes can be read from a pipe now; -1: all writers are gone and nothing is left. */
static int drain(lua_State *L)
{
	char room[4096];
	ssize_t n = read((int)luaL_checkinteger(L, 1), room, sizeof(room));
	lua_pushinteger(L, n > 0 ? n : n == 0 ? -1 : 0);
	return 1;
}

static int count_fds(lua_State *L)
{
	int n = 0;
	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	lua_pushinteger(L, n);
	return 1;
}

/* --- boxes --- */

static bool put_path(void *data, struct proc *p)
{
	lua_State *L = data;
	lua_pushstring(L, p->desc.box);
	lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
	return true;
}

/* boxes({ box, … }, { index, … }, path) -> has, crossing | nil, { those in it or below }, empty: what is said of path once the processes with those boxes
 * have entered and those of that index have left; empty: after the others have left too. */
static int boxes(lua_State *L)
{
	struct boxes b;
	lua_Integer n = luaL_len(L, 1);
	const char *path = luaL_checkstring(L, 3);
	if (n > 100000 || boxes_init(&b) < 0)
		return luaL_error(L, "no memory");
	struct proc *all = calloc((size_t)n + 1, sizeof(*all));
	for (lua_Integer i = 0; all && i < n; i++) {
		lua_rawgeti(L, 1, i + 1);
		snprintf(all[i].desc.box, sizeof(all[i].desc.box), "%s", lua_tostring(L, -1));
		lua_pop(L, 1);
		boxes_enter(&b, &all[i]);
	}
	for (lua_Integer i = 0; all && i < luaL_len(L, 2); i++) {
		lua_rawgeti(L, 2, i + 1);
		boxes_leave(&b, &all[lua_tointeger(L, -1) - 1]);
		lua_pop(L, 1);
	}
	const struct proc *crossing = boxes_crossing(&b, path);
	lua_pushboolean(L, boxes_has(&b, path));
	lua_pushstring(L, crossing ? crossing->desc.box : NULL);
	lua_newtable(L);
	boxes_each(&b, path, put_path, L);
	for (lua_Integer i = 0; all && i < n; i++)
		boxes_leave(&b, &all[i]);
	lua_pushboolean(L, map_count(b.by_path) == 0);
	boxes_fini(&b);
	free(all);
	return 4;
}

int luaopen_t_wire(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{ "raw", peer_raw },
		{ "read", peer_read },
		{ "turn", peer_turn },
		{ "log", peer_log },
		{ "gone", peer_gone },
		{ "send", peer_send },
		{ "waiting", peer_waiting },
		{ "flush", peer_flush },
		{ "pending", peer_pending },
		{ "preload", peer_preload },
		{ "close", peer_close },
		{ "free", peer_gc },
		{ NULL, NULL },
	};
	static const luaL_Reg words[] = {
		{ "messages", messages }, { "fields", fields }, { "encode", encode },       { "parse", parse },
		{ "check", check },       { "get", get },       { "link", new_link },       { "pipe", make_pipe },
		{ "close", close_fd },    { "drain", drain },   { "count_fds", count_fds }, { "boxes", boxes },
		{ NULL, NULL },
	};
	luaL_newmetatable(L, "t_wire.peer");
	luaL_newlib(L, methods);
	lua_setfield(L, -2, "__index");
	lua_pushcfunction(L, peer_gc);
	lua_setfield(L, -2, "__gc");
	lua_pop(L, 1);
	luaL_newlib(L, words);
	lua_pushinteger(L, WIRE_FRAME_MAX), lua_setfield(L, -2, "FRAME_MAX");
	return 1;
}
