#include "keeper/listen.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/log.h"
#include "sys/fds.h"
#include "sys/proc.h"
#include "sys/sock.h"

#define PATH_ROOM (sizeof(((struct keeper *)0)->dir) + sizeof(((struct keeper_listen *)0)->name) + 16)

static const char *path_of(const struct keeper *k, const char *name, char *out)
{
	snprintf(out, PATH_ROOM, "%s/run/%s.sock", k->dir, name);
	return out;
}

/* Its address, whatever it is called. A Unix socket has no port. */
static bool is_at(const struct keeper_listen *l, const struct plan_listen *want)
{
	int port = sock_port(l->fd);
	return want->is_unix ? port < 0 : port >= 0 && (want->port == 0 || port == want->port);
}

static bool is_it(const struct keeper_listen *l, const struct plan_listen *want)
{
	return !strcmp(l->name, want->name) && is_at(l, want);
}

static bool is_listening(const struct keeper *k, const struct plan_listen *want)
{
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): whoever frees one takes it from the list first; the analyzer does not follow links */
	list_each (&k->listens, at)
		if (is_it(list_of(at, struct keeper_listen, link), want))
			return true;
	return false;
}

static bool is_wanted(const struct keeper *k, const struct keeper_listen *l)
{
	list_each (&k->plan->listens, at)
		if (is_it(l, list_of(at, struct plan_listen, link)))
			return true;
	return false;
}

/* run/ is sticky and the socket is ours: nobody can put another file in its place before it is given away. */
static int listen_unix(const struct keeper *k, const struct plan_listen *want, struct err *err)
{
	char path[PATH_ROOM];
	const struct account *to = accounts_control(k->accounts);
	path_of(k, want->name, path);
	int fd = sock_listen_unix(path, 0600, err);
	if (fd < 0 || !to || fchownat(AT_FDCWD, path, to->uid, to->gid, AT_SYMLINK_NOFOLLOW) == 0)
		return fd;
	err_sys(err, errno, "unable to give %s to its user", path);
	fds_close(&fd);
	return -1;
}

static int listen_tcp(const struct plan_listen *want, struct err *err)
{
	char holder[200];
	int fd = sock_listen_tcp(want->host, want->port, err);
	if (fd >= 0 || !err || err->code != EADDRINUSE)
		return fd;
	proc_port_holder(want->port, holder, sizeof(holder));
	return err_set(err, "unable to start: port %d is held by %s. Change `port` in config/dss.lua, or stop it", want->port,
		       holder);
}

int listen_all(struct keeper *k, struct err *err)
{
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): plan_read has made the list */
	list_each (&k->plan->listens, at) {
		const struct plan_listen *want = list_of(at, struct plan_listen, link);
		if (is_listening(k, want))
			continue;
		int fd = want->is_unix ? listen_unix(k, want, err) : listen_tcp(want, err);
		if (fd < 0)
			return -1;
		struct keeper_listen *l = calloc(1, sizeof(*l));
		if (!l) {
			fds_close(&fd);
			return err_set(err, "no memory");
		}
		strcpy(l->name, want->name);
		l->fd = fd;
		list_push(&k->listens, &l->link);
	}
	return 0;
}

/* nginx takes the page's port over, or gives it back: the old service still has the socket, so nobody could bind there anew. */
static bool rename_one(struct keeper *k, struct keeper_listen *l)
{
	list_each (&k->plan->listens, at) {
		const struct plan_listen *want = list_of(at, struct plan_listen, link);
		if (!want->is_unix && want->port != 0 && is_at(l, want) && !is_listening(k, want)) {
			strcpy(l->name, want->name);
			return true;
		}
	}
	return false;
}

static void unlink_unix(const struct keeper *k, const struct keeper_listen *l)
{
	char path[PATH_ROOM];
	if (sock_port(l->fd) < 0)
		unlink(path_of(k, l->name, path));
}

void listen_again(struct keeper *k)
{
	struct err err = { 0 };
	list_each (&k->listens, at) {
		struct keeper_listen *l = list_of(at, struct keeper_listen, link);
		if (rename_one(k, l) || is_wanted(k, l))
			continue;
		unlink_unix(k, l);
		list_remove(&l->link);
		fds_close(&l->fd);
		free(l);
	}
	if (listen_all(k, &err) < 0)
		log_error("%s", err.text);
}

struct keeper_listen *listen_find(const struct keeper *k, const char *name)
{
	list_each (&k->listens, at) {
		struct keeper_listen *l = list_of(at, struct keeper_listen, link);
		if (!strcmp(l->name, name))
			return l;
	}
	return NULL;
}

void listen_close(struct keeper *k)
{
	list_each (&k->listens, at) {
		struct keeper_listen *l = list_of(at, struct keeper_listen, link);
		unlink_unix(k, l);
		fds_close(&l->fd);
		free(l);
	}
}
