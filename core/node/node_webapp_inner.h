#ifndef DSS_NODE_NODE_WEBAPP_INNER_H
#define DSS_NODE_NODE_WEBAPP_INNER_H
#include <jansson.h>
#include "fleet/job.h"
#include "fleet/webapp.h"
#include "node/node_webapp.h"
/* node_webapp_inner: what the files of node_webapp share. */
enum webapp_state { WEBAPP_STOPPED, WEBAPP_STARTING, WEBAPP_RUNNING, WEBAPP_STOPPING, WEBAPP_BACKOFF, WEBAPP_FAILED };
extern const char *const webapp_states[];

#define WEBAPP_CAP     5 /* crashes, where nobody said so */
#define WEBAPP_DIR_MAX 3000
/* What fits into a sockaddr_un: apps know no way around it. */
#define WEBAPP_SOCKET_MAX 108

struct node_webapps {
	struct node *node;
	char dir[WEBAPP_DIR_MAX];
	struct map *by_name;       /* "PROJECT/NAME"; owned */
	char acting[JOB_NAME_MAX]; /* whom the ticket that was asked for last acts as, where that was set */
	int64_t last;              /* counts processes of this backend */
	char **keys;               /* projects to be looked at for autostart; owned */
	size_t nkeys, at;
	struct loop_timer *health; /* asks all that are asked; NULL: none was yet */
	bool is_stopped;
};

struct node_webapp {
	struct node_webapps *in;
	char project[JOB_NAME_MAX], name[JOB_NAME_MAX], owner[JOB_NAME_MAX];
	char process[JOB_PROCESS_MAX]; /* "" = has none */
	char house[128];               /* the keeper under which it was last started: a new one tries again what was given up */
	enum webapp_state state;
	bool is_wanted, is_seen;
	bool is_autostart; /* said its project at its last start */
	bool is_again;     /* starts anew once its process has ended */
	bool is_silent;    /* its last end's output was not read yet */
	int port, cap, starts;
	char socket[WEBAPP_SOCKET_MAX]; /* "" = it listens on its port */
	int64_t started_ms, ready_ms;   /* wall; 0 = not */
	json_t *crashes;                /* owned; times of those that count */
	json_t *last;                   /* owned; its last crash, NULL = none */
	char *reason;                   /* owned; why it is not running; NULL */
	/* health; its path "" = it is not asked */
	char health[200];
	int64_t every_ms, asked_mono_ms, unhealthy_ms; /* unhealthy_ms: wall, of the first failure in a row; 0 = it is well */
	int failures, failures_most;                   /* in a row */
	bool is_unhealthy;                             /* it is being ended for that */
	struct client_call *asking;                    /* NULL: not now */
	struct loop_timer *timer;                      /* the output of an end, then the next start */
	unsigned turn;                                 /* counts up: answers to an older wish are not heard */
	struct guest *guest;                           /* its place, or its wait for one; NULL = neither */
	void *waiting;                                 /* owned; the start that goes on when it has a place */
	int64_t limit_bytes;                           /* limits.memory of its last start; 0 = none */
	json_t *tags;                                  /* owned; of webapp and project at its last start; NULL = none */
};

/* node_webapp.c: NULL: unknown; webapp_get makes it (NULL: no memory, or the names are too long). */
struct node_webapp *webapp_find(struct node_webapps *t, const char *project, const char *name);
struct node_webapp *webapp_get(struct node_webapps *t, const char *project, const char *name);
struct node_webapp *webapp_by_process(struct node_webapps *t, const char *process);
void webapp_give_up(struct node_webapp *w, const char *why);
void webapp_later(struct node_webapp *w, int64_t ms, const char *why); /* backoff: begins again then */
void webapp_end_process(struct node_webapp *w, const struct judge_end *end, store_done_fn *fn, void *data);
void webapp_stop_process(struct node_webapp *w, const char *cause, const char *text);
void webapp_halt(struct node_webapp *w, const char *cause, const char *text); /* it is not wanted any more */
void webapp_tell_wait(struct node_webapp *w);                                 /* its reason, while it waits for a place */

/* node_webapp_start.c: reads the project, saves the row, orders the process; what goes wrong is told by the state. */
void webapp_begin(struct node_webapp *w);
void webapp_leave(struct node_webapp *w);  /* its place, or the line */
void webapp_adopt(struct node_webapp *w);  /* it is at work already */
void webapp_forget(struct node_webapp *w); /* at the very end: its guest is gone */

/* node_webapp_health.c. It answers, or was taken up answering: from now on it is asked, if it named a path. */
void webapp_health_begin(struct node_webapp *w);
void webapp_health_forget(struct node_webapp *w);

/* Orders the process. spec: of the project; fn hears the keeper. */
int webapp_order(struct node *n, const struct node_webapp *w, const json_t *spec, const char *dir, node_keeper_answer_fn *fn,
		 void *data, struct err *err);
/* A port of this machine that nobody listens on now; -1: err. */
int webapp_free_port(struct err *err);
/* Whether the spec says listen = "socket". */
bool webapp_wants_socket(const json_t *spec);
/* DIR/webapps/PROCESS.sock, which is not there yet. -1: err. */
int webapp_name_socket(struct node_webapp *w, struct err *err);
/* Removes it, if it has one. */
void webapp_drop_socket(struct node_webapp *w);
/* What of the spec cannot be run here; false: it can. */
bool webapp_cannot(const json_t *spec, struct err *err);
/* The last lines of its log, as a list. Owned; NULL: no memory. */
json_t *webapp_tail(const char *dir, const struct node_webapp *w, size_t most);
/* What its owner reads of a crash. */
void webapp_tell_end(const struct node_webapp *w, const struct judge_end *end, char *out, size_t room);

/* Raises or clears its alert, as its state is. */
void webapp_alert(const struct node_webapp *w);
/* Saves the row, and webapp_alert; fn may be NULL. -1: the store takes nothing now, which was logged. */
int webapp_keep(const struct node_webapp *w, store_done_fn *fn, void *data);
void webapp_take_saved(struct node_webapp *w, const struct webapp_row *row);
void webapp_put_detail(const struct node_webapp *w, struct buf *out); /* members of an object */
void webapp_set_reason(struct node_webapp *w, const char *text);      /* NULL or "": none */
/* Forgets crashes that are older than the window; how many are left. */
size_t webapp_count_crashes(struct node_webapp *w, int64_t now_ms);
/* It becomes the last crash, without its lines, and the reason. */
void webapp_note_crash(struct node_webapp *w, const struct judge_end *end, int64_t now_ms);

#endif
