#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "sys/cgroup_mount.h"
#include "sys/cgroup_ops.h"

static const struct {
	const char *name;
	unsigned ctl;
} controllers[] = {
	{ "memory", CGROUP_CTL_MEMORY },   { "pids", CGROUP_CTL_PIDS },       { "cpu", CGROUP_CTL_CPU },
	{ "cpuacct", CGROUP_CTL_CPUACCT }, { "freezer", CGROUP_CTL_FREEZER },
};

/* "rw,cpu,cpuacct" or "cpu,cpuacct" → bits; changes list. */
static unsigned ctls_of(char *list)
{
	unsigned ctls = 0;
	char *save = NULL;
	for (char *word = strtok_r(list, ",", &save); word; word = strtok_r(NULL, ",", &save))
		for (size_t i = 0; i < sizeof(controllers) / sizeof(controllers[0]); i++)
			if (strcmp(word, controllers[i].name) == 0)
				ctls |= controllers[i].ctl;
	return ctls;
}

/* mountinfo writes blank, tab, newline and backslash as \ooo. */
static void unescape(char *s)
{
	char *to = s;
	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
			*to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

static void strip_newline(char *s)
{
	s[strcspn(s, "\n")] = '\0';
}

/* The caller's path in the hierarchy that carries ctls, by /proc/self/cgroup; false: not listed. */
static bool own_path(unsigned ctls, char *out, size_t room)
{
	FILE *f = fopen("/proc/self/cgroup", "re");
	if (!f)
		return false;
	char line[1024];
	bool found = false;
	while (!found && fgets(line, sizeof(line), f)) {
		strip_newline(line);
		char *list = strchr(line, ':'), *path = list ? strchr(list + 1, ':') : NULL;
		if (!path)
			continue;
		*path++ = '\0';
		list++;
		unsigned these = *list ? ctls_of(list) : (unsigned)CGROUP_CTL_V2;
		found = (these & ctls) != 0;
		if (found)
			snprintf(out, room, "%s", path);
	}
	fclose(f);
	return found;
}

/* Cuts path before the component `tree`; what follows that, or NULL: not there. */
static const char *cut_at(char *path, const char *tree)
{
	size_t len = strlen(tree);
	for (char *at = path; (at = strstr(at, tree)); at += len)
		if (at > path && at[-1] == '/' && (at[len] == '/' || at[len] == '\0')) {
			at[-1] = '\0';
			return at + len + (at[len] == '/');
		}
	return NULL;
}

static void set_own(struct cgroup_mount *m, const char *mount_root, const char *tree)
{
	char path[512];
	m->own[0] = m->inside[0] = '\0';
	m->is_inside = false;
	if (!own_path(m->ctls, path, sizeof(path)) || strstr(path, "/../"))
		return; /* outside of our cgroup namespace */
	const char *inside = cut_at(path, tree);
	if (inside) {
		m->is_inside = true;
		snprintf(m->inside, sizeof(m->inside), "%s", inside);
	}
	size_t len = strcmp(mount_root, "/") == 0 ? 0 : strlen(mount_root);
	if (strncmp(path, mount_root, len) != 0 || (path[len] != '/' && path[len] != '\0'))
		return; /* this mount shows another part of the hierarchy */
	const char *rest = strcmp(path + len, "/") == 0 ? "" : path + len;
	if ((size_t)snprintf(m->own, sizeof(m->own), "%s%s", m->point, rest) >= sizeof(m->own))
		m->own[0] = '\0';
}

/* ID PARENT MAJ:MIN ROOT POINT OPTIONS [TAG…] - TYPE SOURCE SUPEROPTIONS */
static bool parse_mount(char *line, struct cgroup_mount *m, const char *tree)
{
	char *tail = strstr(line, " - "), *save = NULL, *field[5];
	if (!tail)
		return false;
	*tail = '\0';
	for (int i = 0; i < 5; i++)
		if (!(field[i] = strtok_r(i ? NULL : line, " ", &save)))
			return false;
	char *type = strtok_r(tail + 3, " ", &save), *source = type ? strtok_r(NULL, " ", &save) : NULL;
	char *super = source ? strtok_r(NULL, " ", &save) : NULL;
	if (!super)
		return false;
	if (strcmp(type, "cgroup2") == 0)
		m->ctls = CGROUP_CTL_V2;
	else if (strcmp(type, "cgroup") == 0)
		m->ctls = ctls_of(super);
	else
		return false;
	unescape(field[3]);
	unescape(field[4]);
	if (!m->ctls || (size_t)snprintf(m->point, sizeof(m->point), "%s", field[4]) >= sizeof(m->point))
		return false;
	set_own(m, field[3], tree);
	return true;
}

int cgroup_mount_list(struct cgroup_mount *out, const char *tree, struct err *err)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	if (!f)
		return err_sys(err, errno, "unable to read /proc/self/mountinfo");
	char *line = NULL;
	size_t room = 0;
	int n = 0;
	while (n < CGROUP_MOUNTS_MAX && getline(&line, &room, f) > 0) {
		strip_newline(line);
		if (parse_mount(line, &out[n], tree))
			n++;
	}
	free(line);
	fclose(f);
	return n;
}
