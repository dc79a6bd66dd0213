#include "bind/project_command.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>

#include "bind/project_change.h"
#include "bind/project_eval.h"
#include "bind/project_tell.h"

static const char usage[] = "usage: dssd project DIR KEY [--absolute]\n";

int project_main(int argc, char **argv)
{
	bool may_be_absolute = false, is_told = false;
	int change = 0;
	static const struct option options[] = { { "absolute", no_argument, NULL, 'a' },
						 { "tell", no_argument, NULL, 't' },
						 { "make", no_argument, NULL, 'm' },
						 { "remove", no_argument, NULL, 'r' },
						 { "remove-but-data", no_argument, NULL, 'k' },
						 { 0 } };
	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (c == '?')
			return fputs(usage, stderr), 2;
		may_be_absolute |= c == 'a';
		is_told |= c == 't';
		if (c == 'm' || c == 'r' || c == 'k')
			change = c;
	}
	if (optind != argc - 2)
		return fputs(usage, stderr), 2;
	if (change == 'm')
		return project_make(argv[optind], argv[optind + 1]);
	if (change)
		return project_remove(argv[optind], argv[optind + 1], change == 'k');
	if (is_told)
		return project_tell(argv[optind], argv[optind + 1]);
	return project_eval_print(argv[optind], argv[optind + 1], may_be_absolute) == 0 ? 0 : 1;
}
