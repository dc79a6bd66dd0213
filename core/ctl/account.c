#include "ctl/account.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/child.h"
#include "sys/spawn.h"

enum { NAME_MAX_LEN = 32, RECORD_ROOM = 16384, GROUPS_MAX = 256 };

bool account_is_name(const char *name)
{
	static const char first[] = "abcdefghijklmnopqrstuvwxyz_", more[] = "abcdefghijklmnopqrstuvwxyz_0123456789-";
	size_t len = strlen(name);
	return len > 0 && len <= NAME_MAX_LEN && strchr(first, name[0]) != NULL && strspn(name, more) == len;
}

/* 1 found, 0 no such user, -1. */
static int find(const char *name, struct account *out, struct err *err)
{
	struct passwd record, *found = NULL;
	char room[RECORD_ROOM];
	int rc = getpwnam_r(name, &record, room, sizeof(room), &found);
	if (rc != 0 && rc != ENOENT)
		return err_sys(err, rc, "unable to look up user %s", name);
	if (found == NULL)
		return 0;
	*out = (struct account){ found->pw_uid, found->pw_gid };
	return 1;
}

static int make(const char *name, struct err *err)
{
	char tool[PATH_MAX];
	if (spawn_find("useradd", "/usr/sbin:/sbin:/usr/bin:/bin", tool, sizeof(tool), err) < 0)
		return err_add(err, "unable to make user %s", name);
	char *argv[] = { tool,           "--system", "--user-group",      "--no-create-home", "--home-dir",
			 "/nonexistent", "--shell",  "/usr/sbin/nologin", (char *)name,       NULL };
	int status = child_run(argv, err);
	if (status < 0)
		return err_add(err, "unable to make user %s", name);
	if (status > 0)
		return err_set(err, "unable to make user %s: useradd ended with %d", name, status);
	return 0;
}

int account_ensure(const char *name, bool may_make, struct account *out, bool *made, struct err *err)
{
	*made = false;
	int found = find(name, out, err);
	if (found != 0)
		return found < 0 ? -1 : 0;
	if (!may_make)
		return err_set(err, "unable to find user %s: there is none", name);
	int rc = make(name, err);
	/* Somebody else may have made it at the same moment; then useradd failed and all is well. */
	found = find(name, out, rc < 0 ? NULL : err);
	if (found == 1) {
		*made = rc == 0;
		return 0;
	}
	return rc < 0 || found < 0 ? -1 : err_set(err, "unable to find user %s: useradd made it, the system does not see it", name);
}

bool account_is_in(const char *name, const struct account *a, gid_t gid)
{
	gid_t groups[GROUPS_MAX];
	int n = GROUPS_MAX;
	if (getgrouplist(name, a->gid, groups, &n) < 0)
		return true; /* more groups than fit: nobody can vouch for it */
	for (int i = 0; i < n; i++)
		if (groups[i] == gid)
			return true;
	return false;
}

bool account_can_reach(const struct account *a, const char *path)
{
	pid_t pid = fork();
	if (pid == 0) {
		if (setgroups(0, NULL) < 0 || setresgid(a->gid, a->gid, a->gid) < 0 || setresuid(a->uid, a->uid, a->uid) < 0)
			_exit(2);
		_exit(access(path, X_OK) == 0 ? 0 : 1);
	}
	int status;
	if (pid < 0)
		return true;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return true;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
