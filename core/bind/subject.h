#ifndef DSS_BIND_SUBJECT_H
#define DSS_BIND_SUBJECT_H
#include <stdbool.h>
#include <stddef.h>
#include <lua.h>
#include "fleet/fleet.h"
/*
 * subject: what rules look at: kernels, tasks, pools, users, the node, recipes, webapps. A list of them is taken by id, because some are gone when their turn
 * comes; the facts of one are pushed as a Lua table with the names and units of lua/dss/model/facts.lua. A fact that is not known is
 * absent.
 *
 * Each kind is a row of one table (subject_inner.h): how it is listed, whether one is still there, its facts, and who carries out the verbs that
 * fit it (lua/dss/model/verbs.lua). A new kind is a new row.
 */
enum subject_kind {
	SUBJECT_KERNEL,
	SUBJECT_TASK,
	SUBJECT_POOL,
	SUBJECT_USER,
	SUBJECT_NODE,
	SUBJECT_RECIPE,
	SUBJECT_WEBAPP,
	SUBJECT_NOTEBOOK,
	SUBJECT_KINDS
};

#define SUBJECT_ID_MAX 272 /* "PROJECT/NAME" of a webapp */

struct node;
struct subject_world { /* borrowed */
	struct fleet *fleet;
	struct node *node; /* NULL: there are only the fleet's kinds (bench) */
};

struct subject_user { /* sums over one user's tasks and kernels */
	int64_t running, waiting, kernels, memory_bytes, limit_bytes, cpu_ms;
};

struct subjects {
	enum subject_kind kind;
	struct subject_world world;
	size_t n, room;
	char (*ids)[SUBJECT_ID_MAX];
	struct subject_user *users; /* one for each id, where that is the kind */
};

const char *subject_kind_name(enum subject_kind kind);
int subject_kind_named(const char *name); /* -1: no such kind */

/* All there are now. Frees what `out` held. -1: no memory. */
int subjects_list(const struct subject_world *world, enum subject_kind kind, struct subjects *out);
void subjects_fini(struct subjects *s);
/* Is it still there? owner: whose it is, borrowed until the loop goes on; NULL = nobody's. */
bool subject_is_there(const struct subjects *s, size_t i, const char **owner);
/* Pushes the facts of one that is there. Runs under call_run. */
void subject_push(lua_State *L, const struct subjects *s, size_t i);
/* Carries out a verb. why: who decides and why, as its owner reads it (it begins with FLEET_BY_RULE). -1: the reason why there was nothing to do. */
int subject_order(const struct subject_world *world, enum subject_kind kind, const char *verb, const char *id, const char *why,
		  struct err *err);
/* What a task has when it is submitted: kind type pool user project tags title priority memory. */
void subject_push_submitted(lua_State *L, const struct future *f);

#endif
