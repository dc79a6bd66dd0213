#include "ctl/door.h"

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

struct door {
	int fd, pidfd;
	int64_t req;
	struct buf in;
	size_t used; /* bytes of `in` that the last view borrowed */
	struct door_welcome keeper;
};

bool door_is_closed(const struct err *err)
{
	return err->code == ENOENT || err->code == ECONNREFUSED;
}

const struct door_welcome *door_keeper(const struct door *door)
{
	return &door->keeper;
}

void door_close(struct door **door)
{
	if (*door == NULL)
		return;
	fds_close(&(*door)->fd);
	fds_close(&(*door)->pidfd);
	buf_fini(&(*door)->in);
	free(*door);
	*door = NULL;
}

static int send_frames(struct door *d, const struct buf *out, struct err *err)
{
	const char *at = out->data;
	size_t left = out->len;
	if (out->failed)
		return err_sys(err, ENOMEM, "unable to ask the keeper");
	while (left > 0) {
		ssize_t n = send(d->fd, at, left, MSG_NOSIGNAL);
		struct pollfd p = { .fd = d->fd, .events = POLLOUT };
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
static int receive(struct door *d, int64_t deadline_ms, struct err *err)
{
	char *room = buf_reserve(&d->in, CHUNK);
	if (room == NULL)
		return err_sys(err, ENOMEM, "unable to listen to the keeper");
	for (;;) {
		ssize_t n = recv(d->fd, room, CHUNK, 0);
		if (n > 0) {
			d->in.len += (size_t)n;
			return 1;
		}
		if (n == 0)
			return err_sys(err, ECONNRESET, "unable to listen to the keeper");
		if (errno != EAGAIN && errno != EINTR)
			return err_sys(err, errno, "unable to listen to the keeper");
		int64_t left = deadline_ms - clock_mono_ms();
		struct pollfd p = { .fd = d->fd, .events = POLLIN };
		if (left <= 0 || (poll(&p, 1, left > INT_MAX ? INT_MAX : (int)left) == 0 && clock_mono_ms() >= deadline_ms)) {
			err_sys(err, ETIMEDOUT, "unable to listen to the keeper");
			return 0;
		}
	}
}

/* The next message; valid until the next call. 1, 0 deadline, -1. */
static int next_message(struct door *d, int64_t deadline_ms, struct wire_view *view, struct err *err)
{
	buf_drop(&d->in, d->used);
	d->used = 0;
	for (;;) {
		ssize_t n = d->in.len > 0 ? wire_parse(d->in.data, d->in.len, view, err) : 0;
		if (n < 0)
			return -1;
		if (n > 0) {
			d->used = (size_t)n;
			return wire_check(view, 'K', err) < 0 ? -1 : 1;
		}
		int rc = receive(d, deadline_ms, err);
		if (rc <= 0)
			return rc;
	}
}

static int check_peer(struct door *d, const char *dir, struct err *err)
{
	struct sock_peer peer;
	struct stat st;
	if (sock_get_peer(d->fd, &peer, err) < 0)
		return -1;
	if (stat(dir, &st) < 0)
		return err_sys(err, errno, "unable to look at %s", dir);
	if (peer.uid != 0 && peer.uid != geteuid() && peer.uid != st.st_uid)
		return err_sys(err, EPERM, "unable to trust who answers at run/keeper.sock: it runs as uid %d", (int)peer.uid);
	d->pidfd = proc_pidfd(peer.pid, NULL);
	return 0;
}

static void copy_text(char *out, size_t room, const struct wire_view *v, enum wire_field f)
{
	const char *s = wire_get_text(v, f);
	snprintf(out, room, "%s", s != NULL ? s : "");
}

static int say_hello(struct door *d, struct err *err)
{
	struct buf out;
	struct wire_view v;
	buf_init(&out, WIRE_FRAME_MAX);
	size_t mark = wire_begin(&out, WIRE_hello);
	wire_int(&out, WF_version, WIRE_VERSION);
	wire_text(&out, WF_kind, "door");
	int rc = wire_end(&out, mark) < 0 ? err_sys(err, ENOMEM, "unable to ask the keeper") : send_frames(d, &out, err);
	buf_fini(&out);
	if (rc < 0)
		return -1;
	if (next_message(d, clock_mono_ms() + HELLO_MS, &v, err) <= 0)
		return -1;
	if (v.type == WIRE_fail)
		return err_set(err, "%s", wire_get_text(&v, WF_text));
	if (v.type != WIRE_welcome)
		return err_set(err, "unable to understand the keeper: it answered hello with %s", wire_type_name(v.type));
	d->keeper.pid = (pid_t)wire_get_int(&v, WF_pid, 0);
	copy_text(d->keeper.instance, sizeof(d->keeper.instance), &v, WF_instance);
	copy_text(d->keeper.isolation, sizeof(d->keeper.isolation), &v, WF_isolation);
	copy_text(d->keeper.cgroups, sizeof(d->keeper.cgroups), &v, WF_cgroups);
	return 0;
}

int door_open(struct door **door, const char *dir, struct err *err)
{
	char path[PATH_MAX];
	struct err unread;
	if (err == NULL)
		err = &unread;
	int n = snprintf(path, sizeof(path), "%s/run/keeper.sock", dir);
	if (n >= (int)sizeof(path))
		return err_sys(err, ENAMETOOLONG, "unable to reach the keeper of %s", dir);
	struct door *d = calloc(1, sizeof(*d));
	if (d == NULL)
		return err_sys(err, ENOMEM, "unable to reach the keeper");
	d->fd = d->pidfd = -1;
	buf_init(&d->in, WIRE_FRAME_MAX * 2);
	d->fd = sock_connect_unix(path, err);
	if (d->fd < 0 || check_peer(d, dir, err) < 0 || say_hello(d, err) < 0) {
		int code = err->code;
		err_add(err, "unable to reach the keeper");
		err->code = code;
		door_close(&d);
		return -1;
	}
	*door = d;
	return 0;
}

static void read_row(struct door_row *row, const struct wire_view *v)
{
	static const char *const running[] = { "up", "ready" };
	*row = (struct door_row){ .memory_bytes = wire_get_int(v, WF_memory_bytes, MEMORY_UNKNOWN) };
	copy_text(row->kind, sizeof(row->kind), v, WF_kind);
	copy_text(row->name, sizeof(row->name), v, wire_has(v, WF_name) ? WF_name : WF_id);
	copy_text(row->state, sizeof(row->state), v, WF_state);
	copy_text(row->wanted, sizeof(row->wanted), v, WF_wanted);
	copy_text(row->cause, sizeof(row->cause), v, WF_cause);
	copy_text(row->box, sizeof(row->box), v, WF_box);
	copy_text(row->text, sizeof(row->text), v, WF_text);
	row->pid = (pid_t)wire_get_int(v, WF_pid, 0);
	row->started_ms = wire_get_int(v, WF_started_ms, 0);
	row->ready_ms = wire_get_int(v, WF_ready_ms, 0);
	row->next_ms = wire_get_int(v, WF_next_ms, 0);
	row->give_up_ms = wire_get_int(v, WF_give_up_ms, 0);
	row->crashes = wire_get_int(v, WF_crashes, 0);
	for (size_t i = 0; i < sizeof(running) / sizeof(running[0]); i++)
		row->is_running |= strcmp(row->state, running[i]) == 0;
}

static int send_request(struct door *d, const char *verb, const char *name, bool on, struct err *err)
{
	struct buf out;
	buf_init(&out, WIRE_FRAME_MAX);
	size_t mark = wire_begin(&out, WIRE_door);
	wire_int(&out, WF_req, ++d->req);
	wire_text(&out, WF_verb, verb);
	wire_text(&out, WF_name, name);
	wire_int(&out, WF_on, on);
	int rc = wire_end(&out, mark) < 0 ? err_sys(err, ENOMEM, "unable to ask the keeper") : send_frames(d, &out, err);
	buf_fini(&out);
	return rc;
}

enum door_end door_ask(struct door *d, const char *verb, const char *name, bool on, int timeout_ms, door_row_fn *row,
		       door_note_fn *note, void *data, struct err *err)
{
	struct wire_view v;
	struct door_row one;
	if (send_request(d, verb, name, on, err) < 0)
		return err->code == EPIPE || err->code == ECONNRESET ? DOOR_GONE : DOOR_BROKEN;
	for (;;) {
		int rc = next_message(d, clock_mono_ms() + timeout_ms, &v, err);
		if (rc == 0)
			return DOOR_TIMED_OUT;
		if (rc < 0)
			return err->code == ECONNRESET ? DOOR_GONE : DOOR_BROKEN;
		if (wire_get_int(&v, WF_req, d->req) != d->req)
			continue;
		if (v.type == WIRE_row && row != NULL) {
			read_row(&one, &v);
			row(data, &one);
		} else if (v.type == WIRE_note && note != NULL) {
			note(data, wire_get_text(&v, WF_text));
		} else if (v.type == WIRE_fail) {
			err_set(err, "%s", wire_get_text(&v, WF_text));
			err->code = (int)wire_get_int(&v, WF_code, 0);
			return DOOR_REFUSED;
		} else if (v.type == WIRE_done || v.type == WIRE_ok) {
			return DOOR_DONE;
		}
	}
}

int door_wait_gone(struct door *d, int timeout_ms)
{
	struct pollfd p = { .fd = d->pidfd, .events = POLLIN };
	if (d->pidfd < 0)
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
