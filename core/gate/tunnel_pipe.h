#ifndef DSS_GATE_TUNNEL_PIPE_H
#define DSS_GATE_TUNNEL_PIPE_H
#include "base/list.h"
#include "gate/tunnel.h"
#include "net/http_chunk.h"
/*
 * tunnel_pipe: one request on its way; what tunnel.c and tunnel_pipe.c share. `up` is from the client to the app, `down` back.
 *
 *     connecting → asking (head and body go up) → answering (the answer's head has come) → done        asking → upgraded → done
 */
enum pipe_stage { PIPE_CONNECTING, PIPE_ASKING, PIPE_ANSWERING, PIPE_UPGRADED, PIPE_DONE };

/* One direction. Where something is kept, its source is not read. */
struct flow {
	struct buf kept;
	size_t sent;  /* of kept */
	bool is_over; /* nothing more comes from its source */
	bool is_shut; /* its target was told so */
	bool is_lost; /* its target takes nothing any more */
	/* how a body's end is told */
	bool is_chunked, is_to_eof;
	uint64_t left;
	struct http_chunk chunk;
};

struct pipe {
	struct list link; /* in tunnel->pipes */
	struct tunnel *in;
	struct gate_request *req;
	struct tunnel_target target;
	tunnel_done_fn *fn;
	void *data;
	int client_fd, app_fd; /* client_fd is the gate's */
	struct loop_io *client_io, *app_io;
	enum pipe_stage stage;
	struct flow up, down;
	struct tunnel_asked asked;
	struct tunnel_answered answered;
	struct buf head;  /* of the answer, while it comes */
	struct buf ahead; /* read from the client behind the body */
	bool has_next;    /* the client has sent more behind the body, not read yet */
	bool is_begun;    /* something was written to the client */
	bool keeps;       /* as the client was told */
	int64_t moved_ms; /* the last byte, or change of stage */
	size_t charged;   /* of in->stats.memory, and of the gate's */
};

struct tunnel {
	struct loop *loop;
	struct tunnel_settings s;
	struct list pipes;
	struct loop_timer *tick;
	struct tunnel_stats stats;
	char *scratch;   /* what is read */
	struct buf sink; /* what chunks hold: nobody looks at it */
};

enum { TUNNEL_SCRATCH = 64 * 1024 };

/* Each may free p. */
void pipe_run(struct pipe *p, const char *ahead, size_t len); /* connected, or nearly: begins */
void pipe_finish(struct pipe *p, bool keeps);
void pipe_fail(struct pipe *p, int status, const char *why);

#endif
