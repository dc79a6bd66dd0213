#include "sys/proc.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>
#include "base/text.h"
#include "sys/fds.h"

/* Listeners on one port: several with SO_REUSEPORT or on several addresses. */
enum { PORT_INODES_MAX = 16, CMDLINE_MAX = 4096, TCP_LISTEN_STATE = 0x0A };

/* --- one process --- */

/* After "pid (comm) ": comm may hold blanks and parentheses, so it ends at the last one. */
static int parse_stat(char *text, struct proc_stat *out)
{
	char *open = strchr(text, '('), *end = strrchr(text, ')');
	if (open == NULL || end == NULL || end < open)
		return -1;
	*end = '\0';
	snprintf(out->comm, sizeof(out->comm), "%s", open + 1);
	int ppid, pgid, session;
	unsigned long utime, stime;
	long reaped_user, reaped_system;
	unsigned long long start;
	long rss;
	int n = sscanf(end + 1, " %c %d %d %d %*d %*d %*u %*u %*u %*u %*u %lu %lu %ld %ld %*d %*d %*d %*d %llu %*u %ld",
		       &out->state, &ppid, &pgid, &session, &utime, &stime, &reaped_user, &reaped_system, &start, &rss);
	if (n != 10)
		return -1;
	out->ppid = ppid;
	out->pgid = pgid;
	out->session = session;
	out->start_ticks = start;
	out->cpu_ms = (uint64_t)(utime + stime) * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
	out->reaped_ms = (uint64_t)(reaped_user + reaped_system) * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
	out->rss_bytes = (int64_t)rss * sysconf(_SC_PAGESIZE);
	return 0;
}

int proc_read(pid_t pid, struct proc_stat *out)
{
	char path[64], text[1024];
	memset(out, 0, sizeof(*out));
	out->pid = pid;
	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	int dirfd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return -1;
	struct stat st;
	int r = fstat(dirfd, &st);
	if (r == 0 && fds_read_at(dirfd, "stat", text, sizeof(text), NULL) < 0)
		r = -1;
	fds_close(&dirfd);
	if (r < 0 || parse_stat(text, out) < 0)
		return -1;
	out->uid = st.st_uid;
	return 0;
}

bool proc_is_user(pid_t pid, uid_t uid)
{
	char path[64], text[4096];
	unsigned id[4];
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	if (fds_read_file(path, text, sizeof(text), NULL) < 0)
		return false;
	const char *line = strstr(text, "\nUid:");
	if (line == NULL || sscanf(line + 5, "%u %u %u %u", &id[0], &id[1], &id[2], &id[3]) != 4)
		return false;
	return id[0] == uid && id[1] == uid && id[2] == uid && id[3] == uid;
}

uint64_t proc_start_ticks(pid_t pid)
{
	char path[64], text[1024];
	struct proc_stat st = { .pid = pid };
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	return fds_read_file(path, text, sizeof(text), NULL) < 0 || parse_stat(text, &st) < 0 ? 0 : st.start_ticks;
}

bool proc_is_same(pid_t pid, uint64_t start_ticks)
{
	struct proc_stat st;
	if (pid <= 0 || proc_read(pid, &st) < 0)
		return false;
	return st.start_ticks == start_ticks && st.state != 'Z' && st.state != 'X' && st.state != 'x';
}

static FILE *open_of(pid_t pid, const char *name)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	return fopen(path, "re");
}

bool proc_env(pid_t pid, const char *name, char *out, size_t room)
{
	FILE *f = open_of(pid, "environ");
	if (f == NULL)
		return false;
	/* Read byte by byte, because one variable may be larger than any buffer of ours. */
	size_t want = strlen(name), at = 0, len = 0;
	bool is_match = true, is_found = false;
	int c;
	while (!is_found && (c = getc_unlocked(f)) != EOF) {
		if (c == '\0') {
			is_found = is_match && at > want;
			if (!is_found)
				at = 0, is_match = true;
			continue;
		}
		if (at < want)
			is_match = is_match && c == name[at];
		else if (at == want)
			is_match = is_match && c == '=';
		else if (is_match && len + 1 < room)
			out[len++] = (char)c;
		else if (is_match)
			break; /* does not fit: half a value would be a lie */
		at++;
	}
	fclose(f);
	if (room > 0)
		out[is_found ? len : 0] = '\0';
	return is_found;
}

bool proc_cmdline(pid_t pid, char *out, size_t room)
{
	FILE *f = open_of(pid, "cmdline");
	if (f == NULL)
		return false;
	char raw[CMDLINE_MAX];
	size_t n = fread(raw, 1, sizeof(raw), f);
	bool is_read = ferror(f) == 0;
	fclose(f);
	while (n > 0 && raw[n - 1] == '\0')
		n--;
	for (size_t i = 0; i < n; i++)
		if (raw[i] == '\0')
			raw[i] = ' ';
	text_escape(out, room, raw, n);
	return is_read;
}

int proc_each(proc_fn *fn, void *data, struct err *err)
{
	DIR *dir = opendir("/proc");
	if (dir == NULL)
		return err_sys(err, errno, "unable to list processes");
	struct dirent *e;
	bool goes_on = true;
	while (goes_on && (errno = 0, e = readdir(dir)) != NULL) {
		int64_t pid;
		if (isdigit((unsigned char)e->d_name[0]) && text_int(e->d_name, 1, INT32_MAX, &pid, NULL) == 0)
			goes_on = fn(data, (pid_t)pid);
	}
	int errnum = goes_on ? errno : 0;
	closedir(dir);
	return errnum == 0 ? 0 : err_sys(err, errnum, "unable to list processes");
}

/* --- who holds a port --- */

struct port_search {
	unsigned long inodes[PORT_INODES_MAX];
	size_t ninodes;
	uid_t uid; /* of the first listener */
	pid_t holder;
};

static void find_listeners(const char *table, int port, struct port_search *out)
{
	FILE *f = fopen(table, "re");
	if (f == NULL)
		return;
	char line[512];
	while (fgets(line, sizeof(line), f) != NULL && out->ninodes < PORT_INODES_MAX) {
		unsigned local_port, state, uid;
		unsigned long inode;
		if (sscanf(line, " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*x:%*x %*x:%*x %*x %u %*d %lu", &local_port, &state,
			   &uid, &inode) != 4)
			continue;
		if (state != TCP_LISTEN_STATE || local_port != (unsigned)port)
			continue;
		if (out->ninodes == 0)
			out->uid = uid;
		out->inodes[out->ninodes++] = inode;
	}
	fclose(f);
}

static bool is_wanted_socket(const struct port_search *s, const char *link)
{
	unsigned long inode;
	if (sscanf(link, "socket:[%lu]", &inode) != 1)
		return false;
	for (size_t i = 0; i < s->ninodes; i++)
		if (s->inodes[i] == inode)
			return true;
	return false;
}

static bool holds_wanted_socket(void *data, pid_t pid)
{
	struct port_search *s = data;
	char path[64], link[128];
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	DIR *dir = opendir(path);
	if (dir == NULL)
		return true; /* another user's: look on */
	struct dirent *e;
	while (s->holder == 0 && (e = readdir(dir)) != NULL) {
		ssize_t n = readlinkat(dirfd(dir), e->d_name, link, sizeof(link) - 1);
		if (n <= 0)
			continue;
		link[n] = '\0';
		if (is_wanted_socket(s, link))
			s->holder = pid;
	}
	closedir(dir);
	return s->holder == 0;
}

static const char *user_name(uid_t uid, char *room, size_t size)
{
	struct passwd *pw = getpwuid(uid);
	if (pw != NULL)
		snprintf(room, size, "%s", pw->pw_name);
	else
		snprintf(room, size, "%u", (unsigned)uid);
	return room;
}

/* Who holds one of the sockets found; false: cannot tell. */
static bool name_holder(struct port_search *s, char *text, size_t room)
{
	struct proc_stat st;
	char user[64], comm[4 * sizeof(st.comm)];
	if (s->ninodes > 0)
		proc_each(holds_wanted_socket, s, NULL);
	if (s->holder == 0 || proc_read(s->holder, &st) < 0)
		return false;
	text_escape(comm, sizeof(comm), st.comm, strlen(st.comm));
	snprintf(text, room, "pid %d (%s, user %s)", (int)s->holder, comm, user_name(st.uid, user, sizeof(user)));
	return true;
}

pid_t proc_unix_holder(const char *name, char *text, size_t room)
{
	struct port_search s = { .holder = 0 };
	char line[512], bound[256];
	unsigned long inode;
	FILE *f = fopen("/proc/self/net/unix", "re");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL && s.ninodes < PORT_INODES_MAX)
		if (sscanf(line, "%*s %*s %*s %*s %*s %*s %lu %255s", &inode, bound) == 2 && strcmp(bound, name) == 0)
			s.inodes[s.ninodes++] = inode;
	if (f != NULL)
		fclose(f);
	if (name_holder(&s, text, room))
		return s.holder;
	snprintf(text, room, "another process");
	return 0;
}

pid_t proc_port_holder(int port, char *text, size_t room)
{
	struct port_search s = { .holder = 0 };
	char user[64];
	find_listeners("/proc/self/net/tcp", port, &s);
	find_listeners("/proc/self/net/tcp6", port, &s);
	if (name_holder(&s, text, room))
		return s.holder;
	if (s.ninodes > 0)
		snprintf(text, room, "another process (user %s)", user_name(s.uid, user, sizeof(user)));
	else
		snprintf(text, room, "another process");
	return 0;
}

/* --- the rest --- */

int proc_pidfd(pid_t pid, struct err *err)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0); /* close-on-exec by itself */
	return fd >= 0 ? fd : err_sys(err, errno, "unable to open process %d", (int)pid);
}

int proc_pidfd_signal(int pidfd, int signo)
{
	return (int)syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0);
}

int proc_signal_same(pid_t pid, uint64_t start_ticks, int signo)
{
	/* Held first, looked at then: what is held cannot become another. */
	int pidfd = proc_pidfd(pid, NULL);
	if (pidfd < 0)
		return -1;
	int rc = -1;
	if (proc_is_same(pid, start_ticks))
		rc = proc_pidfd_signal(pidfd, signo);
	else
		errno = ESRCH;
	fds_close(&pidfd);
	return rc;
}

int64_t proc_memory_total(void)
{
	struct sysinfo info;
	return sysinfo(&info) == 0 ? (int64_t)info.totalram * info.mem_unit : -1;
}

int64_t proc_pss(pid_t pid)
{
	FILE *f = open_of(pid, "smaps_rollup");
	if (f == NULL)
		return -1;
	char line[256];
	long long kb = -1;
	while (kb < 0 && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "Pss: %lld kB", &kb) != 1)
			kb = -1;
	fclose(f);
	return kb < 0 ? -1 : (int64_t)kb * 1024;
}
