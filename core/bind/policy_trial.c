#include "bind/policy_trial.h"
#include <stdlib.h>
#include "bind/policies.h"
#include "bind/policy_load.h"
#include "fleet/jtext.h"
#include "sys/clock.h"

#define MOST     2 /* at once */
#define JSON_MAX (256 << 10)

struct trial {
	struct policy_load *load; /* NULL = none runs */
	policy_check_fn *fn;
	void *data;
};

struct policy_trials {
	const struct policy_set_config *c;
	struct loop_wake *wake;
	struct loop_timer *give_up;
	struct trial at[MOST];
};

static void put_set(struct buf *out, const struct policies *p)
{
	buf_puts(out, "{\"ok\":true");
	jtext_int(out, "files", (int64_t)p->nfiles);
	jtext_member(out, "pools");
	buf_putc(out, '[');
	for (size_t i = 0; i < p->n; i++) {
		jtext_next(out);
		jtext_put(out, p->specs[i]->name);
	}
	buf_puts(out, "]}");
}

static void answer(struct trial *trial)
{
	struct trial t = *trial;
	struct buf out;
	trial->load = NULL; /* fn may ask for the next one */
	buf_init(&out, JSON_MAX);
	if (t.load->status == 0) {
		put_set(&out, &t.load->out);
	} else {
		buf_puts(&out, "{\"ok\":false,\"errors\":");
		policy_set_put_errors(&out, &t.load->errors);
		buf_putc(&out, '}');
	}
	policy_load_free(&t.load);
	t.fn(t.data, &out);
	buf_fini(&out);
}

static void give_up(struct trial *trial)
{
	struct trial t = *trial;
	struct buf out;
	policy_load_free(&trial->load);
	buf_init(&out, JSON_MAX);
	buf_puts(&out,
		 "{\"ok\":false,\"errors\":[{\"file\":\"policies\",\"line\":1,\"text\":\"the check did not end within 10 s and was "
		 "given up\"}]}");
	t.fn(t.data, &out);
	buf_fini(&out);
}

static void on_wake(void *data)
{
	struct policy_trials *ts = data;
	for (int i = 0; i < MOST; i++)
		if (ts->at[i].load && policy_load_is_done(ts->at[i].load))
			answer(&ts->at[i]);
}

static void on_late(void *data)
{
	struct policy_trials *ts = data;
	int64_t now = clock_mono_ms(), next = 0;
	for (int i = 0; i < MOST; i++) {
		int64_t until = ts->at[i].load ? ts->at[i].load->started_mono_ms + POLICY_SET_GIVE_UP_MS : 0;
		if (until && until <= now)
			give_up(&ts->at[i]);
		else if (until && (!next || until < next))
			next = until;
	}
	if (next)
		loop_timer_start(ts->give_up, next - now);
}

int policy_trials_begin(struct policy_trials *ts, const char *texts, size_t len, policy_check_fn *fn, void *data, struct err *err)
{
	const struct policy_set_config *c = ts->c;
	for (int i = 0; i < MOST; i++) {
		struct trial *t = &ts->at[i];
		if (t->load)
			continue;
		t->load = policy_load_start(POLICY_TEXTS, c->dir, c->share, c->run_user, texts, len, ts->wake, err);
		if (!t->load)
			return -1;
		t->fn = fn;
		t->data = data;
		if (!loop_timer_is_running(ts->give_up))
			loop_timer_start(ts->give_up, POLICY_SET_GIVE_UP_MS);
		return 0;
	}
	return err_set(err, "unable to check policies: %d checks run already; try again", MOST);
}

struct policy_trials *policy_trials_new(const struct policy_set_config *config)
{
	struct policy_trials *ts = calloc(1, sizeof *ts);
	if (!ts)
		return NULL;
	ts->c = config;
	ts->wake = loop_wake_new(config->loop, on_wake, ts);
	ts->give_up = loop_timer_new(config->loop, on_late, ts);
	if (!ts->wake || !ts->give_up)
		policy_trials_free(&ts);
	return ts;
}

void policy_trials_free(struct policy_trials **tsp)
{
	struct policy_trials *ts = *tsp;
	if (!ts)
		return;
	for (int i = 0; i < MOST; i++)
		if (ts->at[i].load)
			give_up(&ts->at[i]);
	loop_wake_free(&ts->wake);
	loop_timer_free(&ts->give_up);
	free(ts);
	*tsp = NULL;
}
