#ifndef DSS_KEEPER_WIRE_H
#define DSS_KEEPER_WIRE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/buf.h"
#include "base/err.h"
#include "sys/loop.h"
/*
 * wire: the whole contract between the keeper and everybody who talks to it: backend, logger, door (`bin/dss`). Others
 * include nothing of keeper/ but this file.
 *
 * A frame: u32 length of what follows, u16 type, u16 number of descriptors that travel with it, then fields:
 * u16 field, u32 length, bytes. All little endian. Integers are 8 bytes; text carries its NUL, has no other NUL. A frame
 * is at most WIRE_FRAME_MAX. Unknown fields are skipped, unknown types are answered with `fail`, a missing required field
 * or a malformed frame is `fail` too; a peer whose bytes do not even frame is cut off. Version N accepts N-1.
 */
#define WIRE_VERSION   1
#define WIRE_FRAME_MAX (256 * 1024)
#define WIRE_LABEL_MAX 4096
#define WIRE_FDS_MAX   4

/* clang-format off */
/* field: number, name, type (I integer, T text, B bytes) */
#define WIRE_FIELDS(X) \
	X(1, version, I) X(2, epoch, I) X(3, req, I) X(4, seq, I) X(5, id, T) X(6, kind, T) X(7, name, T) X(8, pid, I) \
	X(9, argv, T) X(10, env, T) X(11, cwd, T) X(12, user, T) X(13, box, T) X(14, sink, T) X(15, prefix, T) \
	X(16, mask, T) X(17, ready, T) X(18, stop_signal, I) X(19, grace_ms, I) X(20, label, T) X(21, secrets, B) \
	X(22, cause, T) X(23, text, T) X(24, signal, I) X(25, knob, T) X(26, value, I) X(27, on, I) X(28, code, I) \
	X(29, what, T) X(30, state, T) X(31, wanted, T) X(32, wall_ms, I) X(33, mono_ms, I) X(34, started_ms, I) \
	X(35, ready_ms, I) X(36, exited_ms, I) X(37, cpu_ms, I) X(38, peak_bytes, I) X(39, memory_bytes, I) \
	X(40, limit_bytes, I) X(41, limit_owner, T) X(42, victim_of, T) X(43, start_ticks, I) X(44, boot, T) \
	X(45, instance, T) X(46, isolation, T) X(47, cgroups, T) X(48, cgroup, T) X(49, bytes, I) X(50, lost, I) \
	X(51, verb, T) X(52, next_ms, I) X(53, give_up_ms, I) X(54, crashes, I) X(55, count, I) X(56, rlimit, T) \
	X(57, limit, T) X(58, parent, T) X(59, ready_within_ms, I) X(60, note, T) X(61, rss_bytes, I) \
	X(62, oom_kills, I) X(63, key, T) X(64, dir, T) X(65, cap, I) X(66, by, T) X(67, core_limit, I) \
	X(68, peak_source, T) X(69, pids, I) X(70, usage, T) X(71, starter, I) X(72, level, T)

/* message: number, name, from (B backend, K keeper, L logger, D door), to, required fields */
#define WIRE_MESSAGES(X) \
	X(1, hello, "BLD", "K", "version") \
	X(2, heartbeat, "B", "K", "seq") \
	X(3, spawn, "B", "K", "req id kind argv box sink") \
	X(4, stop, "B", "K", "req id cause text") \
	X(5, signal, "B", "K", "req id signal cause text") \
	X(6, route, "BK", "KL", "id sink") \
	X(7, limit, "B", "K", "req box knob value") \
	X(8, freeze, "B", "K", "req id on") \
	X(9, label, "B", "K", "req id label") \
	X(10, box, "B", "K", "req id pid box kind") \
	X(11, list, "B", "K", "req") \
	X(12, reopen, "BKD", "KL", "") \
	X(13, ack, "B", "K", "seq") \
	X(14, usage, "B", "K", "req id") \
	X(15, sample, "B", "K", "req id") \
	X(20, welcome, "K", "BLD", "version instance boot pid seq isolation cgroups") \
	X(21, ok, "K", "BD", "req") \
	X(22, fail, "K", "BD", "code text") \
	X(23, row, "K", "BD", "req id kind state pid") \
	X(24, done, "K", "BD", "req count") \
	X(25, event, "K", "B", "seq id what wall_ms mono_ms") \
	X(26, drain, "K", "B", "") \
	X(27, samples, "K", "B", "req") \
	X(40, pipe, "K", "L", "id sink") \
	X(41, finish, "K", "L", "id") \
	X(42, drained, "L", "K", "id bytes lost") \
	X(43, trouble, "L", "K", "text lost") \
	X(44, routed, "L", "K", "id req epoch") \
	X(60, door, "D", "K", "req verb") \
	X(61, note, "K", "D", "req text")
/* clang-format on */

enum wire_field {
#define X(n, name, type) WF_##name = n,
	WIRE_FIELDS(X)
#undef X
		WF_MAX = 128
};

enum wire_type {
#define X(n, name, from, to, required) WIRE_##name = n,
	WIRE_MESSAGES(X)
#undef X
		WIRE_TYPE_MAX = 128
};

/* For the spec and for texts: entry i of the tables, or NULL past the end. */
struct wire_message_info {
	int number;
	const char *name, *from, *to, *required;
};
struct wire_field_info {
	int number;
	const char *name;
	char type;
};
const struct wire_message_info *wire_message_at(size_t i);
const struct wire_field_info *wire_field_at(size_t i);
const char *wire_type_name(int type); /* "?" for an unknown one */

/* --- writing --- */
/* Begins a frame at the end of `out`; returns its mark for wire_end. Puts with NULL text are skipped. */
size_t wire_begin(struct buf *out, enum wire_type type);
void wire_int(struct buf *out, enum wire_field f, int64_t v);
void wire_text(struct buf *out, enum wire_field f, const char *s);
void wire_bytes(struct buf *out, enum wire_field f, const void *p, size_t n);
/* 0, or -1: the frame is too large or there was no memory; `out` is cut back to the mark. */
int wire_end(struct buf *out, size_t mark);

/* --- reading: a view borrows the bytes it was parsed from --- */
struct wire_view {
	int type;
	int nfds;
	const unsigned char *fields;
	size_t len;
};

/* Bytes used by one whole frame (view is set), 0 = not whole yet, -1 = these bytes are no frame. */
ssize_t wire_parse(const void *data, size_t len, struct wire_view *view, struct err *err);
/* 0, or -1 with a text that names the message and the missing or malformed field. from: who sent it ('B', 'L', …). */
int wire_check(const struct wire_view *view, char from, struct err *err);
bool wire_has(const struct wire_view *view, enum wire_field f);
int64_t wire_get_int(const struct wire_view *view, enum wire_field f, int64_t otherwise);
const char *wire_get_text(const struct wire_view *view, enum wire_field f); /* NULL: not there */
const void *wire_get_bytes(const struct wire_view *view, enum wire_field f, size_t *len);
/* The n-th of a repeated text field, NULL past the end. */
const char *wire_get_nth(const struct wire_view *view, enum wire_field f, size_t n);
/* The next of a repeated text field from *at on, which begins at 0; NULL: there are no more. For many: wire_get_nth counts anew each time. */
const char *wire_next_text(const struct wire_view *view, enum wire_field f, size_t *at);
size_t wire_count(const struct wire_view *view, enum wire_field f);

/* --- a buffered connection that speaks frames --- */
struct wire_link;
/* fds: received with this message, owned by the callee. The view is valid during the call only; the link may be freed in it. */
typedef void wire_link_fn(void *data, struct wire_link *link, const struct wire_view *msg, const int *fds, size_t nfds);
/* Called once when the peer is gone or sent what is no frame; the callee frees the link. */
typedef void wire_gone_fn(void *data, struct wire_link *link, const struct err *why);

/* Takes fd (non-blocking stream socket). NULL: no memory (fd is closed). out_max: bytes that may wait to be sent. */
struct wire_link *wire_link_new(struct loop *loop, int fd, size_t out_max, wire_link_fn *fn, wire_gone_fn *gone, void *data);
void wire_link_free(struct wire_link **link);
/* Sends frames made with wire_begin/wire_end; tries at once, queues the rest. 0, or -1: the queue is full (nothing was queued).
 * fds (at most WIRE_FDS_MAX) are duplicated and travel with these bytes, which must be one frame. */
int wire_link_send(struct wire_link *link, const struct buf *frames, const int *fds, size_t nfds);
size_t wire_link_waiting(const struct wire_link *link); /* bytes not sent yet */
int wire_link_fd(const struct wire_link *link);
/* Sends what waits, blocking up to timeout_ms (before exec in place, at exit). 0 or -1. */
int wire_link_flush(struct wire_link *link, int timeout_ms);
/* Received bytes that are no whole frame yet; for carrying them over an exec in place. */
const struct buf *wire_link_pending(const struct wire_link *link);
int wire_link_preload(struct wire_link *link, const void *data, size_t len);

#endif
