/* init: makes an instance. config/instance.id is written last: what lacks it is no instance. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "ctl/bell.h"
#include "ctl/demo.h"
#include "ctl/init_files.h"
#include "ctl/opt.h"
#include "ctl/say.h"
#include "sys/fds.h"
#include "sys/home.h"
#include "sys/proc.h"
#include "sys/sock.h"

enum { PORTS = 4, DIR_MAX = 2048, DEPTH_MAX = 16 };

/* --- whose and where --- */

static int settle_user(const char *name, struct account *out, struct err *err)
{
	bool made;
	if (account_ensure(name, true, out, &made, err) < 0)
		return -1;
	if (made)
		ctl_note("made the system user %s (no home, no shell)", name);
	return out->uid == 0 ? err_set(err, "unable to use %s: it is root, and users' code never runs as root", name) : 0;
}

/* Root hands the whole instance to one user, who then starts it. */
static int settle_one_user(struct init *in, struct err *err)
{
	struct layout *l = &in->layout;
	if (settle_user(in->control_user, &l->control, err) < 0)
		return -1;
	l->admin = l->run = l->control;
	return 0;
}

static int settle_users(struct init *in, struct err *err)
{
	struct layout *l = &in->layout;
	if (geteuid() != 0) {
		if (in->control_user != NULL || in->run_user != NULL)
			return err_set(err, "unable to use other users: only root can; without root all runs as you");
		l->admin = (struct account){ geteuid(), getegid() };
		l->control = l->run = l->admin;
		in->one_user = true;
		return 0;
	}
	l->set_owners = true;
	in->control_user = in->control_user != NULL ? in->control_user : "dss";
	in->run_user = in->run_user != NULL ? in->run_user : "dss-run";
	if (in->one_user)
		return settle_one_user(in, err);
	l->admin = (struct account){ 0, 0 };
	if (settle_user(in->control_user, &l->control, err) < 0 || settle_user(in->run_user, &l->run, err) < 0)
		return -1;
	if (l->control.uid == l->run.uid)
		return err_set(err, "unable to use %s twice: the control user and the run user must differ (or say --one-user)",
			       in->control_user);
	if (account_is_in(in->run_user, &l->run, l->control.gid))
		return err_set(err, "unable to use %s as the run user: it is in the group of %s and could read its files",
			       in->run_user, in->control_user);
	return 0;
}

static bool is_plain_path(const char *path)
{
	for (; *path != '\0'; path++)
		if ((unsigned char)*path < 0x20 || *path == 0x7f)
			return false;
	return true;
}

/* in->dir: absolute, its parent resolved; the folder itself need not exist. */
static int resolve_dir(struct init *in, struct err *err)
{
	char parent[PATH_MAX], real[PATH_MAX];
	if (realpath(in->given, in->dir) != NULL) {
		in->did_exist = true;
	} else {
		int n = snprintf(parent, sizeof(parent), "%s", in->given);
		while (n > 1 && n < (int)sizeof(parent) && parent[n - 1] == '/')
			parent[--n] = '\0';
		char *slash = strrchr(parent, '/');
		const char *name = slash != NULL ? slash + 1 : parent;
		const char *above = slash == parent ? "/" : slash != NULL ? parent : ".";
		if (errno != ENOENT || n <= 0 || n >= (int)sizeof(parent))
			return err_sys(err, errno, "unable to use %s", in->given);
		if (slash != NULL)
			*slash = '\0';
		if (realpath(above, real) == NULL)
			return err_sys(err, errno, "unable to make %s: its parent folder %s", in->given, above);
		n = snprintf(in->dir, sizeof(in->dir), "%s/%s", strcmp(real, "/") == 0 ? "" : real, name);
		if (n >= (int)sizeof(in->dir))
			return err_sys(err, ENAMETOOLONG, "unable to make %s", in->given);
	}
	if (strlen(in->dir) > DIR_MAX)
		return err_sys(err, ENAMETOOLONG, "unable to use %s", in->dir);
	if (!is_plain_path(in->dir))
		return err_set(err, "unable to use this folder: its path has control characters");
	return 0;
}

/* "" = empty, else the name of something in it. */
static int first_entry(const char *dir, char *out, size_t room, struct err *err)
{
	DIR *d = opendir(dir);
	if (d == NULL)
		return err_sys(err, errno, "unable to open %s", dir);
	out[0] = '\0';
	for (struct dirent *e; out[0] == '\0' && (e = readdir(d)) != NULL;)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			snprintf(out, room, "%s", e->d_name);
	closedir(d);
	return 0;
}

static bool is_instance(const char *dir)
{
	char id[16];
	struct err err = { 0 };
	return home_instance_id(dir, id, sizeof(id), &err) == 0 || err.code != ENOENT;
}

static int refuse_foreign(const struct init *in, struct err *err)
{
	char entry[256] = "";
	if (!in->did_exist)
		return 0;
	struct stat st;
	if (stat(in->dir, &st) == 0 && !S_ISDIR(st.st_mode))
		return err_sys(err, ENOTDIR, "unable to use %s", in->dir);
	if (is_instance(in->dir))
		return err_set(err, "%s is an instance already; a copy gets its own id by --new-id", in->dir);
	if (first_entry(in->dir, entry, sizeof(entry), err) < 0)
		return -1;
	return entry[0] == '\0' ? 0 : err_set(err, "%s is not empty (%s is in it); name a new or an empty folder", in->dir, entry);
}

/* --- warnings: what will matter at start --- */

static void warn_ports(const struct init *in)
{
	for (int i = 0; in->port > 0 && i < PORTS; i++) {
		struct err err = { 0 };
		char holder[200];
		int port = (int)in->port + i;
		int fd = sock_listen_tcp("127.0.0.1", port, &err);
		if (fd < 0 && err.code == EADDRINUSE && proc_port_holder(port, holder, sizeof(holder)) >= 0)
			ctl_note("warning: port %d is held by %s; dss start will refuse while it is", port, holder);
		fds_close(&fd);
	}
}

static void warn_reach(const struct init *in)
{
	const struct {
		const char *user;
		const struct account *account;
		const char *path;
	} needs[] = { { in->control_user, &in->layout.control, in->dir },
		      { in->control_user, &in->layout.control, in->share },
		      { in->run_user, &in->layout.run, in->dir },
		      { in->run_user, &in->layout.run, in->share } };
	for (size_t i = 0; in->layout.set_owners && i < (in->one_user ? 2 : sizeof(needs) / sizeof(needs[0])); i++)
		if (!account_can_reach(needs[i].account, needs[i].path))
			ctl_note("warning: user %s cannot enter %s; give it and the folders above it o+x", needs[i].user,
				 needs[i].path);
}

static void print_json(const struct init *in)
{
	char key[PATH_MAX + 32];
	snprintf(key, sizeof(key), "%s/config/admin.key", in->dir);
	json_t *o = json_pack("{s:s, s:I, s:s, s:s}", "dir", in->dir, "port", (json_int_t)in->port, "isolation",
			      in->layout.set_owners && !in->one_user ? "users" : "none", "keyFile", key);
	json_dumpf(o, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(o);
}

static void print_next(const struct init *in)
{
	struct buf b;
	buf_init(&b, 4 * PATH_MAX);
	say_put_word(&b, in->dir);
	const char *dir = b.failed ? in->dir : b.data;
	printf("made the instance %s\n", in->dir);
	if (in->port > 0)
		printf("  ports      %d (page and API) to %d\n", (int)in->port, (int)in->port + PORTS - 1);
	else
		printf("  ports      chosen at each start; run/ports.json tells\n");
	if (in->layout.set_owners && !in->one_user)
		printf("  users      %s (backend, logger), %s (kernels)\n", in->control_user, in->run_user);
	else
		printf("  isolation  none: code in any kernel can act as admin\n");
	printf("  key        %s/config/admin.key\nnext:\n  ", dir);
	if (in->layout.set_owners && in->one_user)
		printf("runuser -u %s -- ", in->control_user);
	printf("%s/bin/dss start\n", dir);
	if (in->demo)
		demo_print_next(in->dir, in->share);
	buf_fini(&b);
}

/* --- the two ways --- */

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st, (void)kind;
	if (at->level > 0)
		remove(path);
	return 0;
}

/* What a failed init made, in a folder that was empty or not there before. */
static void undo(const struct init *in)
{
	nftw(in->dir, remove_one, DEPTH_MAX, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	if (!in->did_exist)
		rmdir(in->dir);
}

static int fill_folder(struct init *in, struct err *err)
{
	static const char *const secrets[] = { "config/admin.key", "config/node.key", "config/jupyter.token" };
	if (layout_make_folders(&in->layout, err) < 0 || init_files_wrappers(in, err) < 0 || init_files_config(in, err) < 0)
		return -1;
	for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++)
		if (init_files_secret(in, secrets[i], err) < 0)
			return -1;
	if (init_files_policies(in, err) < 0 || (in->demo && demo_make(&in->layout, in->share, err) < 0))
		return -1;
	return init_files_id(in, err) < 0 ? -1 : layout_hand_over(&in->layout, err);
}

static int open_dir(struct init *in, struct err *err)
{
	in->layout.dirfd = open(in->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return in->layout.dirfd < 0 ? err_sys(err, errno, "unable to open %s", in->dir) : 0;
}

static int make_instance(struct init *in, struct err *err)
{
	if (refuse_foreign(in, err) < 0 || settle_users(in, err) < 0)
		return -1;
	if (!in->did_exist && mkdir(in->dir, 0700) < 0)
		return err_sys(err, errno, "unable to make %s", in->dir);
	int rc = open_dir(in, err);
	if (rc == 0)
		rc = fill_folder(in, err);
	fds_close(&in->layout.dirfd);
	if (rc < 0) {
		undo(in);
		return err_add(err, "unable to make the instance %s", in->dir);
	}
	warn_ports(in);
	warn_reach(in);
	if (in->json)
		print_json(in);
	else
		print_next(in);
	return 0;
}

static int renew_id(struct init *in, struct err *err)
{
	char id[16];
	struct bell *bell = NULL;
	if (!in->did_exist || !is_instance(in->dir))
		return err_set(err, "%s is no instance; without --new-id it becomes one", in->dir);
	if (bell_open(&bell, in->dir, NULL) == 0) {
		bell_close(&bell);
		return err_set(err, "unable to change the id of %s: it is running; stop it first", in->dir);
	}
	struct stat st;
	if (open_dir(in, err) < 0)
		return -1;
	if (fstat(in->layout.dirfd, &st) < 0)
		return err_sys(err, errno, "unable to look at %s", in->dir);
	in->layout.admin = in->layout.control = in->layout.run = (struct account){ st.st_uid, st.st_gid };
	in->layout.set_owners = geteuid() == 0;
	int rc = init_files_wrappers(in, err) < 0 || init_files_id(in, err) < 0 ? -1
										: home_instance_id(in->dir, id, sizeof(id), err);
	fds_close(&in->layout.dirfd);
	if (rc == 0 && in->json)
		printf("{\"instance\":\"%s\"}\n", id);
	else if (rc == 0)
		printf("the instance %s now has the id %s; its ports are still those of config/dss.lua\n", in->dir, id);
	return rc;
}

static int check_names(struct ctl *ctl, const struct init *in)
{
	static const char *const modes[] = { "auto", "v2", "v1", "none", NULL };
	const char *const users[] = { in->control_user, in->run_user };
	for (int i = 0; i < 2; i++)
		if (users[i] != NULL && !account_is_name(users[i]))
			return ctl_misuse(ctl->verb, NULL, NULL, "\"%s\" is no user name", users[i]);
	for (const char *const *m = modes; *m != NULL; m++)
		if (strcmp(*m, in->cgroups) == 0)
			return -1;
	return ctl_misuse(ctl->verb, modes, in->cgroups, "--cgroups is auto, v2, v1 or none, not \"%s\"", in->cgroups);
}

int init_command(struct ctl *ctl, int argc, char **argv)
{
	struct init in = { .port = 11200, .cgroups = "auto", .layout.dirfd = -1 };
	const struct opt opts[] = {
		{ "port", "N", "the first of its ports (default 11200; N to N+3 are used); 0 = choose at each start", OPT_INT,
		  &in.port, 0, 65535 - PORTS, NULL },
		{ "demo", NULL, "with a project and a data set to try", OPT_FLAG, &in.demo, 0, 0, NULL },
		{ "observe", NULL, "policies only say what they would do", OPT_FLAG, &in.observe, 0, 0, NULL },
		{ "control-user", "NAME", "who backend and logger run as (default dss; made if missing)", OPT_TEXT,
		  &in.control_user, 0, 0, NULL },
		{ "run-user", "NAME", "who kernels run as (default dss-run; made if missing)", OPT_TEXT, &in.run_user, 0, 0, NULL },
		{ "one-user", NULL, "no isolation: all belongs to the control user and runs as it", OPT_FLAG, &in.one_user, 0, 0,
		  NULL },
		{ "cgroups", "MODE", "auto, v2, v1 or none (default auto)", OPT_TEXT, &in.cgroups, 0, 0, NULL },
		{ "new-id", NULL, "DIR is a copy of an instance: give it an id of its own", OPT_FLAG, &in.new_id, 0, 0, NULL },
		{ 0 },
	};
	struct opt_words words = {
		.usage = "DIR [options]", .about = "Makes an instance in DIR, a new or an empty folder.", .least = 1, .most = 1
	};
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (code = check_names(ctl, &in)) >= 0)
		return code;
	if (in.one_user && in.run_user != NULL)
		return ctl_misuse(ctl->verb, NULL, NULL, "--one-user and --run-user exclude each other");
	struct err err = { 0 };
	in.given = words.words[0];
	in.json = ctl->json;
	if (home_share(in.share, sizeof(in.share)) < 0 || home_program("dssctl", in.dssctl, sizeof(in.dssctl)) < 0)
		return ctl_fail(CTL_FAILED, "unable to find our own files (lua/dss, policies); set DSS_SHARE to their folder");
	if (resolve_dir(&in, &err) < 0 || (in.new_id ? renew_id(&in, &err) : make_instance(&in, &err)) < 0)
		return ctl_fail(err.code == EACCES || err.code == EPERM ? CTL_NOT_ALLOWED : CTL_FAILED, "%s", err.text);
	return CTL_DONE;
}
