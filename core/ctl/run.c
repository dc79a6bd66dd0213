/*
 * run: the prefix of a crontab line: a command in a box, queued, with a log of its own, its output shown as it comes, its exit code
 * passed on. The task outlives a restart of the backend; a signal to us aborts it.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "ctl/body.h"
#include "ctl/opt.h"
#include "ctl/rest.h"
#include "ctl/task.h"

extern char **environ;

enum {
	RETRIES_MOST = 100,
	NAME_MOST = 200, /* bytes, as the server says */
	PATH_ROOM = 300,
	LOOK_S = 20,
	QUEUE_LOOK_S = 1,  /* while there is a line about the queue to be kept fresh */
	SIGNAL_BASE = 128, /* as shells do */
	CANNOT_RUN = 126,  /* so do these: found, but not to be run */
	NO_COMMAND = 127,  /* not found */
};

struct run {
	json_t *env; /* owned */
	const char *name, *memory, *pool, *key_file;
	int64_t timeout_ms, retries;
	bool no_overlap;
	char title[NAME_MOST + 1], id[PATH_ROOM];
	struct task_line line;
	int64_t offset;             /* of the log: shown so far */
	bool is_aborted, is_broken; /* by us; nobody reads our output */
};

static volatile sig_atomic_t signals, stop;

static void on_signal(int signo)
{
	(void)signo;
	signals++;
	stop = 1;
}

/* --- what is submitted --- */

static int set_env(json_t *env, const char *name, const char *value)
{
	return value == NULL || json_object_set_new(env, name, json_string(value)) == 0 ? 0 : -1;
}

/* Never all of ours: secrets and a session's leftovers stay here. */
static void take_environment(json_t *env)
{
	static const char *const names[] = { "PATH", "LANG", "LANGUAGE", "HOME", "TZ", NULL };
	for (size_t i = 0; names[i] != NULL; i++)
		set_env(env, names[i], getenv(names[i]));
	for (char **e = environ; *e != NULL; e++) {
		char name[64];
		size_t n = strcspn(*e, "=");
		if (strncmp(*e, "LC_", 3) != 0 || (*e)[n] != '=' || n >= sizeof(name))
			continue;
		memcpy(name, *e, n);
		name[n] = '\0';
		set_env(env, name, *e + n + 1);
	}
}

static int add_env(void *to, const char *pair, struct err *err)
{
	json_t *env = ((struct run *)to)->env;
	if (strchr(pair, '=') != NULL)
		return body_pair(env, pair, err);
	if (getenv(pair) == NULL)
		return err_set(err, "\"%.60s\" is not set here; --env NAME=VALUE gives it a value", pair);
	return set_env(env, pair, getenv(pair)) == 0 ? 0 : err_set(err, "not UTF-8");
}

/* The name, else the command line, as one line of at most NAME_MOST bytes. False: it did not fit. */
static bool make_title(struct run *r, char *const *argv, int argc)
{
	struct buf b;
	buf_init(&b, 1024 * 1024);
	for (int i = 0; i < argc && r->name == NULL; i++)
		buf_printf(&b, "%s%s", i > 0 ? " " : "", argv[i]);
	const char *text = r->name != NULL ? r->name : b.data != NULL ? b.data : "";
	size_t n = 0, len = strlen(text);
	for (; n < len && n < NAME_MOST; n++)
		r->title[n] = (unsigned char)text[n] < 0x20 || text[n] == 0x7f ? ' ' : text[n];
	while (n > 0 && n < len && ((unsigned char)text[n] & 0xc0) == 0x80)
		n--;
	r->title[n] = '\0';
	bool is_whole = n == len && !b.failed;
	buf_fini(&b);
	return is_whole;
}

static json_t *body_of(struct run *r, char *const *argv, int argc, const char *cwd, const char *key)
{
	json_t *words = body_words(argv, argc);
	json_t *payload = words != NULL ? json_pack("{s:o, s:O, s:s}", "argv", words, "env", r->env, "cwd", cwd) : NULL;
	if (payload == NULL)
		return NULL;
	json_t *body = body_new("command", payload);
	body_text(body, "pool", r->pool);
	body_text(body, "title", r->title[0] != '\0' ? r->title : NULL);
	body_text(body, "clientKey", key);
	body_text(body, "exclusive", r->no_overlap ? r->title : NULL);
	body_memory(body, r->memory);
	body_int(body, "timeoutMs", r->timeout_ms);
	body_int(body, "retries", r->retries);
	return body;
}

static int submit(struct run *r, struct rest *rest, const char *body)
{
	struct rest_answer a = { 0 };
	int code = rest_ask(rest, "POST", "/api/futures", body, &a);
	const char *id = rest_text(a.json, "jobId");
	if (code == CTL_DONE && (id[0] == '\0' || strlen(id) >= sizeof(r->id)))
		code = ctl_fail(CTL_FAILED, "unable to understand the backend's answer: %.200s",
				a.body.len > 0 ? a.body.data : "(empty)");
	else if (code == CTL_DONE)
		snprintf(r->id, sizeof(r->id), "%s", id);
	rest_answer_fini(&a);
	return code;
}

/* --- while it runs --- */

static int abort_task(struct run *r, struct rest *rest)
{
	char path[PATH_ROOM + 64];
	struct rest_answer a = { 0 };
	r->is_aborted = true;
	int code = task_path(r->id, "", path, sizeof(path));
	if (code == CTL_DONE)
		code = rest_ask(rest, "DELETE", path, NULL, &a);
	rest_answer_fini(&a);
	return code;
}

static void show(struct ctl *ctl, struct run *r, const struct rest_answer *a)
{
	double start = rest_field(a, "Log-Offset", (double)r->offset);
	task_line_clear(&r->line);
	if ((int64_t)start != r->offset && r->offset > 0)
		ctl_note("dssctl: the log has reached its cap; what was left out stands in neither");
	r->offset = (int64_t)start + (int64_t)a->body.len;
	if (a->body.len == 0 || ctl->json || r->is_broken)
		return;
	if (fwrite(a->body.data, 1, a->body.len, stdout) != a->body.len || fflush(stdout) != 0) {
		r->is_broken = true;
		if (errno != EPIPE)
			ctl_note("dssctl: unable to write what it prints: %s", strerror(errno));
	}
}

/* Says where in the queue it is until it runs, for people. */
static int show_queue(struct run *r, struct rest *rest, bool *is_queued)
{
	char path[PATH_ROOM + 64];
	struct rest_answer a = { 0 };
	int code = task_path(r->id, "?peek=True", path, sizeof(path));
	if (code == CTL_DONE)
		code = rest_ask(rest, "GET", path, NULL, &a);
	*is_queued = code == CTL_DONE && strcmp(rest_text(a.json, "state"), "queued") == 0;
	if (*is_queued)
		task_line_show(&r->line, a.json);
	else
		task_line_clear(&r->line);
	rest_answer_fini(&a);
	return code;
}

/* The next piece of its log. *is_whole: it has ended, and that was all. */
static int follow(struct ctl *ctl, struct run *r, struct rest *rest, int wait_s, bool *is_whole)
{
	char path[PATH_ROOM + 64];
	struct rest_answer a = { 0 };
	snprintf(path, sizeof(path), "/api/tasks/%s/log?offset=%lld&wait=%d", r->id, (long long)r->offset, wait_s);
	int code = rest_ask(rest, "GET", path, NULL, &a);
	if (code == CTL_DONE) {
		show(ctl, r, &a);
		const char *whole = a.head.data != NULL ? strcasestr(a.head.data, "\nLog-Whole: true") : NULL;
		*is_whole = whole != NULL;
	}
	rest_answer_fini(&a);
	return code;
}

/* Until all it printed was shown. A first signal aborts it, a second one ends the waiting. */
static int follow_to_end(struct ctl *ctl, struct run *r, struct rest *rest)
{
	bool is_whole = false, is_queued = r->line.is_terminal && !ctl->json;
	while (!is_whole) {
		int code = CTL_DONE;
		if ((signals > 0 || r->is_broken) && !r->is_aborted) {
			stop = 0;
			code = abort_task(r, rest);
		}
		if (code == CTL_DONE && is_queued)
			code = show_queue(r, rest, &is_queued);
		if (code == CTL_DONE)
			code = follow(ctl, r, rest, is_queued ? QUEUE_LOOK_S : LOOK_S, &is_whole);
		if (code == CTL_INTERRUPTED && !r->is_aborted)
			continue;
		if (code != CTL_DONE)
			return code;
	}
	return CTL_DONE;
}

/* --- at its end --- */

static int pass_on(const json_t *state)
{
	const json_t *result = json_object_get(state, "result");
	int signo = (int)rest_number(result, "signal", 0), code = (int)rest_number(result, "code", CTL_FAILED);
	if (signo <= 0)
		return code;
	ctl_note("dssctl: the command was ended by signal %d (%s)", signo, strsignal(signo));
	return SIGNAL_BASE + signo;
}

/* A folder of PATH that the run user cannot enter says no more than that the program may be there. */
static bool is_on_path(const char *program)
{
	const char *path = getenv("PATH");
	char file[PATH_MAX];
	for (const char *p = path; p != NULL && *p != '\0'; p += strcspn(p, ":"), p += *p == ':')
		if (snprintf(file, sizeof(file), "%.*s/%s", (int)strcspn(p, ":"), p, program) < (int)sizeof(file) &&
		    access(file, X_OK) == 0)
			return true;
	return strchr(program, '/') != NULL;
}

/* It was never started: python says why, with the number first. */
static int tell_not_started(const struct rest_answer *a, const char *program, const char *cwd)
{
	static const struct {
		const char *type;
		int code;
	} kinds[] = { { "FileNotFoundError", NO_COMMAND },
		      { "NotADirectoryError", NO_COMMAND },
		      { "PermissionError", CANNOT_RUN },
		      { "OSError", CANNOT_RUN } };
	char message[600], where[PATH_MAX];
	const char *type = rest_text(a->json, "errorType"), *said = rest_text(a->json, "message");
	const char *text = strncmp(said, "[Errno ", 7) == 0 && strstr(said, "] ") != NULL ? strstr(said, "] ") + 2 : said;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i].type, type) != 0)
			continue;
		text_escape(message, sizeof(message), text, strlen(text));
		text_escape(where, sizeof(where), cwd, strlen(cwd));
		if (!is_on_path(program) && access(cwd, X_OK) == 0 && strstr(text, cwd) == NULL)
			return ctl_fail(NO_COMMAND, "unable to start the command: %s is not found",
					message + strcspn(message, "'"));
		return ctl_fail(kinds[i].code, "unable to start the command: %s (in %s, as the user that runs kernels)", message,
				where);
	}
	return -1;
}

static void print_json(const struct run *r, const json_t *state, int code)
{
	json_t *o = json_pack("{s:s, s:s, s:i, s:s}", "jobId", r->id, "name", r->title, "exitCode", code, "state",
			      rest_text(state, "state")[0] != '\0' ? rest_text(state, "state") : "ended");
	char log[PATH_ROOM + 32];
	snprintf(log, sizeof(log), "jobs/RUN/%s/output.log", r->id);
	json_object_set_new(o, "log", json_string(log));
	json_object_set_new(o, "logBytes", json_integer(r->offset));
	const json_t *cause = json_object_get(state, "cause"), *message = json_object_get(state, "message");
	if (cause != NULL)
		json_object_set(o, "cause", (json_t *)cause);
	if (message != NULL)
		json_object_set(o, "message", (json_t *)message);
	json_dumpf(o, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(o);
}

static int tell_outcome(struct ctl *ctl, struct run *r, struct rest *rest, const char *program, const char *cwd)
{
	char path[PATH_ROOM + 64];
	struct rest_answer a = { 0 };
	struct ctl plain = *ctl;
	plain.json = false; /* ours is the one value */
	int code = task_path(r->id, "?peek=False", path, sizeof(path));
	if (code == CTL_DONE)
		code = rest_ask(rest, "GET", path, NULL, &a);
	if (code == CTL_DONE && a.status == 422) {
		if ((code = tell_not_started(&a, program, cwd)) < 0)
			code = task_tell_end(&plain, &a);
	} else if (code == CTL_DONE) {
		code = pass_on(a.json);
	}
	if (ctl->json)
		print_json(r, a.json, code);
	rest_answer_fini(&a);
	return r->is_broken && code == CTL_ABORTED ? SIGNAL_BASE + SIGPIPE : code;
}

static void catch_signals(void)
{
	static const int signos[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction act = { .sa_handler = on_signal }, ignore = { .sa_handler = SIG_IGN }, now;
	for (size_t i = 0; i < sizeof(signos) / sizeof(signos[0]); i++)
		if (sigaction(signos[i], NULL, &now) == 0 && (signos[i] == SIGTERM || now.sa_handler != SIG_IGN))
			sigaction(signos[i], &act, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
}

static int run(struct ctl *ctl, struct run *r, struct opt_words *w)
{
	char key[BODY_KEY_ROOM], cwd[PATH_MAX];
	struct rest *rest = NULL;
	int code = CTL_DONE;
	bool is_whole = make_title(r, w->command, w->ncommand);
	if (!is_whole && (r->no_overlap || r->name != NULL))
		return ctl_misuse(ctl->verb, NULL, NULL, "a name has at most %d bytes; give a shorter one with --name", NAME_MOST);
	if (getcwd(cwd, sizeof(cwd)) == NULL)
		return ctl_fail(CTL_FAILED, "unable to tell the current folder: %s", strerror(errno));
	if ((code = body_client_key(key)) != CTL_DONE)
		return code;
	json_t *body = body_of(r, w->command, w->ncommand, cwd, key);
	char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
	json_decref(body);
	if (text == NULL)
		return ctl_misuse(ctl->verb, NULL, NULL, "command, folder and environment must be UTF-8");
	catch_signals();
	r->line.is_terminal = isatty(STDERR_FILENO);
	if ((code = rest_open(&rest, ctl, r->key_file)) == CTL_DONE)
		code = submit(r, rest, text);
	free(text);
	if (code == CTL_DONE) {
		rest_stop_on(rest, &stop);
		code = follow_to_end(ctl, r, rest);
		task_line_clear(&r->line);
		rest_stop_on(rest, NULL);
		if (code == CTL_DONE)
			code = tell_outcome(ctl, r, rest, w->command[0], cwd);
		else if (code == CTL_INTERRUPTED)
			ctl_note("dssctl: not waiting any longer; the task %s is being stopped", r->id);
		else
			ctl_note("dssctl: the task %s goes on; dssctl wait %s waits for it", r->id, r->id);
	}
	rest_close(&rest);
	return code;
}

int run_command(struct ctl *ctl, int argc, char **argv)
{
	struct run r = { .env = json_object() };
	const struct opt opts[] = {
		{ "memory", "SIZE", "its limit, e.g. 4g", OPT_SIZE, &r.memory, 0, 0, NULL },
		{ "timeout", "TIME", "ended after that long, e.g. 2h (exit 7)", OPT_DURATION, &r.timeout_ms, 0, 0, NULL },
		{ "no-overlap", NULL, "refuse to start (exit 1) while one of that name is there", OPT_FLAG, &r.no_overlap, 0, 0,
		  NULL },
		{ "name", "NAME", "shown in lists; else the command line", OPT_TEXT, &r.name, 0, 0, NULL },
		{ "pool", "NAME", "the pool of kernels", OPT_TEXT, &r.pool, 0, 0, NULL },
		{ "retries", "N", "further attempts when it is killed or its kernel dies", OPT_INT, &r.retries, 0, RETRIES_MOST,
		  NULL },
		{ "env", "NAME[=VALUE]", "one more variable, beside PATH LANG LC_* HOME TZ; may repeat", OPT_EACH, &r, 0, 0,
		  add_env },
		OPT_KEY_FILE(&r.key_file),
		{ 0 },
	};
	struct opt_words words = {
		.usage = "[options] [NAME] -- CMD…",
		.about = "Runs a command in a box, queued, with a log of its own; prints its output as it comes and passes its "
			 "exit code\n"
			 "on (128 + signal; 127: not found, 126: not to be run). Exit codes of our own (1 killed or refused, 3 "
			 "aborted,\n"
			 "6 no daemon, 7 out of time) come with a line on standard error. SIGINT, SIGTERM and SIGHUP abort it.",
		.most = 1,
		.takes_command = true,
	};
	take_environment(r.env);
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code < 0 && words.count > 0 && r.name != NULL)
		code = ctl_misuse(ctl->verb, NULL, NULL, "the name is given twice: %s and --name %s", words.words[0], r.name);
	else if (code < 0 && words.ncommand == 0)
		code = ctl_misuse(ctl->verb, NULL, NULL, "no command after --; usage: dssctl run %s", words.usage);
	if (code < 0) {
		if (words.count > 0)
			r.name = words.words[0];
		code = run(ctl, &r, &words);
	}
	json_decref(r.env);
	return code;
}
