#ifndef DSS_KEEPER_SERVICE_H
#define DSS_KEEPER_SERVICE_H
#include "base/fsm.h"
#include "keeper/plan.h"
#include "keeper/proc.h"
/*
 * service: a process that shall be there. Restarted at once after a first crash, then ever slower; given up after long
 * crashing without health. One `proc` at a time; the table is `service_fsm` (docs/architecture.md, "service").
 */
enum service_state { SERVICE_DOWN, SERVICE_STARTING, SERVICE_UP, SERVICE_BACKOFF, SERVICE_STOPPING, SERVICE_FAILED };
enum service_event { SERVICE_START, SERVICE_READY, SERVICE_HEALTHY, SERVICE_EXIT, SERVICE_TIMER, SERVICE_STOP, SERVICE_GIVE_UP };
extern const struct fsm service_fsm;

#define SERVICE_FDS_MAX      10
#define SERVICE_CRASHES_KEPT 3

struct service {
	struct list link;
	struct services *all;
	const struct plan_service *plan; /* borrowed */
	enum service_state state;
	bool wanted_up;
	struct proc *proc;                           /* NULL while there is none */
	int crashes;                                 /* in a row, without health between */
	int64_t crash_mono_ms[SERVICE_CRASHES_KEPT]; /* the latest first */
	int64_t crashing_since_ms;                   /* monotonic; 0 = healthy */
	int64_t due_ms;                              /* monotonic: next try (backoff) or health (up); 0 = none */
	int64_t next_wall_ms, give_up_wall_ms;       /* for people; 0 = none */
	int64_t changed_wall_ms;
	char last_cause[24], *last_text; /* the text is owned; NULL = "" */
	unsigned starts;
};

struct services {
	struct procs *procs;
	struct list all;
	struct loop_timer *timer;
	bool is_closing;                  /* the node stops: nothing is started any more */
	bool is_kicking, is_kicked_again; /* see services_kick */
	/* Adds descriptors for a start (room for SERVICE_FDS_MAX); they are closed by `given` once the process has them. */
	int (*give)(void *data, struct service *s, struct proc_fd *fds, size_t *nfds, struct err *err);
	void (*given)(void *data, struct service *s, struct proc_fd *fds, size_t nfds, bool is_started);
	void (*changed)(void *data, struct service *s); /* any new state */
	void *data;
};

int services_init(struct services *all, struct procs *procs, const struct plan *plan, struct err *err);
void services_fini(struct services *all);
struct service *services_find(const struct services *all, const char *name);
/* Starts what is wanted and whose `after` are ready. */
void services_kick(struct services *all);
/* Sets the timer anew after fields were restored. */
void services_wake(struct services *all);

void service_start(struct service *s); /* wanted up; at once, also out of a back-off */
void service_stop(struct service *s, const char *cause, const char *text, const char *by, bool now);
void service_restart(struct service *s, const char *by); /* stop, then start again */
/* Sends the plan's reload_signal. -1: it has none, or does not run. */
int service_reload(struct service *s, struct err *err);
const char *service_state_name(const struct service *s);
/* Crashes within the last window_ms. */
int service_crashes_within(const struct service *s, int64_t window_ms);
/* Puts the fields of a `row` about it. */
void service_to_wire(struct service *s, struct buf *out);
/* Takes up a process that an exec in place has kept. */
void service_adopt(struct service *s, struct proc *p);

#endif
