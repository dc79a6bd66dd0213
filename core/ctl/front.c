#include "ctl/front.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "ctl/child.h"
#include "sys/clock.h"
#include "sys/fds.h"
#include "sys/home.h"
#include "sys/proc.h"

enum { ASK_MS = 10000, TAKEN_MS = 15000, TURN_MS = 20 };

int front_test(struct ctl *ctl, enum front_act act)
{
	char program[PATH_MAX], db[PATH_MAX];
	struct stat st;
	struct err err = { 0 };
	if (home_program("dssd", program, sizeof(program)) < 0)
		return ctl_fail(CTL_FAILED, "unable to find dssd: our own place is unknown");
	/* db/ is the control user's, or the one user's */
	if (ctl_path(ctl, "db", db, sizeof(db), &err) < 0)
		return ctl_fail(CTL_FAILED, "%s", err.text);
	if (stat(db, &st) < 0)
		return ctl_fail(CTL_FAILED, "unable to look at %s: %s", db, strerror(errno));
	char *argv[] = { program, (char *)"nginx", ctl->dir, (char *)(act == FRONT_CHECK ? "check" : "install"), NULL };
	fflush(stdout);
	int status = child_run_as(argv, st.st_uid, st.st_gid, &err);
	if (status < 0)
		return ctl_fail(CTL_FAILED, "%s", err.text);
	return status == 0 ? CTL_DONE : CTL_FAILED; /* it said why */
}

bool front_trouble(struct ctl *ctl, char *out, size_t room)
{
	char path[PATH_MAX];
	return ctl_path(ctl, "run/nginx/trouble", path, sizeof(path), NULL) == 0 && fds_read_file(path, out, room, NULL) > 0;
}

void front_note(struct ctl *ctl)
{
	char trouble[FRONT_TROUBLE_MAX], text[2 * FRONT_TROUBLE_MAX];
	if (!front_trouble(ctl, trouble, sizeof(trouble)))
		return;
	text_escape(text, sizeof(text), trouble, strlen(trouble));
	ctl_note("nginx: %s", text);
}

static void take_master(void *data, const struct bell_row *row)
{
	pid_t *master = data;
	if (strcmp(row->kind, "service") == 0 && strcmp(row->name, "nginx") == 0)
		*master = row->pid;
}

static void take_presence(void *data, const struct bell_row *row)
{
	if (strcmp(row->kind, "service") == 0 && strcmp(row->name, "nginx") == 0)
		*(bool *)data = true;
}

bool front_is_there(struct bell *bell)
{
	struct err err = { 0 };
	bool is_there = false;
	return bell_ask(bell, "status", "", false, ASK_MS, take_presence, NULL, &is_there, &err) != BELL_DONE || is_there;
}

static bool take_worker(void *data, pid_t pid)
{
	struct front_workers *w = data;
	struct proc_stat st;
	if (proc_read(pid, &st) == 0 && st.ppid == w->master && st.state != 'Z')
		w->pids[w->n++] = pid;
	return w->n < FRONT_WORKERS_MAX;
}

void front_workers_read(struct bell *bell, struct front_workers *out)
{
	struct err err = { 0 };
	out->master = 0;
	out->n = 0;
	if (bell_ask(bell, "status", "", false, ASK_MS, take_master, NULL, &out->master, &err) == BELL_DONE && out->master > 0)
		proc_each(take_worker, out, NULL);
}

static bool has_new(const struct front_workers *before, const struct front_workers *now)
{
	for (int i = 0; i < now->n; i++) {
		int k = 0;
		while (k < before->n && before->pids[k] != now->pids[i])
			k++;
		if (k == before->n)
			return true;
	}
	return false;
}

bool front_has_taken(const struct front_workers *before)
{
	int64_t until_ms = clock_mono_ms() + TAKEN_MS;
	while (before->master > 0 && clock_mono_ms() < until_ms) {
		struct front_workers now = { .master = before->master };
		proc_each(take_worker, &now, NULL);
		if (has_new(before, &now))
			return true;
		poll(NULL, 0, TURN_MS);
	}
	return false;
}
