#include "bind/policy_write.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "base/log.h"
#include "net/digest.h"
#include "net/json.h"
#include "sys/fds.h"
#include "sys/fileset_keep.h"

#define FILE_MODE  0640
#define SUFFIX     ".lua"
#define PREFIX     "policies/"
#define NAMES_MAX  4096
#define END_WAIT_S 2

struct policy_writer {
	char folder[PATH_MAX];
	struct loop_wake *wake;
	pthread_t thread;
	pthread_mutex_t lock; /* of is_done with is_left */
	bool is_busy, overwrites;
	bool is_left; /* nobody waits for the thread, there may be no loop any more: it frees everything */
	bool is_changed;
	/* the thread's from its start to its end */
	struct fileset want, believed;
	enum policy_write_status status;
	struct buf names;
	struct err err;
	char kept[FILESET_KEEP_ROOM];
	_Atomic bool is_done;
	policy_write_fn *fn;
	void *data;
};

/* --- sets --- */

int policy_write_read(const char *texts, size_t len, struct fileset *out, struct err *err)
{
	json_t *rows = json_parse(texts, len, err), *row;
	size_t i;
	int rc = json_is_array(rows) ? 0 : -1;
	*out = (struct fileset){ 0 };
	if (rows && rc < 0)
		err_set(err, "a list of files is wanted");
	json_array_foreach(rows, i, row)
	{
		const char *name = NULL;
		const json_t *text = json_object_get(row, "text");
		if (rc < 0)
			break;
		rc = json_get_text(row, "name", JSON_REQUIRED, &name, err);
		if (rc == 0 && strncmp(name, PREFIX, strlen(PREFIX)) == 0)
			name += strlen(PREFIX);
		if (rc == 0 && (!json_is_string(text) || !fileset_is_name(name, SUFFIX)))
			rc = err_set(err, "%.100s is no policy: a name that ends with .lua and a text are wanted", name);
		if (rc == 0)
			rc = fileset_add(out, name, json_string_value(text), json_string_length(text), err);
	}
	json_decref(rows);
	if (rc < 0)
		fileset_fini(out);
	return rc;
}

bool policy_write_is(const struct fileset *want, const struct policies *p)
{
	char hash[DIGEST_HEX_SIZE], name[FILESET_NAME_MAX + sizeof PREFIX];
	if (want->n != p->nfiles)
		return false;
	for (size_t i = 0; i < want->n; i++) {
		snprintf(name, sizeof name, PREFIX "%s", want->at[i].name);
		const char *there = policies_hash(p, name);
		digest_sha256_hex(want->at[i].text, want->at[i].len, hash);
		if (!there || strcmp(there, hash) != 0)
			return false;
	}
	return true;
}

/* --- in the thread --- */

static enum policy_write_status write_under(struct policy_writer *w, int fd)
{
	struct fileset now;
	if (faccessat(fd, ".", W_OK, AT_EACCESS) < 0) {
		err_sys(&w->err, errno, "unable to write %s", w->folder);
		return POLICY_WRITE_NOT_ALLOWED;
	}
	if (fileset_read(fd, SUFFIX, &now, &w->err) < 0)
		return POLICY_WRITE_FAILED;
	enum policy_write_status status = POLICY_WRITE_DONE;
	bool differs = fileset_differ(&now, &w->believed, &w->names) > 0;
	if (differs && !w->overwrites)
		status = POLICY_WRITE_DIFFERS;
	w->is_changed = fileset_differ(&now, &w->want, NULL) > 0;
	if (w->overwrites && w->is_changed)
		fileset_name_keep(fd, w->kept);
	struct fileset_write how = { &now, &w->want, FILE_MODE, w->kept[0] ? w->kept : NULL };
	if (status == POLICY_WRITE_DONE && fileset_write(fd, &how, &w->err) < 0)
		status = POLICY_WRITE_FAILED;
	else if (status == POLICY_WRITE_DONE && w->kept[0])
		fileset_drop_kept(fd, SUFFIX, FILESET_KEPT_MOST, w->kept);
	fileset_fini(&now);
	return status;
}

static void free_set(struct policy_writer *w)
{
	fileset_fini(&w->want);
	fileset_fini(&w->believed);
	buf_fini(&w->names);
}

static void free_writer(struct policy_writer *w)
{
	free_set(w);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

static void *run(void *data)
{
	struct policy_writer *w = data;
	int fd = open(w->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		err_sys(&w->err, errno, "unable to open %s", w->folder);
	w->status = fd < 0 ? POLICY_WRITE_FAILED : write_under(w, fd);
	fds_close(&fd);
	pthread_mutex_lock(&w->lock);
	w->is_done = true;
	bool is_left = w->is_left;
	if (!is_left)
		loop_wake_send(w->wake);
	pthread_mutex_unlock(&w->lock);
	if (is_left)
		free_writer(w);
	return NULL;
}

/* --- on the loop --- */

static void finish(struct policy_writer *w)
{
	char text[NAMES_MAX];
	const char *why = w->status == POLICY_WRITE_DIFFERS ? (w->names.data ? w->names.data : "") : w->err.text;
	bool is_done = w->status == POLICY_WRITE_DONE;
	snprintf(text, sizeof text, "%s", is_done ? "" : why);
	struct policy_written told = { w->status, text, is_done ? w->kept : "", is_done && w->is_changed };
	free_set(w);
	w->is_busy = false; /* fn may ask for the next one */
	w->fn(w->data, &told);
}

static void on_wake(void *data)
{
	struct policy_writer *w = data;
	if (!w->is_busy || !w->is_done)
		return;
	pthread_join(w->thread, NULL);
	finish(w);
}

bool policy_writer_is_busy(const struct policy_writer *w)
{
	return w->is_busy;
}

/* The loop's signals are the loop's. */
static int start_thread(struct policy_writer *w)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int failed = pthread_create(&w->thread, NULL, run, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return failed;
}

int policy_write_start(struct policy_writer *w, struct fileset *want, struct fileset *believed, bool overwrites,
		       policy_write_fn *fn, void *data, struct err *err)
{
	int rc = 0;
	if (w->is_busy) {
		rc = err_set(err, "unable to write policies: another set is being written; try again");
		fileset_fini(want);
		fileset_fini(believed);
		return rc;
	}
	w->want = *want;
	w->believed = *believed;
	*want = *believed = (struct fileset){ 0 };
	w->overwrites = overwrites;
	w->fn = fn;
	w->data = data;
	w->is_done = false;
	w->err = (struct err){ 0 };
	w->kept[0] = '\0';
	w->is_changed = false;
	buf_init(&w->names, NAMES_MAX - 1);
	int failed = start_thread(w);
	if (failed) {
		free_set(w);
		return err_sys(err, failed, "unable to start the thread that writes policies");
	}
	w->is_busy = true;
	return 0;
}

struct policy_writer *policy_writer_new(struct loop *loop, const char *folder)
{
	struct policy_writer *w = calloc(1, sizeof *w);
	if (!w)
		return NULL;
	pthread_mutex_init(&w->lock, NULL);
	snprintf(w->folder, sizeof w->folder, "%s", folder);
	w->wake = loop_wake_new(loop, on_wake, w);
	if (!w->wake)
		policy_writer_free(&w);
	return w;
}

/* False: its thread hangs on a disk, and is left alone with what it works on. */
static bool await_thread(struct policy_writer *w)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += END_WAIT_S;
	if (pthread_timedjoin_np(w->thread, NULL, &until) == 0)
		return true;
	pthread_mutex_lock(&w->lock);
	w->is_left = !w->is_done;
	bool is_left = w->is_left;
	pthread_mutex_unlock(&w->lock);
	if (is_left)
		pthread_detach(w->thread);
	else
		pthread_join(w->thread, NULL);
	return !is_left;
}

void policy_writer_free(struct policy_writer **wp)
{
	struct policy_writer *w = *wp;
	if (!w)
		return;
	*wp = NULL;
	struct loop_wake *wake = w->wake;
	policy_write_fn *fn = w->fn;
	void *data = w->data;
	if (w->is_busy && !await_thread(w)) { /* w is the thread's, and may be gone */
		log_warn("policies/ is still being written; the backend does not wait for it");
		fn(data, &(struct policy_written){ POLICY_WRITE_FAILED, "the backend ends", "", false });
	} else {
		if (w->is_busy)
			finish(w);
		free_writer(w);
	}
	loop_wake_free(&wake);
}
