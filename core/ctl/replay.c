/* replay: `dssctl policy replay`: recorded decisions made again, in a process of its own; needs no backend. */
#include <stdio.h>
#include <limits.h>

#include "ctl/child.h"
#include "ctl/opt.h"
#include "ctl/policy_files.h"
#include "sys/home.h"

int policy_replay_command(struct ctl *ctl, int argc, char **argv)
{
	const char *policies = NULL, *since = NULL, *limit = NULL;
	char program[PATH_MAX];
	struct err err = { 0 };
	const struct opt opts[] = {
		{ "since", "TIME", "decisions of that last time (24h); all that are kept", OPT_TEXT, &since, 0, 0, NULL },
		{ "policies", "DIR", "what these policies would have decided on the same facts", OPT_TEXT, &policies, 0, 0, NULL },
		{ "limit", "N", "how many differences are told (10)", OPT_TEXT, &limit, 0, 0, NULL },
		{ 0 },
	};
	struct opt_words words = {
		.usage = "replay [--since TIME] [--policies DIR] [--limit N] [--json]",
		.about = "Makes recorded decisions of policies again, from the facts that were recorded with them, by the version\n"
			 "that made each, or by other policies. Exit 1: something differs."
	};
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (code = ctl_find(ctl)) != CTL_DONE)
		return code;
	if (home_program("dssd", program, sizeof(program)) < 0)
		return ctl_fail(CTL_FAILED, "unable to find dssd beside this program");
	char *child[16] = { program, "replay", ctl->dir };
	int n = 3;
	const struct {
		char *name;
		const char *value;
	} passed[] = { { "--since", since }, { "--policies", policies }, { "--limit", limit } };
	for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++)
		if (passed[i].value != NULL) {
			child[n++] = passed[i].name;
			child[n++] = (char *)passed[i].value;
		}
	if (ctl->json)
		child[n++] = "--json";
	fflush(stdout);
	int status = policies != NULL ? child_run(child, &err) : policy_files_run(ctl, child, &err);
	if (status < 0)
		return ctl_fail(CTL_FAILED, "%s", err.text);
	return status == 0 ? CTL_DONE : status == 2 ? CTL_USAGE : CTL_FAILED;
}
