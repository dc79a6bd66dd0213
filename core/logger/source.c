#include "logger/source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/text.h"
#include "sys/fds.h"

enum {
	PREFIX_MAX = 160,
	/* A daemon that outlives its process may write for ever: it gets so much more after what stood in the pipe. */
	SURVIVOR_BYTES = 1024 * 1024,
};
static const char CONTINUED[] = "... ";

static void on_readable(void *data, int fd, int events);

/* --- life --- */

/* Harmless in a line, and apart from the text after it. Owned. */
static char *make_prefix(const struct sink_place *place, const char *given)
{
	char text[PREFIX_MAX] = "";
	if (given != NULL)
		text_escape(text, sizeof(text) - 1, given, strlen(given));
	else if (place->kind == SINK_KERNEL)
		snprintf(text, sizeof(text) - 1, "%s:", place->id);
	size_t n = strlen(text);
	if (n > 0 && text[n - 1] != ' ')
		strcpy(text + n, " ");
	return strdup(text);
}

static void leave_sink(struct source_env *env, struct sink *sink)
{
	if (!sink_leave(env->sinks, sink))
		return;
	/* The file is closed behind all that was queued for it; the sink itself is freed when that order is back. */
	if (sink->file == NULL)
		sink_free(&sink);
	else if (writer_put(env->writer, WRITER_CLOSE, sink, sink->file, NULL, 0) < 0)
		/* The writer may still have it in hand: better a sink that leaks than one that is gone. */
		env->complain(env->data, "unable to close a log: no memory");
}

struct source *source_new(struct source_env *env, const char *id, int fd, const struct sink_place *place, const char *prefix,
			  int64_t cap, struct err *err)
{
	struct stat st;
	struct source *s = calloc(1, sizeof(*s));
	if (s == NULL || fstat(fd, &st) < 0 || (!S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode))) {
		fds_close(&fd);
		free(s);
		err_set(err, "unable to read the output of %s: its descriptor is no pipe", id);
		return NULL;
	}
	snprintf(s->id, sizeof(s->id), "%s", id);
	s->fd = fd;
	s->env = env;
	list_init(&s->paused);
	buf_init(&s->held, SOURCE_LINE_MAX + SOURCE_READ_MAX);
	s->sink = sink_use(env->sinks, place, cap);
	s->prefix = make_prefix(place, prefix);
	if (fds_nonblock(fd, true, err) < 0) {
		source_free(&s);
		return NULL;
	}
	s->io = loop_io_new(env->loop, fd, LOOP_READ, on_readable, s);
	if (s->sink == NULL || s->prefix == NULL || s->io == NULL) {
		err_set(err, "unable to read the output of %s: no memory", id);
		source_free(&s);
	}
	return s;
}

static void stop_reading(struct source *s)
{
	loop_io_free(&s->io);
	fds_close(&s->fd);
	list_remove(&s->paused);
}

/* Behind all that is queued for the file. Takes ack. */
static void tell_routed(struct source *s, struct source_ack *ack)
{
	if (ack != NULL && writer_put(s->env->writer, WRITER_ROUTED, ack, NULL, NULL, 0) < 0)
		s->env->routed(s->env->data, ack);
}

void source_rest(struct source *s)
{
	stop_reading(s);
	if (s->sink != NULL && s->sink->open_line == s)
		s->sink->open_line = NULL;
	if (s->sink != NULL)
		leave_sink(s->env, s->sink);
	s->sink = NULL;
	for (size_t i = 0; i < s->nroutes; i++) {
		leave_sink(s->env, s->routes[i].sink);
		free(s->routes[i].prefix);
		tell_routed(s, s->routes[i].ack);
	}
	s->nroutes = 0;
	buf_fini(&s->held);
	free(s->prefix);
	s->prefix = NULL;
	s->is_resting = true;
}

void source_free(struct source **s)
{
	if (*s == NULL)
		return;
	source_rest(*s);
	mask_drop((*s)->env->mask, &(*s)->masks);
	free(*s);
	*s = NULL;
}

/* --- from bytes to orders --- */

/* n bytes found no memory. What is held already stays good. */
static void lose(struct source *s, size_t n)
{
	char text[SOURCE_ID_MAX + 80];
	s->held.failed = false;
	s->lost += (int64_t)n;
	snprintf(text, sizeof(text), "unable to hold %zu bytes of the output of %s: no memory", n, s->id);
	s->env->complain(s->env->data, text);
}

static void submit(struct source *s, struct buf *out)
{
	size_t len = out->len;
	bool is_failed = out->failed;
	char *data = len > 0 && !is_failed ? buf_steal(out) : NULL;
	buf_fini(out);
	if (len == 0 && !is_failed)
		return;
	if (data == NULL || writer_put(s->env->writer, WRITER_DATA, s, s->sink->file, data, len) < 0) {
		lose(s, len);
		return;
	}
	s->outstanding++;
	if (s->io != NULL)
		loop_io_set(s->io, 0);
}

static void begin_line(struct source *s, struct buf *out)
{
	buf_puts(out, s->prefix);
	if (s->is_continued)
		buf_puts(out, CONTINUED);
	s->is_continued = false;
}

/* Puts text, which may end within a line, with a prefix before each line that begins in it. */
static void render(struct source *s, const char *p, size_t len, struct buf *out)
{
	struct sink *sink = s->sink;
	if (len == 0)
		return;
	if (sink->open_line != NULL && sink->open_line != s) {
		/* Somebody's half line stands there: it is ended, and goes on marked. */
		buf_putc(out, '\n');
		sink->open_line->is_line_open = false;
		sink->open_line->is_continued = true;
		sink->open_line = NULL;
	}
	bool is_plain = s->prefix[0] == '\0';
	bool at_start = !s->is_line_open;
	if (is_plain) {
		if (at_start)
			begin_line(s, out);
		buf_put(out, p, len);
		at_start = p[len - 1] == '\n';
		len = 0;
	}
	while (len > 0) {
		if (at_start)
			begin_line(s, out);
		const char *nl = memchr(p, '\n', len);
		size_t n = nl != NULL ? (size_t)(nl + 1 - p) : len;
		buf_put(out, p, n);
		at_start = nl != NULL;
		p += n;
		len -= n;
	}
	s->is_line_open = !at_start;
	sink->open_line = s->is_line_open ? s : NULL;
}

/* Room that is enough in most cases at the first go. */
static void init_out(struct buf *out, size_t len)
{
	/* A chunk of newlines grows by a prefix each. */
	buf_init(out, (len + 1) * (PREFIX_MAX + sizeof(CONTINUED) + 4));
	buf_reserve(out, len + len / 4 + 64);
}

/* Masks and renders; returns the bytes used, all of them if is_final. */
static size_t put_text(struct source *s, const char *p, size_t len, bool is_final, struct buf *out)
{
	if (mask_is_empty(s->env->mask)) {
		render(s, p, len, out);
		return len;
	}
	struct buf masked;
	size_t used;
	if (mask_is_clean(s->env->mask, p, len, is_final, &used)) {
		render(s, p, used, out);
		return used;
	}
	buf_init(&masked, 2 * len + 16);
	used = mask_apply(s->env->mask, p, len, is_final, &masked);
	if (masked.failed)
		out->failed = true;
	else
		render(s, masked.data != NULL ? masked.data : "", masked.len, out);
	buf_fini(&masked);
	return used;
}

static bool has_file_for_itself(const struct source *s)
{
	return s->sink->place.kind == SINK_JOB && s->sink->users == 1;
}

static void drop_held(struct source *s, size_t n)
{
	buf_drop(&s->held, n);
	if (s->held.len == 0)
		buf_fini(&s->held);
}

/* Part of a line that has grown too long, or has stood for long enough. */
static void put_piece(struct source *s)
{
	struct buf out;
	init_out(&out, s->held.len);
	size_t used = put_text(s, s->held.data, s->held.len, false, &out);
	if (used > 0 && !has_file_for_itself(s)) {
		buf_putc(&out, '\n');
		s->is_line_open = false;
		s->is_continued = true;
		s->sink->open_line = NULL;
	}
	if (used > 0)
		submit(s, &out);
	else
		buf_fini(&out);
	drop_held(s, used);
}

/* What is held is all there will be: of the process, or for this sink. */
static void end_line(struct source *s)
{
	if (s->sink->file == NULL || (s->held.len == 0 && !s->is_line_open))
		return;
	struct buf out;
	init_out(&out, s->held.len);
	if (s->held.len > 0)
		put_text(s, s->held.data, s->held.len, true, &out);
	buf_putc(&out, '\n');
	s->is_line_open = s->is_continued = false;
	if (s->sink->open_line == s)
		s->sink->open_line = NULL;
	submit(s, &out);
	drop_held(s, s->held.len);
}

static void put_lines(struct source *s, const char *p, size_t len)
{
	struct buf out;
	if (s->held.len == 0) {
		init_out(&out, len);
		put_text(s, p, len, true, &out);
	} else {
		if (buf_put(&s->held, p, len) < 0)
			lose(s, len);
		init_out(&out, s->held.len);
		put_text(s, s->held.data, s->held.len, true, &out);
		drop_held(s, s->held.len);
	}
	submit(s, &out);
}

static void show_soon(struct source *s)
{
	if (has_file_for_itself(s) && !loop_timer_is_running(s->env->show))
		loop_timer_start(s->env->show, SOURCE_SHOW_MS);
}

static void take(struct source *s, const char *p, size_t len)
{
	if (s->sink->file == NULL)
		return;
	const char *nl = memrchr(p, '\n', len);
	size_t whole = nl != NULL ? (size_t)(nl + 1 - p) : 0;
	if (whole > 0)
		put_lines(s, p, whole);
	if (whole == len)
		return;
	if (buf_put(&s->held, p + whole, len - whole) < 0)
		lose(s, len - whole);
	show_soon(s);
	if (s->held.len >= SOURCE_LINE_MAX)
		put_piece(s);
}

void source_show_held(struct source *s)
{
	if (s->held.len == 0 || s->is_ended || !has_file_for_itself(s))
		return;
	if (s->outstanding == 0)
		put_piece(s);
	else
		show_soon(s);
}

/* --- routes --- */

static size_t bytes_in_pipe(const struct source *s)
{
	int n = 0;
	return ioctl(s->fd, FIONREAD, &n) == 0 && n > 0 ? (size_t)n : 0;
}

static void switch_over(struct source *s)
{
	end_line(s);
	leave_sink(s->env, s->sink);
	free(s->prefix);
	s->sink = s->routes[0].sink;
	s->prefix = s->routes[0].prefix;
	tell_routed(s, s->routes[0].ack);
	s->nroutes--;
	memmove(s->routes, s->routes + 1, s->nroutes * sizeof(s->routes[0]));
}

int source_route(struct source *s, const struct sink_place *place, const char *prefix, struct source_ack *ack, struct err *err)
{
	if (s->is_ended) {
		tell_routed(s, ack);
		return 0;
	}
	if (s->nroutes == SOURCE_ROUTES_MAX) {
		free(ack);
		return err_set(err, "unable to route %s: %d switches wait already", s->id, SOURCE_ROUTES_MAX);
	}
	struct source_route *r = &s->routes[s->nroutes];
	r->sink = sink_use(s->env->sinks, place, 0);
	r->prefix = make_prefix(place, prefix);
	if (r->sink == NULL || r->prefix == NULL) {
		if (r->sink != NULL)
			leave_sink(s->env, r->sink);
		free(r->prefix);
		free(ack);
		return err_set(err, "unable to route %s: no memory", s->id);
	}
	r->ack = ack;
	r->left = bytes_in_pipe(s);
	for (size_t i = 0; i < s->nroutes; i++)
		r->left -= s->routes[i].left < r->left ? s->routes[i].left : r->left;
	s->nroutes++;
	while (s->nroutes > 0 && s->routes[0].left == 0)
		switch_over(s);
	return 0;
}

/* --- reading --- */

static void end(struct source *s)
{
	stop_reading(s);
	s->is_ended = true;
	end_line(s);
	if (writer_put(s->env->writer, WRITER_MARK, s, NULL, NULL, 0) < 0) {
		/* Without memory for the mark there is no knowing when it is written; said is better than never. */
		if (s->outstanding == 0)
			s->env->drained(s->env->data, s);
		return;
	}
	s->outstanding++;
}

/* After a read or an order that came back: what next? */
static void go_on(struct source *s)
{
	if (s->is_ended || s->outstanding > 0)
		return;
	if (s->is_finishing && (s->may_read <= 0 || bytes_in_pipe(s) == 0)) {
		end(s);
		return;
	}
	loop_io_set(s->io, LOOP_READ);
}

static void on_readable(void *data, int fd, int events)
{
	(void)events;
	struct source *s = data;
	struct source_env *env = s->env;
	if (writer_is_full(env->writer)) {
		loop_io_set(s->io, 0);
		list_remove(&s->paused);
		list_push(&env->paused, &s->paused);
		return;
	}
	size_t want = sizeof(env->room);
	if (s->nroutes > 0 && s->routes[0].left < want)
		want = s->routes[0].left;
	ssize_t n = read(fd, env->room, want);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		go_on(s);
		return;
	}
	if (n <= 0) {
		end(s);
		return;
	}
	s->bytes += n;
	s->may_read -= n;
	take(s, env->room, (size_t)n);
	if (s->nroutes > 0)
		s->routes[0].left -= (size_t)n;
	while (s->nroutes > 0 && s->routes[0].left == 0)
		switch_over(s);
	go_on(s);
}

void source_finish(struct source *s)
{
	if (s->is_finishing)
		return;
	s->is_finishing = true;
	if (s->is_ended)
		return;
	s->may_read = (int64_t)bytes_in_pipe(s) + SURVIVOR_BYTES;
	if (list_is_empty(&s->paused))
		go_on(s);
}

void source_written(struct source *s, int64_t lost)
{
	s->lost += lost;
	s->outstanding--;
	if (!s->is_ended)
		go_on(s);
	else if (s->outstanding == 0)
		s->env->drained(s->env->data, s);
}

void source_resume_all(struct source_env *env)
{
	struct list *p;
	while ((p = list_first(&env->paused)) != NULL) {
		list_remove(p);
		go_on(list_of(p, struct source, paused));
	}
}
