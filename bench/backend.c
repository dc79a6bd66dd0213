/*
 * backend idle | spawn N WINDOW BOX SINK OUT PROGRAM ARG...: plays the backend for the benches: says hello, beats, acknowledges.
 * spawn orders N processes, at most WINDOW of which have not ended, each with a memory limit in a box of its own below run/
 * (BOX "own") or all in one (BOX "one"), output to SINK ("kernel" or "null"); writes starts per second to the file OUT. With
 * WINDOW 0 nobody waits for an end (programs that stay).
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/err.h"
#include "base/log.h"
#include "bench.h"
#include "keeper/wire.h"
#include "sys/fds.h"
#include "sys/loop.h"

#define BEAT_MS     5000
#define QUEUE_BYTES (4 * 1024 * 1024)
#define ACK_EVERY   32

struct job {
	struct loop *loop;
	struct wire_link *link;
	struct loop_timer *beat;
	long wanted, window, ordered, ended, failed, beats;
	bool one_box, is_null;
	const char *out;
	char **argv;
	int64_t began;
};

static void send(struct job *j, struct buf *b, size_t mark)
{
	if (wire_end(b, mark) < 0 || wire_link_send(j->link, b, NULL, 0) < 0) {
		fprintf(stderr, "backend: unable to send\n");
		_exit(1);
	}
	buf_fini(b);
}

static void say(struct job *j, enum wire_type type, enum wire_field f, int64_t value)
{
	struct buf b;
	buf_init(&b, 256);
	size_t mark = wire_begin(&b, type);
	wire_int(&b, f, value);
	send(j, &b, mark);
}

static void on_beat(void *data)
{
	struct job *j = data;
	say(j, WIRE_heartbeat, WF_seq, ++j->beats);
	loop_timer_start(j->beat, BEAT_MS);
}

static void order(struct job *j)
{
	struct buf b;
	char id[32], box[48], sink[48];
	long i = ++j->ordered;
	snprintf(id, sizeof(id), "b-%ld", i);
	snprintf(box, sizeof(box), j->one_box ? "run/bench" : "run/bench/%s", id);
	snprintf(sink, sizeof(sink), j->is_null ? "null" : "kernel:%s", id);
	buf_init(&b, 8192);
	size_t mark = wire_begin(&b, WIRE_spawn);
	wire_int(&b, WF_req, i);
	wire_text(&b, WF_id, id);
	wire_text(&b, WF_kind, "bench");
	for (char **a = j->argv; *a; a++)
		wire_text(&b, WF_argv, *a);
	wire_text(&b, WF_env, "LANG=C.UTF-8");
	wire_text(&b, WF_box, box);
	wire_text(&b, WF_limit, "memory=268435456");
	wire_text(&b, WF_sink, sink);
	wire_text(&b, WF_ready, "exec");
	send(j, &b, mark);
}

static void order_more(struct job *j)
{
	while (j->ordered < j->wanted && (j->window == 0 || j->ordered - j->ended < j->window))
		order(j);
}

static void finish(struct job *j)
{
	double rate = (double)(j->failed ? 0 : j->wanted) * 1e9 / (double)(bench_ns() - j->began);
	char text[64];
	int n = snprintf(text, sizeof(text), "%.1f\n", rate);
	struct err err = { 0 };
	if (fds_replace_file(j->out, text, (size_t)n, 0644, &err) < 0)
		fprintf(stderr, "backend: %s\n", err.text);
}

static void on_event(struct job *j, const struct wire_view *msg)
{
	int64_t seq = wire_get_int(msg, WF_seq, 0);
	const char *what = wire_get_text(msg, WF_what), *id = wire_get_text(msg, WF_id), *text = wire_get_text(msg, WF_text);
	bool is_end = what && id && !strcmp(what, "exited") && !strncmp(id, "b-", 2);
	j->ended += is_end;
	if (is_end && wire_get_int(msg, WF_code, -1) != 0 && ++j->failed)
		fprintf(stderr, "backend: %s: %s\n", id, text ? text : "no cause");
	if (!is_end || j->ended % ACK_EVERY == 0 || j->ended == j->wanted)
		say(j, WIRE_ack, WF_seq, seq);
	if (is_end && j->ended == j->wanted && j->window > 0)
		finish(j);
}

static void on_message(void *data, struct wire_link *link, const struct wire_view *msg, const int *fds, size_t nfds)
{
	struct job *j = data;
	(void)link;
	for (size_t i = 0; i < nfds; i++)
		close(fds[i]);
	if (msg->type == WIRE_welcome)
		j->began = bench_ns();
	else if (msg->type == WIRE_event)
		on_event(j, msg);
	else if (msg->type == WIRE_fail)
		fprintf(stderr, "backend: refused: %s\n", wire_get_text(msg, WF_text));
	order_more(j);
}

static void on_gone(void *data, struct wire_link *link, const struct err *why)
{
	struct job *j = data;
	(void)link;
	(void)why;
	loop_stop(j->loop);
}

int main(int argc, char **argv)
{
	struct job j = { 0 };
	struct err err = { 0 };
	const char *fd = getenv("DSS_KEEPER_FD");
	bool spawns = argc > 7 && !strcmp(argv[1], "spawn");
	if (!fd || (!spawns && (argc != 2 || strcmp(argv[1], "idle")))) {
		fprintf(stderr,
			"usage: DSS_KEEPER_FD=N backend idle | backend spawn N WINDOW own|one kernel|null OUT PROGRAM ARG...\n");
		return 2;
	}
	log_init("backend", LOG_INFO);
	if (spawns) {
		j.wanted = atol(argv[2]);
		j.window = atol(argv[3]);
		j.one_box = !strcmp(argv[4], "one");
		j.is_null = !strcmp(argv[5], "null");
		j.out = argv[6];
		j.argv = argv + 7;
	}
	if (!(j.loop = loop_new(&err)) || fds_nonblock(atoi(fd), true, &err) < 0 ||
	    !(j.link = wire_link_new(j.loop, atoi(fd), QUEUE_BYTES, on_message, on_gone, &j)) ||
	    !(j.beat = loop_timer_new(j.loop, on_beat, &j))) {
		fprintf(stderr, "backend: %s\n", err.text);
		return 1;
	}
	struct buf b;
	buf_init(&b, 256);
	size_t mark = wire_begin(&b, WIRE_hello);
	wire_int(&b, WF_version, WIRE_VERSION);
	wire_int(&b, WF_epoch, 1);
	send(&j, &b, mark);
	on_beat(&j);
	loop_run(j.loop);
	wire_link_free(&j.link);
	loop_timer_free(&j.beat);
	loop_free(&j.loop);
	return 0;
}
