#include "keeper/output.h"
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "base/log.h"
#include "sys/fds.h"

/* A switch the logger has not confirmed yet. */
struct switching {
	struct list link;
	char id[160];
	int64_t req, epoch;
};

struct output {
	struct list switches;
	output_routed_fn *routed;
	void *routed_data;
	struct list pipes;
	struct wire_link *link;
	bool is_behind; /* some pipe could not be told */
};

void output_on_routed(struct output *o, output_routed_fn *fn, void *data)
{
	o->routed = fn;
	o->routed_data = data;
}

/* Answers all switches, or those of one pipe: whoever reads next begins with the new sink, or nobody has to read any more. */
static void settle_switches(struct output *o, const char *id)
{
	list_each (&o->switches, at) {
		struct switching *s = list_of(at, struct switching, link);
		if (id && strcmp(s->id, id))
			continue;
		if (o->routed)
			o->routed(o->routed_data, s->id, s->req, s->epoch);
		list_remove(&s->link);
		free(s);
	}
}

/* The logger's word also counts for a switch that was ordered before an exec in place. */
static void on_switched(struct output *o, const struct wire_view *msg)
{
	int64_t req = wire_get_int(msg, WF_req, 0), epoch = wire_get_int(msg, WF_epoch, 0);
	list_each (&o->switches, at) {
		struct switching *s = list_of(at, struct switching, link);
		if (s->req != req || s->epoch != epoch)
			continue;
		list_remove(&s->link);
		free(s);
	}
	if (o->routed)
		o->routed(o->routed_data, wire_get_text(msg, WF_id), req, epoch);
}

struct output *output_new(void)
{
	struct output *o = calloc(1, sizeof(*o));
	if (o)
		list_init(&o->pipes);
	if (o)
		list_init(&o->switches);
	return o;
}

void output_free(struct output **output)
{
	struct output *o = *output;
	*output = NULL;
	if (!o)
		return;
	o->routed = NULL;
	list_each (&o->pipes, at) {
		struct output_pipe *p = list_of(at, struct output_pipe, link);
		output_forget(&p);
	}
	settle_switches(o, NULL);
	free(o);
}

static int deliver(struct output *o, struct buf *b, size_t mark, const int *fds, size_t nfds)
{
	int rc = wire_end(b, mark);
	if (rc == 0)
		rc = wire_link_send(o->link, b, fds, nfds);
	buf_fini(b);
	return rc;
}

/* For an order that cannot be told later: the next logger knows better. */
static int send_now(struct output *o, struct buf *b, size_t mark)
{
	int rc = deliver(o, b, mark, NULL, 0);
	if (rc < 0) {
		log_error("unable to tell the logger: its queue is full; it is replaced");
		shutdown(wire_link_fd(o->link), SHUT_RDWR);
	}
	return rc;
}

static int tell_pipe(struct output_pipe *p)
{
	struct buf b;
	buf_init(&b, WIRE_FRAME_MAX);
	size_t mark = wire_begin(&b, WIRE_pipe);
	wire_text(&b, WF_id, p->id);
	wire_text(&b, WF_sink, p->sink);
	if (p->prefix[0])
		wire_text(&b, WF_prefix, p->prefix);
	for (char *const *m = p->masks; m && *m; m++)
		wire_text(&b, WF_mask, *m);
	return deliver(p->output, &b, mark, &p->fd, 1);
}

static int tell_finish(struct output_pipe *p)
{
	struct buf b;
	buf_init(&b, 1024);
	size_t mark = wire_begin(&b, WIRE_finish);
	wire_text(&b, WF_id, p->id);
	return deliver(p->output, &b, mark, NULL, 0);
}

/* A pipe nobody reads would block its process for ever: what cannot be told now is told later. */
static void tell(struct output_pipe *p)
{
	struct output *o = p->output;
	if (!o->link)
		return;
	if (!p->is_told)
		p->is_told = tell_pipe(p) == 0;
	if (p->is_told && p->is_finished && !p->is_finish_told)
		p->is_finish_told = tell_finish(p) == 0;
	if (p->is_told && p->is_finish_told == p->is_finished)
		return;
	if (!o->is_behind)
		log_error("unable to tell the logger of %s: its queue is full or no descriptors are left; trying again", p->id);
	o->is_behind = true;
}

void output_pump(struct output *o)
{
	if (!o->is_behind || !o->link)
		return;
	o->is_behind = false;
	list_each (&o->pipes, at)
		tell(list_of(at, struct output_pipe, link));
}

void output_attach(struct output *o, struct wire_link *link)
{
	o->link = link;
	o->is_behind = false;
	list_each (&o->pipes, at) {
		struct output_pipe *p = list_of(at, struct output_pipe, link);
		/* A logger that ends drains what it has: that is no end of the output. The next one finds that by itself. */
		p->is_told = p->is_finish_told = p->is_closed = false;
		tell(p);
	}
	if (link)
		settle_switches(o, NULL);
}

static struct output_pipe *find(struct output *o, const char *id)
{
	list_each (&o->pipes, at) {
		struct output_pipe *p = list_of(at, struct output_pipe, link);
		if (!strcmp(p->id, id))
			return p;
	}
	return NULL;
}

void output_message(struct output *o, const struct wire_view *msg)
{
	if (msg->type == WIRE_trouble) {
		log_warn("logger: %s (%lld bytes lost)", wire_get_text(msg, WF_text), (long long)wire_get_int(msg, WF_lost, 0));
		return;
	}
	if (msg->type == WIRE_routed)
		on_switched(o, msg);
	if (msg->type != WIRE_drained)
		return;
	struct output_pipe *p = find(o, wire_get_text(msg, WF_id));
	if (p && !p->is_finished) { /* an early end of file: the process closed its output and lives on */
		p->is_closed = true;
		settle_switches(o, p->id);
	}
	if (!p || !p->is_finished)
		return;
	p->bytes = wire_get_int(msg, WF_bytes, 0);
	p->lost = wire_get_int(msg, WF_lost, 0);
	if (p->drained)
		p->drained(p->data);
}

struct output_pipe *output_add(struct output *o, const char *id, const char *sink, const char *prefix, char *const *masks, int fd)
{
	struct output_pipe *p = calloc(1, sizeof(*p));
	if (!p) {
		fds_close(&fd);
		return NULL;
	}
	p->output = o;
	p->fd = fd;
	p->masks = masks;
	strncpy(p->id, id, sizeof(p->id) - 1);
	strncpy(p->sink, sink, sizeof(p->sink) - 1);
	strncpy(p->prefix, prefix ? prefix : "", sizeof(p->prefix) - 1);
	list_push(&o->pipes, &p->link);
	tell(p);
	return p;
}

int output_route(struct output_pipe *p, const char *sink, const char *prefix, int64_t req, int64_t epoch)
{
	strncpy(p->sink, sink, sizeof(p->sink) - 1);
	strncpy(p->prefix, prefix ? prefix : "", sizeof(p->prefix) - 1);
	if (!p->output->link || !p->is_told || p->is_closed)
		return 0; /* the logger hears the new sink at once */
	struct switching *s = calloc(1, sizeof(*s));
	struct buf b;
	if (!s)
		return -1;
	strcpy(s->id, p->id);
	s->req = req;
	s->epoch = epoch;
	buf_init(&b, 2048);
	size_t mark = wire_begin(&b, WIRE_route);
	wire_text(&b, WF_id, p->id);
	wire_text(&b, WF_sink, p->sink);
	if (p->prefix[0])
		wire_text(&b, WF_prefix, p->prefix);
	wire_int(&b, WF_req, req);
	wire_int(&b, WF_epoch, epoch);
	if (send_now(p->output, &b, mark) < 0) {
		free(s);
		return -1;
	}
	list_push(&p->output->switches, &s->link);
	return 1;
}

void output_finish(struct output_pipe *p, output_drained_fn *fn, void *data)
{
	p->is_finished = true;
	p->drained = fn;
	p->data = data;
	tell(p);
}

void output_forget(struct output_pipe **pipe)
{
	struct output_pipe *p = *pipe;
	*pipe = NULL;
	if (!p)
		return;
	list_remove(&p->link);
	settle_switches(p->output, p->id);
	fds_close(&p->fd);
	free(p);
}

void output_reopen(struct output *o)
{
	if (!o->link)
		return;
	struct buf b;
	buf_init(&b, 64);
	size_t mark = wire_begin(&b, WIRE_reopen);
	send_now(o, &b, mark);
}

size_t output_waiting(const struct output *o)
{
	size_t n = 0;
	list_each (&o->pipes, at)
		n += list_of(at, struct output_pipe, link)->is_finished;
	return n;
}

void output_each(struct output *o, void (*fn)(void *data, struct output_pipe *p), void *data)
{
	list_each (&o->pipes, at)
		fn(data, list_of(at, struct output_pipe, link));
}
