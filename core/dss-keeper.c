/*
 * dss-keeper DIR [--foreground] [--tick-ms N]: parent of every process of the instance in DIR. Start in order, stop in reverse.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/log.h"
#include "base/text.h"
#include "keeper/crumb.h"
#include "keeper/door.h"
#include "keeper/handover.h"
#include "keeper/keeper.h"
#include "keeper/listen.h"
#include "keeper/orders.h"
#include "keeper/orphans.h"
#include "keeper/ready.h"
#include "sys/clock.h"
#include "sys/fds.h"
#include "sys/home.h"
#include "sys/proc.h"
#include "sys/sock.h"

#define TICK_MS          5000
#define ORPHANS_GRACE_MS 3000
#define LOCK_TRIES       40
#define LOCK_PAUSE_MS    50
#define EXIT_USAGE       2

static const char usage[] = "usage: dss-keeper DIR [--foreground] [--tick-ms N]\n"
			    "\n"
			    "Runs every process of the instance in DIR by DIR/run/keeper.plan. Usually started by DIR/bin/dss.\n"
			    "--tick-ms is for specs: how often the backend's heartbeat is looked at (5000).\n";

/* --- before anything runs --- */

/* Others may write in run/: what they left under the lock's name is neither locked nor written to. */
static int check_lock(int fd, const char *path, struct err *err)
{
	struct stat st;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() && st.st_nlink == 1)
		return 0;
	return err_set(err, "unable to start: %s is not a file of the keeper's own (uid %u made it); remove it", path,
		       (unsigned)st.st_uid);
}

/* The one that wrote its pid under the lock. A child that a killed keeper had just made holds the lock until its exec. */
static bool is_keeper_alive(const char *pid_text)
{
	struct proc_stat st;
	int64_t pid;
	return text_int(pid_text, 1, INT_MAX, &pid, NULL) < 0 || (proc_read((pid_t)pid, &st) == 0 && st.state != 'Z');
}

static int lock(struct keeper *k, struct err *err)
{
	static const struct timespec lock_pause = { 0, LOCK_PAUSE_MS * 1000000L };
	char path[PATH_MAX + 20], text[32] = "";
	snprintf(path, sizeof(path), "%s/run/keeper.lock", k->dir);
	k->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (k->lock_fd < 0)
		return err_sys(err, errno, "unable to open %s", path);
	if (check_lock(k->lock_fd, path, err) < 0)
		return -1;
	for (int tries = 0; flock(k->lock_fd, LOCK_EX | LOCK_NB) < 0; tries++) {
		ssize_t n = pread(k->lock_fd, text, sizeof(text) - 1, 0);
		text[n > 0 ? n : 0] = 0;
		text[strcspn(text, "\n")] = 0;
		if (tries < LOCK_TRIES && !is_keeper_alive(text)) {
			nanosleep(&lock_pause, NULL);
			continue;
		}
		return err_set(err, "unable to start: a keeper of this instance runs already (pid %s)", text);
	}
	snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(k->lock_fd, 0) < 0 || pwrite(k->lock_fd, text, strlen(text), 0) < 0)
		return err_sys(err, errno, "unable to write %s", path);
	return 0;
}

static int open_cgroups(struct keeper *k, struct err *err)
{
	char name[80];
	snprintf(name, sizeof(name), "dss-%s", k->plan->instance);
	if (cgroup_open(&k->cg, name, k->plan->cgroups, k->cgroup_note, sizeof(k->cgroup_note), err) < 0)
		return -1;
	return 0;
}

/* Our own leaf first: on v2 the controllers can only be enabled above it once it is there. */
static int enter_own_box(struct keeper *k, struct err *err)
{
	if (cgroup_make(k->cg, "core/keeper", err) < 0 || cgroup_attach(k->cg, "core/keeper", getpid(), err) < 0)
		return err_add(err, "unable to enter box core/keeper");
	return 0;
}

/* The keeper's own records go through the logger like everybody's. */
static int open_log(struct keeper *k, struct err *err)
{
	if (k->log_write_fd < 0) {
		int pair[2];
		if (fds_pipe(pair, err) < 0 || fds_nonblock(pair[1], true, err) < 0)
			return -1;
		k->log_read_fd = pair[0];
		k->log_write_fd = pair[1];
	}
	int copy = fcntl(k->log_read_fd, F_DUPFD_CLOEXEC, 3);
	k->log_pipe = copy < 0 ? NULL : output_add(k->output, "keeper", "service:keeper", NULL, NULL, copy);
	return k->log_pipe ? 0 : err_set(err, "unable to open the keeper's log");
}

/* From here on nobody reads our standard error: bin/dss has heard that the door is open. */
static void leave_terminal(struct keeper *k)
{
	if (k->is_foreground) {
		log_also(k->log_write_fd);
		return;
	}
	log_also(-1);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		dup2(null, 0);
		dup2(null, 1);
		close(null);
	}
	dup2(k->log_write_fd, 2);
}

/* --- signals --- */

static void on_end_signal(void *data, int signo)
{
	struct keeper *k = data;
	char by[32];
	snprintf(by, sizeof(by), "SIG%s", sigabbrev_np(signo));
	keeper_stop(k, k->phase >= KEEPER_STOPPING, by); /* a second one means now */
}

static void on_hup(void *data, int signo)
{
	struct keeper *k = data;
	(void)signo;
	output_reopen(k->output);
}

static void on_turn(void *data)
{
	keeper_advance(data);
}

static void on_changed(void *data, struct service *s)
{
	struct keeper *k = data;
	if (s->state == SERVICE_DOWN && k->phase >= KEEPER_DRAINING)
		door_note(k, "stopped %s", s->plan->desc.id);
}

static int make_watchers(struct keeper *k, struct err *err)
{
	k->tick = loop_timer_new(k->loop, keeper_tick, k);
	k->deaf = loop_timer_new(k->loop, keeper_end_deaf, k);
	k->prepare = loop_prepare_new(k->loop, on_turn, k);
	k->on_term = loop_signal_new(k->loop, SIGTERM, on_end_signal, k);
	k->on_int = loop_signal_new(k->loop, SIGINT, on_end_signal, k);
	k->on_hup = loop_signal_new(k->loop, SIGHUP, on_hup, k);
	return k->tick && k->deaf && k->prepare && k->on_term && k->on_int && k->on_hup ? 0 : err_set(err, "no memory");
}

/* --- the whole --- */

static int make_parts(struct keeper *k, struct err *err)
{
	struct err no_crumb = { 0 };
	k->loop = loop_new(err);
	k->journal = journal_new();
	k->output = output_new();
	if (!k->loop || !k->journal || !k->output)
		return err_set(err, "no memory");
	if (k->crumb_fd < 0 && (k->crumb_fd = crumb_open(&no_crumb)) < 0) /* also after a keeper that had none */
		log_warn("%s; backends go without", no_crumb.text);
	if (!(k->accounts = accounts_read(k->plan, err)) || open_cgroups(k, err) < 0)
		return -1;
	k->procs = (struct procs){ .loop = k->loop,
				   .cg = k->cg,
				   .output = k->output,
				   .journal = k->journal,
				   .accounts = k->accounts,
				   .instance = k->plan->instance,
				   .dir = k->dir,
				   .serial = k->procs.serial,
				   .notify_fd = k->procs.notify_fd };
	if (procs_init(&k->procs, err) < 0 || services_init(&k->services, &k->procs, k->plan, err) < 0)
		return -1;
	output_on_routed(k->output, orders_routed, k);
	k->services.give = keeper_give;
	k->services.given = keeper_given;
	k->services.changed = on_changed;
	k->services.data = k;
	return make_watchers(k, err);
}

/* The socket's name also tells copies of an instance apart, which have a lock each. But any user may bind an abstract name: a kernel that a
 * dead keeper left is ended like the rest of them, another one is named. */
static int open_notify(struct keeper *k, struct err *err)
{
	char name[100], holder[200];
	for (int tries = 0; ready_open_notify(&k->procs, err) < 0; tries++) {
		if (!err || err->code != EADDRINUSE)
			return -1;
		ready_name_notify(k->plan->instance, name, sizeof(name));
		pid_t pid = proc_unix_holder(name, holder, sizeof(holder));
		if (pid == 0 || proc_is_user(pid, geteuid()) || proc_is_user(pid, 0))
			return err_set(err,
				       "unable to start: instance %s is run by another keeper already, from another folder (its "
				       "socket %s is "
				       "held by %s); a copied instance needs an id of its own: dssctl init DIR --new-id",
				       k->plan->instance, name, holder);
		if (tries || orphans_clean(k->cg, k->plan->instance, ORPHANS_GRACE_MS, err) < 0) {
			cgroup_remove(k->cg, "", NULL); /* no keeper has it: it is ours, and empty */
			return err_set(err, "unable to start: the keeper's socket %s is held by %s, which is no keeper: stop it",
				       name, holder);
		}
	}
	return 0;
}

static int start_anew(struct keeper *k, struct err *err)
{
	if (lock(k, err) < 0 || make_parts(k, err) < 0)
		return -1;
	k->started_ms = clock_wall_ms();
	if (open_notify(k, err) < 0)
		return -1;
	if (open_log(k, err) < 0)
		return -1;
	log_also(k->log_write_fd); /* what is found and ended now belongs on the terminal and into the log */
	if (k->cgroup_note[0])
		log_warn("%s", k->cgroup_note);
	/* Before the sockets: a backend that a dead keeper left may still hold them. */
	if (orphans_clean(k->cg, k->plan->instance, ORPHANS_GRACE_MS, err) < 0 || listen_all(k, err) < 0 ||
	    enter_own_box(k, err) < 0 || door_open(k, -1, err) < 0)
		return -1;
	leave_terminal(k);
	log_info("keeper of instance %s starts: version " DSS_VERSION ", boxes %s, isolation %s", k->plan->instance,
		 cgroup_mode_name(k->cg), keeper_isolation(k));
	list_each (&k->services.all, at)
		list_of(at, struct service, link)->wanted_up = true;
	services_kick(&k->services);
	return 0;
}

/* What the new plan no longer has is ended. */
static void stop_undeclared(struct keeper *k)
{
	list_each (&k->procs.all, at) {
		struct proc *p = list_of(at, struct proc, link);
		if (!strcmp(p->desc.kind, "service") && !services_find(&k->services, p->desc.id))
			proc_stop(p, "admin", "no longer declared in config/dss.lua", NULL, -1);
	}
}

static int take_over(struct keeper *k, int fd, struct err *err)
{
	struct handover *h = handover_read(fd, err);
	if (!h)
		return -1;
	k->lock_fd = (int)handover_number(h, "lock", -1);
	k->log_read_fd = (int)handover_number(h, "logr", -1);
	k->log_write_fd = (int)handover_number(h, "logw", -1);
	k->procs.notify_fd = (int)handover_number(h, "notify", -1);
	k->crumb_fd = (int)handover_number(h, "crumb", -1);
	const int kept[] = { k->lock_fd, k->log_read_fd, k->log_write_fd, k->procs.notify_fd, k->crumb_fd };
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		fds_cloexec(kept[i], true, NULL);
	int rc = -1;
	if (make_parts(k, err) < 0 || ready_open_notify(&k->procs, err) < 0 || open_log(k, err) < 0 || enter_own_box(k, err) < 0)
		goto out;
	if (k->is_foreground)
		log_also(k->log_write_fd);
	if (handover_apply(h, k, err) < 0 || door_open(k, (int)handover_number(h, "door", -1), err) < 0)
		goto out;
	if (k->backend)
		loop_timer_start(k->tick, k->tick_ms);
	listen_again(k);
	stop_undeclared(k);
	list_each (&k->services.all, at) { /* new in the plan */
		struct service *s = list_of(at, struct service, link);
		if (!s->starts)
			s->wanted_up = true;
	}
	services_kick(&k->services);
	services_wake(&k->services);
	procs_reap(&k->procs); /* whoever ended while nobody looked */
	log_info("took over %zu processes, version " DSS_VERSION, k->procs.count);
	rc = 0;
out:
	handover_free(&h);
	return rc;
}

static void stop_parts(struct keeper *k)
{
	if (k->door)
		door_finish(k);
	procs_fini(&k->procs);
	services_fini(&k->services);
	listen_close(k);
	cgroup_leave(k->cg, NULL);
	cgroup_remove(k->cg, "", NULL);
	door_close(k);
	loop_timer_free(&k->tick);
	loop_timer_free(&k->deaf);
	loop_prepare_free(&k->prepare);
	loop_signal_free(&k->on_term);
	loop_signal_free(&k->on_int);
	loop_signal_free(&k->on_hup);
	output_free(&k->output);
	journal_free(&k->journal);
	cgroup_close(&k->cg);
	accounts_free(&k->accounts);
	plan_free(&k->plan);
	loop_free(&k->loop);
}

int main(int argc, char **argv)
{
	static struct keeper k = {
		.lock_fd = -1, .log_read_fd = -1, .log_write_fd = -1, .crumb_fd = -1, .procs = { .notify_fd = -1 }
	};
	struct err err = { 0 };
	char plan[PATH_MAX + 20];
	int64_t takeover = -1, tick_ms = TICK_MS;
	const char *dir = NULL;
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--foreground"))
			k.is_foreground = true;
		else if (!strcmp(argv[i], "--takeover") && i + 1 < argc && text_int(argv[i + 1], 3, INT_MAX, &takeover, NULL) == 0)
			i++;
		else if (!strcmp(argv[i], "--tick-ms") && i + 1 < argc && text_int(argv[i + 1], 10, 3600000, &tick_ms, NULL) == 0)
			i++;
		else if (!strcmp(argv[i], "--help")) {
			fputs(usage, stdout);
			return 0;
		} else if (!strcmp(argv[i], "--version")) {
			puts("dss-keeper " DSS_VERSION);
			return 0;
		} else if (argv[i][0] != '-' && !dir)
			dir = argv[i];
		else
			dir = "";
	}
	if (!dir || !dir[0]) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	k.tick_ms = (int)tick_ms;
	log_init("keeper", LOG_INFO);
	fds_raise_limit();
	list_init(&k.listens);
	if (!realpath(dir, k.dir)) {
		log_error("unable to use %s: %s", dir, strerror(errno));
		return 1;
	}
	snprintf(plan, sizeof(plan), "%s/run/keeper.plan", k.dir);
	if ((takeover < 0 && home_check_origin(k.dir, &err) < 0) || !(k.plan = plan_read(plan, &err)) ||
	    (takeover < 0 ? start_anew(&k, &err) : take_over(&k, (int)takeover, &err)) < 0) {
		log_error("%s", err.text);
		if (takeover < 0 && k.cg && k.procs.notify_fd >= 0) { /* the instance is ours, and nothing of it runs */
			cgroup_leave(k.cg, NULL);
			cgroup_remove(k.cg, "", NULL);
		}
		return 1;
	}
	loop_run(k.loop);
	stop_parts(&k);
	return 0;
}
