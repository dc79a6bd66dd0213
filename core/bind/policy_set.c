#include "bind/policy_set.h"
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/log.h"
#include "bind/policies.h"
#include "bind/policy_load.h"
#include "bind/policy_put.h"
#include "bind/policy_trial.h"
#include "bind/quarantine.h"
#include "bind/toc.h"
#include "fleet/alerts.h"
#include "fleet/feed.h"
#include "fleet/jtext.h"
#include "fleet/ledger.h"
#include "fleet/versions.h"
#include "sys/clock.h"
#include "sys/watch.h"

#define SETTLE_MS   300   /* an editor's several writes are one change */
#define EMPTY_MS    1000  /* a file of no bytes may be one that is being written: it is looked at once more */
#define LOOK_MS     2000  /* between tries to watch a folder that is not there */
#define SEEN_MS     1500  /* what we wrote ourselves, and no watch told */
#define FULL_MS     60000 /* between two loads because a state was full */
#define STALE_MOST  5     /* loads in a row that are thrown away because something changed meanwhile */
#define END_WAIT_MS 2500
#define ERRORS_MAX  (64 << 10)
#define ALERT       "policies"
#define QUARANTINE  "quarantine:"

struct policy_set {
	struct policy_set_config c;
	char folder[PATH_MAX];
	struct watch *watch;
	dev_t watched_dev; /* which folder is watched: it may be replaced by another of its name */
	ino_t watched_ino;
	struct loop_wake *wake;
	struct loop_timer *give_up, *again, *look;
	struct policy_load *load; /* of policies/; NULL = none runs */
	bool is_dirty;            /* something changed since it began */
	int stale;
	int64_t full_mono_ms; /* when a state was last thrown away; 0 = never */
	bool has_waited;      /* for an empty file */
	struct policy_trials *trials;
	struct policy_put *put;
	struct policies now; /* text and files of the set in force */
	bool is_last, is_ending;
	struct buf errors; /* of the last load of policies/, one a line; empty = in force */
	struct policy_set_listener listener;
};

/* --- telling --- */

/* by: who put it there; NULL: the files changed. */
static void add_fact(struct policy_set *s, bool is_taken, const char *by)
{
	struct store_fact fact = { is_taken ? "policies.taken" : "policies.refused", "policies", NULL, 0, 0, FEED_OWN_ADMIN };
	struct buf detail;
	buf_init(&detail, 8192);
	buf_putc(&detail, '{');
	if (!is_taken)
		jtext_text(&detail, "error", s->c.app->policies);
	else if (s->c.app->versions)
		jtext_int(&detail, "version", versions_now(s->c.app->versions));
	jtext_some_text(&detail, "by", by);
	buf_putc(&detail, '}');
	if (!detail.failed)
		fact.detail = detail.data;
	store_add_fact(fleet_store(node_fleet(s->c.node)), &fact, NULL, NULL);
	buf_fini(&detail);
}

static struct alerts *alerts_of(const struct policy_set *s)
{
	return fleet_alerts(node_fleet(s->c.node));
}

/* The board, the log, /health; s->errors is told. */
static void tell_errors(struct policy_set *s)
{
	const char *at = s->errors.data && s->errors.len ? s->errors.data : "";
	snprintf(s->c.app->policies, sizeof s->c.app->policies, "%.*s", (int)strcspn(at, "\n"), at);
	if (!*at)
		return;
	alerts_raise(alerts_of(s), ALERT, ALERT_ERROR, NULL, NULL, s->c.app->policies);
	while (*at) {
		size_t n = strcspn(at, "\n");
		log_error("%.*s", (int)n, at);
		at += n + (at[n] == '\n');
	}
}

static void refuse(struct policy_set *s)
{
	tell_errors(s);
	add_fact(s, false, NULL);
	if (s->listener.refused)
		s->listener.refused(s->listener.data);
	policy_put_refused(s->put);
}

static void on_quarantine(void *data, const struct quarantined *q, bool is_there)
{
	struct policy_set *s = data;
	char key[sizeof QUARANTINE + sizeof q->source + sizeof q->word];
	snprintf(key, sizeof key, QUARANTINE "%s %s", q->source, q->word);
	if (is_there)
		alerts_raise(alerts_of(s), key, q->is_kept ? ALERT_ERROR : ALERT_WARNING, q->name[0] ? q->name : NULL, q->source,
			     q->why);
	else
		alerts_clear(alerts_of(s), key);
}

/* --- taking --- */

static const char *hash_of(void *data, const char *file)
{
	return policies_hash(data, file);
}

static void note_error(struct policy_set *s, const char *text)
{
	buf_clear(&s->errors);
	buf_puts(&s->errors, text);
}

/* Before its first decision. */
static void note_version(struct policy_set *s, const struct policies *p, const char *by, const char *note)
{
	if (s->c.app->versions)
		ledger_set_version(fleet_ledger(node_fleet(s->c.node)),
				   versions_take(s->c.app->versions, p->text.data ? p->text.data : "[]",
						 p->text.len ? p->text.len : 2, by, note));
}

/* What is new of a set comes into force here, all of it or nothing: pools first, as they can still refuse. */
static int take(struct policy_set *s, struct policies *p, bool from_last)
{
	struct err err = { 0 };
	const char *by = NULL, *note = NULL;
	size_t n = p->n;
	int ok = node_set_pools(s->c.node, p->specs, n, &err);
	policies_forget(p);
	if (ok < 0) {
		note_error(s, err.text);
		return -1;
	}
	policy_put_is(s->put, p, &by, &note);
	note_version(s, p, by, note);
	policies_live_take(s->c.live, &p->vm);
	node_take_boxes(s->c.node, policies_live_count_boxes(s->c.live));
	s->is_last = s->c.app->is_safe = from_last;
	log_info("policies: version %lld is in force: %zu pool%s, %zu file%s of %s%s",
		 s->c.app->versions ? (long long)versions_now(s->c.app->versions) : 0, n, n == 1 ? "" : "s", p->nfiles,
		 p->nfiles == 1 ? "" : "s", from_last ? "the last good set" : "policies/",
		 s->c.app->is_observe ? "; observe: rules only say what they would do" : "");
	if (!from_last) {
		if (policies_save(s->c.dir, p, &err) < 0)
			log_warn("%s; a backend in safe mode will take an older set", err.text);
		buf_clear(&s->errors);
		s->c.app->policies[0] = '\0';
		alerts_clear(alerts_of(s), ALERT);
		quarantine_keep(hash_of, p);
	}
	add_fact(s, true, by);
	policies_fini(&s->now);
	s->now = *p;
	memset(p, 0, sizeof *p);
	if (s->listener.taken)
		s->listener.taken(s->listener.data, &s->now);
	policy_put_taken(s->put, &s->now, s->c.app->versions ? versions_now(s->c.app->versions) : 0, !s->is_dirty);
	return 0;
}

static int use(struct policy_set *s, struct policy_load *load)
{
	bool from_last = load->from == POLICY_LAST;
	if (load->status < 0) {
		buf_clear(&s->errors);
		buf_put(&s->errors, load->errors.data ? load->errors.data : "", load->errors.len);
	}
	if (load->status < 0 || take(s, &load->out, from_last) < 0) {
		refuse(s);
		return -1;
	}
	return 0;
}

/* --- loads of policies/ --- */

static void begin(struct policy_set *s)
{
	struct err err = { 0 };
	s->is_dirty = false;
	loop_timer_stop(s->again);
	s->load = policy_load_start(POLICY_FOLDER, s->c.dir, s->c.share, s->c.run_user, NULL, 0, s->wake, &err);
	if (s->load) {
		loop_timer_start(s->give_up, POLICY_SET_GIVE_UP_MS);
		return;
	}
	note_error(s, err.text);
	refuse(s);
}

void policy_set_reload(struct policy_set *s)
{
	if (s->load || policy_put_holds(s->put))
		s->is_dirty = true;
	else
		begin(s);
}

void policy_set_go_on(struct policy_set *s, bool is_changed)
{
	if (s->is_ending) /* a write that ran is told of its end: nobody waits for a load any more */
		return;
	if (s->load)
		s->is_dirty = true; /* it may have read what was there before */
	else if (is_changed && s->watch)
		loop_timer_start(s->again, SEEN_MS); /* the watch tells at once, and begins a load, which stops this */
	else if (policy_put_waits(s->put) || s->is_dirty)
		begin(s);
}

bool policy_set_is_writable(const struct policy_set *s)
{
	return faccessat(AT_FDCWD, s->folder, W_OK | X_OK, AT_EACCESS) == 0;
}

struct policy_put *policy_set_put(struct policy_set *s)
{
	return s->put;
}

/* In JSON a quote within a text is escaped: these bytes are a file of nothing. */
static bool has_empty_file(const struct policies *p)
{
	static const char empty[] = "\"text\":\"\"";
	return p->text.data && memmem(p->text.data, p->text.len, empty, sizeof empty - 1);
}

static void on_loaded(struct policy_set *s)
{
	struct policy_load *load = s->load;
	s->load = NULL;
	loop_timer_stop(s->give_up);
	if (policy_put_holds(s->put)) {
		s->is_dirty = true;
		policy_load_free(&load);
		return;
	}
	if (s->is_dirty && s->stale < STALE_MOST) {
		s->stale++;
		policy_load_free(&load);
		begin(s);
		return;
	}
	s->stale = 0;
	if (load->status == 0 && !s->has_waited && has_empty_file(&load->out)) {
		s->has_waited = true;
		policy_load_free(&load);
		loop_timer_start(s->again, EMPTY_MS);
		return;
	}
	s->has_waited = false;
	if (use(s, load) < 0)
		log_warn("policies: the set before stays in force");
	policy_load_free(&load);
	if (s->is_dirty)
		begin(s);
}

static void on_give_up(void *data)
{
	struct policy_set *s = data;
	policy_load_free(&s->load);
	note_error(s, "policies:1: the load did not end within 10 s and was given up; the set before stays in force");
	refuse(s);
	if (s->is_dirty)
		begin(s);
}

static void on_again(void *data)
{
	policy_set_reload(data);
}

/* A state that is full of what policies hold on to answers nothing any more: the same files get a new one. */
static void on_full(void *data, const char *name)
{
	struct policy_set *s = data;
	int64_t now = clock_mono_ms();
	if (s->full_mono_ms && now - s->full_mono_ms < FULL_MS)
		return;
	s->full_mono_ms = now;
	log_warn("%s: the policies' memory is used up by what they keep; the set is loaded anew", name);
	loop_timer_start(s->again, 0); /* not now: its state runs */
}

/* --- the folder --- */

static void watch_folder(struct policy_set *s);

static void on_changed(void *data)
{
	struct policy_set *s = data;
	struct stat st;
	bool is_same = stat(s->folder, &st) == 0 && st.st_dev == s->watched_dev && st.st_ino == s->watched_ino;
	if (!is_same) {
		watch_free(&s->watch);
		watch_folder(s);
	}
	policy_set_reload(s);
}

static void on_look(void *data)
{
	struct policy_set *s = data;
	watch_folder(s);
	if (s->watch)
		policy_set_reload(s);
}

static void watch_folder(struct policy_set *s)
{
	struct err err = { 0 };
	struct stat st;
	bool is_there = stat(s->folder, &st) == 0;
	s->watch = is_there ? watch_new(s->c.loop, s->folder, SETTLE_MS, on_changed, s, &err) : NULL;
	if (s->watch) {
		s->watched_dev = st.st_dev;
		s->watched_ino = st.st_ino;
		return;
	}
	if (is_there)
		log_warn("changes of policies/ are not noticed: %s", err.text);
	loop_timer_start(s->look, LOOK_MS);
}

int policy_set_check(struct policy_set *s, const char *texts, size_t len, policy_check_fn *fn, void *data, struct err *err)
{
	return policy_trials_begin(s->trials, texts, len, fn, data, err);
}

static void on_wake(void *data)
{
	struct policy_set *s = data;
	if (s->load && policy_load_is_done(s->load))
		on_loaded(s);
}

/* --- life --- */

struct policy_set *policy_set_new(const struct policy_set_config *config, struct err *err)
{
	struct policy_set *s = calloc(1, sizeof *s);
	if (!s) {
		err_set(err, "unable to hold policies: not enough memory");
		return NULL;
	}
	s->c = *config;
	buf_init(&s->errors, ERRORS_MAX);
	s->wake = loop_wake_new(config->loop, on_wake, s);
	s->give_up = loop_timer_new(config->loop, on_give_up, s);
	s->again = loop_timer_new(config->loop, on_again, s);
	s->look = loop_timer_new(config->loop, on_look, s);
	s->trials = policy_trials_new(&s->c);
	bool is_long = snprintf(s->folder, sizeof s->folder, "%s/policies", config->dir) >= (int)sizeof s->folder;
	s->put = is_long ? NULL : policy_put_new(s, config->loop, s->folder);
	if (is_long || !s->put || !s->wake || !s->give_up || !s->again || !s->look || !s->trials) {
		err_set(err, "unable to hold policies: %s", is_long ? "the path is too long" : "not enough memory");
		policy_set_free(&s);
		return NULL;
	}
	quarantine_open(config->dir);
	quarantine_listen(on_quarantine, s);
	bind_guard_on_full(on_full, s);
	return s;
}

static int take_first(struct policy_set *s, enum policy_from from)
{
	struct err err = { 0 };
	int ok = -1;
	struct policy_load *load = policy_load_start(from, s->c.dir, s->c.share, s->c.run_user, NULL, 0, NULL, &err);
	if (!load) {
		note_error(s, err.text);
		refuse(s);
	} else if (!policy_load_wait(load, POLICY_SET_GIVE_UP_MS)) {
		note_error(s, "policies:1: the load did not end within 10 s and was given up");
		refuse(s);
	} else {
		ok = use(s, load);
	}
	policy_load_free(&load);
	return ok;
}

/* Mistakes of policies/ outlive those of the last good set: they are the ones to mend. */
static int take_last_first(struct policy_set *s)
{
	struct buf trouble = s->errors;
	char told[sizeof s->c.app->policies];
	memcpy(told, s->c.app->policies, sizeof told);
	buf_init(&s->errors, ERRORS_MAX);
	int ok = take_first(s, POLICY_LAST);
	if (trouble.len > 0) {
		buf_fini(&s->errors);
		s->errors = trouble;
		memcpy(s->c.app->policies, told, sizeof told);
		alerts_raise(alerts_of(s), ALERT, ALERT_ERROR, NULL, NULL, told);
	} else {
		buf_fini(&trouble);
	}
	return ok;
}

int policy_set_start(struct policy_set *s, bool is_safe, struct err *err)
{
	watch_folder(s); /* before the first look, so that no change falls between */
	if (is_safe)
		log_warn("safe mode: the backend crashed repeatedly; taking the last good policies, not policies/");
	if (!is_safe && take_first(s, POLICY_FOLDER) == 0)
		return 0;
	if (take_last_first(s) == 0) {
		log_warn("policies: the last good set is in force until policies/ is mended");
		return 0;
	}
	log_error("policies: no set can be taken; there are no pools until policies/ is mended");
	struct pool_spec *none[1] = { NULL };
	return node_set_pools(s->c.node, none, 0, err);
}

void policy_set_free(struct policy_set **sp)
{
	struct policy_set *s = *sp;
	if (!s)
		return;
	s->is_ending = true;
	quarantine_listen(NULL, NULL);
	bind_guard_on_full(NULL, NULL);
	watch_free(&s->watch);
	if (s->load)
		policy_load_wait(s->load, END_WAIT_MS);
	policy_load_free(&s->load);
	policy_trials_free(&s->trials);
	policy_put_free(&s->put);
	loop_wake_free(&s->wake);
	loop_timer_free(&s->give_up);
	loop_timer_free(&s->again);
	loop_timer_free(&s->look);
	policies_fini(&s->now);
	buf_fini(&s->errors);
	quarantine_close();
	free(s);
	*sp = NULL;
}

const struct buf *policy_set_text(const struct policy_set *s)
{
	return &s->now.text;
}

bool policy_set_is_last(const struct policy_set *s)
{
	return s->is_last;
}

void policy_set_errors_json(const struct policy_set *s, struct buf *out)
{
	policy_set_put_errors(out, &s->errors);
}

void policy_set_listen(struct policy_set *s, const struct policy_set_listener *listener)
{
	s->listener = *listener;
}
