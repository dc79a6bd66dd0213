/* dssctl: the commands by which people and scripts talk to an instance. Each lies in core/ctl/. */
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "ctl/boxes.h"
#include "ctl/ctl.h"
#include "ctl/diag.h"
#include "ctl/macro.h"
#include "ctl/notebooks.h"
#include "ctl/webapps.h"

static int version_command(struct ctl *ctl, int argc, char **argv);
static int help_command(struct ctl *ctl, int argc, char **argv);

static const struct ctl_command commands[] = {
	{ "init", "make an instance", "DIR [--port N] [--demo] [--observe]", init_command, CTL_NEEDS_NOTHING },
	{ "dss", "start, stop and look after the daemon; bin/dss of an instance calls it", "VERB", dss_command,
	  CTL_NEEDS_INSTANCE },
	{ "status", "the top-level processes", "", status_command, CTL_NEEDS_INSTANCE },
	{ "ps", "every process of the instance", "", ps_command, CTL_NEEDS_DAEMON },
	{ "top", "the processes, largest first, kept fresh", "", top_command, CTL_NEEDS_DAEMON },
	{ "boxes", "where recipes and webapps run, and what limits them", "", boxes_command, CTL_NEEDS_DAEMON },
	{ "tasks", "running and waiting work", "", tasks_command, CTL_NEEDS_DAEMON },
	{ "pools", "pools of kernels", "", pools_command, CTL_NEEDS_DAEMON },
	{ "submit", "hand in a task", "python MODULE:FUNCTION | java CLASS | command -- ARGV…", submit_command, CTL_NEEDS_DAEMON },
	{ "run", "a command in a box, before a crontab line", "[options] [NAME] -- CMD…", run_command, CTL_NEEDS_DAEMON },
	{ "wait", "wait for a task and print its result", "ID", wait_command, CTL_NEEDS_DAEMON },
	{ "result", "print the result of a task that has ended", "ID", result_command, CTL_NEEDS_DAEMON },
	{ "abort", "stop a task", "ID", abort_command, CTL_NEEDS_DAEMON },
	{ "project", "projects: made, checked, shown, removed", "list | create | check | show | delete KEY", project_command,
	  CTL_NEEDS_DAEMON },
	{ "job", "build datasets of a project", "run | start | status | log | abort PROJECT …", job_command, CTL_NEEDS_DAEMON },
	{ "jobs", "jobs, newest first", "[PROJECT]", jobs_command, CTL_NEEDS_DAEMON },
	{ "train", "train a model of a project", "PROJECT MODEL [--wait]", train_command, CTL_NEEDS_DAEMON },
	{ "models", "models and their trainings, newest first", "[PROJECT]", models_command, CTL_NEEDS_DAEMON },
	{ "webapps", "webapps: what there is, started, stopped", "[list | start | stop | restart | log PROJECT NAME]",
	  webapps_command, CTL_NEEDS_DAEMON },
	{ "macros", "what can be run over a project or the instance", "[PROJECT]", macros_command, CTL_NEEDS_DAEMON },
	{ "macro", "run a macro, look at its runs", "show | run | runs | result | abort …", macro_command, CTL_NEEDS_DAEMON },
	{ "diag", "one archive for whoever is to help, without secrets", "[--out FILE]", diag_command, CTL_NEEDS_INSTANCE },
	{ "notebooks", "sessions of notebooks: memory, idleness, who keeps them",
	  "[list | unload | interrupt | keep] [--where FILTER]", notebooks_command, CTL_NEEDS_DAEMON },
	{ "unload", "end kernels of notebooks", "SESSION… | --where FILTER [--yes]", unload_command, CTL_NEEDS_DAEMON },
	{ "keep", "keep a notebook's kernel from policies for a while", "SESSION FOR", keep_command, CTL_NEEDS_DAEMON },
	{ "free", "the cheapest idle owners of that much memory", "SIZE [--yes] | KERNEL…", free_command, CTL_NEEDS_DAEMON },
	{ "policy", "the policies: in force, checked, compared, rolled back", "[show | check | diff | history | rollback]",
	  policy_command, CTL_NEEDS_INSTANCE },
	{ "alerts", "what an admin should know now", "[--fail]", alerts_command, CTL_NEEDS_DAEMON },
	{ "why", "what was decided, and why", "[ID | NAME | task ID | pool NAME | rule NAME]", why_command, CTL_NEEDS_DAEMON },
	{ "usage", "what processes used: CPU, memory over time", "[--by WORD] [--since WHEN]", usage_command, CTL_NEEDS_DAEMON },
	{ "repl", "a live Lua prompt in the backend, for admins", "[-e LINE]", repl_command, CTL_NEEDS_DAEMON },
	{ "events", "what happened", "[--follow]", events_command, CTL_NEEDS_DAEMON },
	{ "key", "keys of users", "add USER | list | revoke ID", key_command, CTL_NEEDS_DAEMON },
	{ "logs", "a service's log, or a task's", "[NAME|TASK] [--follow]", logs_command, CTL_NEEDS_INSTANCE },
	{ "completion", "print the completion for bash", "", completion_command, CTL_NEEDS_NOTHING },
	{ "version", "the version", "", version_command, CTL_NEEDS_NOTHING },
	{ "help", "help for a command", "[COMMAND]", help_command, CTL_NEEDS_NOTHING },
	{ 0 },
};

static int print_help(void)
{
	static const char *const groups[] = { "anywhere", "in an instance", "with a running instance" };
	printf("usage: dssctl [-C DIR] [--json] COMMAND …\n");
	for (int g = CTL_NEEDS_NOTHING; g <= CTL_NEEDS_DAEMON; g++) {
		printf("\n%s:\n", groups[g]);
		for (const struct ctl_command *c = commands; c->name != NULL; c++)
			if ((int)c->needs == g)
				printf("  %-10s %s\n", c->name, c->help);
	}
	printf("\nThe instance is DIR of -C, else DSS_HOME, else the current folder. `dssctl COMMAND --help` tells the rest.\n"
	       "exit codes: 0 done, 1 failed, 2 usage, 3 aborted, 4 not found, 5 not allowed, 6 no daemon, 7 timed out\n");
	return CTL_DONE;
}

static int version_command(struct ctl *ctl, int argc, char **argv)
{
	(void)argv;
	if (argc > 1 && strcmp(argv[1], "--json") == 0)
		ctl->json = true;
	else if (argc > 1 && strcmp(argv[1], "--help") != 0)
		return ctl_misuse("version", NULL, NULL, "unexpected \"%s\"", argv[1]);
	printf(ctl->json ? "{\"version\": \"%s\"}\n" : "dssctl %s\n", DSS_VERSION);
	return CTL_DONE;
}

static int help_command(struct ctl *ctl, int argc, char **argv)
{
	static char help[] = "--help";
	if (argc < 2 || strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0)
		return print_help();
	char *turned[] = { argv[1], help, NULL };
	ctl->verb = argv[1];
	for (const struct ctl_command *c = commands; c->name != NULL; c++)
		if (strcmp(c->name, argv[1]) == 0)
			return c->run(ctl, 2, turned);
	ctl->verb = "";
	return ctl_dispatch(ctl, commands, "command", 1, turned);
}

int main(int argc, char **argv)
{
	struct ctl ctl = { .verb = "" };
	static const char *const options[] = { "--json", "--help", "--version", NULL };
	setlocale(LC_CTYPE, "");
	int i = 1;
	for (; i < argc && argv[i][0] == '-'; i++) {
		if (strcmp(argv[i], "--json") == 0)
			ctl.json = true;
		else if (strcmp(argv[i], "-C") == 0 && i + 1 < argc)
			ctl.given = argv[++i];
		else if (strcmp(argv[i], "-C") == 0)
			return ctl_misuse("", NULL, NULL, "-C wants a folder");
		else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return print_help();
		else if (strcmp(argv[i], "--version") == 0)
			return version_command(&ctl, 1, argv);
		else
			return ctl_misuse("", options, argv[i], "unknown option \"%s\"", argv[i]);
	}
	if (i == argc) {
		fprintf(stderr, "usage: dssctl [-C DIR] [--json] COMMAND …; dssctl --help lists the commands\n");
		return CTL_USAGE;
	}
	for (const struct ctl_command *c = commands; c->name != NULL; c++)
		if (strcmp(c->name, argv[i]) == 0)
			ctl.verb = c->name;
	int code = ctl_dispatch(&ctl, commands, "command", argc - i, argv + i);
	if (fflush(stdout) != 0 && code == CTL_DONE)
		code = ctl_fail(CTL_FAILED, "unable to write the result");
	return code;
}
