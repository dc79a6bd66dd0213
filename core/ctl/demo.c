#include "ctl/demo.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "ctl/say.h"
#include "sys/fds.h"
#include "sys/home.h"

enum { ROWS = 100000, BYTES_MAX = 16 * 1024 * 1024, DAYS = 365, CUSTOMERS = 5000, SHOPS = 24, TEXT_MAX = 16 * 1024 };

static const struct {
	const char *name;
	int cents;
} products[] = { { "chair", 8900 }, { "desk", 24900 }, { "lamp", 3950 },  { "shelf", 11900 }, { "rug", 7900 },
		 { "mug", 890 },    { "clock", 2990 }, { "frame", 1490 }, { "vase", 1990 },   { "plant", 1250 } };
static const char *const channels[] = { "shop", "web", "phone" };

/* xorshift64*: only the same numbers every time are asked of it. */
static uint32_t next_random(uint64_t *state, uint32_t below)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (uint32_t)((*state * 2685821657736338717ULL) >> 33) % below;
}

static void put_date(struct buf *b, int day)
{
	static const int lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int month = 0;
	for (; day >= lengths[month]; month++)
		day -= lengths[month];
	buf_printf(b, "2025-%02d-%02d", month + 1, day + 1);
}

static void put_row(struct buf *b, int row, uint64_t *state)
{
	size_t p = next_random(state, sizeof(products) / sizeof(products[0]));
	uint32_t quantity = 1 + next_random(state, 8) * next_random(state, 2);
	uint32_t off = next_random(state, 5) == 0 ? 10 : 0; /* per cent */
	uint32_t cents = (uint32_t)products[p].cents * quantity * (100 - off) / 100;
	buf_printf(b, "%d,", row);
	put_date(b, (int)((int64_t)row * DAYS / (ROWS + 1)));
	buf_printf(b, ",S%02u,%s,%s,C%04u,%u,%u,", 1 + next_random(state, SHOPS), channels[next_random(state, 3)], products[p].name,
		   1 + next_random(state, CUSTOMERS), quantity, off);
	/* Some amounts are missing, as in life. */
	if (next_random(state, 200) == 0)
		buf_putc(b, '\n');
	else
		buf_printf(b, "%u.%02u\n", cents / 100, cents % 100);
}

/* --- its flow: files of share's etc/demo --- */

static int read_text(const char *share, const char *name, char *out, size_t room, struct err *err)
{
	char path[PATH_MAX + 64];
	snprintf(path, sizeof(path), "%s/etc/demo/%s", share, name);
	return fds_read_file(path, out, room, err) < 0 ? -1 : 0;
}

static bool is_program(const char *name)
{
	static const char *const folders[] = { "/usr/local/bin", "/usr/bin", "/bin" };
	char path[PATH_MAX];
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", folders[i], name);
		if (access(path, X_OK) == 0)
			return true;
	}
	return false;
}

/* Of the Python that webapps run with. */
static bool has_flask(void)
{
	return access("/usr/lib/python3/dist-packages/flask/__init__.py", R_OK) == 0;
}

/* What a mark in the project's text stands for on this machine. */
struct mark {
	const char *mark, *text;
};

/* Puts text into b, each mark replaced; -1: one is not there. */
static int put_replaced(struct buf *b, const char *text, const struct mark *marks, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		const char *at = strstr(text, marks[i].mark);
		if (at == NULL)
			return err_set(err, "unable to make the demo's project: etc/demo/project.lua has no %s", marks[i].mark);
		buf_put(b, text, (size_t)(at - text));
		buf_puts(b, marks[i].text);
		text = at + strlen(marks[i].mark);
	}
	buf_puts(b, text);
	return 0;
}

/* With what this machine can run. */
static int write_project(const struct layout *l, const char *share, struct err *err)
{
	static char text[TEXT_MAX], recipe[TEXT_MAX];
	struct buf b;
	if (read_text(share, "project.lua", text, sizeof(text), err) < 0 ||
	    read_text(share, is_program("Rscript") ? "aggregate-r.lua" : "aggregate-shell.lua", recipe, sizeof(recipe), err) < 0)
		return -1;
	for (size_t n = strlen(recipe); n > 0 && recipe[n - 1] == '\n'; n--)
		recipe[n - 1] = '\0';
	const struct mark marks[] = { { "@AGGREGATE@", recipe },
				      { "@PAGE@", has_flask() ? "flask   = \"webapps/page.py\""
							      : "command = { \"/usr/bin/python3\", \"webapps/page.py\" }" } };
	buf_init(&b, BYTES_MAX);
	int rc = put_replaced(&b, text, marks, sizeof(marks) / sizeof(marks[0]), err);
	if (rc == 0 && b.failed)
		rc = err_set(err, "unable to make the demo's project: no memory");
	if (rc == 0)
		rc = layout_write(l, "projects/DEMO/project.lua", b.data, b.len, LAYOUT_RUN, LAYOUT_CONTROL, 0640, err);
	buf_fini(&b);
	return rc;
}

bool demo_has_jobs(const char *share)
{
	char path[PATH_MAX + 64], program[PATH_MAX];
	snprintf(path, sizeof(path), "%s/java/dss-kernel.jar", share);
	if (access(path, R_OK) == 0 && is_program("java"))
		return true;
	return home_program("java/dss-kernel.jar", program, sizeof(program)) == 0 && access(program, R_OK) == 0 &&
	       is_program("java");
}

/* The pool of trainings, limits of notebooks, and the pool of job kernels where there can be one: a policy that names what is not there would keep the whole set from
 * being taken. */
static int write_pools(const struct layout *l, const char *share, struct err *err)
{
	static const char *const names[] = { "16-training.lua", "21-notebooks.lua", "15-jobs.lua" };
	static char text[TEXT_MAX];
	char path[64];
	for (size_t i = 0; i < (demo_has_jobs(share) ? 3 : 2); i++) {
		snprintf(path, sizeof(path), "policies/%s", names[i]);
		if (read_text(share, names[i], text, sizeof(text), err) < 0 ||
		    layout_write(l, path, text, strlen(text), LAYOUT_ADMIN, LAYOUT_CONTROL, 0640, err) < 0)
			return -1;
	}
	return 0;
}

static int copy_folder(const struct layout *l, const char *share, const char *name, struct err *err)
{
	char from[PATH_MAX + 64], to[64];
	snprintf(from, sizeof(from), "%s/etc/demo/%s", share, name);
	snprintf(to, sizeof(to), "projects/DEMO/%s", name);
	return layout_folder(l, to, LAYOUT_RUN, LAYOUT_CONTROL, 0750, err) < 0 ||
			       layout_copy_files(l, from, to, LAYOUT_RUN, LAYOUT_CONTROL, 0640, err) < 0
		       ? -1
		       : 0;
}

static int make_flow(const struct layout *l, const char *share, struct err *err)
{
	char from[PATH_MAX + 64];
	snprintf(from, sizeof(from), "%s/etc/demo/webapps", share);
	if (access(from, R_OK) < 0)
		return 0; /* an older share: the data set alone */
	return write_project(l, share, err) < 0 || copy_folder(l, share, "recipes", err) < 0 ||
			       copy_folder(l, share, "webapps", err) < 0 || write_pools(l, share, err) < 0
		       ? -1
		       : 0;
}

int demo_make(const struct layout *l, const char *share, struct err *err)
{
	static const char *const folders[] = { "projects/DEMO", "projects/DEMO/data", "projects/DEMO/data/sales" };
	uint64_t state = 0x9e3779b97f4a7c15ULL;
	struct buf b;
	int rc = 0;
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]) && rc == 0; i++)
		rc = layout_folder(l, folders[i], LAYOUT_RUN, LAYOUT_RUN, 0755, err);
	buf_init(&b, BYTES_MAX);
	buf_puts(&b, "order,date,shop,channel,product,customer,quantity,discount_percent,amount\n");
	for (int row = 1; row <= ROWS; row++)
		put_row(&b, row, &state);
	if (rc == 0 && b.failed)
		rc = err_set(err, "unable to make the demo's data: no memory");
	if (rc == 0)
		rc = layout_write(l, "projects/DEMO/data/sales/sales.csv", b.data, b.len, LAYOUT_RUN, LAYOUT_RUN, 0644, err);
	buf_fini(&b);
	return rc == 0 ? make_flow(l, share, err) : rc;
}

void demo_print_next(const char *dir, const char *share)
{
	static const struct {
		const char *function, *arg, *rest;
	} lines[] = { { "stats:summarise", "/projects/DEMO/data/sales/sales.csv", "" },
		      { "stats:eat", "4294967296", " --memory 256m" } };
	char path[PATH_MAX + 64];
	struct buf b;
	buf_init(&b, 64 * 1024);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		buf_puts(&b, "  ");
		snprintf(path, sizeof(path), "%s/bin/dssctl", dir);
		say_put_word(&b, path);
		buf_printf(&b, " submit python %s --arg ", lines[i].function);
		snprintf(path, sizeof(path), "%s%s", lines[i].arg[0] == '/' ? dir : "", lines[i].arg);
		say_put_word(&b, path);
		buf_printf(&b, "%s --wait\n", lines[i].rest);
	}
	if (demo_has_jobs(share)) {
		buf_puts(&b, "  ");
		snprintf(path, sizeof(path), "%s/bin/dssctl", dir);
		say_put_word(&b, path);
		buf_puts(&b, " job run DEMO revenue\n  ");
		say_put_word(&b, path);
		buf_puts(&b, " train DEMO order_amount --wait\n");
	}
	printf("try:\n%s", b.failed ? "" : b.data);
	buf_fini(&b);
}
