/* dss: what bin/dss of an instance calls: the daemon's life. It speaks to the keeper alone and needs no backend. */
#include <errno.h>
#include <jansson.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/bell.h"
#include "ctl/front.h"
#include "ctl/opt.h"
#include "ctl/say.h"
#include "ctl/start.h"
#include "sys/clock.h"
#include "sys/home.h"

enum {
	READY_MS = 60000,
	STOP_MS = 120000,        /* longer than any grace */
	DRAIN_MS = 24 * 3600000, /* between two signs of life: a busy kernel may take its time */
	ASK_MS = 30000,
	HANGUP_MS = 10000,
	SUCCESSOR_MS = 15000,
	TURN_MS = 50,
};

/* --- shared --- */

static int find_instance(struct ctl *ctl)
{
	struct err err = { 0 };
	int code = ctl_find(ctl);
	if (code == CTL_DONE && home_check_origin(ctl->dir, &err) < 0)
		code = ctl_fail(CTL_FAILED, "%s", err.text);
	return code;
}

/* The keeper runs as who owns the instance: root would run a user's configuration, a user could become nobody else. */
static int check_owner(struct ctl *ctl)
{
	struct stat st;
	if (stat(ctl->dir, &st) < 0)
		return ctl_fail(CTL_FAILED, "unable to look at %s: %s", ctl->dir, strerror(errno));
	if (st.st_uid == geteuid())
		return CTL_DONE;
	const struct passwd *pw = getpwuid(st.st_uid);
	return ctl_fail(CTL_NOT_ALLOWED, "this instance belongs to %s and must be started as %s: runuser -u %s -- %s/bin/dss start",
			pw != NULL ? pw->pw_name : "another user", pw != NULL ? pw->pw_name : "that user",
			pw != NULL ? pw->pw_name : "USER", ctl->dir);
}

static int refused(const struct err *err)
{
	int code = err->code == ENOENT                         ? CTL_NOT_FOUND
		   : err->code == EACCES || err->code == EPERM ? CTL_NOT_ALLOWED
		   : err->code == ETIMEDOUT                    ? CTL_TIMED_OUT
							       : CTL_FAILED;
	return ctl_fail(code, "%s", err->text);
}

static void print_note(void *data, const char *text)
{
	const struct ctl *ctl = data;
	fprintf(ctl->json ? stderr : stdout, "%s\n", text);
	fflush(stdout);
}

/* Options and the instance, for a verb without options of its own. -1: go on. */
static int begin(struct ctl *ctl, const char *usage, const char *about, int argc, char **argv)
{
	const struct opt opts[] = { { 0 } };
	struct opt_words words = { .usage = usage, .about = about };
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code < 0 && (code = find_instance(ctl)) == CTL_DONE)
		code = -1;
	return code;
}

/* --- verbs --- */

static const char web_dir_help[] = "serve the page from that folder, for who works on it (build/web/files)";

static void take_start(void *data, const struct bell_row *row)
{
	int64_t *started_ms = data;
	if (strcmp(row->kind, "keeper") == 0)
		*started_ms = row->started_ms;
}

static int tell_running(struct ctl *ctl, struct bell *bell)
{
	char since[48];
	int64_t started_ms = 0;
	struct err err;
	bell_ask(bell, "status", "", false, ASK_MS, take_start, NULL, &started_ms, &err);
	if (ctl->json)
		return CTL_DONE;
	printf("%s is running already (keeper pid %d%s%s)\n", ctl->dir, (int)bell_keeper(bell)->pid,
	       started_ms > 0 ? ", since " : "", say_time(started_ms, since, sizeof(since)));
	return CTL_DONE;
}

static void tell_address(struct ctl *ctl)
{
	char path[PATH_MAX];
	json_t *ports = ctl_path(ctl, "run/ports.json", path, sizeof(path), NULL) == 0 ? json_load_file(path, 0, NULL) : NULL;
	json_int_t page = json_integer_value(json_object_get(ports, "page"));
	bool has_tls = json_is_true(json_object_get(ports, "tls"));
	if (page > 0)
		printf("the API answers at %s://127.0.0.1:%d/\nin a browser that is the page; log in with a key: "
		       "%s/config/admin.key, or dssctl key add USER\n",
		       has_tls ? "https" : "http", (int)page, ctl->dir);
	json_decref(ports);
}

/* With --json the new state is the answer. */
static int show_started(struct ctl *ctl, int code)
{
	if (ctl->json)
		status_show(ctl);
	return code;
}

static int start_verb(struct ctl *ctl, int argc, char **argv)
{
	int64_t wait_ms = READY_MS;
	const char *web_dir = NULL;
	const struct opt opts[] = { { "wait", "TIME", "how long to wait until all is ready (default 60s)", OPT_DURATION, &wait_ms,
				      0, 0, NULL },
				    { "web-dir", "DIR", web_dir_help, OPT_TEXT, &web_dir, 0, 0, NULL },
				    { 0 } };
	struct opt_words words = { .usage = "[--wait TIME] [--web-dir DIR]",
				   .about = "Starts the daemon and waits until its services are ready." };
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (code = find_instance(ctl)) != CTL_DONE)
		return code;
	struct err err = { 0 };
	struct bell *bell = NULL;
	if (bell_open(&bell, ctl->dir, &err) == 0) {
		code = tell_running(ctl, bell);
		bell_close(&bell);
		return show_started(ctl, code);
	}
	if (!bell_is_closed(&err))
		return ctl_unreached(ctl, &err);
	if ((code = check_owner(ctl)) != CTL_DONE || (code = start_plan(ctl, web_dir)) != CTL_DONE)
		return code;
	if ((code = start_daemon(ctl, wait_ms)) == CTL_DONE && !ctl->json)
		tell_address(ctl);
	return show_started(ctl, code);
}

static int run_verb(struct ctl *ctl, int argc, char **argv)
{
	char program[PATH_MAX], *keeper[4];
	struct err err = { 0 };
	struct bell *bell = NULL;
	const char *web_dir = NULL;
	const struct opt opts[] = { { "web-dir", "DIR", web_dir_help, OPT_TEXT, &web_dir, 0, 0, NULL }, { 0 } };
	struct opt_words words = { .usage = "[--web-dir DIR]",
				   .about = "Runs the daemon in the foreground, for containers and systemd." };
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (code = find_instance(ctl)) != CTL_DONE)
		return code;
	if (bell_open(&bell, ctl->dir, &err) == 0) {
		code = ctl_fail(CTL_FAILED, "%s is running already (keeper pid %d)", ctl->dir, (int)bell_keeper(bell)->pid);
		bell_close(&bell);
		return code;
	}
	if ((code = check_owner(ctl)) != CTL_DONE || (code = start_plan(ctl, web_dir)) != CTL_DONE ||
	    (code = start_keeper_argv(ctl, program, true, keeper)) != CTL_DONE)
		return code;
	execv(keeper[0], keeper);
	return ctl_fail(CTL_FAILED, "unable to start %s: %s", program, strerror(errno));
}

/* After `stop` was ordered: the door closes when the keeper ends. */
static int wait_stopped(struct ctl *ctl, struct bell *bell)
{
	if (bell_wait_gone(bell, STOP_MS) < 0)
		return ctl_fail(CTL_TIMED_OUT, "the keeper (pid %d) still runs; see run/keeper.log", (int)bell_keeper(bell)->pid);
	printf("%s\n", ctl->json ? "{\"running\":false}" : "stopped");
	return CTL_DONE;
}

static int stop_verb(struct ctl *ctl, int argc, char **argv)
{
	bool now = false;
	const struct opt opts[] = { { "now", NULL, "kill at once instead of waiting for each to end", OPT_FLAG, &now, 0, 0, NULL },
				    { 0 } };
	struct opt_words words = { .usage = "[--now]", .about = "Stops the daemon and everything it runs." };
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (code = ctl_find(ctl)) != CTL_DONE)
		return code;
	struct err err = { 0 };
	struct bell *bell = NULL;
	if (bell_open(&bell, ctl->dir, &err) < 0) {
		if (!bell_is_closed(&err))
			return ctl_unreached(ctl, &err);
		if (ctl->json)
			printf("{\"running\":false}\n");
		else
			printf("%s is not running\n", ctl->dir);
		return CTL_DONE;
	}
	enum bell_end end = bell_ask(bell, "stop", "", now, STOP_MS, NULL, print_note, ctl, &err);
	if (end == BELL_DONE || end == BELL_GONE)
		code = wait_stopped(ctl, bell);
	else
		code = end == BELL_TIMED_OUT ? ctl_fail(CTL_TIMED_OUT, "%s", err.text) : refused(&err);
	bell_close(&bell);
	return code;
}

static int drain_verb(struct ctl *ctl, int argc, char **argv)
{
	struct err err = { 0 };
	struct bell *bell = NULL;
	int code = begin(ctl, "", "Takes no new work, waits until running work has ended, then stops.", argc, argv);
	if (code >= 0)
		return code;
	if (bell_open(&bell, ctl->dir, &err) < 0)
		return ctl_unreached(ctl, &err);
	enum bell_end end = bell_ask(bell, "drain", "", false, DRAIN_MS, NULL, print_note, ctl, &err);
	/* A keeper that has drained and still answers is told to stop; one that ends by itself is gone here. */
	if (end == BELL_DONE)
		end = bell_ask(bell, "stop", "", false, STOP_MS, NULL, print_note, ctl, &err);
	code = end == BELL_DONE || end == BELL_GONE ? wait_stopped(ctl, bell) : refused(&err);
	bell_close(&bell);
	return code;
}

/* The keeper execs its successor in place, which reads the plan anew: same pid, same door, a new conversation. */
static int replace_keeper(struct ctl *ctl, struct bell **bell)
{
	struct err err = { 0 };
	pid_t was = bell_keeper(*bell)->pid;
	enum bell_end end = bell_ask(*bell, "upgrade", "", false, ASK_MS, NULL, print_note, ctl, &err);
	if (end != BELL_DONE && end != BELL_GONE)
		return refused(&err);
	/* Refused at exec it goes on and says so in its log; then this old conversation goes on too. */
	bell_wait_hangup(*bell, HANGUP_MS);
	bell_close(bell);
	int64_t deadline_ms = clock_mono_ms() + SUCCESSOR_MS;
	while (bell_open(bell, ctl->dir, &err) < 0) {
		if (clock_mono_ms() >= deadline_ms)
			return ctl_fail(CTL_TIMED_OUT, "the keeper's successor does not answer: %s; see run/keeper.log", err.text);
		usleep(TURN_MS * 1000);
	}
	if (bell_keeper(*bell)->pid != was)
		return ctl_fail(CTL_FAILED, "another keeper answers: pid %d, not %d", (int)bell_keeper(*bell)->pid, (int)was);
	return CTL_DONE;
}

/* A changed config/dss.lua is taken up first; one with a mistake stops here, nothing is restarted. */
static int take_up_config(struct ctl *ctl, struct bell **bell)
{
	bool changed = false;
	int code = start_plan_again(ctl, &changed);
	if (code == CTL_DONE && changed && (code = replace_keeper(ctl, bell)) != CTL_DONE && code != CTL_TIMED_OUT)
		start_plan_back(ctl);
	return code == CTL_DONE ? code : ctl_fail(code, "nothing was restarted");
}

/* It would take the ports that the backend is at; only a restart of all moves that one. */
static int refuse_new_nginx(struct bell *bell)
{
	return front_is_there(bell)
		       ? CTL_DONE
		       : ctl_fail(CTL_NOT_FOUND, "nginx does not run here: `dss restart`, of all, switches it on where "
						 "config/dss.lua has it");
}

/* name "" = all. */
static int restart_services(struct ctl *ctl, struct bell **bell, const char *name, int64_t wait_ms)
{
	struct err err = { 0 };
	int64_t since_ms = clock_wall_ms();
	bool is_nginx = strcmp(name, "nginx") == 0;
	int code = name[0] == '\0' || is_nginx ? front_test(ctl, FRONT_CHECK) : CTL_DONE;
	if (code != CTL_DONE)
		return ctl_fail(code, "nothing was restarted");
	if (is_nginx && (code = refuse_new_nginx(*bell)) != CTL_DONE)
		return code;
	if ((code = take_up_config(ctl, bell)) != CTL_DONE)
		return code;
	if (bell_ask(*bell, "restart", name, false, STOP_MS, NULL, print_note, ctl, &err) != BELL_DONE)
		return refused(&err);
	return start_follow(ctl, *bell, name[0] != '\0' ? name : NULL, since_ms, wait_ms);
}

static int restart_verb(struct ctl *ctl, int argc, char **argv)
{
	int64_t wait_ms = READY_MS;
	const struct opt opts[] = {
		{ "wait", "TIME", "how long to wait until it is ready (default 60s)", OPT_DURATION, &wait_ms, 0, 0, NULL }, { 0 }
	};
	struct opt_words words = {
		.usage = "[NAME] [--wait TIME]",
		.about = "Restarts one service, or all of them; running kernels go on. `restart keeper` replaces the\n"
			 "keeper in place. A changed config/dss.lua is taken up.",
		.most = 1
	};
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (code = find_instance(ctl)) != CTL_DONE)
		return code;
	const char *name = words.count > 0 ? words.words[0] : "";
	struct err err = { 0 };
	struct bell *bell = NULL;
	if (bell_open(&bell, ctl->dir, &err) < 0)
		return ctl_unreached(ctl, &err);
	if (strcmp(name, "keeper") != 0)
		code = restart_services(ctl, &bell, name, wait_ms);
	else if ((code = replace_keeper(ctl, &bell)) == CTL_DONE && !ctl->json)
		printf("%-10s ready (pid %d, its children did not notice)\n", "keeper", (int)bell_keeper(bell)->pid);
	bell_close(&bell);
	return show_started(ctl, code);
}

/* The keeper sends the signal; what nginx would refuse is not sent. */
static int reload_service(struct ctl *ctl, struct bell **bell, const char *name)
{
	struct err err = { 0 };
	bool is_nginx = strcmp(name, "nginx") == 0;
	int code = is_nginx ? front_test(ctl, FRONT_CHECK) : CTL_DONE;
	if (is_nginx && front_is_there(*bell) && code != CTL_DONE)
		return ctl_fail(code, "nginx goes on with what it has");
	if (is_nginx && (code = refuse_new_nginx(*bell)) != CTL_DONE)
		return code;
	if ((code = take_up_config(ctl, bell)) != CTL_DONE)
		return code;
	if (is_nginx && (code = front_test(ctl, FRONT_INSTALL)) != CTL_DONE)
		return ctl_fail(code, "nginx goes on with what it has");
	struct front_workers before;
	front_workers_read(*bell, &before);
	if (bell_ask(*bell, "reload", name, false, ASK_MS, NULL, print_note, ctl, &err) != BELL_DONE)
		return refused(&err);
	if (is_nginx && !front_has_taken(&before))
		return ctl_fail(CTL_TIMED_OUT, "nginx was told and shows no new worker; see run/nginx.log");
	if (!ctl->json)
		printf("%-10s reloaded\n", name);
	return CTL_DONE;
}

static int reload_verb(struct ctl *ctl, int argc, char **argv)
{
	const struct opt opts[] = { { 0 } };
	struct opt_words words = {
		.usage = "NAME",
		.about = "Makes a service read its configuration anew without a restart: nginx, whose new\n"
			 "certificates and configuration are tested first, or any service whose `reload` says how.",
		.least = 1,
		.most = 1
	};
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (code = find_instance(ctl)) != CTL_DONE)
		return code;
	struct err err = { 0 };
	struct bell *bell = NULL;
	if (bell_open(&bell, ctl->dir, &err) < 0)
		return ctl_unreached(ctl, &err);
	code = reload_service(ctl, &bell, words.words[0]);
	bell_close(&bell);
	return show_started(ctl, code);
}

static int reopen_verb(struct ctl *ctl, int argc, char **argv)
{
	struct err err = { 0 };
	struct bell *bell = NULL;
	int code = begin(ctl, "", "Opens all log files anew, after something else has moved them.", argc, argv);
	if (code >= 0)
		return code;
	if (bell_open(&bell, ctl->dir, &err) < 0)
		return ctl_unreached(ctl, &err);
	code = CTL_DONE;
	if (bell_ask(bell, "reopen", "", false, ASK_MS, NULL, print_note, ctl, &err) != BELL_DONE)
		code = refused(&err);
	else if (ctl->json)
		printf("{}\n");
	bell_close(&bell);
	return code;
}

static const struct ctl_command verbs[] = {
	{ "start", "start the daemon, wait until it is ready", "[--wait TIME]", start_verb, CTL_NEEDS_INSTANCE },
	{ "stop", "stop it and all it runs", "[--now]", stop_verb, CTL_NEEDS_INSTANCE },
	{ "drain", "let running work end, then stop", "", drain_verb, CTL_NEEDS_INSTANCE },
	{ "restart", "restart one service or all", "[NAME] [--wait TIME]", restart_verb, CTL_NEEDS_INSTANCE },
	{ "reload", "have a service read its configuration anew", "NAME", reload_verb, CTL_NEEDS_INSTANCE },
	{ "status", "the top-level processes", "[--json]", status_command, CTL_NEEDS_INSTANCE },
	{ "run", "run in the foreground", "", run_verb, CTL_NEEDS_INSTANCE },
	{ "reopenlogs", "open the log files anew", "", reopen_verb, CTL_NEEDS_INSTANCE },
	{ 0 },
};

static int print_verbs(void)
{
	printf("usage: dss VERB [options]\n\n");
	for (const struct ctl_command *c = verbs; c->name != NULL; c++) {
		char left[64];
		snprintf(left, sizeof(left), "%s %s", c->name, c->usage);
		printf("  %-30s %s\n", left, c->help);
	}
	printf("\n`dss VERB --help` tells the rest. Exit codes: 0 done, 1 failed, 2 usage, 4 not found, 5 not allowed,\n"
	       "6 not running, 7 timed out\n");
	return CTL_DONE;
}

int dss_command(struct ctl *ctl, int argc, char **argv)
{
	static char verb[80];
	int i = 1;
	for (; i < argc && strcmp(argv[i], "--json") == 0; i++)
		ctl->json = true;
	if (i < argc && (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "help") == 0))
		return print_verbs();
	if (i == argc) {
		fprintf(stderr, "usage: dss start|stop|drain|restart|reload|status|run|reopenlogs; dss --help tells more\n");
		return CTL_USAGE;
	}
	for (const struct ctl_command *c = verbs; c->name != NULL; c++)
		if (strcmp(c->name, argv[i]) == 0) {
			snprintf(verb, sizeof(verb), "dss %s", c->name);
			ctl->verb = verb;
		}
	return ctl_dispatch(ctl, verbs, "verb", argc - i, argv + i);
}
