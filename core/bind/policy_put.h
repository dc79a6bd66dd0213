#ifndef DSS_BIND_POLICY_PUT_H
#define DSS_BIND_POLICY_PUT_H
#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "bind/policy_set.h"
/*
 * policy_put: makes policies/ another set for somebody who asks over the API, and tells when it is in force: written (policy_write.h) while no load
 * looks, then taken as any change of policies/ is. One at a time. Whether the set is good is to be asked before (policy_set_check).
 */
struct policy_put;

struct policy_put *policy_put_new(struct policy_set *set, struct loop *loop, const char *folder); /* NULL: no memory */
void policy_put_free(struct policy_put **put);                                                    /* whoever waits is told */

struct policy_put_ask {
	const char *texts; /* JSON [{"name","text"}]: all of the set */
	size_t len;
	const char *by, *note; /* of the version; note NULL: none */
	bool overwrites;       /* also files in policies/ that are not in force; they are kept in a folder there */
};

enum policy_put_status {
	POLICY_PUT_TAKEN,
	POLICY_PUT_CONFLICT,    /* text: why */
	POLICY_PUT_DIFFERS,     /* text: names of the files */
	POLICY_PUT_NOT_ALLOWED, /* policies/ is not ours to write in */
	POLICY_PUT_REFUSED,     /* written, and the load found something: errors */
	POLICY_PUT_FAILED,
};

struct policy_put_answer {
	enum policy_put_status status;
	int64_t version;    /* in force now */
	const char *text;   /* "" = nothing to say */
	const char *kept;   /* where files that were overwritten are; "" = none were */
	const char *errors; /* JSON [{"file","line","text"}]; NULL: none */
};
typedef void policy_put_fn(void *data, const struct policy_put_answer *answer);
/* fn is called once, later. -1: it is not; err says why (another one is under way; no set). */
int policy_put_start(struct policy_put *put, const struct policy_put_ask *ask, policy_put_fn *fn, void *data, struct err *err);

/* --- for policy_set.c --- */

bool policy_put_waits(const struct policy_put *put); /* they are written: a load has to come */
bool policy_put_holds(const struct policy_put *put); /* files are being written: what a load read now may be half of a set */
/* Is p what was put? Then by and note are whose it is. */
bool policy_put_is(const struct policy_put *put, const struct policies *p, const char **by, const char **note);
/* A set was taken; is_last: no load follows at once. */
void policy_put_taken(struct policy_put *put, const struct policies *p, int64_t version, bool is_last);
void policy_put_refused(struct policy_put *put);

#endif
