/* node_notebook_find: processes of kernels that another's server has started on this machine: found by the connection file in their command line,
 * and measured, so that their idleness is a fact as that of ours. /proc is gone through a few processes at a time. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "node/node_notebook_listener.h"
#include "node/node_notebook_look.h"
#include "sys/clock.h"
#include "sys/proc.h"

#define SEEK_APART_MS  60000 /* who was not found is sought again, with every look for a minute after it went */
#define GONE_MS        5000  /* a server that starts a kernel again does so within three seconds */
#define AT_ONCE        100   /* processes in one turn of the loop: two milliseconds */
#define PAUSE_MS       1
#define PROCESSES_MOST 65536
#define MEMBERS_MOST   1024 /* those beyond count as new each time: their kernel is at work, whatever they do */
#define DEPTH_MOST     64

struct look_member {
	int pid;
	uint64_t start_ticks, own_ms;
};

struct seen {
	int pid, parent, session;
	bool is_zombie;
	uint64_t start_ticks, own_ms, reaped_ms;
	int64_t rss_bytes;
};

/* What a kernel's processes have used, while it is added up. */
struct sum {
	struct look_kernel *k;
	struct look_member *members; /* owned */
	size_t n, room;
	int64_t total_ms, new_ms, rss_bytes;
};

struct look_find {
	struct notebook_look *l;
	struct notebook_listener server;
	struct loop_timer *timer;
	DIR *dir; /* of the scan that is under way; NULL */
	bool is_seeking, is_whole;
	bool has_complained;
	uid_t uid; /* of the server, while seeking */
	struct seen *all;
	size_t n, room;
};

/* --- the scan --- */

static void claim(struct notebook_look *l, const char *id, const struct proc_stat *st)
{
	struct look_kernel *k = map_get(l->others, id);
	if (!k)
		return;
	k->process.nclaims++;
	k->process.claim_pid = st->pid;
	k->process.claim_ticks = st->start_ticks;
}

/* "… -f /run/kernel-ID.json" */
static void read_claims(struct notebook_look *l, const struct proc_stat *st)
{
	static const char begin[] = "/kernel-", end[] = ".json";
	char line[4096], id[64];
	if (!proc_cmdline(st->pid, line, sizeof(line)))
		return;
	for (const char *at = line; (at = strstr(at, begin));) {
		at += sizeof(begin) - 1;
		size_t n = strspn(at, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_");
		const char *after = at + n + sizeof(end) - 1;
		if (n == 0 || n >= sizeof(id) || strncmp(at + n, end, sizeof(end) - 1) != 0 || (*after && *after != ' '))
			continue;
		memcpy(id, at, n);
		id[n] = '\0';
		claim(l, id, st);
		return; /* who names two is no kernel of the second */
	}
}

static void see(struct look_find *f, int pid)
{
	struct proc_stat st;
	if (proc_read(pid, &st) < 0 || st.session == 0) /* gone, or a thread of the operating system's kernel */
		return;
	if (f->n == f->room) {
		size_t room = f->room ? f->room * 2 : 512;
		struct seen *more = f->room < PROCESSES_MOST ? realloc(f->all, room * sizeof(*more)) : NULL;
		if (!more) {
			f->is_whole = false;
			return;
		}
		f->all = more;
		f->room = room;
	}
	bool is_zombie = st.state == 'Z' || st.state == 'X' || st.state == 'x';
	f->all[f->n++] = (struct seen){ .pid = st.pid,
					.parent = st.ppid,
					.session = st.session,
					.is_zombie = is_zombie,
					.start_ticks = st.start_ticks,
					.own_ms = st.cpu_ms,
					.reaped_ms = st.reaped_ms,
					.rss_bytes = st.rss_bytes };
	if (f->is_seeking && !is_zombie && st.pid == st.session && st.uid == f->uid)
		read_claims(f->l, &st);
}

/* --- who is whose --- */

int64_t notebook_started_at(uint64_t ticks)
{
	struct timespec ts;
	clock_gettime(CLOCK_BOOTTIME, &ts);
	int64_t up_ms = (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
	return clock_wall_ms() - up_ms + (int64_t)(ticks * 1000 / (uint64_t)sysconf(_SC_CLK_TCK));
}

static void lose(struct look_process *p, int64_t now)
{
	p->pid = 0;
	p->user[0] = '\0';
	p->total_ms = -1;
	p->missed_mono_ms = now;
	p->sought_mono_ms = 0;
	free(p->members);
	p->members = NULL;
	p->nmembers = 0;
}

static void take_claim(struct look_find *f, struct look_kernel *k)
{
	struct look_process *p = &k->process;
	const struct passwd *pw = getpwuid(f->uid);
	p->pid = p->claim_pid;
	p->start_ticks = p->claim_ticks;
	p->started_ms = notebook_started_at(p->claim_ticks);
	if (pw)
		snprintf(p->user, sizeof(p->user), "%s", pw->pw_name);
	else
		snprintf(p->user, sizeof(p->user), "%u", (unsigned)f->uid);
	p->is_dead = false;
	p->missed_mono_ms = p->sought_mono_ms = 0;
	k->cpu_ms = -1;
	k->peak_bytes = -1;
}

/* Of one that is not known: found, not found yet, or, where it was known before, dead. */
static void settle(struct look_find *f, struct look_kernel *k, int64_t now)
{
	struct look_process *p = &k->process;
	if (!f->is_seeking)
		return;
	if (!p->missed_mono_ms || now - p->missed_mono_ms >= SEEK_APART_MS)
		p->sought_mono_ms = now;
	if (p->nclaims == 1)
		take_claim(f, k);
	else if (p->nclaims == 0 && p->missed_mono_ms && now - p->missed_mono_ms >= GONE_MS)
		p->is_dead = true;
}

static const struct seen *seen_by(const struct map *by_pid, int pid)
{
	return map_get_u64(by_pid, (uint64_t)pid);
}

/* The one whose session it is in, or that of who started it. */
static struct sum *owner_of(const struct map *by_pid, const struct map *by_session, const struct seen *s)
{
	for (int depth = 0; s && depth < DEPTH_MOST; depth++) {
		struct sum *sum = map_get_u64(by_session, (uint64_t)s->session);
		if (sum)
			return sum;
		s = s->parent > 1 ? seen_by(by_pid, s->parent) : NULL;
	}
	return NULL;
}

static uint64_t own_before(const struct look_process *p, const struct seen *s)
{
	for (size_t i = 0; i < p->nmembers; i++)
		if (p->members[i].pid == s->pid && p->members[i].start_ticks == s->start_ticks)
			return p->members[i].own_ms;
	return 0;
}

static int add(struct sum *sum, const struct seen *s)
{
	uint64_t before = own_before(&sum->k->process, s);
	sum->total_ms += (int64_t)(s->own_ms + s->reaped_ms);
	sum->new_ms += s->own_ms > before ? (int64_t)(s->own_ms - before) : 0;
	sum->rss_bytes += s->rss_bytes;
	if (sum->n == sum->room && sum->room < MEMBERS_MOST) {
		size_t room = sum->room ? sum->room * 2 : 8;
		struct look_member *more = realloc(sum->members, room * sizeof(*more));
		if (!more)
			return -1;
		sum->members = more;
		sum->room = room;
	}
	if (sum->n < sum->room)
		sum->members[sum->n++] = (struct look_member){ s->pid, s->start_ticks, s->own_ms };
	return 0;
}

/* What ended without being waited for took its share with it: so the sum may fall while its kernel works. */
static void measure(struct sum *sum)
{
	struct look_kernel *k = sum->k;
	struct look_process *p = &k->process;
	if (p->total_ms < 0 || k->cpu_ms < 0) {
		k->cpu_ms = sum->total_ms;
	} else {
		int64_t grown = sum->total_ms - p->total_ms;
		k->cpu_ms += grown > sum->new_ms ? grown : sum->new_ms;
	}
	p->total_ms = sum->total_ms;
	k->memory_bytes = sum->rss_bytes;
	if (k->peak_bytes < sum->rss_bytes)
		k->peak_bytes = sum->rss_bytes;
	free(p->members);
	p->members = sum->members;
	p->nmembers = sum->n;
	sum->members = NULL;
}

static void unmeasure(struct look_kernel *k)
{
	k->cpu_ms = k->memory_bytes = -1;
	k->process.total_ms = -1;
}

/* A sum for each kernel that has a process; -1: no memory. */
static int begin_sums(struct look_find *f, struct sum *sums, const struct map *by_pid, struct map *by_session)
{
	size_t cursor = 0, n = 0;
	int64_t now = clock_mono_ms();
	for (struct look_kernel *k; (k = map_next(f->l->others, &cursor));) {
		struct look_process *p = &k->process;
		const struct seen *s = p->pid ? seen_by(by_pid, p->pid) : NULL;
		bool is_there = s && s->start_ticks == p->start_ticks && !s->is_zombie;
		if (p->pid && !is_there)
			lose(p, now);
		else if (!p->pid)
			settle(f, k, now);
		if (!p->pid) {
			k->cpu_ms = k->memory_bytes = -1;
			continue;
		}
		sums[n] = (struct sum){ .k = k };
		if (map_set_u64(by_session, (uint64_t)p->pid, &sums[n++]) < 0)
			return -1;
	}
	return 0;
}

static int add_up(struct look_find *f)
{
	size_t nkernels = map_count(f->l->others);
	struct sum *sums = calloc(nkernels + 1, sizeof(*sums));
	struct map *by_pid = map_new(), *by_session = map_new();
	bool is_good = sums && by_pid && by_session;
	for (size_t i = 0; i < f->n && is_good; i++)
		is_good = map_set_u64(by_pid, (uint64_t)f->all[i].pid, &f->all[i]) == 0;
	is_good = is_good && begin_sums(f, sums, by_pid, by_session) == 0;
	for (size_t i = 0; i < f->n && is_good && map_count(by_session) > 0; i++) {
		struct sum *sum = owner_of(by_pid, by_session, &f->all[i]);
		is_good = !sum || add(sum, &f->all[i]) == 0;
	}
	for (size_t i = 0; sums && i < nkernels; i++) {
		if (is_good && sums[i].k)
			measure(&sums[i]);
		free(sums[i].members);
	}
	map_free(&by_pid);
	map_free(&by_session);
	free(sums);
	return is_good ? 0 : -1;
}

/* --- its course --- */

static void end_scan(struct look_find *f)
{
	size_t cursor = 0;
	closedir(f->dir);
	f->dir = NULL;
	bool is_good = f->is_whole && add_up(f) == 0;
	if (!is_good && !f->has_complained)
		log_warn("notebooks: unable to measure the kernels of %s: there are too many processes, not enough "
			 "memory, or /proc cannot be read: nobody counts as idle",
			 f->l->t->url);
	f->has_complained = !is_good;
	for (struct look_kernel *k; !is_good && (k = map_next(f->l->others, &cursor));)
		unmeasure(k);
	free(f->all);
	f->all = NULL;
	f->n = f->room = 0;
	look_found(f->l);
}

static void on_timer(void *data)
{
	struct look_find *f = data;
	for (int n = 0; n < AT_ONCE;) {
		int64_t pid;
		errno = 0;
		const struct dirent *e = readdir(f->dir);
		if (!e) {
			f->is_whole = f->is_whole && errno == 0;
			end_scan(f);
			return;
		}
		if (!isdigit((unsigned char)e->d_name[0]) || text_int(e->d_name, 1, INT32_MAX, &pid, NULL) < 0)
			continue;
		see(f, (int)pid);
		n++;
	}
	loop_timer_start(f->timer, PAUSE_MS);
}

static bool is_sought(const struct look_process *p, int64_t now)
{
	return !p->pid && (!p->sought_mono_ms || now - p->sought_mono_ms >= SEEK_APART_MS);
}

bool look_find_begin(struct notebook_look *l)
{
	struct look_find *f = l->find;
	size_t cursor = 0;
	int64_t now = clock_mono_ms();
	bool is_any = false, is_seeking = false;
	if (!f || l->t->is_stopped)
		return false;
	for (struct look_kernel *k; (k = map_next(l->others, &cursor));) {
		is_any |= k->process.pid > 0;
		is_seeking |= is_sought(&k->process, now);
		k->process.nclaims = 0;
	}
	f->is_seeking = is_seeking && notebook_listener_user(&f->server, &f->uid);
	if (!is_any && !f->is_seeking)
		return false;
	f->dir = opendir("/proc");
	if (!f->dir) {
		for (cursor = 0; /* as in end_scan */;) {
			struct look_kernel *k = map_next(l->others, &cursor);
			if (!k)
				return false;
			unmeasure(k);
		}
	}
	f->is_whole = true;
	loop_timer_start(f->timer, 0);
	return true;
}

int look_find_new(struct notebook_look *l, struct err *err)
{
	struct notebook_listener server;
	if (!notebook_listener_read(&server, l->t->url))
		return 0;
	struct look_find *f = calloc(1, sizeof(*f));
	if (f)
		f->timer = loop_timer_new(l->t->node->loop, on_timer, f);
	if (!f || !f->timer) {
		free(f);
		return err_set(err, "unable to watch the notebooks: no memory");
	}
	f->l = l;
	f->server = server;
	l->find = f;
	return 0;
}

void look_find_stop(struct notebook_look *l)
{
	if (l->find)
		loop_timer_stop(l->find->timer);
}

void look_find_free(struct notebook_look *l)
{
	struct look_find *f = l->find;
	if (!f)
		return;
	l->find = NULL;
	loop_timer_free(&f->timer);
	if (f->dir)
		closedir(f->dir);
	free(f->all);
	free(f);
}
