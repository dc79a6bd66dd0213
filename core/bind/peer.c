#include "bind/peer.h"
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "sys/proc.h"

#define ANCESTORS_MAX 256
#define NAMES_ROOM    16384

static bool is_in_our_tree(pid_t pid, const char *instance)
{
	char path[64], text[8192], box[80];
	snprintf(path, sizeof path, "/proc/%d/cgroup", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 2);
	if (fd >= 0)
		close(fd);
	if (n < 0)
		return true;
	/* each line ends as "/dss-ID/warm/fek-1" or "/dss-ID" */
	for (ssize_t i = 0; i < n; i++)
		if (text[i] == '\n')
			text[i] = '/';
	text[n] = '\0';
	snprintf(box, sizeof box, "/dss-%s/", instance);
	return strstr(text, box) != NULL;
}

static bool is_below(pid_t pid, pid_t keeper)
{
	struct proc_stat stat;
	for (int i = 0; i < ANCESTORS_MAX && pid > 1; i++) {
		if (pid == keeper)
			return true;
		if (proc_read(pid, &stat) < 0)
			return i ==
			       0; /* an ancestor that has ended: its children moved up, their line is read anew at the next request */
		pid = stat.ppid;
	}
	return pid > 1;
}

static bool is_marked(pid_t pid, const char *instance)
{
	char id[128];
	return proc_env(pid, "DSS_INSTANCE", id, sizeof id) && strcmp(id, instance) == 0 &&
	       proc_env(pid, "DSS_PROCESS", id, sizeof id);
}

bool peer_is_boxed(pid_t pid, const char *instance, pid_t keeper)
{
	if (pid <= 0)
		return true;
	return (instance[0] && (is_in_our_tree(pid, instance) || is_marked(pid, instance))) || is_below(pid, keeper);
}

bool peer_login(uid_t uid, char *out, size_t room)
{
	char names[NAMES_ROOM];
	struct passwd pw, *found = NULL;
	if (getpwuid_r(uid, &pw, names, sizeof names, &found) != 0 || !found)
		return false;
	return (size_t)snprintf(out, room, "%s", found->pw_name) < room;
}
