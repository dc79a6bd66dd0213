#include "bind/policy_check.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "bind/arg.h"
#include "bind/config.h"
#include "bind/decide.h"
#include "bind/policies.h"
#include "bind/policy_set.h"
#include "fleet/jtext.h"
#include "sys/cgroup_look.h"
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

/* --- what is no mistake, and yet does nothing on this machine --- */

static void note_controller(struct buf *notes, const char *source, const char *name)
{
	char text[512];
	if (!source || cgroup_look_can(name))
		return;
	snprintf(text, sizeof text, "%s limits nothing here: this machine has no cgroup controller \"%s\"", source, name);
	jtext_next(notes);
	jtext_put(notes, text);
}

static void take_limited(lua_State *L, int first, void *data)
{
	static const char *const names[] = { "memory", "cpu", "pids" };
	lua_getfield(L, first, "limited");
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		note_controller(data, arg_field_text(L, lua_gettop(L), names[i]), names[i]);
}

/* A list of texts. */
static void put_notes(const struct policies *p, struct buf *notes)
{
	struct decide_question q = { "describe", NULL, take_limited, 1, notes };
	buf_putc(notes, '[');
	decide(p->vm, &q, NULL);
	buf_putc(notes, ']');
}

/* --- telling --- */

static void print_json(bool is_good, const struct buf *errors, const struct buf *notes)
{
	struct buf out;
	buf_init(&out, 4 * ERRORS_MAX);
	policy_set_put_errors(&out, errors);
	bool has_notes = notes->data && notes->len > strlen("[]");
	printf("{\"ok\":%s,\"errors\":%s%s%s}\n", is_good ? "true" : "false", out.data ? out.data : "[]",
	       has_notes ? ",\"notes\":" : "", has_notes ? notes->data : "");
	buf_fini(&out);
}

static void print_notes(const struct buf *notes)
{
	size_t i;
	json_t *list = json_loadb(notes->data ? notes->data : "", notes->len, 0, NULL), *note;
	json_array_foreach(list, i, note) fprintf(stderr, "note: %s\n", json_string_value(note));
	json_decref(list);
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
	struct buf text, errors, notes;
	struct err err = { 0 };
	memset(&set, 0, sizeof set);
	buf_init(&text, TEXT_MAX);
	buf_init(&errors, ERRORS_MAX);
	buf_init(&notes, ERRORS_MAX);
	int ok = check(dir, &text, &set, &errors, &err);
	if (ok < 0 && errors.len == 0)
		buf_puts(&errors, err.text);
	if (ok == 0)
		put_notes(&set, &notes);
	if (as_json)
		print_json(ok == 0, &errors, &notes);
	else if (ok < 0)
		fprintf(stderr, "%s\n", errors.data);
	else if (!is_quiet)
		print_good(&set);
	if (!as_json && !is_quiet)
		print_notes(&notes);
	if (ok == 0)
		policies_fini(&set);
	buf_fini(&notes);
	buf_fini(&errors);
	buf_fini(&text);
	return ok == 0 ? 0 : 1;
}
