/* repl: a live Lua prompt in the running backend, over run/admin.sock: the uid says who asks. What is typed runs there (lua/dss/console). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "ctl/opt.h"
#include "ctl/repl_edit.h"
#include "ctl/rest.h"
#include "ctl/say.h"

enum { CHUNK_MOST = 65536 };

struct repl {
	struct ctl *ctl;
	struct rest *rest;
	char session[64], prompt[32];
	bool is_incomplete, is_over;
	struct buf chunk; /* the lines of a chunk that goes on */
};

/* Foreign texts move no cursor: of what is no printable character only the newline and the tab stay. */
static void print_plain(FILE *out, const char *s, enum say_tone tone)
{
	while (*s != '\0') {
		size_t len = strcspn(s, "\n\t"), room = len * 4 + 1;
		char *shown = malloc(room);
		if (shown == NULL)
			return;
		text_escape(shown, room, s, len);
		if (len > 0)
			say_toned(out, tone, shown);
		free(shown);
		s += len;
		if (*s != '\0')
			fputc(*s++, out);
	}
	fputc('\n', out);
}

/* An owned request; more: a further member or NULL. */
static char *make_body(const struct repl *r, const char *line, size_t len, json_t *cursor)
{
	json_t *o = json_object();
	const char *sudo = getenv("SUDO_USER");
	if (r->session[0] != '\0')
		json_object_set_new(o, "session", json_string(r->session));
	json_object_set_new(o, "line", json_stringn(line, len));
	if (cursor != NULL)
		json_object_set_new(o, "cursor", cursor);
	if (sudo != NULL && sudo[0] != '\0')
		json_object_set_new(o, "sudo", json_string(sudo));
	char *text = json_object_get(o, "line") != NULL ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	return text;
}

static void take_answer(struct repl *r, const struct rest_answer *a)
{
	const char *output = rest_text(a->json, "output");
	bool is_error = rest_is(a->json, "isError");
	r->is_incomplete = rest_is(a->json, "isIncomplete");
	snprintf(r->session, sizeof(r->session), "%s", rest_text(a->json, "session"));
	r->is_over = r->session[0] == '\0' && !is_error;
	snprintf(r->prompt, sizeof(r->prompt), "%s", r->session[0] != '\0' ? rest_text(a->json, "prompt") : "dss> ");
	if (r->ctl->json && !r->is_incomplete)
		printf("%s\n", a->body.data != NULL ? a->body.data : "{}");
	else if (!r->ctl->json && output[0] != '\0')
		print_plain(is_error ? stderr : stdout, output, is_error ? SAY_BAD : SAY_PLAIN);
	fflush(stdout);
}

/* One chunk. CTL_DONE: it ran, or goes on with the next line. */
static int run_chunk(struct repl *r, const char *text, size_t len)
{
	struct rest_answer a;
	char *body = make_body(r, text, len, NULL);
	r->is_incomplete = false;
	if (body == NULL)
		return ctl_fail(CTL_FAILED, "this line is no UTF-8");
	int code = rest_ask(r->rest, "POST", "/api/console", body, &a);
	free(body);
	if (code == CTL_DONE && !json_is_object(a.json))
		code = ctl_fail(CTL_FAILED, "unable to understand the backend's answer");
	if (code == CTL_DONE) {
		take_answer(r, &a);
		code = rest_is(a.json, "isError") ? CTL_FAILED : CTL_DONE;
	} else if (code == CTL_NOT_FOUND) { /* the next line begins another session */
		r->session[0] = '\0';
		snprintf(r->prompt, sizeof(r->prompt), "dss> ");
	}
	rest_answer_fini(&a);
	return code;
}

/* A line after those of the chunk that goes on. */
static int run_line(struct repl *r, const char *line)
{
	if (r->chunk.len > 0)
		buf_putc(&r->chunk, '\n');
	buf_puts(&r->chunk, line);
	int code = r->chunk.failed    ? ctl_fail(CTL_FAILED, "this is too long: %d bytes may be typed", CHUNK_MOST)
		   : r->chunk.len > 0 ? run_chunk(r, r->chunk.data, r->chunk.len)
				      : CTL_DONE;
	if (!r->is_incomplete || r->chunk.failed)
		buf_clear(&r->chunk);
	return code;
}

static bool is_quit(const char *line)
{
	return strcmp(line, ":quit") == 0 || strcmp(line, ":q") == 0;
}

/* The session is not left to the backend's clock; nobody waits for that. */
static void leave(struct repl *r)
{
	struct rest_answer a;
	char *body = r->session[0] != '\0' ? make_body(r, ":quit", 5, NULL) : NULL;
	if (body == NULL)
		return;
	rest_ask(r->rest, "POST", "/api/console", body, &a);
	rest_answer_fini(&a);
	free(body);
}

/* --- a person --- */

static json_t *complete(void *data, const char *line, size_t cursor, size_t *from)
{
	struct repl *r = data;
	struct rest_answer a;
	struct buf text;
	size_t before = r->chunk.len > 0 ? r->chunk.len + 1 : 0;
	json_t *words = NULL;
	buf_init(&text, CHUNK_MOST);
	if (before > 0) {
		buf_put(&text, r->chunk.data, r->chunk.len);
		buf_putc(&text, '\n');
	}
	buf_puts(&text, line);
	char *body = text.failed ? NULL
				 : make_body(r, text.data != NULL ? text.data : "", text.len,
					     json_integer((json_int_t)before + (json_int_t)cursor));
	if (body != NULL) {
		if (r->session[0] != '\0' && rest_ask(r->rest, "POST", "/api/console/complete", body, &a) == CTL_DONE) {
			double at = rest_number(a.json, "from", 0);
			*from = at >= (double)before ? (size_t)at - before : cursor;
			words = json_incref(json_object_get(a.json, "words"));
		}
		if (r->session[0] != '\0')
			rest_answer_fini(&a);
	}
	free(body);
	buf_fini(&text);
	return words;
}

static int talk(struct repl *r, bool has_history)
{
	const char *line = NULL;
	struct repl_edit *edit = repl_edit_open(has_history, complete, r);
	if (edit == NULL)
		return ctl_fail(CTL_FAILED, "unable to use this terminal");
	int code = run_chunk(r, " ", 1); /* is anybody there, and may we? */
	if (code == CTL_DONE)
		ctl_note("A Lua prompt in the backend of %s; read-only until :write. help() lists the words, Ctrl-D leaves.",
			 r->ctl->dir);
	while (code == CTL_DONE && !r->is_over) {
		enum repl_read what = repl_edit_read(edit, r->chunk.len > 0 ? "...> " : r->prompt, &line);
		if (what == REPL_CLEARED)
			buf_clear(&r->chunk);
		if (what == REPL_CLEARED)
			continue;
		if (what == REPL_LEFT || (r->chunk.len == 0 && is_quit(line)))
			break;
		repl_edit_remember(edit, line);
		int failed = run_line(r, line);
		if (failed == CTL_NO_DAEMON || failed == CTL_NOT_ALLOWED)
			code = failed;
	}
	if (code == CTL_DONE)
		leave(r);
	repl_edit_close(&edit);
	return code;
}

/* --- a program --- */

static int read_all(struct repl *r)
{
	char *line = NULL;
	size_t room = 0;
	int worst = CTL_DONE;
	while (!r->is_over && getline(&line, &room, stdin) >= 0) {
		line[strcspn(line, "\r\n")] = '\0';
		if (r->chunk.len == 0 && is_quit(line))
			break;
		int code = run_line(r, line);
		if (code != CTL_DONE)
			worst = worst == CTL_DONE ? code : worst;
		if (code == CTL_NO_DAEMON || code == CTL_NOT_ALLOWED)
			break;
	}
	free(line);
	if (r->is_incomplete)
		worst = ctl_fail(CTL_FAILED, "the last lines break off: \"%.60s\"", r->chunk.data != NULL ? r->chunk.data : "");
	return worst;
}

static int run_one(struct repl *r, const char *line)
{
	int code = run_chunk(r, line, strlen(line));
	return r->is_incomplete ? ctl_fail(CTL_FAILED, "this line breaks off") : code;
}

int repl_command(struct ctl *ctl, int argc, char **argv)
{
	const char *line = NULL;
	bool no_history = false;
	struct repl r = { .ctl = ctl, .prompt = "dss> " };
	const struct opt opts[] = {
		{ "e", "LINE", "run this line and leave", OPT_TEXT, &line, 0, 0, NULL },
		{ "no-history", NULL, "neither read nor write ~/.dss_history", OPT_FLAG, &no_history, 0, 0, NULL },
		{ 0 },
	};
	struct opt_words words = { .usage = "[-e LINE] [--no-history]",
				   .about = "A live Lua prompt in the running backend, for admins: root and the control user. "
					    "Read-only until :write; each\n"
					    "change is logged with who and when. help() lists the words; :delta prints what was "
					    "changed since the backend's\n"
					    "start for a file of policies/. Without a terminal lines are read from standard input; "
					    "exit 1 if one failed." };
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (code = rest_open_socket(&r.rest, ctl)) != CTL_DONE)
		return code;
	buf_init(&r.chunk, CHUNK_MOST);
	bool is_person = line == NULL && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	if (is_person) {
		code = talk(&r, !no_history);
	} else {
		code = line != NULL ? run_one(&r, line) : read_all(&r);
		if (code == CTL_DONE || code == CTL_FAILED)
			leave(&r);
	}
	buf_fini(&r.chunk);
	rest_close(&r.rest);
	return code;
}
