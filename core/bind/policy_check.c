#include "bind/policy_check.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "bind/config.h"
#include "bind/policies.h"
#include "bind/policy_set.h"
#include "sys/home.h"

#define TEXT_MAX   ((size_t)64 << 20)
#define ERRORS_MAX ((size_t)256 << 10)
#define PIECE      65536

static int read_input(struct buf *out, struct err *err)
{
	for (;;) {
		char *room = buf_reserve(out, PIECE);
		if (!room)
			return err_set(err, "unable to read the policies: more than %zu MB", TEXT_MAX >> 20);
		ssize_t n = read(STDIN_FILENO, room, PIECE);
		if (n < 0 && errno != EINTR)
			return err_sys(err, errno, "unable to read the policies");
		if (n == 0)
			return 0;
		out->len += n > 0 ? (size_t)n : 0;
	}
}

static void print_json(bool is_good, const struct buf *errors)
{
	struct buf out;
	buf_init(&out, 4 * ERRORS_MAX);
	policy_set_put_errors(&out, errors);
	printf("{\"ok\":%s,\"errors\":%s}\n", is_good ? "true" : "false", out.data ? out.data : "[]");
	buf_fini(&out);
}

static void print_good(const struct policies *p)
{
	printf("%zu file%s, %zu pool%s: no mistakes\n", p->nfiles, p->nfiles == 1 ? "" : "s", p->n, p->n == 1 ? "" : "s");
}

/* What users of the instance wrote is not evaluated as root: as the control user, who evaluates it in the backend as well. */
static int become(const char *user, struct err *err)
{
	if (geteuid() != 0 || !*user)
		return 0;
	const struct passwd *pw = getpwnam(user);
	if (!pw)
		return err_set(err, "unable to check as user %s: there is no such user", user);
	if (initgroups(user, pw->pw_gid) < 0 || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) < 0 ||
	    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) < 0)
		return err_sys(err, errno, "unable to check as user %s", user);
	return 0;
}

static int check(const char *dir, struct buf *text, struct policies *set, struct buf *errors, struct err *err)
{
	char share[PATH_MAX];
	struct config_node config = { .port = 0 };
	if (home_share(share, sizeof share) < 0)
		return err_set(err, "unable to find lua/dss near our program; set DSS_SHARE");
	if (config_node(dir, &config, err) < 0 || read_input(text, err) < 0)
		return -1;
	if (become(config.control_user, err) < 0) {
		config_node_fini(&config);
		return -1;
	}
	int ok = policies_load_texts(share, config.run_user, text->data ? text->data : "", text->len, set, errors);
	config_node_fini(&config);
	return ok;
}

int policy_check_input(const char *dir, bool is_quiet, bool as_json)
{
	struct policies set;
	struct buf text, errors;
	struct err err = { 0 };
	memset(&set, 0, sizeof set);
	buf_init(&text, TEXT_MAX);
	buf_init(&errors, ERRORS_MAX);
	int ok = check(dir, &text, &set, &errors, &err);
	if (ok < 0 && errors.len == 0)
		buf_puts(&errors, err.text);
	if (as_json)
		print_json(ok == 0, &errors);
	else if (ok < 0)
		fprintf(stderr, "%s\n", errors.data);
	else if (!is_quiet)
		print_good(&set);
	if (ok == 0)
		policies_fini(&set);
	buf_fini(&errors);
	buf_fini(&text);
	return ok == 0 ? 0 : 1;
}
