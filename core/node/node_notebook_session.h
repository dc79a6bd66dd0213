#ifndef DSS_NODE_NODE_NOTEBOOK_SESSION_H
#define DSS_NODE_NODE_NOTEBOOK_SESSION_H
#include "fleet/idle.h"
#include "net/client.h"
#include "node/node_notebook.h"
/* node_notebook_session: sessions of notebooks as others see them: what the server says and what boxes and processes show, together. */

/* A session: a notebook that is open on a kernel. Several may share one; a kernel without any stands for one, under its own id. Texts are
 * borrowed until the loop goes on; "" = not known, as is a negative number. */
struct notebook_session {
	const char *id, *kernel, *path, *project, *user, *spec, *process;
	const char *born_project,
		*born_user;      /* whose its box and its place are, where its notebook was moved since; "" = it was not */
	bool is_gone;            /* the notebook's file is not there any more */
	int pid, nsessions;      /* pid: 0 = not known; nsessions: on that kernel */
	enum idle_state state;   /* IDLE_UNKNOWN: the server cannot be asked, lies, or has not heard of it yet */
	const char *unknown_why; /* of IDLE_UNKNOWN alone; "" = nothing in particular */
	int64_t connections, memory_bytes, peak_bytes, limit_bytes, cpu_ms, started_ms;
	double share;                /* of a core, lately */
	int64_t quiet_ms, silent_ms; /* fleet/idle.h */
	int64_t work_ms;             /* when it worked last; 0 = not known */
	int64_t lease_ms;            /* until then its user keeps it; 0 = no lease */
	const char *leased_by;
};
/* Of the last look. id: of the session or its kernel. */
bool node_notebooks_session(struct node_notebooks *t, const char *id, struct notebook_session *out);
typedef void notebook_session_fn(void *data, const struct notebook_session *s);
void node_notebooks_each_session(struct node_notebooks *t, notebook_session_fn *fn, void *data);
/* node_notebooks_list (node_notebook.h) answers after a look that is fresh, at once or within 10 s. With `why` the list is what is known without
 * the server; json NULL: no memory, or the backend ends. */
/* Until then no policy ends it; 0: no longer. -1: there is no such session, or the store takes nothing. */
int node_notebooks_keep(struct node_notebooks *t, const char *session, int64_t until_ms, const char *by, struct err *err);
/* Looks soon where the last look is older than a few seconds, and there is anything to look at. */
void node_notebooks_look_again(struct node_notebooks *t);
/* How many leases that login holds now, and what users who are no admins may have. */
int node_notebooks_leases(struct node_notebooks *t, const char *login);
struct notebook_quota {
	int64_t longest_ms;
	int each_user;
};
struct notebook_quota node_notebooks_quota(const struct node_notebooks *t);
/* is_trusted: of a server that we only attach to, where the process of a kernel is not found: its own word counts. */
void node_notebooks_set(struct node_notebooks *t, const struct notebook_quota *quota, bool is_trusted);

/* --- node_notebook_unload.c --- */
/* what: NULL: it is gone; else why not. At once or later, once. */
typedef void node_notebooks_done_fn(void *data, const char *why_not);
/* Ends a session's kernel, and with it all sessions on it: by the server, and its whole box 5 s later at the latest. cause: "user", "admin" or "policy".
 * A policy's is looked at once more: who works again, or is leased, is kept. by: the login, or what decided. fn may be NULL. */
void node_notebooks_unload(struct node_notebooks *t, const char *session, const char *cause, const char *by, const char *text,
			   node_notebooks_done_fn *fn, void *data);
/* The same where the policy says that a lease does not count. */
void node_notebooks_unload_leased(struct node_notebooks *t, const char *session, const char *cause, const char *by,
				  const char *text, node_notebooks_done_fn *fn, void *data);
/* Interrupts its cell: its variables stay. */
void node_notebooks_interrupt(struct node_notebooks *t, const char *session, const char *cause, const char *by, const char *text,
			      node_notebooks_done_fn *fn, void *data);
/* An unload, or an interrupt, of that session's kernel is under way. */
bool node_notebooks_is_ordered(const struct node_notebooks *t, const char *session, bool is_interrupt);
/* What the server says to a request of ours. NULL: err says why, fn is not called. On 200 with a body of up to answer_max; else CLIENT_TOO_LARGE. */
struct client_call *node_notebooks_ask(struct node_notebooks *t, const struct client_order *order, const char *path, client_fn *fn,
				       void *data, struct err *err);
/* "http://127.0.0.1:11202", "" = there is none; and where its token stands. */
const char *node_notebooks_url(const struct node_notebooks *t);
int node_notebooks_token(const struct node_notebooks *t, char *out, size_t room, struct err *err);

#endif
