#ifndef DSS_BIND_DECIDE_H
#define DSS_BIND_DECIDE_H
#include <stdbool.h>
#include <lua.h>
#include "base/err.h"
#include "bind/vm.h"
#include "fleet/fleet.h"
#include "fleet/ledger.h"
/*
 * decide: one question to the set in force, facts in, an answer out, in one protected call with a time budget; and what is told of it: the
 * ledger's note, and where a function failed the fact policy.failed, the log and an alert until it works again.
 */
#define DECIDE_BUDGET_MS  50
#define DECIDE_SOURCE_MAX 128
#define DECIDE_REASON_MAX 640
#define DECIDE_INPUTS_MAX 4096
#define DECIDE_ANSWER_MAX 16
#define DECIDE_CLAUSE_MAX 512

struct decide_question {
	const char *function;                              /* of dss.model.engine */
	int (*push)(lua_State *L, void *data);             /* its arguments; returns how many. May raise */
	void (*take)(lua_State *L, int first, void *data); /* its results stand from index `first` on. May raise */
	int nresults;
	void *data; /* of both */
};

/* 0, or -1: it raised, or ran out of time or memory; err says which. */
int decide(struct vm *vm, const struct decide_question *q, struct err *err);

enum decide_state { DECIDE_NO, DECIDE_ACT, DECIDE_SKIPPED, DECIDE_FAILED };

/* What engine.judge and engine.event answer. */
struct verdict {
	enum decide_state state;
	char answer[DECIDE_ANSWER_MAX], reason[DECIDE_REASON_MAX], threshold[DECIDE_CLAUSE_MAX],
		inputs[DECIDE_INPUTS_MAX]; /* "" = none */
	int level;                         /* enum alert_level, of a notify */
};
/* answer, reason, threshold, inputs, state, level */
#define VERDICT_RESULTS 6
void verdict_take(lua_State *L, int first, struct verdict *v);
/* The call itself failed: the default, keep. */
void verdict_fail(struct verdict *v, const struct err *err);

/* Into the ledger; its seq. */
struct decide_about {
	const char *word, *name, *source, *subject_kind, *subject, *owner, *mode;
};
int64_t verdict_note(struct fleet *fleet, const struct decide_about *about, const struct verdict *v, const char *outcome);

/* The text at i, cut, or "". */
void decide_copy_text(lua_State *L, int i, char *out, size_t room);

/* Functions that failed, by their source: told once each, until they work again. */
struct troubles;
struct troubles *troubles_new(struct fleet *fleet); /* NULL: no memory */
void troubles_free(struct troubles **t);
/* source: "policies/30-rules.lua:4"; text: what went wrong, and what holds instead. Log, fact and alert where that text is news. */
void troubles_note(struct troubles *t, const char *source, const char *subject, const char *text);
/* The same, of a text that begins with its source: "policies/10-pools.lua:4: …"; else the source is "policies". */
void troubles_note_at(struct troubles *t, const char *subject, const char *text);
void troubles_over(struct troubles *t, const char *source); /* it works; fine where it never failed */
void troubles_clear(struct troubles *t);                    /* another set is in force */

#endif
