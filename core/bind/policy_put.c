#include "bind/policy_put.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "bind/policies.h"
#include "bind/policy_write.h"
#include "fleet/versions.h"

#define ERRORS_MAX (256 << 10)

struct policy_put {
	struct policy_set *set;
	struct policy_writer *writer;
	enum { PUT_NONE, PUT_WRITES, PUT_WAITS } state;
	struct fileset want; /* empty in PUT_NONE */
	char by[128], note[256], kept[64];
	policy_put_fn *fn;
	void *data;
};

struct policy_put *policy_put_new(struct policy_set *set, struct loop *loop, const char *folder)
{
	struct policy_put *put = calloc(1, sizeof *put);
	if (!put)
		return NULL;
	put->set = set;
	put->writer = policy_writer_new(loop, folder);
	if (!put->writer)
		policy_put_free(&put);
	return put;
}

static void answer(struct policy_put *put, struct policy_put_answer *a)
{
	char kept[sizeof put->kept];
	memcpy(kept, put->kept, sizeof kept);
	a->kept = kept;
	fileset_fini(&put->want);
	put->state = PUT_NONE; /* fn may ask for the next one */
	put->fn(put->data, a);
}

void policy_put_free(struct policy_put **pp)
{
	struct policy_put *put = *pp;
	if (!put)
		return;
	policy_writer_free(&put->writer); /* tells of a write that runs */
	if (put->state == PUT_WAITS)
		answer(put, &(struct policy_put_answer){ .status = POLICY_PUT_FAILED,
							 .text = "the files are written; the backend ends" });
	free(put);
	*pp = NULL;
}

static void on_written(void *data, const struct policy_written *w)
{
	static const enum policy_put_status statuses[] = { [POLICY_WRITE_DIFFERS] = POLICY_PUT_DIFFERS,
							   [POLICY_WRITE_NOT_ALLOWED] = POLICY_PUT_NOT_ALLOWED,
							   [POLICY_WRITE_FAILED] = POLICY_PUT_FAILED };
	struct policy_put *put = data;
	snprintf(put->kept, sizeof put->kept, "%s", w->kept);
	if (w->status != POLICY_WRITE_DONE) {
		answer(put, &(struct policy_put_answer){ .status = statuses[w->status], .text = w->text });
		policy_set_go_on(put->set, false);
		return;
	}
	put->state = PUT_WAITS;
	policy_set_go_on(put->set, w->is_changed);
}

int policy_put_start(struct policy_put *put, const struct policy_put_ask *ask, policy_put_fn *fn, void *data, struct err *err)
{
	const struct buf *now = policy_set_text(put->set);
	struct fileset want, copy, believed = { 0 };
	if (put->state != PUT_NONE)
		return err_set(err, "another change of the policies is under way; try again");
	if (policy_write_read(ask->texts, ask->len, &want, err) < 0)
		return -1;
	if (policy_write_read(ask->texts, ask->len, &copy, err) < 0 ||
	    policy_write_read(now->len ? now->data : "[]", now->len ? now->len : 2, &believed, err) < 0) {
		fileset_fini(&want);
		fileset_fini(&copy);
		return -1;
	}
	snprintf(put->by, sizeof put->by, "%s", ask->by);
	snprintf(put->note, sizeof put->note, "%s", ask->note ? ask->note : "");
	put->kept[0] = '\0';
	put->fn = fn;
	put->data = data;
	put->want = want;
	put->state = PUT_WRITES;
	if (policy_write_start(put->writer, &copy, &believed, ask->overwrites, on_written, put, err) == 0)
		return 0;
	fileset_fini(&put->want);
	put->state = PUT_NONE;
	return -1;
}

/* --- what becomes of it --- */

bool policy_put_holds(const struct policy_put *put)
{
	return put && put->state == PUT_WRITES;
}

bool policy_put_waits(const struct policy_put *put)
{
	return put && put->state == PUT_WAITS;
}

bool policy_put_is(const struct policy_put *put, const struct policies *p, const char **by, const char **note)
{
	if (put->state != PUT_WAITS || !policy_write_is(&put->want, p))
		return false;
	*by = put->by;
	*note = put->note[0] ? put->note : NULL;
	return true;
}

void policy_put_taken(struct policy_put *put, const struct policies *p, int64_t version, bool is_last)
{
	if (put->state != PUT_WAITS)
		return;
	if (policy_write_is(&put->want, p))
		answer(put, &(struct policy_put_answer){ .status = POLICY_PUT_TAKEN, .version = version, .text = "" });
	else if (is_last)
		answer(put, &(struct policy_put_answer){ .status = POLICY_PUT_CONFLICT,
							 .version = version,
							 .text = "the files were changed again before they were in force" });
}

void policy_put_refused(struct policy_put *put)
{
	struct buf errors;
	if (put->state != PUT_WAITS)
		return;
	buf_init(&errors, ERRORS_MAX);
	policy_set_errors_json(put->set, &errors);
	answer(put,
	       &(struct policy_put_answer){ .status = POLICY_PUT_REFUSED,
					    .text = "the files are written, and could not be taken: the set before stays in force",
					    .errors = errors.failed ? NULL : errors.data });
	buf_fini(&errors);
}
