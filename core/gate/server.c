#include "gate/conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/log.h"
#include "sys/clock.h"
#include "sys/fds.h"
#include "sys/sock.h"

/* One read of a connection; also how much is parsed before others get their turn. */
static const size_t SCRATCH_SIZE = 64 * 1024;
/* New connections taken in one turn of the loop. */
static const int ACCEPTS_MAX = 64;
/* After a lack of descriptors; whatever closes here makes it resume at once. */
static const int64_t RESUME_MS = 250;
/* The sweep need not be sharper than this; it bounds the wake-ups under many short-lived connections. */
static const int64_t SWEEP_LEAST_MS = 50;
static const int64_t LINGER_MS = 2000;
/* A peer that vanished without a word is noticed after 60 + 4 * 15 s, also during a long poll. */
static const int KEEPALIVE_IDLE_S = 60, KEEPALIVE_EVERY_S = 15, KEEPALIVE_PROBES = 4;

void gate_settings_init(struct gate_settings *s)
{
	*s = (struct gate_settings){
		.version = "",
		.api_version = "",
		.connections_max = 1024,
		.per_peer_max = 256,
		.body_max = 8 << 20,
		.answer_max = 32 << 20,
		.unsent_max = 8 << 20,
		.memory_max = 256 << 20,
		.header_ms = 10000,
		.body_ms = 60000,
		.idle_ms = 60000,
		.write_ms = 30000,
	};
}

/* --- the sweep --- */

static int64_t limit_of(const struct gate *g, enum phase phase)
{
	switch (phase) {
	case PHASE_IDLE:
		return g->s.idle_ms;
	case PHASE_HEADER:
		return g->s.header_ms;
	case PHASE_BODY:
		return g->s.body_ms;
	case PHASE_WRITING:
		return g->s.write_ms;
	case PHASE_LINGER:
		return LINGER_MS;
	case PHASE_BUSY:
	case PHASES:
		break;
	}
	return 0;
}

void gate_watch_phase(struct gate *g, enum phase phase, int64_t since_ms)
{
	int64_t limit = limit_of(g, phase);
	if (limit == 0)
		return;
	int64_t at = since_ms + limit;
	if (loop_timer_is_running(g->sweep) && g->sweep_at_ms <= at)
		return;
	int64_t delay = at - clock_mono_ms();
	if (delay < SWEEP_LEAST_MS)
		delay = SWEEP_LEAST_MS;
	g->sweep_at_ms = clock_mono_ms() + delay;
	loop_timer_start(g->sweep, delay);
}

/* The longest in that phase, of one peer or (NULL) of all; NULL: none. */
static struct conn *oldest_of(const struct gate *g, enum phase phase, const struct peer *peer)
{
	list_each (&g->phase[phase], p) {
		struct conn *c = list_of(p, struct conn, link);
		if (peer == NULL || c->peer == peer)
			return c;
	}
	return NULL;
}

static struct conn *oldest(const struct gate *g, enum phase phase)
{
	return oldest_of(g, phase, NULL);
}

static void on_sweep(void *data)
{
	struct gate *g = data;
	int64_t now = clock_mono_ms();
	for (enum phase phase = 0; phase < PHASES; phase++) {
		int64_t limit = limit_of(g, phase);
		struct conn *c;
		/* Expiring moves a conn to another phase or frees it, so the loop ends. */
		while (limit > 0 && (c = oldest(g, phase)) != NULL && c->since_ms + limit <= now)
			conn_expire(c);
	}
	for (enum phase phase = 0; phase < PHASES; phase++) {
		struct conn *c = oldest(g, phase);
		if (c != NULL)
			gate_watch_phase(g, phase, c->since_ms);
	}
}

/* --- what must not happen inside somebody's call --- */

void gate_do_later(struct gate *g)
{
	if (!loop_timer_is_running(g->later))
		loop_timer_start(g->later, 0);
}

static void on_later(void *data)
{
	struct gate *g = data;
	struct list *first;
	while ((first = list_first(&g->kicked)) != NULL) {
		list_remove(first);
		conn_continue(list_of(first, struct conn, kick));
	}
	reply_deliver_gone(g);
	conn_free_closed(g);
}

/* --- accepting --- */

/* Makes place, among a peer's (NULL: all) connections, by closing the one that matters least; false: all are at work. */
static bool make_place(struct gate *g, const struct peer *peer)
{
	struct conn *c = oldest_of(g, PHASE_LINGER, peer);
	if (c == NULL)
		c = oldest_of(g, PHASE_IDLE, peer);
	if (c == NULL)
		return false;
	conn_close(c);
	return true;
}

/* One attempt to say why, then closed: there is no place to wait for the client. */
static void refuse(struct gate *g, int fd, const char *text)
{
	if (reply_put_fault(g, 503, text, false) == 0) {
		ssize_t n = send(fd, g->head.data, g->head.len, MSG_DONTWAIT | MSG_NOSIGNAL);
		(void)n;
		shutdown(fd, SHUT_WR);
		/* Bytes left unread would turn the answer into a reset. */
		n = recv(fd, g->scratch, SCRATCH_SIZE, MSG_DONTWAIT);
		(void)n;
	}
	fds_close(&fd);
}

static void pause_accepting(struct gate *g)
{
	loop_io_set(g->listen_io, 0);
	loop_timer_start(g->resume, RESUME_MS);
}

static void on_resume(void *data)
{
	struct gate *g = data;
	if (g->spare_fd < 0)
		g->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (!g->drains)
		loop_io_set(g->listen_io, LOOP_READ);
}

/* No descriptor is left: the longest idle connection goes for the new one; where none is, one client is told so with
 * the spare descriptor and the others wait in the queue. */
static bool survive_lack(struct gate *g)
{
	if (make_place(g, NULL))
		return true;
	log_warn("unable to accept a connection: no file descriptors left (%zu connections), next try in %d ms",
		 g->stats.connections, (int)RESUME_MS);
	fds_close(&g->spare_fd);
	int fd = sock_accept(g->listen_fd, NULL);
	if (fd >= 0) {
		g->stats.refused_full++;
		refuse(g, fd, "the server has no file descriptors left, try again");
	}
	g->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	pause_accepting(g);
	return false;
}

/* Counts c with its peer; false: the peer has too many, and all are at work. */
static bool join_peer(struct gate *g, struct conn *c, const char *key, size_t most)
{
	struct peer *peer = map_get(g->peers, key);
	if (peer == NULL) {
		peer = calloc(1, sizeof(*peer) + strlen(key) + 1);
		if (peer == NULL)
			return false;
		strcpy(peer->key, key);
		if (map_set(g->peers, key, peer) < 0) {
			free(peer);
			return false;
		}
	}
	/* Not its last one: the peer itself goes with that. */
	if (peer->count >= most && (peer->count < 2 || !make_place(g, peer)))
		return false;
	peer->count++;
	c->peer = peer;
	return true;
}

static void leave_peer(struct gate *g, struct conn *c)
{
	if (c->peer == NULL || --c->peer->count > 0)
		return;
	map_remove(g->peers, c->peer->key);
	free(c->peer);
	c->peer = NULL;
}

void gate_left(struct gate *g, struct conn *c)
{
	leave_peer(g, c);
	g->stats.connections--;
	if (loop_timer_is_running(g->resume)) {
		loop_timer_stop(g->resume);
		on_resume(g);
	}
}

/* Addresses that one host chooses freely count as one: an IPv6 /64. Returns how many connections who has that key may have. */
static size_t name_peer(struct gate *g, struct conn *c, char *key, size_t room)
{
	size_t own = 0;
	struct sock_peer who;
	struct in6_addr v6;
	snprintf(key, room, "unknown");
	if (g->is_unix) {
		snprintf(c->peer_text, sizeof(c->peer_text), "unix");
		if (sock_get_peer(c->fd, &who, NULL) == 0) {
			c->uid = who.uid;
			c->pid = who.pid;
			own = g->s.own_room ? g->s.own_room(g->data, who.uid, who.pid) : 0;
			snprintf(key, room, own ? "pid %u" : "uid %u", own ? (unsigned)who.pid : (unsigned)who.uid);
		}
		return own ? own : g->s.per_peer_max;
	}
	if (sock_peer_address(c->fd, c->peer_text, sizeof(c->peer_text)) < 0)
		snprintf(c->peer_text, sizeof(c->peer_text), "unknown");
	else if (inet_pton(AF_INET6, c->peer_text, &v6) == 1)
		snprintf(key, room, "%02x%02x%02x%02x%02x%02x%02x%02x/64", v6.s6_addr[0], v6.s6_addr[1], v6.s6_addr[2],
			 v6.s6_addr[3], v6.s6_addr[4], v6.s6_addr[5], v6.s6_addr[6], v6.s6_addr[7]);
	else
		snprintf(key, room, "%s", c->peer_text);
	return g->s.per_peer_max;
}

static void take_connection(struct gate *g, int fd)
{
	char key[64], text[160];
	g->stats.accepted++;
	if (g->stats.connections >= g->s.connections_max && !make_place(g, NULL)) {
		g->stats.refused_full++;
		snprintf(text, sizeof(text), "the server has all of its %zu connections in use, try again", g->s.connections_max);
		refuse(g, fd, text);
		return;
	}
	struct conn *c = conn_open(g, fd);
	if (c == NULL) {
		log_error("unable to serve a connection: no memory");
		return;
	}
	g->stats.connections++;
	size_t most = name_peer(g, c, key, sizeof(key));
	if (!join_peer(g, c, key, most)) {
		g->stats.refused_peer++;
		snprintf(text, sizeof(text), "%s has all of its %zu connections in use, close some", c->peer_text, most);
		conn_fault(c, 503, text);
	}
}

static void on_connection(void *data, int listen_fd, int events)
{
	struct gate *g = data;
	(void)events;
	for (int i = 0; i < ACCEPTS_MAX; i++) {
		struct err err;
		int fd = sock_accept(listen_fd, &err);
		if (fd >= 0) {
			take_connection(g, fd);
		} else if (err.code == EMFILE || err.code == ENFILE || err.code == ENOBUFS || err.code == ENOMEM) {
			if (!survive_lack(g))
				return;
		} else if (err.code == EAGAIN || err.code == EWOULDBLOCK) {
			return;
		} else if (err.code != ECONNABORTED && err.code != EINTR) {
			/* Network errors of one connection arrive here too (accept(2)); anything lasting must not spin. */
			log_warn("%s, next try in %d ms", err.text, (int)RESUME_MS);
			pause_accepting(g);
			return;
		}
	}
}

/* --- life --- */

/* Accepted sockets inherit these. */
static void set_options(int fd)
{
	int on = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &KEEPALIVE_IDLE_S, sizeof(int));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &KEEPALIVE_EVERY_S, sizeof(int));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &KEEPALIVE_PROBES, sizeof(int));
}

static int listen_on(struct gate *g, struct err *err)
{
	struct sockaddr_storage own = { 0 };
	socklen_t len = sizeof(own);
	if (getsockname(g->listen_fd, (struct sockaddr *)&own, &len) < 0)
		return err_sys(err, errno, "unable to look at the listening socket");
	g->is_unix = own.ss_family == AF_UNIX;
	if (!g->is_unix)
		set_options(g->listen_fd);
	/* Inherited sockets may be blocking. */
	return fds_nonblock(g->listen_fd, true, err);
}

static bool has_all(const struct gate *g)
{
	return g->listen_io != NULL && g->resume != NULL && g->sweep != NULL && g->later != NULL && g->peers != NULL &&
	       g->hosts != NULL && g->scratch != NULL && g->version != NULL && g->api_version != NULL;
}

struct gate *gate_new(struct loop *loop, int listen_fd, const struct gate_settings *s, gate_handler *fn, void *data,
		      struct err *err)
{
	struct gate *g = calloc(1, sizeof(*g));
	if (g == NULL) {
		err_sys(err, ENOMEM, "unable to start the HTTP server");
		fds_close(&listen_fd);
		return NULL;
	}
	*g = (struct gate){ .loop = loop, .fn = fn, .data = data, .s = *s, .listen_fd = listen_fd, .spare_fd = -1 };
	for (int i = 0; i < PHASES; i++)
		list_init(&g->phase[i]);
	list_init(&g->kicked);
	list_init(&g->requests);
	list_init(&g->gone);
	list_init(&g->closed);
	buf_init(&g->head, 64 * 1024);
	if (listen_on(g, err) < 0)
		goto fail;
	g->version = strdup(s->version != NULL ? s->version : "");
	g->api_version = strdup(s->api_version != NULL ? s->api_version : "");
	g->hosts = host_list_new(s->hosts);
	g->peers = map_new();
	g->scratch = malloc(SCRATCH_SIZE);
	g->resume = loop_timer_new(loop, on_resume, g);
	g->sweep = loop_timer_new(loop, on_sweep, g);
	g->later = loop_timer_new(loop, on_later, g);
	g->listen_io = loop_io_new(loop, listen_fd, LOOP_READ, on_connection, g);
	g->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (has_all(g))
		return g;
	err_sys(err, ENOMEM, "unable to start the HTTP server");
fail:
	gate_free(&g);
	return NULL;
}

static void close_phase(struct gate *g, enum phase phase)
{
	struct conn *c;
	while ((c = oldest(g, phase)) != NULL)
		conn_close(c);
}

static void stop_listening(struct gate *g)
{
	loop_io_free(&g->listen_io);
	if (g->resume != NULL)
		loop_timer_stop(g->resume);
	fds_close(&g->listen_fd);
}

void gate_drain(struct gate *g)
{
	g->drains = true;
	stop_listening(g);
	close_phase(g, PHASE_IDLE);
}

void gate_free(struct gate **gp)
{
	struct gate *g = *gp;
	struct list *first;
	if (g == NULL)
		return;
	stop_listening(g);
	for (enum phase phase = 0; phase < PHASES; phase++)
		close_phase(g, phase);
	reply_deliver_gone(g);
	conn_free_closed(g);
	while ((first = list_first(&g->requests)) != NULL) {
		list_remove(first);
		list_of(first, struct request, link)->gate = NULL;
	}
	loop_timer_free(&g->resume);
	loop_timer_free(&g->sweep);
	loop_timer_free(&g->later);
	fds_close(&g->spare_fd);
	host_list_free(&g->hosts);
	map_free(&g->peers);
	buf_fini(&g->head);
	free(g->scratch);
	free(g->version);
	free(g->api_version);
	free(g);
	*gp = NULL;
}

void gate_get_stats(const struct gate *g, struct gate_stats *out)
{
	*out = g->stats;
}
