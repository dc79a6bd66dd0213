#include "ctl/init_files.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/buf.h"
#include "ctl/ctl.h"
#include "ctl/say.h"
#include "sys/fds.h"
#include "sys/home.h"

enum { KEY_BYTES = 32, ID_BYTES = 4, TEMPLATE_MAX = 128 * 1024 };

static void hex(char *out, const unsigned char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sprintf(out + 2 * i, "%02x", bytes[i]);
}

/* n random bytes as hex into out (room 2n + 1). */
static int random_hex(char *out, size_t n, struct err *err)
{
	unsigned char bytes[KEY_BYTES];
	ssize_t got = getrandom(bytes, n, 0);
	if (got < 0 || (size_t)got != n)
		return err_sys(err, errno, "unable to get random bytes");
	hex(out, bytes, n);
	return 0;
}

static int write_wrapper(const struct init *in, const char *name, const char *verb, struct err *err)
{
	struct buf b;
	char path[64];
	buf_init(&b, 4 * PATH_MAX * 2);
	buf_printf(&b, "#!/bin/sh\n# %s of this instance, made by dssctl init\nexec ", name);
	say_put_quoted(&b, in->dssctl);
	buf_puts(&b, " -C ");
	say_put_quoted(&b, in->dir);
	buf_printf(&b, "%s \"$@\"\n", verb);
	snprintf(path, sizeof(path), "bin/%s", name);
	int rc = b.failed ? err_set(err, "unable to write bin/%s: too long", name)
			  : layout_write(&in->layout, path, b.data, b.len, LAYOUT_ADMIN, LAYOUT_ADMIN, 0755, err);
	buf_fini(&b);
	return rc;
}

int init_files_wrappers(const struct init *in, struct err *err)
{
	return write_wrapper(in, "dss", " dss", err) < 0 || write_wrapper(in, "dssctl", "", err) < 0 ? -1 : 0;
}

int init_files_secret(const struct init *in, const char *path, struct err *err)
{
	char text[2 * KEY_BYTES + 2];
	if (random_hex(text, KEY_BYTES, err) < 0)
		return -1;
	text[2 * KEY_BYTES] = '\n';
	int rc = layout_write(&in->layout, path, text, 2 * KEY_BYTES + 1, LAYOUT_CONTROL, LAYOUT_CONTROL, 0600, err);
	explicit_bzero(text, sizeof(text));
	return rc;
}

/* Of Debian's Python: whether it has the Jupyter server and its kernel. */
static bool has_jupyter(void)
{
	return access("/usr/lib/python3/dist-packages/jupyter_server/__init__.py", R_OK) == 0 &&
	       access("/usr/lib/python3/dist-packages/ipykernel/__init__.py", R_OK) == 0;
}

static void put_jupyter(const struct init *in, char *out, size_t room)
{
	bool is_on = in->demo && has_jupyter();
	snprintf(out, room,
		 "-- Notebooks: the Jupyter server, each kernel in a box of its own (docs/notebooks.md). Debian's packages "
		 "jupyter-server and\n"
		 "-- python3-ipykernel are wanted, or a server of your own: command = { \"/opt/conda/bin/jupyter-lab\" }.\n"
		 "%sjupyter {}",
		 is_on ? "" : "-- ");
}

/* What @NAME@ stands for in etc/dss.lua.in; false: nothing. */
static bool fill_in(const struct init *in, const char *name, size_t len, char *out, size_t room)
{
	static const char *const names[] = { "PORT", "CGROUPS", "USERS", "OBSERVE", "JUPYTER" };
	size_t i = 0, n = sizeof(names) / sizeof(names[0]);
	while (i < n && !(strlen(names[i]) == len && memcmp(names[i], name, len) == 0))
		i++;
	if (i == 0)
		snprintf(out, room, "%d", (int)in->port);
	else if (i == 1)
		snprintf(out, room, "\"%s\"", in->cgroups);
	else if (i == 2 && in->layout.set_owners && !in->one_user)
		snprintf(out, room,
			 "  control_user = \"%s\",          -- backend and logger\n"
			 "  run_user     = \"%s\",      -- kernels: may read neither keys nor policies, store and logs",
			 in->control_user, in->run_user);
	else if (i == 2)
		snprintf(out, room,
			 "  -- No control_user and run_user: all runs as one user, and code in any kernel can act as admin.");
	else if (i == 3)
		snprintf(out, room, "  %s = true,           -- policies only say what they would do: `dssctl why --would`",
			 in->observe ? "observe     " : "-- observe  ");
	else if (i == 4)
		put_jupyter(in, out, room);
	return i < n;
}

static void put_filled(const struct init *in, struct buf *out, const char *text)
{
	char value[1024];
	while (*text != '\0') {
		const char *at = strchr(text, '@');
		const char *end = at != NULL ? strchr(at + 1, '@') : NULL;
		if (end == NULL || !fill_in(in, at + 1, (size_t)(end - at - 1), value, sizeof(value))) {
			size_t n = at != NULL ? (size_t)(at - text) + 1 : strlen(text);
			buf_put(out, text, n);
			text += n;
			continue;
		}
		buf_put(out, text, (size_t)(at - text));
		buf_puts(out, value);
		text = end + 1;
	}
}

int init_files_config(const struct init *in, struct err *err)
{
	char path[PATH_MAX + 32], *text = malloc(TEMPLATE_MAX);
	struct buf b;
	int rc = -1;
	buf_init(&b, 2 * TEMPLATE_MAX);
	snprintf(path, sizeof(path), "%s/etc/dss.lua.in", in->share);
	if (text == NULL)
		err_sys(err, ENOMEM, "unable to write config/dss.lua");
	else if (fds_read_file(path, text, TEMPLATE_MAX, err) >= 0) {
		put_filled(in, &b, text);
		rc = b.failed ? err_set(err, "unable to write config/dss.lua: no memory")
			      : layout_write(&in->layout, "config/dss.lua", b.data, b.len, LAYOUT_ADMIN, LAYOUT_CONTROL, 0640, err);
	}
	buf_fini(&b);
	free(text);
	return rc;
}

int init_files_id(const struct init *in, struct err *err)
{
	char text[2 * ID_BYTES + 2];
	if (home_mark_origin(in->dir, err) < 0 || random_hex(text, ID_BYTES, err) < 0)
		return -1;
	text[2 * ID_BYTES] = '\n';
	return layout_write(&in->layout, "config/instance.id", text, 2 * ID_BYTES + 1, LAYOUT_ADMIN, LAYOUT_ADMIN, 0644, err);
}

int init_files_policies(const struct init *in, struct err *err)
{
	char from[PATH_MAX + 32];
	snprintf(from, sizeof(from), "%s/policies", in->share);
	if (access(from, F_OK) < 0 && errno == ENOENT) {
		ctl_note("dssctl: no policies to copy: %s is missing", from);
		return 0;
	}
	if (layout_copy_files(&in->layout, from, "policies", LAYOUT_CONTROL, LAYOUT_CONTROL, 0640, err) < 0)
		return -1;
	snprintf(from, sizeof(from), "%s/policies/spec", in->share);
	if (access(from, F_OK) < 0)
		return 0;
	return layout_folder(&in->layout, "policies/spec", LAYOUT_CONTROL, LAYOUT_CONTROL, 0750, err) < 0 ||
			       layout_copy_files(&in->layout, from, "policies/spec", LAYOUT_CONTROL, LAYOUT_CONTROL, 0640, err) < 0
		       ? -1
		       : 0;
}
