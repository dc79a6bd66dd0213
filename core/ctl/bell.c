#include "ctl/bell.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "keeper/wire.h"
#include "sys/clock.h"
#include "sys/fds.h"
#include "sys/proc.h"
#include "sys/sock.h"

enum { HELLO_MS = 5000, CHUNK = 65536, MEMORY_UNKNOWN = -1 };

struct bell {
	int fd, pidfd;
	int64_t req;
	struct buf in;
	size_t used; /* bytes of `in` that the last view borrowed */
	struct bell_welcome keeper;
};

bool bell_is_closed(const struct err *err)
{
	return err->code == ENOENT || err->code == ECONNREFUSED;
}

const struct bell_welcome *bell_keeper(const struct bell *bell)
{
	return &bell->keeper;
}

void bell_close(struct bell **bell)
{
	if (*bell == NULL)
		return;
	fds_close(&(*bell)->fd);
	fds_close(&(*bell)->pidfd);
	buf_fini(&(*bell)->in);
	free(*bell);
	*bell = NULL;
}

static int send_frames(struct bell *b, const struct buf *out, struct err *err)
{
	const char *at = out->data;
	size_t left = out->len;
	if (out->failed)
		return err_sys(err, ENOMEM, "unable to ask the keeper");
	while (left > 0) {
		ssize_t n = send(b->fd, at, left, MSG_NOSIGNAL);
		struct pollfd p = { .fd = b->fd, .events = POLLOUT };
		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			if (errno == EAGAIN && poll(&p, 1, HELLO_MS) == 0)
				return err_sys(err, ETIMEDOUT, "unable to ask the keeper");
			continue;
		}
		if (n < 0)
			return err_sys(err, errno, "unable to ask the keeper");
		at += n;
		left -= (size_t)n;
	}
	return 0;
}

/* 1 some bytes, 0 deadline, -1 gone or broken. */
static int receive(struct bell *b, int64_t deadline_ms, struct err *err)
{
	char *room = buf_reserve(&b->in, CHUNK);
	if (room == NULL)
		return err_sys(err, ENOMEM, "unable to listen to the keeper");
	for (;;) {
		ssize_t n = recv(b->fd, room, CHUNK, 0);
		if (n > 0) {
			b->in.len += (size_t)n;
			return 1;
		}
		if (n == 0)
			return err_sys(err, ECONNRESET, "unable to listen to the keeper");
		if (errno != EAGAIN && errno != EINTR)
			return err_sys(err, errno, "unable to listen to the keeper");
		int64_t left = deadline_ms - clock_mono_ms();
		struct pollfd p = { .fd = b->fd, .events = POLLIN };
		if (left <= 0 || (poll(&p, 1, left > INT_MAX ? INT_MAX : (int)left) == 0 && clock_mono_ms() >= deadline_ms)) {
			err_sys(err, ETIMEDOUT, "unable to listen to the keeper");
			return 0;
		}
	}
}

/* The next message; valid until the next call. 1, 0 deadline, -1. */
static int next_message(struct bell *b, int64_t deadline_ms, struct wire_view *view, struct err *err)
{
	buf_drop(&b->in, b->used);
	b->used = 0;
	for (;;) {
		ssize_t n = b->in.len > 0 ? wire_parse(b->in.data, b->in.len, view, err) : 0;
		if (n < 0)
			return -1;
		if (n > 0) {
			b->used = (size_t)n;
			return wire_check(view, 'K', err) < 0 ? -1 : 1;
		}
		int rc = receive(b, deadline_ms, err);
		if (rc <= 0)
			return rc;
	}
}

static int check_peer(struct bell *b, const char *dir, struct err *err)
{
	struct sock_peer peer;
	struct stat st;
	if (sock_get_peer(b->fd, &peer, err) < 0)
		return -1;
	if (stat(dir, &st) < 0)
		return err_sys(err, errno, "unable to look at %s", dir);
	if (peer.uid != 0 && peer.uid != geteuid() && peer.uid != st.st_uid)
		return err_sys(err, EPERM, "unable to trust who answers at run/keeper.sock: it runs as uid %d", (int)peer.uid);
	b->pidfd = proc_pidfd(peer.pid, NULL);
	return 0;
}

static void copy_text(char *out, size_t room, const struct wire_view *v, enum wire_field f)
{
	const char *s = wire_get_text(v, f);
	snprintf(out, room, "%s", s != NULL ? s : "");
}

static int say_hello(struct bell *b, struct err *err)
{
	struct buf out;
	struct wire_view v;
	buf_init(&out, WIRE_FRAME_MAX);
	size_t mark = wire_begin(&out, WIRE_hello);
	wire_int(&out, WF_version, WIRE_VERSION);
	wire_text(&out, WF_kind, "door");
	int rc = wire_end(&out, mark) < 0 ? err_sys(err, ENOMEM, "unable to ask the keeper") : send_frames(b, &out, err);
	buf_fini(&out);
	if (rc < 0)
		return -1;
	if (next_message(b, clock_mono_ms() + HELLO_MS, &v, err) <= 0)
		return -1;
	if (v.type == WIRE_fail)
		return err_set(err, "%s", wire_get_text(&v, WF_text));
	if (v.type != WIRE_welcome)
		return err_set(err, "unable to understand the keeper: it answered hello with %s", wire_type_name(v.type));
	b->keeper.pid = (pid_t)wire_get_int(&v, WF_pid, 0);
	copy_text(b->keeper.instance, sizeof(b->keeper.instance), &v, WF_instance);
	copy_text(b->keeper.isolation, sizeof(b->keeper.isolation), &v, WF_isolation);
	copy_text(b->keeper.cgroups, sizeof(b->keeper.cgroups), &v, WF_cgroups);
	return 0;
}

int bell_open(struct bell **bell, const char *dir, struct err *err)
{
	char path[PATH_MAX];
	struct err unread;
	if (err == NULL)
		err = &unread;
	int n = snprintf(path, sizeof(path), "%s/run/keeper.sock", dir);
	if (n >= (int)sizeof(path))
		return err_sys(err, ENAMETOOLONG, "unable to reach the keeper of %s", dir);
	struct bell *b = calloc(1, sizeof(*b));
	if (b == NULL)
		return err_sys(err, ENOMEM, "unable to reach the keeper");
	b->fd = b->pidfd = -1;
	buf_init(&b->in, WIRE_FRAME_MAX * 2);
	b->fd = sock_connect_unix(path, err);
	if (b->fd < 0 || check_peer(b, dir, err) < 0 || say_hello(b, err) < 0) {
		err_add(err, "unable to reach the keeper");
		bell_close(&b);
		return -1;
	}
	*bell = b;
	return 0;
}

static void read_row(struct bell_row *row, const struct wire_view *v)
{
	static const char *const running[] = { "up", "ready" };
	*row = (struct bell_row){ .memory_bytes = wire_get_int(v, WF_memory_bytes, MEMORY_UNKNOWN) };
	copy_text(row->kind, sizeof(row->kind), v, WF_kind);
	copy_text(row->name, sizeof(row->name), v, wire_has(v, WF_name) ? WF_name : WF_id);
	copy_text(row->state, sizeof(row->state), v, WF_state);
	copy_text(row->wanted, sizeof(row->wanted), v, WF_wanted);
	copy_text(row->cause, sizeof(row->cause), v, WF_cause);
	copy_text(row->box, sizeof(row->box), v, WF_box);
	copy_text(row->cgroup, sizeof(row->cgroup), v, WF_cgroup);
	copy_text(row->text, sizeof(row->text), v, WF_text);
	row->pid = (pid_t)wire_get_int(v, WF_pid, 0);
	row->started_ms = wire_get_int(v, WF_started_ms, 0);
	row->ready_ms = wire_get_int(v, WF_ready_ms, 0);
	row->next_ms = wire_get_int(v, WF_next_ms, 0);
	row->give_up_ms = wire_get_int(v, WF_give_up_ms, 0);
	row->crashes = wire_get_int(v, WF_crashes, 0);
	/* The keeper counts its processes there. */
	row->restarts = strcmp(row->kind, "service") == 0 ? wire_get_int(v, WF_count, row->crashes) : 0;
	for (size_t i = 0; i < sizeof(running) / sizeof(running[0]); i++)
		row->is_running |= strcmp(row->state, running[i]) == 0;
}

static int send_request(struct bell *b, const char *verb, const char *name, bool on, struct err *err)
{
	struct buf out;
	buf_init(&out, WIRE_FRAME_MAX);
	size_t mark = wire_begin(&out, WIRE_door);
	wire_int(&out, WF_req, ++b->req);
	wire_text(&out, WF_verb, verb);
	wire_text(&out, WF_name, name);
	wire_int(&out, WF_on, on);
	int rc = wire_end(&out, mark) < 0 ? err_sys(err, ENOMEM, "unable to ask the keeper") : send_frames(b, &out, err);
	buf_fini(&out);
	return rc;
}

enum bell_end bell_ask(struct bell *b, const char *verb, const char *name, bool on, int timeout_ms, bell_row_fn *row,
		       bell_note_fn *note, void *data, struct err *err)
{
	struct wire_view v;
	struct bell_row one;
	if (send_request(b, verb, name, on, err) < 0)
		return err->code == EPIPE || err->code == ECONNRESET ? BELL_GONE : BELL_BROKEN;
	for (;;) {
		int rc = next_message(b, clock_mono_ms() + timeout_ms, &v, err);
		if (rc == 0)
			return BELL_TIMED_OUT;
		if (rc < 0)
			return err->code == ECONNRESET ? BELL_GONE : BELL_BROKEN;
		if (wire_get_int(&v, WF_req, b->req) != b->req)
			continue;
		if (v.type == WIRE_row && row != NULL) {
			read_row(&one, &v);
			row(data, &one);
		} else if (v.type == WIRE_note && note != NULL) {
			note(data, wire_get_text(&v, WF_text));
		} else if (v.type == WIRE_fail) {
			err_set(err, "%s", wire_get_text(&v, WF_text));
			err->code = (int)wire_get_int(&v, WF_code, 0);
			return BELL_REFUSED;
		} else if (v.type == WIRE_done || v.type == WIRE_ok) {
			return BELL_DONE;
		}
	}
}

int bell_wait_gone(struct bell *b, int timeout_ms)
{
	struct pollfd p = { .fd = b->pidfd, .events = POLLIN };
	if (b->pidfd < 0)
		return 0;
	int64_t deadline_ms = clock_mono_ms() + timeout_ms;
	for (;;) {
		int64_t left = deadline_ms - clock_mono_ms();
		int n = poll(&p, 1, left < 0 ? 0 : (int)left);
		if (n > 0)
			return 0;
		if (n == 0 || errno != EINTR)
			return -1;
	}
}

void bell_wait_hangup(struct bell *b, int timeout_ms)
{
	int64_t deadline_ms = clock_mono_ms() + timeout_ms;
	struct err err;
	while (receive(b, deadline_ms, &err) > 0)
		buf_clear(&b->in);
}
