/* submit: hands in a task. A clientKey is always sent, so that a request may be repeated while the backend is replaced. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "ctl/body.h"
#include "ctl/opt.h"
#include "ctl/rest.h"
#include "ctl/task.h"

enum { TITLE_ROOM = 128, RETRIES_MOST = 100, PRIORITY_MOST = 1000 };

struct submit {
	json_t *args, *kwargs, *path, *env, *classpath, *state, *tags; /* owned */
	const char *pool, *memory, *title, *project, *user, *client_key, *key_file;
	char cwd[PATH_MAX]; /* of --cwd, absolute; "" = none */
	int64_t timeout_ms, retries, priority;
	bool wait;
};

/* What is JSON is taken as such, all else is text. A number that JSON here cannot hold must not turn into text unseen. */
static json_t *value_of(const char *s, struct err *err)
{
	json_error_t why;
	json_t *v = json_loads(s, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &why);
	if (v == NULL && json_error_code(&why) == json_error_numeric_overflow)
		err_set(err, "a number in it is too large; pass it as text, in quotes of JSON");
	else if (v == NULL && (v = json_string(s)) == NULL)
		err_set(err, "not UTF-8");
	return v;
}

static int add_arg(void *to, const char *value, struct err *err)
{
	struct submit *s = to;
	json_t *v = value_of(value, err);
	return v != NULL && json_array_append_new(s->args, v) == 0 ? 0 : -1;
}

static int add_kwarg(void *to, const char *pair, struct err *err)
{
	struct submit *s = to;
	char name[256];
	const char *value = body_split(pair, name, sizeof(name), err);
	json_t *v = value != NULL ? value_of(value, err) : NULL;
	if (v == NULL)
		return -1;
	return json_object_set_new(s->kwargs, name, v) == 0 ? 0 : err_set(err, "the name is not UTF-8");
}

static int add_env(void *to, const char *pair, struct err *err)
{
	return body_pair(((struct submit *)to)->env, pair, err);
}

static int add_path(void *to, const char *value, struct err *err)
{
	return body_path(((struct submit *)to)->path, value, err);
}

static int add_tag(void *to, const char *value, struct err *err)
{
	json_t *tag = json_string(value);
	return tag != NULL ? json_array_append_new(((struct submit *)to)->tags, tag) : err_set(err, "a tag is no UTF-8 text");
}

static int add_classpath(void *to, const char *value, struct err *err)
{
	return body_path(((struct submit *)to)->classpath, value, err);
}

static int set_cwd(void *to, const char *dir, struct err *err)
{
	struct submit *s = to;
	struct stat st;
	if (realpath(dir, s->cwd) == NULL || stat(s->cwd, &st) < 0)
		return err_sys(err, errno, "unable to find %s", dir);
	return S_ISDIR(st.st_mode) ? 0 : err_sys(err, ENOTDIR, "unable to use %s", dir);
}

static int set_state(void *to, const char *text, struct err *err)
{
	struct submit *s = to;
	json_error_t why;
	json_decref(s->state);
	s->state = json_loads(text, JSON_REJECT_DUPLICATES, &why);
	if (s->state == NULL)
		return err_set(err, "no JSON: %s", why.text);
	return json_is_object(s->state) ? 0 : err_set(err, "a JSON object is wanted, as {\"field\": 1}");
}

/* The folder that a task is to run in: --cwd, for python else where we are. Files that are named relative to it mean the same there. */
static void put_cwd(const struct submit *s, json_t *payload, bool is_wanted)
{
	char here[PATH_MAX];
	if (s->cwd[0] != '\0')
		json_object_set_new(payload, "cwd", json_string(s->cwd));
	else if (is_wanted && getcwd(here, sizeof(here)) != NULL && here[0] == '/')
		json_object_set_new(payload, "cwd", json_string(here));
}

static json_t *python_payload(struct submit *s, const char *callable)
{
	json_t *payload =
		json_pack("{s:s, s:O, s:O, s:O}", "callable", callable, "args", s->args, "kwargs", s->kwargs, "path", s->path);
	if (payload == NULL)
		return NULL;
	put_cwd(s, payload, true);
	json_t *cwd = json_object_get(payload, "cwd");
	if (cwd != NULL && json_array_size(s->path) == 0)
		json_array_append(s->path, cwd);
	return payload;
}

static json_t *java_payload(struct submit *s, const char *class)
{
	return json_pack("{s:s, s:O, s:O}", "class", class, "state", s->state, "classpath", s->classpath);
}

static json_t *command_payload(struct submit *s, char **argv, int argc)
{
	json_t *words = body_words(argv, argc);
	json_t *payload = words != NULL ? json_pack("{s:o, s:O}", "argv", words, "env", s->env) : NULL;
	if (payload != NULL)
		put_cwd(s, payload, false);
	return payload;
}

static json_t *body_of(struct submit *s, const char *type, json_t *payload)
{
	json_t *body = body_new(type, payload);
	body_text(body, "pool", s->pool);
	body_text(body, "title", s->title);
	if (json_array_size(s->tags) > 0)
		json_object_set(body, "tags", s->tags);
	body_text(body, "project", s->project);
	body_text(body, "user", s->user);
	body_text(body, "clientKey", s->client_key);
	body_memory(body, s->memory);
	body_int(body, "timeoutMs", s->timeout_ms);
	body_int(body, "retries", s->retries);
	body_int(body, "priority", s->priority);
	return body;
}

/* Sends it; then waits, or prints the id. */
static int hand_in(struct ctl *ctl, struct submit *s, const char *body)
{
	struct rest *rest = NULL;
	struct rest_answer a = { 0 };
	int code = rest_open(&rest, ctl, s->key_file);
	if (code != CTL_DONE)
		return code;
	code = rest_ask(rest, "POST", "/api/futures", body, &a);
	const char *id = rest_text(a.json, "jobId");
	if (code == CTL_DONE && id[0] == '\0')
		code = ctl_fail(CTL_FAILED, "unable to understand the backend's answer: %.200s",
				a.body.len > 0 ? a.body.data : "(empty)");
	else if (code == CTL_DONE && s->wait)
		code = task_wait(ctl, rest, id, -1);
	else if (code == CTL_DONE)
		printf("%s\n", ctl->json ? a.body.data : id);
	rest_answer_fini(&a);
	rest_close(&rest);
	return code;
}

static int run(struct ctl *ctl, struct submit *s, struct opt_words *w)
{
	static const char *const types[] = { "python", "java", "command", NULL };
	char key[BODY_KEY_ROOM];
	json_t *payload = NULL;
	const char *type = w->words[0];
	if (strcmp(type, "python") == 0 && w->count == 2 && w->ncommand == 0)
		payload = python_payload(s, w->words[1]);
	else if (strcmp(type, "java") == 0 && w->count == 2 && w->ncommand == 0)
		payload = java_payload(s, w->words[1]);
	else if (strcmp(type, "command") == 0 && w->count == 1 && w->ncommand > 0)
		payload = command_payload(s, w->command, w->ncommand);
	else if (strcmp(type, "python") == 0 || strcmp(type, "java") == 0 || strcmp(type, "command") == 0)
		return ctl_misuse(ctl->verb, NULL, NULL, "usage: dssctl submit %s", w->usage);
	else
		return ctl_misuse(ctl->verb, types, type, "unknown kind of task \"%s\"", type);
	if (payload == NULL)
		return ctl_misuse(ctl->verb, NULL, NULL, "what is submitted must be UTF-8");
	if (strcmp(type, "python") == 0 && strchr(w->words[1], ':') == NULL) {
		json_decref(payload);
		return ctl_misuse(ctl->verb, NULL, NULL, "\"%.60s\" names no function; write MODULE:FUNCTION", w->words[1]);
	}
	char title[TITLE_ROOM];
	if (s->title == NULL && strcmp(type, "command") == 0 && body_title(w->command, w->ncommand, title, sizeof(title)))
		s->title = title;
	int code = CTL_FAILED;
	if (s->client_key == NULL && body_client_key(key) != CTL_DONE) {
		json_decref(payload);
		goto out;
	}
	if (s->client_key == NULL)
		s->client_key = key;
	json_t *body = body_of(s, type, payload);
	char *text = json_dumps(body, JSON_COMPACT);
	code = text != NULL ? hand_in(ctl, s, text) : ctl_fail(CTL_FAILED, "no memory");
	free(text);
	json_decref(body);
out: /* what was made here does not outlive it */
	if (s->title == title)
		s->title = NULL;
	if (s->client_key == key)
		s->client_key = NULL;
	return code;
}

int submit_command(struct ctl *ctl, int argc, char **argv)
{
	struct submit s = { json_array(), json_object(), json_array(), json_object(),
			    json_array(), json_object(), json_array(), .retries = 0 };
	const struct opt opts[] = {
		{ "arg", "VALUE", "python: a further argument, JSON or text; may repeat", OPT_EACH, &s, 0, 0, add_arg },
		{ "kwarg", "NAME=VALUE", "python: a named argument; may repeat", OPT_EACH, &s, 0, 0, add_kwarg },
		{ "path", "DIR", "python: where its module lies (else the current folder), before the pool's folders; may repeat",
		  OPT_EACH, &s, 0, 0, add_path },
		{ "state", "JSON", "java: the fields of the object, {\"name\": value, …}", OPT_EACH, &s, 0, 0, set_state },
		{ "classpath", "PATH", "java: a jar or folder with its classes; may repeat", OPT_EACH, &s, 0, 0, add_classpath },
		{ "env", "NAME=VALUE", "command: its environment; may repeat", OPT_EACH, &s, 0, 0, add_env },
		{ "cwd", "DIR", "the folder it runs in; python: else the current one", OPT_EACH, &s, 0, 0, set_cwd },
		{ "pool", "NAME", "the pool of kernels", OPT_TEXT, &s.pool, 0, 0, NULL },
		{ "memory", "SIZE", "its limit, e.g. 2g", OPT_SIZE, &s.memory, 0, 0, NULL },
		{ "timeout", "TIME", "ended after that long, e.g. 10min", OPT_DURATION, &s.timeout_ms, 0, 0, NULL },
		{ "retries", "N", "further attempts when it is killed or its kernel dies", OPT_INT, &s.retries, 0, RETRIES_MOST,
		  NULL },
		{ "priority", "N", "higher goes first", OPT_INT, &s.priority, -PRIORITY_MOST, PRIORITY_MOST, NULL },
		{ "tag", "TEXT", "a mark that filters and slots can ask for; may repeat", OPT_EACH, &s, 0, 0, add_tag },
		{ "title", "TEXT", "shown in lists", OPT_TEXT, &s.title, 0, 0, NULL },
		{ "project", "KEY", "the project it belongs to", OPT_TEXT, &s.project, 0, 0, NULL },
		{ "user", "NAME", "for somebody else (admin keys only)", OPT_TEXT, &s.user, 0, 0, NULL },
		{ "client-key", "KEY", "the same key again answers the first task", OPT_TEXT, &s.client_key, 0, 0, NULL },
		{ "wait", NULL, "wait for it and print its result", OPT_FLAG, &s.wait, 0, 0, NULL },
		OPT_KEY_FILE(&s.key_file),
		{ 0 },
	};
	struct opt_words words = { .usage = "python MODULE:FUNCTION | java CLASS | command -- ARGV… [options]",
				   .about = "Hands in a task and prints its id; with --wait its result. Exit codes as of `wait`.",
				   .least = 1,
				   .most = 2,
				   .takes_command = true };
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code < 0)
		code = run(ctl, &s, &words);
	json_decref(s.args);
	json_decref(s.kwargs);
	json_decref(s.path);
	json_decref(s.env);
	json_decref(s.classpath);
	json_decref(s.state);
	json_decref(s.tags);
	return code;
}
