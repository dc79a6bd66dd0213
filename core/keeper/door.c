#include "keeper/door.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/log.h"
#include "keeper/handover.h"
#include "keeper/orders.h"
#include "sys/fds.h"
#include "sys/proc.h"
#include "sys/sock.h"

#define CLIENTS_MAX    32
#define CLIENT_OUT_MAX (1024 * 1024)

struct client {
	struct list link;
	struct keeper *k;
	struct wire_link *wire;
	bool said_hello;
	int64_t waits_req; /* 0 = does not wait for the end */
	char who[64];
};

struct door {
	int fd, spare_fd; /* the spare one is given up to refuse a client when no descriptors are left */
	struct loop_io *io;
	struct list clients;
};

static void drop(struct client *c)
{
	list_remove(&c->link);
	wire_link_free(&c->wire);
	free(c);
}

/* --- rows --- */

static void send(struct client *c, struct buf *b, size_t mark)
{
	if (wire_end(b, mark) < 0 || wire_link_send(c->wire, b, NULL, 0) < 0)
		log_warn("door: a client reads too slowly");
	buf_fini(b);
}

static void send_keeper_row(struct client *c, int64_t req)
{
	struct keeper *k = c->k;
	struct buf b;
	struct cgroup_usage u;
	buf_init(&b, 8192);
	size_t mark = wire_begin(&b, WIRE_row);
	wire_int(&b, WF_req, req);
	wire_text(&b, WF_id, "keeper");
	wire_text(&b, WF_name, "keeper");
	wire_text(&b, WF_kind, "keeper");
	wire_text(&b, WF_state, k->phase == KEEPER_RUNNING ? "ready" : k->phase == KEEPER_DRAINING ? "draining" : "stopping");
	wire_int(&b, WF_pid, getpid());
	wire_int(&b, WF_started_ms, k->started_ms);
	wire_text(&b, WF_box, "core/keeper");
	wire_int(&b, WF_count, (int64_t)procs_alive(&k->procs));
	if (cgroup_usage(k->cg, "core/keeper", &u, NULL) == 0)
		wire_int(&b, WF_memory_bytes, u.memory_bytes);
	send(c, &b, mark);
}

static void send_service_row(struct client *c, int64_t req, struct service *s)
{
	struct buf b;
	buf_init(&b, 8192);
	size_t mark = wire_begin(&b, WIRE_row);
	wire_int(&b, WF_req, req);
	service_to_wire(s, &b);
	send(c, &b, mark);
}

/* --- verbs --- */

static void verb_status(struct client *c, int64_t req, const char *name, bool on)
{
	int64_t n = 1;
	(void)name;
	(void)on;
	send_keeper_row(c, req);
	list_each (&c->k->services.all, at) {
		send_service_row(c, req, list_of(at, struct service, link));
		n++;
	}
	orders_done(c->wire, req, n, 0);
}

static struct service *named(struct client *c, int64_t req, const char *name)
{
	struct service *s = services_find(&c->k->services, name);
	char text[300];
	if (s)
		return s;
	snprintf(text, sizeof(text), "service \"%.128s\" does not exist; config/dss.lua declares the services", name);
	orders_fail(c->wire, req, ENOENT, text);
	return NULL;
}

static void verb_start(struct client *c, int64_t req, const char *name, bool on)
{
	struct service *s = *name ? named(c, req, name) : NULL;
	(void)on;
	if (*name && !s)
		return;
	list_each (&c->k->services.all, at)
		if (!s || s == list_of(at, struct service, link))
			service_start(list_of(at, struct service, link));
	orders_done(c->wire, req, 0, 0);
}

static void verb_stop(struct client *c, int64_t req, const char *name, bool on)
{
	if (*name) {
		struct service *s = named(c, req, name);
		if (!s)
			return;
		if (!strcmp(name, "logger")) {
			orders_fail(c->wire, req, EPERM, "the logger stops last, with everything: dss stop");
			return;
		}
		service_stop(s, "admin", "stopped", c->who, on);
		orders_done(c->wire, req, 0, 0);
		return;
	}
	c->waits_req = req;
	keeper_stop(c->k, on, c->who);
}

static void verb_drain(struct client *c, int64_t req, const char *name, bool on)
{
	(void)name;
	(void)on;
	c->waits_req = req;
	keeper_drain(c->k, c->who);
}

static void verb_handover(struct client *c, int64_t req, const char *name, bool on)
{
	struct err err = { 0 };
	(void)name;
	(void)on;
	if (c->k->phase != KEEPER_RUNNING) {
		orders_fail(c->wire, req, EBUSY, "the node is stopping");
		return;
	}
	if (handover_check(c->k, &err) < 0) { /* after the exec nobody could go back */
		orders_fail(c->wire, req, EINVAL, err.text);
		return;
	}
	orders_done(c->wire, req, 0, 0);
	wire_link_flush(c->wire, 500);
	if (handover_exec(c->k, &err) < 0)
		log_error("%s; this keeper goes on", err.text);
}

static void verb_restart(struct client *c, int64_t req, const char *name, bool on)
{
	if (!strcmp(name, "keeper")) {
		verb_handover(c, req, name, on);
		return;
	}
	struct service *s = *name ? named(c, req, name) : NULL;
	if (*name && !s)
		return;
	list_each (&c->k->services.all, at)
		if (!s || s == list_of(at, struct service, link))
			service_restart(list_of(at, struct service, link), c->who);
	orders_done(c->wire, req, 0, 0);
}

/* Without a name: the keeper itself. */
static void verb_reload(struct client *c, int64_t req, const char *name, bool on)
{
	struct err err = { 0 };
	struct service *s;
	if (!*name) {
		verb_handover(c, req, name, on);
		return;
	}
	if (!(s = named(c, req, name)))
		return;
	if (service_reload(s, &err) < 0)
		orders_fail(c->wire, req, err.code ? err.code : EINVAL, err.text);
	else
		orders_done(c->wire, req, 0, 0);
}

static void verb_reopen(struct client *c, int64_t req, const char *name, bool on)
{
	(void)name;
	(void)on;
	output_reopen(c->k->output);
	orders_done(c->wire, req, 0, 0);
}

static const struct {
	const char *verb;
	void (*fn)(struct client *c, int64_t req, const char *name, bool on);
} verbs[] = {
	{ "status", verb_status },   { "start", verb_start },   { "stop", verb_stop },     { "drain", verb_drain },
	{ "restart", verb_restart }, { "reopen", verb_reopen }, { "reload", verb_reload }, { "upgrade", verb_handover },
};

static void on_verb(struct client *c, const struct wire_view *msg)
{
	const char *verb = wire_get_text(msg, WF_verb), *name = wire_get_text(msg, WF_name);
	int64_t req = wire_get_int(msg, WF_req, 0);
	char text[200];
	if (strcmp(verb, "status"))
		log_info("door: %s %s (by %s)", verb, name ? name : "", c->who);
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (!strcmp(verbs[i].verb, verb)) {
			verbs[i].fn(c, req, name ? name : "", wire_get_int(msg, WF_on, 0) != 0);
			return;
		}
	}
	snprintf(text, sizeof(text), "unknown verb \"%.60s\"", verb);
	orders_fail(c->wire, req, EINVAL, text);
}

/* --- connections --- */

static void on_message(void *data, struct wire_link *link, const struct wire_view *msg, const int *fds, size_t nfds)
{
	struct client *c = data;
	struct err err = { 0 };
	for (size_t i = 0; i < nfds; i++)
		close(fds[i]);
	if (wire_check(msg, 'D', &err) < 0) {
		orders_fail(link, wire_get_int(msg, WF_req, 0), EINVAL, err.text);
		return;
	}
	if (msg->type == WIRE_hello) {
		int64_t version = wire_get_int(msg, WF_version, 0);
		if (version != WIRE_VERSION && version != WIRE_VERSION - 1) {
			orders_fail(link, 0, EPROTO, "this keeper speaks another version of the wire: restart it");
			return;
		}
		c->said_hello = true;
		orders_welcome(c->k, link);
	} else if (!c->said_hello) {
		orders_fail(link, wire_get_int(msg, WF_req, 0), EPROTO, "say hello first");
	} else if (msg->type == WIRE_door) {
		on_verb(c, msg);
	}
}

static void on_gone(void *data, struct wire_link *link, const struct err *why)
{
	(void)link;
	(void)why;
	drop(data);
}

static void greet(struct keeper *k, int fd)
{
	struct sock_peer peer;
	struct proc_stat st;
	struct err err = { 0 };
	struct client *c;
	if (sock_get_peer(fd, &peer, &err) < 0 || (peer.uid != 0 && peer.uid != geteuid())) {
		log_warn("door: refused uid %d (pid %d)", (int)peer.uid, (int)peer.pid);
		close(fd);
		return;
	}
	if (list_count(&k->door->clients) >= CLIENTS_MAX || !(c = calloc(1, sizeof(*c)))) {
		close(fd);
		return;
	}
	c->k = k;
	snprintf(c->who, sizeof(c->who), "uid %d, %s", (int)peer.uid, proc_read(peer.pid, &st) == 0 ? st.comm : "?");
	list_push(&k->door->clients, &c->link);
	c->wire = wire_link_new(k->loop, fd, CLIENT_OUT_MAX, on_message, on_gone, c);
	if (!c->wire)
		drop(c);
}

/* A client that cannot be accepted would wake the loop for ever. */
static void refuse_one(struct door *d)
{
	fds_close(&d->spare_fd);
	int peer = sock_accept(d->fd, NULL);
	if (peer >= 0)
		close(peer);
	d->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	log_warn("door: refused a client: no descriptors are left");
}

static void on_knock(void *data, int fd, int events)
{
	struct keeper *k = data;
	struct err err = { 0 };
	(void)events;
	for (int i = 0; i < CLIENTS_MAX; i++) {
		int peer = sock_accept(fd, &err);
		if (peer < 0) {
			if (err.code == EMFILE || err.code == ENFILE)
				refuse_one(k->door);
			return;
		}
		greet(k, peer);
	}
}

int door_open(struct keeper *k, int inherited_fd, struct err *err)
{
	char path[4200];
	struct door *d = calloc(1, sizeof(*d));
	if (!d)
		return err_set(err, "no memory");
	list_init(&d->clients);
	d->fd = inherited_fd;
	d->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "%s/run/keeper.sock", k->dir);
	if (d->fd < 0)
		d->fd = sock_listen_unix(path, 0600, err);
	if (d->fd >= 0)
		d->io = loop_io_new(k->loop, d->fd, LOOP_READ, on_knock, k);
	if (!d->io) {
		fds_close(&d->fd);
		fds_close(&d->spare_fd);
		free(d);
		return -1;
	}
	k->door = d;
	return 0;
}

int door_fd(const struct keeper *k)
{
	return k->door->fd;
}

void door_close(struct keeper *k)
{
	char path[4200];
	if (!k->door)
		return;
	snprintf(path, sizeof(path), "%s/run/keeper.sock", k->dir);
	unlink(path);
	list_each (&k->door->clients, at)
		drop(list_of(at, struct client, link));
	loop_io_free(&k->door->io);
	fds_close(&k->door->fd);
	fds_close(&k->door->spare_fd);
	free(k->door);
	k->door = NULL;
}

void door_note(struct keeper *k, const char *fmt, ...)
{
	char text[400];
	va_list ap;
	if (!k->door)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	list_each (&k->door->clients, at) {
		struct client *c = list_of(at, struct client, link);
		struct buf b;
		if (!c->waits_req)
			continue;
		buf_init(&b, 1024);
		size_t mark = wire_begin(&b, WIRE_note);
		wire_int(&b, WF_req, c->waits_req);
		wire_text(&b, WF_text, text);
		send(c, &b, mark);
	}
}

void door_finish(struct keeper *k)
{
	list_each (&k->door->clients, at) {
		struct client *c = list_of(at, struct client, link);
		if (!c->waits_req)
			continue;
		orders_done(c->wire, c->waits_req, 0, 0);
		wire_link_flush(c->wire, 500);
	}
}
