#include "ctl/start.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/text.h"
#include "ctl/child.h"
#include "ctl/front.h"
#include "ctl/say.h"
#include "sys/clock.h"
#include "sys/fds.h"
#include "sys/home.h"
#include "sys/proc.h"

enum { ASK_MS = 10000, TURN_MS = 50, EARLY_MAX = 64 * 1024, SERVICES_MAX = 256, TROUBLE_CRASHES = 2, PLAN_MAX = 1024 * 1024 };

/* --- the plan --- */

/* What `--web-dir` said at the start, for the plans that are made while the daemon runs. */
static const char web_note[] = "run/web.dir";

static int note_web_dir(struct ctl *ctl, const char *web_dir, struct err *err)
{
	char note[PATH_MAX], dir[PATH_MAX];
	if (ctl_path(ctl, web_note, note, sizeof(note), err) < 0)
		return -1;
	if (web_dir == NULL)
		return unlink(note) < 0 && errno != ENOENT ? err_sys(err, errno, "unable to remove %s", note) : 0;
	if (realpath(web_dir, dir) == NULL)
		return err_sys(err, errno, "unable to serve the page from %s", web_dir);
	return fds_replace_file(note, dir, strlen(dir), 0644, err);
}

/* run/ is also the backend's: what it put there is not obeyed, nor is a link followed. */
static bool read_web_note(struct ctl *ctl, char web_dir[PATH_MAX])
{
	char note[PATH_MAX];
	struct stat st;
	return ctl_path(ctl, web_note, note, sizeof(note), NULL) == 0 && lstat(note, &st) == 0 && S_ISREG(st.st_mode) &&
	       st.st_uid == geteuid() && fds_read_file(note, web_dir, PATH_MAX, NULL) >= 0;
}

static int plan_into(struct ctl *ctl, const char *file)
{
	char program[PATH_MAX], web_dir[PATH_MAX];
	struct err err = { 0 };
	if (home_program("dssd", program, sizeof(program)) < 0)
		return ctl_fail(CTL_FAILED, "unable to find dssd: our own place is unknown");
	char *argv[] = { program, (char *)"plan", ctl->dir, (char *)"-o", (char *)file, (char *)"--web-dir", web_dir, NULL };
	if (!read_web_note(ctl, web_dir))
		argv[5] = NULL;
	fflush(stdout);
	int status = child_run(argv, &err);
	if (status < 0)
		return ctl_fail(CTL_FAILED, "%s", err.text);
	if (status > 0)
		return status == 1 ? CTL_FAILED /* it said why */
				   : ctl_fail(CTL_FAILED, "unable to evaluate config/dss.lua: dssd plan ended with %d", status);
	return CTL_DONE;
}

int start_plan(struct ctl *ctl, const char *web_dir)
{
	char file[PATH_MAX];
	struct err err = { 0 };
	if (ctl_path(ctl, "run/keeper.plan", file, sizeof(file), &err) < 0 || note_web_dir(ctl, web_dir, &err) < 0)
		return ctl_fail(CTL_FAILED, "%s", err.text);
	return plan_into(ctl, file);
}

static char *read_whole(const char *path)
{
	char *text = malloc(PLAN_MAX);
	if (text == NULL || fds_read_file(path, text, PLAN_MAX, NULL) < 0) {
		free(text);
		return NULL;
	}
	return text;
}

static const char before[] = "run/keeper.plan.before";

/* The plan that is in force, until the keeper has taken the new one. */
static int keep_plan(struct ctl *ctl, const char *file)
{
	char kept[PATH_MAX];
	if (ctl_path(ctl, before, kept, sizeof(kept), NULL) < 0)
		return -1;
	unlink(kept);
	return link(file, kept) == 0 || errno == ENOENT ? 0 : -1;
}

void start_plan_back(struct ctl *ctl)
{
	char file[PATH_MAX], kept[PATH_MAX];
	if (ctl_path(ctl, "run/keeper.plan", file, sizeof(file), NULL) == 0 && ctl_path(ctl, before, kept, sizeof(kept), NULL) == 0)
		rename(kept, file);
}

int start_plan_again(struct ctl *ctl, bool *changed)
{
	char file[PATH_MAX], fresh[PATH_MAX];
	struct err err = { 0 };
	if (ctl_path(ctl, "run/keeper.plan", file, sizeof(file), &err) < 0 ||
	    ctl_path(ctl, "run/keeper.plan.next", fresh, sizeof(fresh), &err) < 0)
		return ctl_fail(CTL_FAILED, "%s", err.text);
	int code = plan_into(ctl, fresh);
	if (code != CTL_DONE)
		return code;
	char *was = read_whole(file), *is = read_whole(fresh);
	*changed = was == NULL || is == NULL || strcmp(was, is) != 0;
	free(was);
	free(is);
	if (!*changed)
		unlink(fresh);
	else if (keep_plan(ctl, file) < 0 || rename(fresh, file) < 0)
		return ctl_fail(CTL_FAILED, "unable to put %s in its place: %s", file, strerror(errno));
	return CTL_DONE;
}

/* --- the keeper --- */

int start_keeper_argv(struct ctl *ctl, char *program, bool foreground, char *argv[4])
{
	static char flag[] = "--foreground";
	if (home_program("dss-keeper", program, PATH_MAX) < 0)
		return ctl_fail(CTL_FAILED, "unable to find dss-keeper: our own place is unknown");
	argv[0] = program;
	argv[1] = ctl->dir;
	argv[2] = foreground ? flag : NULL;
	argv[3] = NULL;
	return CTL_DONE;
}

/* What the keeper says before its door opens. */
static void collect(int fd, struct buf *early, int wait_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char chunk[4096];
	ssize_t n = poll(&p, 1, wait_ms) > 0 ? read(fd, chunk, sizeof(chunk)) : 0;
	if (n > 0)
		buf_put(early, chunk, (size_t)n);
	else if ((p.revents & POLLHUP) != 0)
		poll(NULL, 0, wait_ms); /* nobody writes any more: do not spin */
}

static bool has_ended(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	return pidfd < 0 || poll(&p, 1, 0) > 0;
}

/* Until the door opens. */
static int wait_for_door(struct ctl *ctl, int fd, int pidfd, int64_t deadline_ms, struct bell **bell)
{
	struct buf early;
	struct err err = { 0 };
	int code = CTL_DONE;
	buf_init(&early, EARLY_MAX);
	while (code == CTL_DONE) {
		bool is_over = has_ended(pidfd);
		if (bell_open(bell, ctl->dir, &err) == 0)
			break;
		if (is_over)
			code = CTL_FAILED;
		else if (clock_mono_ms() >= deadline_ms)
			code = CTL_TIMED_OUT;
		collect(fd, &early, TURN_MS);
	}
	if (early.len > 0)
		fwrite(early.data, 1, early.len, stderr);
	buf_fini(&early);
	if (code == CTL_FAILED)
		ctl_fail(code, "the keeper ended before its door was open; see run/keeper.log");
	else if (code == CTL_TIMED_OUT)
		ctl_fail(code, "the keeper's door did not open in time: %s", err.text);
	return code;
}

int start_daemon(struct ctl *ctl, int64_t wait_ms)
{
	char program[PATH_MAX], *argv[4];
	struct err err = { 0 };
	struct bell *bell = NULL;
	int fd = -1;
	pid_t pid;
	int64_t begun_ms = clock_mono_ms();
	int code = start_keeper_argv(ctl, program, false, argv);
	if (code != CTL_DONE)
		return code;
	if (child_detach(argv, &fd, &pid, &err) < 0)
		return ctl_fail(CTL_FAILED, "%s", err.text);
	int pidfd = proc_pidfd(pid, NULL);
	code = wait_for_door(ctl, fd, pidfd, begun_ms + wait_ms, &bell);
	fds_close(&fd);
	fds_close(&pidfd);
	if (code == CTL_DONE)
		code = start_follow(ctl, bell, NULL, 0, wait_ms - (clock_mono_ms() - begun_ms));
	bell_close(&bell);
	return code;
}

/* --- following --- */

struct follow {
	struct ctl *ctl;
	const char *name;
	int64_t since_ms, begun_ms;
	int waiting, seen;
	bool is_trouble;
	char told[SERVICES_MAX][128]; /* services said to be ready */
	int ntold;
	char waits_for[128];
};

static bool is_told(struct follow *f, const char *name)
{
	for (int i = 0; i < f->ntold; i++)
		if (strcmp(f->told[i], name) == 0)
			return true;
	if (f->ntold < SERVICES_MAX)
		snprintf(f->told[f->ntold++], sizeof(f->told[0]), "%s", name);
	return false;
}

static void tell_ready(struct follow *f, const struct bell_row *row)
{
	char took[48];
	if (is_told(f, row->name) || f->ctl->json)
		return;
	text_print_duration(row->ready_ms > row->started_ms ? row->ready_ms - row->started_ms : 0, took, sizeof(took));
	if (strcmp(row->name, "nginx") == 0)
		front_note(f->ctl);
	printf("%-10s ready (pid %d, after %s)\n", row->name, (int)row->pid, took);
	fflush(stdout);
}

static void tell_trouble(struct follow *f, const struct bell_row *row)
{
	char text[600], next[48] = "", give_up[48] = "";
	text_escape(text, sizeof(text), row->text, strlen(row->text));
	if (strcmp(row->name, "nginx") == 0)
		front_note(f->ctl);
	ctl_note("%s: %s%s%s; see run/%s.log", row->name, row->cause[0] != '\0' ? row->cause : row->state,
		 text[0] != '\0' ? ": " : "", text, strcmp(row->name, "jupyter") == 0 ? "ipython" : row->name);
	if (row->next_ms > 0)
		ctl_note("  %lld ends so far; next try at %s%s%s", (long long)row->crashes,
			 say_time(row->next_ms, next, sizeof(next)), row->give_up_ms > 0 ? ", given up at " : "",
			 say_time(row->give_up_ms, give_up, sizeof(give_up)));
	f->is_trouble = true;
}

static void follow_row(void *data, const struct bell_row *row)
{
	struct follow *f = data;
	if (strcmp(row->kind, "service") != 0 || (f->name != NULL && strcmp(f->name, row->name) != 0))
		return;
	f->seen++;
	bool is_fresh = f->since_ms == 0 || row->ready_ms >= f->since_ms || row->started_ms >= f->since_ms;
	bool is_failed = strcmp(row->state, "failed") == 0;
	bool is_looping = strcmp(row->state, "backoff") == 0 && row->crashes >= TROUBLE_CRASHES;
	if (row->is_running && is_fresh) {
		tell_ready(f, row);
	} else if (is_failed || is_looping) {
		tell_trouble(f, row);
	} else if (strcmp(row->wanted, "down") != 0) {
		f->waiting++;
		snprintf(f->waits_for, sizeof(f->waits_for), "%s", row->name);
	}
}

int start_follow(struct ctl *ctl, struct bell *bell, const char *name, int64_t since_ms, int64_t wait_ms)
{
	struct err err = { 0 };
	struct follow *f = calloc(1, sizeof(*f));
	int code = CTL_DONE;
	if (f == NULL)
		return ctl_fail(CTL_FAILED, "no memory");
	*f = (struct follow){ .ctl = ctl, .name = name, .since_ms = since_ms, .begun_ms = clock_mono_ms() };
	do {
		f->waiting = f->seen = 0;
		if (bell_ask(bell, "status", "", false, ASK_MS, follow_row, NULL, f, &err) != BELL_DONE)
			code = ctl_fail(CTL_FAILED, "%s; see run/keeper.log", err.text);
		else if (f->is_trouble)
			code = CTL_FAILED;
		else if (f->seen == 0)
			code = ctl_fail(CTL_NOT_FOUND, "there is no service %s", name != NULL ? name : "at all");
		else if (f->waiting > 0 && clock_mono_ms() - f->begun_ms >= wait_ms)
			code = ctl_fail(CTL_TIMED_OUT, "%s is not ready yet; it goes on, see bin/dss status", f->waits_for);
		else if (f->waiting > 0)
			poll(NULL, 0, TURN_MS);
	} while (code == CTL_DONE && f->waiting > 0);
	free(f);
	return code;
}
