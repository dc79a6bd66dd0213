#ifndef DSS_NODE_NODE_TALK_H
#define DSS_NODE_NODE_TALK_H
#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "node/node_kernel.h"
/*
 * node_talk: the connections under node_kernel.c: requests that prove the peer first, pauses after failures, reading to the end.
 * Inner to node_kernel; node_talk.c knows HTTP, node_kernel.c what the answers mean.
 */
#define TALK_BODY_MAX (24 * 1024 * 1024)

enum talk_step {
	TALK_IDLE,
	TALK_POST,   /* POST /task */
	TALK_ASK,    /* GET /task/ID: did it arrive? */
	TALK_FOLLOW, /* GET /task/ID?wait=30&seen=V */
	TALK_RESULT, /* GET /task/ID/result */
};

struct node_kernels {
	struct loop *loop;
	struct client *client;
	struct fleet *fleet;
	const void *key;
	size_t key_len;
	void (*told)(void *data, const char *task, const json_t *state); /* NULL: nobody asks for states of jobs */
	void *told_data;
	struct map *talks;           /* by kernel id */
	struct loop_timer *gc_timer; /* runs while a JVM has a task */
};

struct talk {
	struct node_kernels *all;
	char id[KERNEL_ID_MAX], url[KERNEL_URL_MAX], token[KERNEL_TOKEN_MAX];
	char box[256];          /* path of its cgroup; "": not known, or none */
	int kills_fd;           /* of its OOM counter; -1: not open */
	int64_t unhurt_mono_ms; /* when that had no OOM kill yet; 0 = never looked */
	enum talk_step step;
	char task[FUTURE_ID_MAX];
	int attempt;
	int64_t seen;
	bool has_seen, was_accepted, may_be_silent, is_refused;
	int post_wait_s; /* how long POST /task may wait for the end */
	struct buf body; /* of POST /task */
	int failures;    /* in a row */
	int64_t silent_since_mono_ms;
	struct list asks; /* requests under way */
	bool is_main_under_way;
	struct loop_timer *pause;
	bool is_jvm;
	int64_t gc_since_mono_ms; /* since when it has told that it only collects garbage; 0: it does not */
	struct loop_timer *read_limit;
	node_kernel_read_fn *read_fn;
	void *read_data;
};

/* The kernel's conversation, made where there is none. */
struct talk *talk_of(struct node_kernels *all, const struct kernel *k, struct err *err);
/* Sends the request of the present step, unless it is under way. */
void talk_go_on(struct talk *t);
/* The same step again after a growing pause. */
void talk_again(struct talk *t, const struct client_answer *a);
/* It broke the protocol: the kernel is stopped (policy), this conversation says nothing more. */
void talk_refused(struct talk *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The kernel is stopped with this cause, and this conversation says nothing more: what it tells of its end does not count. */
void talk_stop(struct talk *t, const char *cause, const char *text);
/* A request beside the main one. fn hears the answer (not where the conversation ended before); NULL: it only matters where it was a
 * refusal. is_again: nothing is sent while the same is under way. */
typedef void talk_aside_fn(struct talk *t, const struct client_answer *a);
int talk_aside(struct talk *t, const char *method, const char *path, bool is_again, talk_aside_fn *fn, struct err *err);

/* In node_kernel.c: the answer of the main request. */
void talk_answered(struct talk *t, const struct client_answer *a);

#endif
