#include "keeper/plan.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/text.h"
#include "base/words.h"
#include "sys/fds.h"

#define PLAN_MAX      (1024 * 1024)
#define LINE_ARGS_MAX 3

struct reader {
	struct plan *plan;
	struct plan_service *service; /* the open block, or NULL */
	const char *path;
	int line;
};

/* --- small helpers --- */

static int unescape(char *s)
{
	char *out = s;
	for (; *s; s++) {
		unsigned v;
		if (*s != '%') {
			*out++ = *s;
			continue;
		}
		if (!isxdigit((unsigned char)s[1]) || !isxdigit((unsigned char)s[2]) || sscanf(s + 1, "%2x", &v) != 1 || v == 0)
			return -1;
		*out++ = (char)v;
		s += 2;
	}
	*out = 0;
	return 0;
}

static int set_long(long *out, const char *s, struct err *err)
{
	int64_t n;
	if (text_int(s, 0, INT64_MAX, &n, err) < 0)
		return -1;
	*out = (long)n;
	return 0;
}

static int set_int(int *out, const char *s, struct err *err)
{
	int64_t n;
	if (text_int(s, 0, INT32_MAX, &n, err) < 0)
		return -1;
	*out = (int)n;
	return 0;
}

static int set_text(char *out, size_t room, const char *s, struct err *err)
{
	if (strlen(s) >= room)
		return err_set(err, "longer than %zu characters", room - 1);
	strcpy(out, s);
	return 0;
}

/* --- statements --- */

static int read_listen(struct plan *p, char **args, struct err *err)
{
	struct plan_listen *l = calloc(1, sizeof(*l));
	if (!l)
		return err_set(err, "no memory");
	list_push(&p->listens, &l->link);
	if (set_text(l->name, sizeof(l->name), args[0], err) < 0 || set_text(l->host, sizeof(l->host), args[1], err) < 0)
		return -1;
	return set_int(&l->port, args[2], err);
}

static int read_listen_unix(struct plan *p, const char *name, struct err *err)
{
	struct plan_listen *l = calloc(1, sizeof(*l));
	if (!l)
		return err_set(err, "no memory");
	list_push(&p->listens, &l->link);
	l->is_unix = true;
	if (!text_is_id(name, strlen(name))) /* it becomes a file that root makes */
		return err_set(err, "\"%.60s\" is no name of a socket", name);
	return set_text(l->name, sizeof(l->name), name, err);
}

static int read_service(struct reader *r, const char *name, struct err *err)
{
	struct plan_service *s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(err, "no memory");
	desc_init(&s->desc);
	s->restart_most_ms = 60000;
	s->healthy_ms = 60000;
	s->give_up_ms = 3600000;
	list_push(&r->plan->services, &s->link);
	r->service = s;
	strcpy(s->desc.kind, "service");
	return desc_set(&s->desc, "id", name, err);
}

static int read_in_block(struct reader *r, const char *word, const char *value, struct err *err)
{
	struct plan_service *s = r->service;
	if (!strcmp(word, "restart_most_ms"))
		return set_int(&s->restart_most_ms, value, err);
	if (!strcmp(word, "healthy_ms"))
		return set_int(&s->healthy_ms, value, err);
	if (!strcmp(word, "give_up_ms"))
		return set_long(&s->give_up_ms, value, err);
	if (!strcmp(word, "reload_signal"))
		return set_int(&s->reload_signal, value, err);
	if (!strcmp(word, "after"))
		return words_add(&s->after, value, err);
	if (!strcmp(word, "inherit"))
		return words_add(&s->inherit, value, err);
	if (!strcmp(word, "secret")) {
		free(s->secret);
		s->secret = strdup(value);
		return s->secret ? 0 : err_set(err, "no memory");
	}
	return desc_set(&s->desc, word, value, err);
}

static int read_at_top(struct reader *r, const char *word, char **args, int nargs, struct err *err)
{
	struct plan *p = r->plan;
	const struct {
		const char *word;
		int nargs;
	} known[] = { { "instance", 1 },   { "dir", 1 },       { "cgroups", 1 },     { "control_user", 1 },
		      { "allow_user", 1 }, { "listen", 3 },    { "log_file", 2 },    { "log_job", 1 },
		      { "log_total", 1 },  { "log_floor", 1 }, { "listen_unix", 1 }, { "service", 1 } };
	size_t i = 0;
	while (i < sizeof(known) / sizeof(known[0]) && strcmp(known[i].word, word))
		i++;
	if (i == sizeof(known) / sizeof(known[0]))
		return err_set(err, "unknown word \"%s\"", word);
	if (nargs != known[i].nargs)
		return err_set(err, "\"%s\" takes %d arguments, not %d", word, known[i].nargs, nargs);
	switch (i) {
	case 0:
		return set_text(p->instance, sizeof(p->instance), args[0], err);
	case 1:
		return set_text(p->dir, sizeof(p->dir), args[0], err);
	case 2:
		return set_text(p->cgroups, sizeof(p->cgroups), args[0], err);
	case 3:
		return set_text(p->control_user, sizeof(p->control_user), args[0], err);
	case 4:
		return words_add(&p->allow_users, args[0], err);
	case 5:
		return read_listen(p, args, err);
	case 6:
		return set_long(&p->log_file_bytes, args[0], err) < 0 ? -1 : set_int(&p->log_files, args[1], err);
	case 7:
		return set_long(&p->log_job_bytes, args[0], err);
	case 8:
		return set_long(&p->log_total_bytes, args[0], err);
	case 9:
		return set_long(&p->log_floor_bytes, args[0], err);
	case 10:
		return read_listen_unix(p, args[0], err);
	default:
		return read_service(r, args[0], err);
	}
}

static int read_line(struct reader *r, char *line, struct err *err)
{
	char *args[LINE_ARGS_MAX + 1] = { NULL };
	int nargs = 0;
	line += strspn(line, " \t");
	if (!*line || *line == '#')
		return 0;
	char *word = strsep(&line, " ");
	if (!strcmp(word, "end") && r->service) {
		if (desc_check(&r->service->desc, err) < 0)
			return -1;
		r->service = NULL;
		return 0;
	}
	if (r->service) { /* one argument; a ready rule keeps its blanks */
		if (!line || unescape(line) < 0)
			return err_set(err, "\"%s\" has no value, or a broken %%XX", word);
		return read_in_block(r, word, line, err);
	}
	while (line && nargs < LINE_ARGS_MAX) {
		args[nargs] = strsep(&line, " ");
		if (unescape(args[nargs++]) < 0)
			return err_set(err, "broken %%XX");
	}
	if (line)
		return err_set(err, "too many arguments");
	return read_at_top(r, word, args, nargs, err);
}

static int check_whole(const struct reader *r, struct err *err)
{
	const struct plan *p = r->plan;
	if (r->service)
		return err_set(err, "service \"%s\" has no end", r->service->desc.id);
	if (!text_is_id(p->instance, strlen(p->instance)) || p->dir[0] != '/')
		return err_set(err, "`instance` or `dir` is missing");
	if (!plan_service_named(p, "logger") || !plan_service_named(p, "backend"))
		return err_set(err, "the services logger and backend must be there");
	list_each (&p->services, a) {
		const struct plan_service *s = list_of(a, struct plan_service, link);
		if (plan_service_named(p, s->desc.id) != s)
			return err_set(err, "service \"%s\" is there twice", s->desc.id);
		if (strncmp(s->desc.box, "core/", 5))
			return err_set(err, "the box of service \"%s\" is not below core/", s->desc.id);
		for (size_t i = 0; s->after && s->after[i]; i++)
			if (!plan_service_named(p, s->after[i]))
				return err_set(err, "service \"%s\" is after \"%s\", which is not there", s->desc.id, s->after[i]);
	}
	return 0;
}

/* What stands in a plan is run with our rights: nobody else may have written it, nor hold up who opens it. */
static int check_owner(int fd, struct err *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "unable to look at it");
	if (!S_ISREG(st.st_mode))
		return err_set(err, "it is no regular file");
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return err_set(err, "it belongs to uid %u, not to uid %u, who runs the keeper; remove it, then: dss start",
			       (unsigned)st.st_uid, (unsigned)geteuid());
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return err_set(err, "others than its owner may write it (mode %04o); remove it, then: dss start",
			       (unsigned)(st.st_mode & 07777));
	return 0;
}

static int read_text(const char *path, char *text, struct err *err)
{
	char opened[40];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return err_sys(err, errno, "unable to open %s", path);
	snprintf(opened, sizeof(opened), "/proc/self/fd/%d", fd);
	int rc = check_owner(fd, err);
	if (rc < 0)
		err_add(err, "unable to trust %s", path);
	else if (fds_read_file(opened, text, PLAN_MAX, err) < 0)
		rc = err_add(err, "unable to read %s", path);
	fds_close(&fd);
	return rc;
}

struct plan *plan_read(const char *path, struct err *err)
{
	char *text = malloc(PLAN_MAX);
	struct plan *p = calloc(1, sizeof(*p));
	struct reader r = { .plan = p, .path = path };
	int ok = -1;
	if (!text || !p) {
		err_set(err, "unable to read %s: no memory", path);
		goto out;
	}
	list_init(&p->listens);
	list_init(&p->services);
	strcpy(p->cgroups, "auto");
	p->log_file_bytes = 100L << 20;
	p->log_files = 10;
	p->log_job_bytes = 50L << 20;
	p->log_total_bytes = 10L << 30;
	p->log_floor_bytes = 1L << 30;
	if (read_text(path, text, err) < 0)
		goto out;
	char *rest = text;
	while (rest) {
		char *line = strsep(&rest, "\n");
		r.line++;
		if (r.line == 1 ? (strcmp(line, "dss-plan 1") ? err_set(err, "this is no dss-plan 1") : 0)
				: read_line(&r, line, err)) {
			err_add(err, "%s:%d", path, r.line);
			goto out;
		}
	}
	if (check_whole(&r, err) < 0) {
		err_add(err, "%s", path);
		goto out;
	}
	ok = 0;
out:
	free(text);
	if (ok < 0)
		plan_free(&p);
	return p;
}

void plan_free(struct plan **plan)
{
	struct plan *p = *plan;
	*plan = NULL;
	if (!p)
		return;
	if (p->listens.next)
		list_each (&p->listens, a)
			free(list_of(a, struct plan_listen, link));
	if (p->services.next) {
		list_each (&p->services, a) {
			struct plan_service *s = list_of(a, struct plan_service, link);
			desc_fini(&s->desc);
			words_free(&s->after);
			words_free(&s->inherit);
			free(s->secret);
			free(s);
		}
	}
	words_free(&p->allow_users);
	free(p);
}

struct plan_service *plan_service_named(const struct plan *plan, const char *name)
{
	list_each (&plan->services, a) {
		struct plan_service *s = list_of(a, struct plan_service, link);
		if (!strcmp(s->desc.id, name))
			return s;
	}
	return NULL;
}
