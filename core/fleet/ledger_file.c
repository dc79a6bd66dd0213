#include "fleet/ledger_file.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fleet/store_sql.h"
#include "sys/fds.h"

#define LINE_MOST ((size_t)256 << 10) /* no line of ours is longer */

struct name {
	long long epoch, number;
};

static int by_age(const void *a, const void *b)
{
	const struct name *x = a, *y = b;
	if (x->epoch != y->epoch)
		return x->epoch < y->epoch ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

/* Returned owned; *n = 0 where there is no folder. NULL: err. */
static struct name *list_segments(const char *dir, size_t *n, struct err *err)
{
	size_t room = 64;
	struct name *all = malloc(room * sizeof(*all));
	DIR *d = opendir(dir);
	*n = 0;
	if (!all || (!d && errno != ENOENT)) {
		err_sys(err, all ? errno : ENOMEM, "unable to list %s", dir);
		free(all);
		all = NULL;
	}
	for (struct dirent *e; all && d && (e = readdir(d));) {
		struct name one;
		if (sscanf(e->d_name, "%lld-%lld.jsonl", &one.epoch, &one.number) != 2)
			continue;
		if (*n == room) {
			struct name *more = realloc(all, (room *= 2) * sizeof(*all));
			if (!more) {
				err_set(err, "unable to list %s: no memory", dir);
				free(all);
				all = NULL;
				break;
			}
			all = more;
		}
		all[(*n)++] = one;
	}
	if (d)
		closedir(d);
	if (all && *n)
		qsort(all, *n, sizeof(*all), by_age);
	return all;
}

/* `,"version":7}` at the very end; texts cannot look so, their quotes are escaped. */
static int64_t version_of(const char *line, size_t len)
{
	static const char mark[] = ",\"version\":";
	const char *p = line + len - 1;
	if (*p != '}')
		return 0;
	while (p > line && p[-1] >= '0' && p[-1] <= '9')
		p--;
	if (p - line < (long)sizeof(mark) - 1 || strncmp(p - (sizeof(mark) - 1), mark, sizeof(mark) - 1) != 0)
		return 0;
	return strtoll(p, NULL, 10);
}

static int read_segment(const char *path, int64_t since_ms, ledger_line_fn *fn, void *data, struct err *err)
{
	FILE *f = fopen(path, "re");
	char *text = NULL;
	size_t room = 0;
	ssize_t len;
	int rc = 0;
	if (!f)
		return errno == ENOENT ? 0 : err_sys(err, errno, "unable to read %s", path); /* gone with the window meanwhile */
	while (rc == 0 && (len = getline(&text, &room, f)) > 0) {
		long long seq, at;
		if (text[len - 1] != '\n' || (size_t)len > LINE_MOST)
			continue;
		text[--len] = 0;
		if (sscanf(text, "{\"seq\":%lld,\"at\":%lld", &seq, &at) != 2 || at < since_ms)
			continue;
		struct ledger_line line = { seq, at, version_of(text, (size_t)len), text, (size_t)len };
		rc = fn(data, &line);
	}
	if (ferror(f))
		rc = err_sys(err, errno, "unable to read %s", path);
	free(text);
	fclose(f);
	return rc;
}

int ledger_file_each(const char *dir, int64_t since_ms, ledger_line_fn *fn, void *data, struct err *err)
{
	size_t n;
	struct name *all = list_segments(dir, &n, err);
	int rc = all ? 0 : -1;
	for (size_t i = 0; rc == 0 && i < n; i++) {
		char path[PATH_MAX];
		struct stat st;
		snprintf(path, sizeof(path), "%.4000s/%lld-%lld.jsonl", dir, all[i].epoch, all[i].number);
		if (stat(path, &st) == 0 && ((int64_t)st.st_mtim.tv_sec + 1) * 1000 >= since_ms)
			rc = read_segment(path, since_ms, fn, data, err);
	}
	free(all);
	return rc < 0 ? -1 : 0;
}

int ledger_file_version(const char *store_path, int64_t version, struct buf *out, struct err *err)
{
	struct store_sql *sql = store_sql_open(store_path, true, err);
	sqlite3_stmt *st = NULL;
	int found = -1;
	if (!sql)
		return -1;
	int rc = sqlite3_prepare_v2(store_sql_db(sql), "SELECT text FROM policy_version WHERE version = ?1", -1, &st, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(st, 1, version);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		found = buf_put(out, sqlite3_column_blob(st, 0), (size_t)sqlite3_column_bytes(st, 0)) == 0 ? 1 : -1;
	else if (rc == SQLITE_DONE)
		found = 0;
	if (found < 0)
		err_set(err, "unable to read version %lld of the policies: %s", (long long)version,
			out->failed ? "it is too long" : sqlite3_errmsg(store_sql_db(sql)));
	sqlite3_finalize(st);
	store_sql_close(&sql);
	return found;
}
