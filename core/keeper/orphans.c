#include "keeper/orphans.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "base/log.h"
#include "base/map.h"
#include "sys/clock.h"
#include "sys/fds.h"
#include "sys/proc.h"

#define CHILDREN_TEXT_MAX (64 * 1024)
#define LEFT_MAX          4096
#define LOOK_AGAIN_MS     20

/* --- adopted children of a running keeper --- */

typedef bool child_fn(void *data, pid_t pid);

/* fn for each child that is not in the table; how often it said true, or -1. */
static int each_adopted(struct procs *t, child_fn *fn, void *data)
{
	char path[64];
	char *text = malloc(CHILDREN_TEXT_MAX);
	int found = -1;
	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	if (!text || fds_read_file(path, text, CHILDREN_TEXT_MAX, NULL) < 0)
		goto out;
	found = 0;
	for (char *at = text, *end; *at; at = end) {
		long pid = strtol(at, &end, 10);
		if (end == at)
			break;
		if (pid > 0 && !map_get_u64(t->by_pid, (uint64_t)pid))
			found += fn(data, (pid_t)pid);
	}
out:
	free(text);
	return found;
}

static bool kill_marked(void *id, pid_t pid)
{
	char mark[130];
	if (!proc_env(pid, "DSS_PROCESS", mark, sizeof(mark)) || strcmp(mark, id))
		return false;
	kill(pid, SIGKILL); /* our own child that nobody else can reap: the pid cannot be another's */
	return true;
}

int orphans_kill(struct procs *t, const char *id)
{
	char copy[130];
	snprintf(copy, sizeof(copy), "%s", id);
	int n = each_adopted(t, kill_marked, copy);
	return n > 0 ? n : 0;
}

static bool is_there(void *data, pid_t pid)
{
	(void)data;
	(void)pid;
	return true;
}

int orphans_count(struct procs *t)
{
	return each_adopted(t, is_there, NULL);
}

/* --- what a dead keeper left --- */

struct left {
	const char *instance;
	struct {
		pid_t pid;
		uint64_t start_ticks;
	} found[LEFT_MAX];
	int n;
};

static void note(struct left *l, pid_t pid)
{
	struct proc_stat st;
	if (pid == getpid() || l->n == LEFT_MAX || proc_read(pid, &st) < 0 || st.state == 'Z')
		return;
	for (int i = 0; i < l->n; i++)
		if (l->found[i].pid == pid)
			return;
	l->found[l->n].pid = pid;
	l->found[l->n++].start_ticks = st.start_ticks;
}

static bool look(void *data, pid_t pid)
{
	struct left *l = data;
	char mark[130];
	if (proc_env(pid, "DSS_INSTANCE", mark, sizeof(mark)) && !strcmp(mark, l->instance) &&
	    proc_env(pid, "DSS_PROCESS", mark, sizeof(mark)))
		note(l, pid);
	return l->n < LEFT_MAX;
}

static int gather(struct cgroup *cg, struct left *l, struct err *err)
{
	pid_t members[1024];
	int n = cgroup_members(cg, "", members, 1024, err);
	if (n < 0)
		return -1;
	l->n = 0;
	for (int i = 0; i < n && i < 1024; i++)
		note(l, members[i]);
	return proc_each(look, l, err);
}

static int signal_all(const struct left *l, int signo)
{
	int alive = 0;
	for (int i = 0; i < l->n; i++) {
		if (!proc_is_same(l->found[i].pid, l->found[i].start_ticks))
			continue;
		alive++;
		if (signo)
			proc_signal_same(l->found[i].pid, l->found[i].start_ticks, signo);
	}
	return alive;
}

static void say(const struct left *l)
{
	for (int i = 0; i < l->n; i++) {
		char id[130] = "", line[200] = "";
		proc_env(l->found[i].pid, "DSS_PROCESS", id, sizeof(id));
		proc_cmdline(l->found[i].pid, line, sizeof(line));
		log_warn("a dead keeper left %s (pid %d: %.120s): ending it", id[0] ? id : "a process", (int)l->found[i].pid, line);
	}
}

static void remove_box(void *data, const char *path)
{
	struct err err = { 0 };
	if (cgroup_remove(data, path, &err) < 0 && err.code != EBUSY)
		log_warn("%s", err.text);
}

int orphans_clean(struct cgroup *cg, const char *instance, int grace_ms, struct err *err)
{
	struct left *l = calloc(1, sizeof(*l));
	const struct timespec pause = { 0, LOOK_AGAIN_MS * 1000000L };
	int total = -1;
	if (!l)
		return err_set(err, "no memory");
	l->instance = instance;
	if (gather(cg, l, err) < 0)
		goto out;
	total = l->n;
	if (total) {
		int64_t since = clock_mono_ms();
		say(l);
		signal_all(l, SIGTERM);
		signal_all(l, SIGCONT);
		while (signal_all(l, 0) && clock_mono_ms() - since < grace_ms)
			nanosleep(&pause, NULL);
		for (int tries = 0; tries < 250 && gather(cg, l, err) == 0 && l->n; tries++) {
			signal_all(l, SIGKILL); /* again and again: one that forks has new members each time */
			nanosleep(&pause, NULL);
		}
		if (l->n)
			log_error("%d processes of a dead keeper could not be ended", l->n);
	}
	cgroup_each(cg, remove_box, cg, NULL);
out:
	free(l);
	return total;
}
