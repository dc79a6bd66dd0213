#ifndef DSS_GATE_CONN_H
#define DSS_GATE_CONN_H
#include <sys/uio.h>
#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "gate/host.h"
#include "gate/server.h"
#include "sys/sock.h"
/*
 * conn: what server.c, conn.c and reply.c share; nobody else includes it. A conn is in exactly one phase, and in that
 * phase's list, oldest first, so that one timer serves all: only the heads of the lists are looked at.
 *
 *     idle → header → body → busy (the handler has the request) → writing → idle …            any → linger → closed
 */
enum phase {
	PHASE_IDLE, /* nothing of a request is here */
	PHASE_HEADER,
	PHASE_BODY,
	PHASE_BUSY,    /* no limit: the handler's time, or a stream with nothing to send */
	PHASE_WRITING, /* bytes wait for the reader */
	PHASE_LINGER,  /* answered and shut; reads a little on so that the client sees the answer, not a reset */
	PHASES
};

struct peer {
	size_t count;
	char key[];
};

struct request {
	struct gate_request pub; /* first: what the handler holds */
	struct list link;        /* in gate->requests or gate->gone */
	struct gate *gate;       /* NULL: freed */
	struct conn *conn;       /* NULL: the client has gone */
	struct http_parse *parse;
	struct http_pair *field; /* further fields of the answer, owned */
	size_t nfields;
	size_t charged; /* of gate->memory */
	gate_gone_fn *gone;
	void *gone_data;
	bool is_streaming, is_chunked;
};

struct conn {
	struct list link; /* in gate->phase[phase], or in gate->closed */
	struct list kick; /* in gate->kicked: has bytes ahead and nothing to wake it */
	struct gate *gate;
	int fd;
	struct loop_io *io;
	enum phase phase;
	int64_t since_ms;  /* of the phase; of the last progress in PHASE_WRITING */
	struct peer *peer; /* NULL: not counted */
	char peer_text[SOCK_ADDRESS_MAX];
	uid_t uid;
	pid_t pid;
	struct http_parse *parse; /* a request on its way in */
	struct request *request;  /* with the handler */
	struct buf ahead;         /* read, not yet parsed */
	struct buf out;           /* not yet taken by the kernel, from out_done on */
	size_t out_done, taken;   /* taken: since since_ms */
	int file_fd;              /* -1, or goes out after `out` */
	int64_t file_offset, file_left;
	size_t charged; /* of gate->memory */
	size_t lingered;
	bool has_head;   /* of a gate with is_head_only: complete, not with the handler yet */
	bool is_lent;    /* somebody else reads, writes and watches fd */
	bool is_closed;  /* in gate->closed: callers up the stack may still look at it */
	bool is_feeding; /* bytes not looked at yet are in the hand of a caller */
	bool is_at_eof;  /* the client has shut its sending side */
	bool closes;     /* after what is to be sent */
	bool lingers;    /* then through PHASE_LINGER */
};

struct gate {
	struct loop *loop;
	gate_handler *fn;
	void *data;
	struct gate_settings s;
	char *version, *api_version;
	struct host_list *hosts;
	int listen_fd, spare_fd;
	bool is_unix, drains;
	struct loop_io *listen_io;
	struct loop_timer *resume; /* accepts again after a lack of descriptors */
	struct loop_timer *sweep;  /* runs only while a phase with a limit has a conn */
	int64_t sweep_at_ms;
	struct loop_timer *later; /* for kicked, gone and closed */
	struct list phase[PHASES], kicked, requests, gone;
	struct list closed; /* freed in the next turn of the loop, when no caller up the stack has them */
	struct map *peers;
	struct gate_stats stats;
	char *scratch;   /* what recv reads into */
	struct buf head; /* of the answer being made */
	char date[40];
	int64_t date_s;
};

/* server.c */
void gate_watch_phase(struct gate *g, enum phase phase, int64_t since_ms);
void gate_do_later(struct gate *g);
void gate_left(struct gate *g, struct conn *c);

/* conn.c. Whatever may close c says so; a closed conn stays, with is_closed set, until the present turn of the loop is over. */
struct conn *conn_open(struct gate *g, int fd); /* takes fd; NULL: no memory, fd is closed */
void conn_close(struct conn *c);
void conn_free_closed(struct gate *g); /* from the loop or gate_free only */
void conn_set_phase(struct conn *c, enum phase phase);
void conn_continue(struct conn *c); /* parses what lies ahead; may close */
/* Sends now what the kernel takes and keeps the rest; may close. -1: closed. */
int conn_send(struct conn *c, struct iovec *iov, int n);
void conn_after_send(struct conn *c); /* picks the next phase; may close */
size_t conn_unsent(const struct conn *c);
/* An error before there is a request for the handler: answers and closes. */
void conn_fault(struct conn *c, int status, const char *text);
void conn_expire(struct conn *c);
void conn_watch(struct conn *c); /* for what its phase needs; a lent one is not watched */

/* reply.c */
void reply_dispatch(struct conn *c); /* c->parse is complete */
void reply_detach(struct conn *c);   /* the client of c->request has gone */
void reply_deliver_gone(struct gate *g);
/* Appends the head of an answer to g->head. */
int reply_put_head(struct gate *g, struct http_head *head, const struct http_pair *field, size_t nfields);
/* Puts a whole answer that says what went wrong into g->head, for a client with whom we are done (503: come back in 1 s). */
int reply_put_fault(struct gate *g, int status, const char *text, bool is_head);

#endif
