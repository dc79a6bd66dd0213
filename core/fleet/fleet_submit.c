/* fleet_submit: futures from the request to the commit of their submit. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "fleet/die.h"
#include "fleet/fleet_inner.h"
#include "fleet/jtext.h"
#include "fleet/queue.h"
#include "net/json.h"
#include "sys/clock.h"

#define WAITING_MOST 10000 /* of one pool; then submits get 503 */
#define PAYLOAD_MOST (8 * 1024 * 1024)
#define RETRIES_MOST 100
#define TITLE_MOST   500
#define KEY_MOST     200

static enum fleet_answer refuse(struct err *err, enum fleet_answer answer, const char *text)
{
	err_set(err, "%s", text);
	return answer;
}

static struct pool *choose_pool(const struct fleet *fleet, const struct fleet_request *r, struct err *err)
{
	if (r->pool) {
		struct pool *p = fleet_pool(fleet, r->pool);
		if (!p || p->is_retired) {
			err_set(err, "pool \"%s\" does not exist", r->pool);
			return NULL;
		}
		if (!pool_spec_takes(p->spec, r->type)) {
			err_set(err, "pool \"%s\" takes no tasks of type \"%s\" (%s)", r->pool, r->type,
				p->spec->source ? p->spec->source : "?");
			return NULL;
		}
		return p;
	}
	list_each (&fleet->pools, l) {
		struct pool *p = list_of(l, struct pool, link);
		if (!p->is_retired && pool_spec_takes(p->spec, r->type))
			return p;
	}
	err_set(err, "no pool takes tasks of type \"%s\"", r->type);
	return NULL;
}

static enum fleet_answer check_limits(const struct fleet *fleet, const struct fleet_request *r, const struct pool *pool,
				      struct err *err)
{
	char asked[32], most_text[32];
	int64_t most = pool_spec_memory_most(pool->spec);
	if (r->memory_bytes < 0)
		return refuse(err, FLEET_BAD, "limits.memory must be positive");
	if (most && r->memory_bytes > most) {
		err_set(err, "limits.memory of %s is over the most that pool \"%s\" grants, %s (%s); ask an admin",
			text_print_size(r->memory_bytes, asked, sizeof(asked)), pool->spec->name,
			text_print_size(most, most_text, sizeof(most_text)), pool->spec->source ? pool->spec->source : "?");
		return FLEET_BAD;
	}
	if (budget_check(fleet, pool, r->memory_bytes, err) < 0)
		return FLEET_BAD;
	if (r->timeout_ms < 0)
		return refuse(err, FLEET_BAD, "timeoutMs must be 1 or more");
	if (r->retries < 0 || r->retries > RETRIES_MOST)
		return refuse(err, FLEET_BAD, "retries must be 0 to 100");
	return FLEET_OK;
}

static enum fleet_answer check_request(const struct fleet *fleet, const struct fleet_request *r, struct pool **pool,
				       struct err *err)
{
	if (!r->owner || !*r->owner || !r->type || !*r->type)
		return refuse(err, FLEET_BAD, "owner and type are required");
	if (r->payload_len > PAYLOAD_MOST)
		return refuse(err, FLEET_BAD, "the payload is over 8 MB; put the data into a file or dataset");
	json_t *payload = json_parse_object(r->payload, r->payload_len, err);
	if (!payload) {
		err_add(err, "payload");
		return FLEET_BAD;
	}
	json_decref(payload);
	if ((r->title && strlen(r->title) > TITLE_MOST) || (r->client_key && (!*r->client_key || strlen(r->client_key) > KEY_MOST)))
		return refuse(err, FLEET_BAD, "title has at most 500 bytes, clientKey 1 to 200");
	if (r->exclusive && (!*r->exclusive || strlen(r->exclusive) > KEY_MOST))
		return refuse(err, FLEET_BAD, "exclusive has 1 to 200 bytes");
	*pool = choose_pool(fleet, r, err);
	if (!*pool)
		return FLEET_BAD;
	enum fleet_answer answer = check_limits(fleet, r, *pool, err);
	if (answer != FLEET_OK)
		return answer;
	if (fleet->is_draining)
		return refuse(err, FLEET_UNAVAILABLE, "the node is draining: running tasks end, none is taken");
	if ((*pool)->nwaiting >= WAITING_MOST)
		return refuse(err, FLEET_UNAVAILABLE, "10000 tasks wait for this pool already");
	return FLEET_OK;
}

static bool copy(char **to, const char *from)
{
	if (!from)
		return true;
	*to = strdup(from);
	return *to;
}

static struct future *from_request(const struct fleet_request *r, const struct pool *pool, fleet_submit_fn *fn, void *data,
				   struct err *err)
{
	struct future *f = future_new();
	if (!f) {
		err_set(err, "no memory");
		return NULL;
	}
	f->waiter = malloc(sizeof(*f->waiter));
	f->payload = malloc(r->payload_len + 1);
	if (!f->waiter || !f->payload || !copy(&f->owner, r->owner) || !copy(&f->type, r->type) ||
	    !copy(&f->kind, r->job ? "job" : "future") || !copy(&f->pool, pool->spec->name) || !copy(&f->project, r->project) ||
	    !copy(&f->title, r->title) || !copy(&f->client_key, r->client_key) || !copy(&f->tags, r->tags) ||
	    !copy(&f->exclusive, r->exclusive) || !copy(&f->job, r->job)) {
		err_set(err, "no memory");
		future_free(&f);
		return NULL;
	}
	if (future_make_id(f->id, err) < 0) {
		future_free(&f);
		return NULL;
	}
	*f->waiter = (struct fleet_waiter){ fn, data };
	memcpy(f->payload, r->payload, r->payload_len);
	f->payload[r->payload_len] = 0;
	f->payload_len = r->payload_len;
	f->memory_bytes = r->memory_bytes;
	f->timeout_ms = r->timeout_ms;
	f->retries = r->retries;
	f->priority = r->priority;
	f->created_ms = clock_wall_ms();
	return f;
}

static void tell_submitted(struct fleet *fleet, const struct future *f)
{
	struct buf detail;
	fleet->counts.submitted++;
	pool_note_arrival(f->in_pool, clock_mono_ms());
	if (!f->on || !f->on->tasks_run)
		pool_note_use(f->in_pool, clock_mono_ms());
	buf_init(&detail, 8192);
	buf_putc(&detail, '{');
	jtext_text(&detail, "pool", f->pool);
	jtext_text(&detail, "type", f->type);
	jtext_some_text(&detail, "title", f->title);
	buf_putc(&detail, '}');
	struct store_fact fact = { "task.submitted", f->id, detail.failed ? NULL : detail.data, 0, 0, f->owner };
	store_tell_fact(fleet->store, &fact);
	buf_fini(&detail);
}

static void tell_other(const struct fleet *fleet, const struct future *f, const char *other, struct err *err)
{
	char since[32], time[48];
	const struct future *o = fleet_live(fleet, other);
	int64_t from_ms = o ? (o->started_ms ? o->started_ms : o->created_ms) : 0;
	if (!o) {
		err_set(err, "\"%s\" already exists: task %s", f->exclusive, other);
		return;
	}
	text_print_duration((clock_wall_ms() - from_ms) / 1000 * 1000, time, sizeof(time));
	err_set(err, "\"%s\" already exists: task %s %s since %s (%s)", f->exclusive, other,
		o->state == FUTURE_QUEUED ? "waits" : "runs", clock_print(from_ms, since, sizeof(since)), time);
}

static void on_submitted(void *data, const struct store_answer *answer)
{
	struct future *f = data;
	struct fleet *fleet = f->fleet;
	struct fleet_waiter *w = f->waiter;
	char id[FUTURE_ID_MAX];
	bool is_saved = answer->outcome == STORE_OK, is_known = answer->outcome == STORE_DUPLICATE;
	struct err other = { 0 };
	bool is_excluded = answer->outcome == STORE_EXCLUDED;
	memcpy(id, is_known ? answer->id : f->id, sizeof(id));
	if (is_excluded)
		tell_other(fleet, f, answer->id, &other);
	f->waiter = NULL;
	f->commits--;
	die_at("submit_committed");
	if (!is_saved) {
		f->is_void = true;
		fleet_task_take_back(fleet, f);
		queue_remove(f);
		map_remove(fleet->futures_by_id, f->id);
	}
	if (is_saved)
		tell_submitted(fleet, f);
	if (is_saved && f->state == FUTURE_QUEUED)
		fleet_note_later(fleet, f);
	fleet_task_go_on(fleet, f);
	/* Told last, when all is in order: the callee may submit again. */
	if (is_saved || is_known)
		w->fn(w->data, FLEET_OK, id, is_saved, NULL);
	else
		w->fn(w->data, is_excluded ? FLEET_CONFLICT : FLEET_UNAVAILABLE, NULL, false, is_excluded ? &other : &answer->err);
	free(w);
	fleet_touch(fleet);
}

enum fleet_answer fleet_submit(struct fleet *fleet, const struct fleet_request *r, fleet_submit_fn *fn, void *data, struct err *err)
{
	struct pool *pool = NULL;
	enum fleet_answer answer = check_request(fleet, r, &pool, err);
	if (answer != FLEET_OK)
		return answer;
	/* Those that wait already come first; what is left may be taken at once, in one transaction with the submit. */
	if (fleet->is_dirty)
		fleet_settle(fleet);
	struct future *f = from_request(r, pool, fn, data, err);
	if (!f || fleet_task_adopt(fleet, f) < 0)
		return refuse(err, FLEET_UNAVAILABLE, "no memory");
	char why[512];
	if (slots_is_hopeless(f->ticket, queue_size(f), why, sizeof(why))) {
		fleet_task_free(fleet, f);
		return refuse(err, FLEET_BAD, why);
	}
	bool may_assign = f->state == FUTURE_QUEUED && fleet->is_started && clock_mono_ms() >= fleet->no_assign_before_mono_ms;
	struct kernel *k = may_assign ? queue_kernel_for(pool, f) : NULL;
	if (k)
		fleet_task_pair(fleet, f, k);
	if (store_insert_task(fleet->store, f, on_submitted, f) < 0) {
		fleet_task_take_back(fleet, f);
		fleet_task_free(fleet, f);
		return refuse(err, FLEET_UNAVAILABLE, "the store takes nothing now");
	}
	f->commits++;
	fleet_touch(fleet);
	return FLEET_OK;
}
