/* completion: prints the bash completion, as `source <(dssctl completion)` takes it. */
#include <limits.h>
#include <stdio.h>

#include "base/buf.h"
#include "ctl/opt.h"
#include "sys/fds.h"
#include "sys/home.h"

enum { SCRIPT_MAX = 64 * 1024 };

int completion_command(struct ctl *ctl, int argc, char **argv)
{
	static char script[SCRIPT_MAX];
	char share[PATH_MAX], path[PATH_MAX + 32];
	struct err err = { 0 };
	const struct opt opts[] = { { 0 } };
	struct opt_words words = { .usage = "", .about = "Prints the completion for bash: source <(dssctl completion)" };
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0)
		return code;
	if (home_share(share, sizeof(share)) < 0)
		return ctl_fail(CTL_FAILED, "unable to find our own files; set DSS_SHARE to their folder");
	snprintf(path, sizeof(path), "%s/etc/completion.bash", share);
	if (fds_read_file(path, script, sizeof(script), &err) < 0)
		return ctl_fail(CTL_FAILED, "%s", err.text);
	fputs(script, stdout);
	return CTL_DONE;
}
