#include "keeper/keeper.h"
#include <ctype.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/log.h"
#include "base/text.h"
#include "keeper/crumb.h"
#include "keeper/door.h"
#include "keeper/listen.h"
#include "keeper/orders.h"
#include "sys/clock.h"
#include "sys/fds.h"
#include "sys/notify.h"
#include "sys/sock.h"

#define LINK_OUT_MAX (8 * 1024 * 1024)
/* A link ends a moment before its process does: only who outlives it by this much is ended for it. */
#define DEAF_MS      1000
#define BEATS_MISSED 6 /* ticks of our own, not wall time: a suspended machine kills nobody */
/* How long a stop waits for the backend to acknowledge the ends of kernels before it is stopped itself. */
#define ACK_WAIT_MS     10000
#define ACK_WAIT_NOW_MS 500 /* a backend that is well needs a commit's time */

const char *keeper_isolation(const struct keeper *k)
{
	return accounts_is_one_user(k->accounts) ? "none" : "users";
}

/* --- links to backend and logger --- */

static struct wire_link **link_of(struct keeper *k, const char *service)
{
	return !strcmp(service, "backend") ? &k->backend : !strcmp(service, "logger") ? &k->logger : NULL;
}

static void unlink_peer(struct keeper *k, struct wire_link **at)
{
	if (at == &k->backend) {
		orders_tell_refusals(k);
		journal_attach(k->journal, NULL);
		k->backend_said_hello = false;
		k->beat = false;
		k->busy = -1; /* until the next one says */
		k->missed_beats = 0;
		loop_timer_stop(k->tick);
	} else {
		output_attach(k->output, NULL);
	}
	wire_link_free(at);
}

static void on_gone(void *data, struct wire_link *link, const struct err *why)
{
	struct keeper *k = data;
	snprintf(k->cut_text, sizeof(k->cut_text), "%.190s", why ? why->text : "closed");
	log_debug("%s: %s", link == k->backend ? "backend" : "logger", k->cut_text);
	loop_timer_start(k->deaf, DEAF_MS);
	unlink_peer(k, link == k->backend ? &k->backend : &k->logger);
}

static void on_message(void *data, struct wire_link *link, const struct wire_view *msg, const int *fds, size_t nfds)
{
	struct keeper *k = data;
	struct err err = { 0 };
	for (size_t i = 0; i < nfds; i++) /* nobody may park descriptors with us */
		close(fds[i]);
	if (link == k->backend) {
		orders_message(k, msg);
	} else if (wire_check(msg, 'L', &err) < 0) {
		log_warn("refused a message of the logger: %s", err.text);
	} else if (msg->type == WIRE_hello) {
		orders_welcome(k, link);
		output_attach(k->output, link);
	} else {
		output_message(k->output, msg);
	}
}

int keeper_take_link(struct keeper *k, const char *service, int fd, const void *pending, size_t len)
{
	struct wire_link **at = link_of(k, service);
	*at = wire_link_new(k->loop, fd, LINK_OUT_MAX, on_message, on_gone, k);
	if (!*at || (len && wire_link_preload(*at, pending, len) < 0))
		return -1;
	return 0;
}

/* --- hooks of the services --- */

/* "page" -> DSS_LISTEN_PAGE_FD; the text lives as long as the keeper. */
static const char *listen_env(const char *name)
{
	static char kept[8][64];
	static int n;
	char text[64] = "DSS_LISTEN_";
	for (size_t i = 0; name[i] && i < 31; i++)
		text[11 + i] = (char)toupper((unsigned char)name[i]);
	strcat(text, "_FD");
	for (int i = 0; i < n; i++)
		if (!strcmp(kept[i], text))
			return kept[i];
	return n == 8 ? NULL : strcpy(kept[n++], text);
}

int keeper_give(void *keeper, struct service *s, struct proc_fd *fds, size_t *nfds, struct err *err)
{
	struct keeper *k = keeper;
	struct wire_link **at = link_of(k, s->plan->desc.id);
	*nfds = 0;
	for (char **name = s->plan->inherit; name && *name; name++) {
		struct keeper_listen *l = listen_find(k, *name);
		const char *env = l ? listen_env(*name) : NULL;
		if (!env || *nfds == SERVICE_FDS_MAX - 2)
			return err_set(err, "service %s inherits \"%s\", which does not listen", s->plan->desc.id, *name);
		fds[(*nfds)++] = (struct proc_fd){ l->fd, env };
	}
	if (!at)
		return 0;
	int pair[2];
	if (sock_pair(pair, err) < 0)
		return -1;
	if (*at) /* the link of one that has ended */
		unlink_peer(k, at);
	if (keeper_take_link(k, s->plan->desc.id, pair[0], NULL, 0) < 0) {
		close(pair[1]);
		return err_set(err, "no memory");
	}
	if (at == &k->backend && k->crumb_fd >= 0)
		fds[(*nfds)++] = (struct proc_fd){ k->crumb_fd, CRUMB_ENV };
	fds[(*nfds)++] = (struct proc_fd){ pair[1], "DSS_KEEPER_FD" };
	return 0;
}

void keeper_given(void *keeper, struct service *s, struct proc_fd *fds, size_t nfds, bool is_started)
{
	struct keeper *k = keeper;
	struct wire_link **at = link_of(k, s->plan->desc.id);
	if (!at)
		return;
	if (nfds > 0)
		close(fds[nfds - 1].fd); /* the far end; the sockets stay ours */
	if (is_started && at == &k->backend) {
		k->beat = true;
		k->missed_beats = 0;
		loop_timer_start(k->tick, k->tick_ms);
	}
}

void keeper_end_deaf(void *keeper)
{
	static const char *const names[] = { "backend", "logger" };
	struct keeper *k = keeper;
	for (size_t i = 0; i < 2; i++) {
		struct service *s = services_find(&k->services, names[i]);
		if (*link_of(k, names[i]) || !s->proc || s->proc->state >= PROC_STOPPING)
			continue;
		log_error("%s lives on without its connection to the keeper (%s): killing it", names[i], k->cut_text);
		proc_kill(s->proc, "lost", k->cut_text, "keeper");
	}
}

/* --- heartbeat --- */

void keeper_tick(void *keeper)
{
	struct keeper *k = keeper;
	struct service *s = services_find(&k->services, "backend");
	if (k->phase >= KEEPER_STOPPING || !s->proc || !proc_is_alive(s->proc))
		return; /* while stopping the same timer bounds the wait for acknowledgements */
	loop_timer_start(k->tick, k->tick_ms);
	if (k->beat || s->state != SERVICE_UP) { /* while it starts, its ready deadline watches it */
		k->beat = false;
		k->missed_beats = 0;
		return;
	}
	if (++k->missed_beats < BEATS_MISSED)
		return;
	char missed[40], text[80];
	text_print_duration((int64_t)BEATS_MISSED * k->tick_ms, missed, sizeof(missed));
	snprintf(text, sizeof(text), "no heartbeat for %s", missed);
	log_error("backend gave %s: killing it", text);
	proc_kill(s->proc, "lost", text, "keeper");
}

/* --- stopping --- */

static bool is_core(const struct service *s)
{
	return !strcmp(s->plan->desc.id, "backend") || !strcmp(s->plan->desc.id, "logger");
}

static bool is_quiet(const struct service *s)
{
	return !s->proc;
}

void keeper_stop(struct keeper *k, bool now, const char *by)
{
	if (k->phase >= KEEPER_STOPPING && (k->stop_now || !now))
		return;
	if (!k->stop_by[0])
		snprintf(k->stop_by, sizeof(k->stop_by), "%s", by);
	k->stop_now = now;
	if (k->phase < KEEPER_STOPPING)
		k->phase = KEEPER_STOPPING;
	k->services.is_closing = true;
	notify_send("STOPPING=1");
	log_info("stopping%s (by %s)", now ? " now" : "", by);
	list_each (&k->procs.all, at) {
		struct proc *p = list_of(at, struct proc, link);
		if (p->owner.ended || !proc_is_alive(p))
			continue;
		if (now)
			proc_kill(p, "shutdown", "the node was stopped", by);
		else
			proc_stop(p, "shutdown", "the node was stopped", by, -1);
	}
	list_each (&k->services.all, at) {
		struct service *s = list_of(at, struct service, link);
		if (!is_core(s))
			service_stop(s, "shutdown", "the node was stopped", by, now);
	}
	if (now && k->phase == KEEPER_STOPPING_BACKEND)
		service_stop(services_find(&k->services, "backend"), "shutdown", "the node was stopped", by, true);
	loop_timer_start(k->tick, now ? ACK_WAIT_NOW_MS : ACK_WAIT_MS);
}

void keeper_tell_drain(struct keeper *k)
{
	struct buf b;
	if (k->phase != KEEPER_DRAINING || !k->backend_said_hello)
		return;
	buf_init(&b, 64);
	size_t mark = wire_begin(&b, WIRE_drain);
	if (wire_end(&b, mark) < 0 || wire_link_send(k->backend, &b, NULL, 0) < 0)
		log_error("unable to tell the backend to drain: its queue is full");
	buf_fini(&b);
}

/* Whether a backend lives or is about to. */
static bool is_backend_coming(const struct keeper *k)
{
	const struct service *s = services_find(&k->services, "backend");
	return s->wanted_up && s->state != SERVICE_FAILED;
}

void keeper_drain(struct keeper *k, const char *by)
{
	if (k->phase != KEEPER_RUNNING)
		return;
	snprintf(k->stop_by, sizeof(k->stop_by), "%s", by);
	if (!is_backend_coming(k)) {
		door_note(k, "no backend lives: nobody to wait for");
		keeper_stop(k, false, by);
		return;
	}
	log_info("draining (by %s)", by);
	k->phase = KEEPER_DRAINING;
	k->busy = -1; /* until the backend says */
	keeper_tell_drain(k);
}

/* Whether the logger can still write what ended processes have said; if not, nobody waits for it. */
static bool is_logger_there(const struct keeper *k)
{
	enum service_state state = services_find(&k->services, "logger")->state;
	return state == SERVICE_STARTING || state == SERVICE_UP;
}

static bool is_over(const struct keeper *k, const struct proc *p)
{
	return p->state >= PROC_DEAD || (p->state == PROC_ENDED && p->is_box_quiet && !is_logger_there(k));
}

static bool are_others_quiet(const struct keeper *k, bool unacknowledged_too)
{
	list_each (&k->procs.all, at) {
		const struct proc *p = list_of(at, struct proc, link);
		if (!p->owner.ended && (!is_over(k, p) || (unacknowledged_too && p->exit_seq > journal_acked(k->journal))))
			return false;
	}
	list_each (&k->services.all, at) {
		const struct service *s = list_of(at, struct service, link);
		if (!is_core(s) && !is_quiet(s))
			return false;
	}
	return true;
}

static void stop_core(struct keeper *k, const char *name, enum keeper_phase next)
{
	door_note(k, "stopping %s", name);
	k->phase = next;
	service_stop(services_find(&k->services, name), "shutdown", "the node was stopped", k->stop_by,
		     k->stop_now && next != KEEPER_STOPPING_LOGGER);
}

static void told_ready(struct keeper *k)
{
	list_each (&k->services.all, at)
		if (list_of(at, struct service, link)->state != SERVICE_UP)
			return;
	k->is_told_ready = true;
	notify_send("READY=1\nSTATUS=all services are ready");
	log_info("all services are ready");
	malloc_trim(0); /* what frames and plan took on the way is not needed again */
}

static void advance_once(struct keeper *k)
{
	switch (k->phase) {
	case KEEPER_RUNNING:
		if (!k->is_told_ready)
			told_ready(k);
		break;
	case KEEPER_DRAINING:
		if (k->busy == 0 || !is_backend_coming(k)) {
			door_note(k, k->busy == 0 ? "no kernel is at work any more" : "no backend lives: nobody to wait for");
			keeper_stop(k, false, k->stop_by);
		}
		break;
	case KEEPER_STOPPING:
		/* the backend gets to know every end, unless it is gone or does not acknowledge in time */
		if (are_others_quiet(k, k->backend && k->backend_said_hello && loop_timer_is_running(k->tick)))
			stop_core(k, "backend", KEEPER_STOPPING_BACKEND);
		break;
	case KEEPER_STOPPING_BACKEND:
		if (is_quiet(services_find(&k->services, "backend")))
			stop_core(k, "logger", KEEPER_STOPPING_LOGGER);
		break;
	case KEEPER_STOPPING_LOGGER:
		if (is_quiet(services_find(&k->services, "logger"))) {
			k->phase = KEEPER_STOPPED;
			loop_stop(k->loop);
		}
		break;
	case KEEPER_STOPPED:
		break;
	}
}

void keeper_advance(struct keeper *k)
{
	enum keeper_phase before;
	journal_pump(k->journal);
	output_pump(k->output);
	do { /* a phase may have nothing to wait for, and then no event would bring the next turn */
		before = k->phase;
		advance_once(k);
	} while (k->phase != before);
}
