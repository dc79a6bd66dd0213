#ifndef DSS_FLEET_FUTURE_H
#define DSS_FLEET_FUTURE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/fsm.h"
#include "base/list.h"
/*
 * future: one submitted task: a row of the store's table `task`, and the JSON that its owner reads. Its life is the table
 * `future` of docs/architecture.md. An end is shown only once it is on disk: until then the future still reads as running.
 */
enum future_state { FUTURE_QUEUED, FUTURE_ASSIGNED, FUTURE_RUNNING, FUTURE_DONE, FUTURE_FAILED, FUTURE_ABORTED, FUTURE_KILLED };
enum future_event {
	FUTURE_EV_ASSIGN,
	FUTURE_EV_ABORT,
	FUTURE_EV_REFUSE,
	FUTURE_EV_ACCEPTED,
	FUTURE_EV_UNPLACED,
	FUTURE_EV_RESULT,
	FUTURE_EV_ERROR,
	FUTURE_EV_STOPPED,
	FUTURE_EV_DEATH,
	FUTURE_EV_RETRY,
};
extern const struct fsm future_fsm;

#define FUTURE_ID_MAX     32
#define FUTURE_RESULT_MAX (64 * 1024 * 1024)

struct fleet;
struct fleet_debt;
struct fleet_waiter;
struct kernel;
struct lane;
struct pool;
struct slot_ticket;
struct usage_user;

struct future {
	struct list in_queue;  /* pool.waiting while it waits for a kernel */
	struct list in_fleet;  /* all open ones, oldest first */
	struct list in_active; /* those that left the queue */
	struct list in_lane, in_unplaced, in_unnoted;
	char id[FUTURE_ID_MAX]; /* opaque: 16 characters of a-z2-7 */
	char *client_key, *owner, *project, *kind, *type, *pool,
		*title;  /* owned; NULL where absent (never owner, kind, type, pool) */
	char *tags;      /* JSON: an array of texts, as submitted; NULL = none */
	char *job;       /* of a job: its public id, unique in its project; NULL = a future of another kind */
	char *exclusive; /* while it is open, its owner's only one of that name; NULL = none */
	int priority;
	char *payload; /* the submitter's JSON object, raw; NULL for an ended one */
	size_t payload_len;
	int64_t memory_bytes; /* limits.memory; 0 = the pool's */
	int64_t timeout_ms;   /* 0 = none */
	int retries;
	enum future_state state;
	bool is_ended_unsaved; /* state is an end that is not on disk yet */
	int attempt;           /* 1 = the first */
	char kernel[64];       /* id; "" = none yet */
	char cause[24];        /* of a killed or refused one; "" = none */
	char *error;           /* JSON {"errorType","message","detail"?}; NULL = none */
	char *result;          /* JSON, raw; only where it was asked for */
	size_t result_len;
	bool has_result;
	int64_t created_ms, started_ms, ended_ms; /* wall; 0 = not yet */

	/* live ones only */
	struct pool *in_pool;
	struct kernel *on; /* borrowed; NULL = none */
	/* its place in the order: queue.c */
	uint64_t seq;      /* of its pool's submits; kept when it comes back; 0 = never waited */
	struct lane *lane; /* NULL: in none */
	bool is_loose;     /* waits, but in no lane */
	bool is_unplaced;  /* its slots are not known yet: not to be started */
	int position;      /* as last worked out */
	int told_why;      /* enum queue_why of the last decision to wait that was noted */
	int64_t note_at_mono_ms;
	/* what is counted while it is at work: fleet_slots.c */
	struct slot_ticket *ticket; /* owned; NULL = no rule of slots */
	struct usage_user *user;    /* borrowed from the fleet's usage */
	bool is_at_work;
	int64_t work_bytes, work_mono_ms; /* its kernel's limit, 0 = none; since when */
	bool was_sent;                    /* this attempt may have reached the kernel */
	double progress;                  /* 0..1; < 0 = not told */
	char *message;                    /* the kernel's own; NULL */
	char *abort_by;             /* who asked to abort, or the rule with its reason; owned, NULL: told by abort_cause alone */
	char abort_cause[16];       /* user | admin | deadline | policy; "" = nobody asked */
	int64_t deadline_mono_ms;   /* of this attempt; 0 = none */
	int64_t save_again_mono_ms; /* its end could not be saved (disk full): when to try again; 0 = no */
	int commits;                /* store operations under way */
	struct future *next;        /* assigned to its kernel in the transaction of its end */
	struct fleet *fleet;
	struct fleet_waiter *waiter; /* who waits for the submit's commit; owned */
	struct fleet_debt *debt;     /* what may go on once its end is on disk */
	int64_t unasked_end_mono_ms; /* its kernel aborted it though nobody asked: when to believe that; 0 = no */
	bool is_void;                /* its submit could not be saved: freed with its last commit */

	/* with a log of its own: fleet_log.c */
	enum { FUTURE_LOG_NONE, FUTURE_LOG_ASKED, FUTURE_LOG_ON } log;
	int64_t log_until_mono_ms; /* no answer is waited for beyond; 0 = for none */
	struct {                   /* its end, until the log is whole and the counters are read */
		bool is_held, is_let, is_routed, is_counted;
		enum future_event event;
		char cause[24];
		char *error; /* owned */
	} end;
};

struct future *future_new(void); /* NULL: no memory */
void future_free(struct future **f);
int future_make_id(char out[FUTURE_ID_MAX], struct err *err);
const char *future_state_name(enum future_state s);
int future_state_named(const char *name); /* -1: no such state */
/* Steps by the table; false: not in the table, nothing changed, logged. */
bool future_step(struct future *f, enum future_event event);
/* Who asked to abort it, in words; "" = nobody. */
const char *future_aborter(const struct future *f);
/* What lists call it: its title, or what its payload runs, which is read for that. Returns out. */
const char *future_name(const struct future *f, char *out, size_t room);
/* What is shown as its name becomes the title, so that the payload is not needed for it; the payload is freed. */
void future_keep_name(struct future *f);
bool future_is_ended(const struct future *f); /* and on disk */
bool future_is_open(const struct future *f);  /* by state: queued, assigned, running */

/* The public state object: jobId, hasResult, alive, aborted, abortable, startTime, runningTime, payload {displayName, targets},
 * owner, progress, and ours: state, pool, kernel, attempt, cause, reason. reason: why it waits, or NULL. position: 1 = next, 0 =
 * does not wait. expected_ms: wall time of its expected start, 0 = unknown. With `with_result` a done one has "result" as raw bytes. 0, or -1: out failed. */
int future_json(const struct future *f, bool with_result, int position, const char *reason, int64_t expected_ms,
		int64_t now_wall_ms, struct buf *out);
/* What a read of one that ended without a result answers (status 422): {"errorType","message","cause","detail"}. */
int future_error_json(const struct future *f, struct buf *out);
/* The first sentence of error.message for lists; "" = none. */
const char *future_error_text(const struct future *f, char *out, size_t room);

#endif
