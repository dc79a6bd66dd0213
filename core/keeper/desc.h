#ifndef DSS_KEEPER_DESC_H
#define DSS_KEEPER_DESC_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/err.h"
#include "keeper/wire.h"
#include "sys/cgroup.h"
#include "sys/spawn.h"
/*
 * desc: the full description of one process: what to run, as whom, in which box, where its output goes, when it counts as
 * ready and how it is stopped. Comes from the plan (services) or from a `spawn` order (kernels and all else).
 */
#define DESC_LIMITS_MAX  8
#define DESC_RLIMITS_MAX 8

enum desc_ready {
	DESC_READY_EXEC,
	DESC_READY_FD,
	DESC_READY_NOTIFY,
	DESC_READY_TOLD,
	DESC_READY_PORT,
	DESC_READY_HTTP,
	DESC_READY_SOCKET
};

struct desc_limit {
	enum cgroup_knob knob;
	int64_t value;
};

struct desc {
	char id[128], kind[32];      /* kind: service, kernel, … free of meaning to the keeper */
	char **argv, **env, **masks; /* NULL-terminated, owned */
	char **levels;               /* what limits the boxes above its own, "run/jobs/SALES memory=3221225472"; until it is born */
	char *cwd, *label, *secrets;
	size_t secrets_len;
	char user[64], box[256], sink[300];
	char *prefix, *parent; /* owned; NULL = none: few have them */
	struct desc_limit limits[DESC_LIMITS_MAX];
	size_t nlimits;
	struct spawn_rlimit rlimits[DESC_RLIMITS_MAX];
	size_t nrlimits;
	enum desc_ready ready;
	char *ready_host, *ready_path; /* owned; of rules `port`, `http` and `socket` (ready_path alone), else NULL */
	int ready_port;
	int ready_within_ms; /* 0 = no deadline */
	int stop_signal, grace_ms;
	bool is_starter; /* argv[0] starts another program, and tells on DSS_START_FD how that went (birth.h) */
};

void desc_init(struct desc *d);
void desc_fini(struct desc *d);
/* One statement of the plan's block; `word` as in plan.h. 0, or -1 with a text that quotes the value. */
int desc_set(struct desc *d, const char *word, const char *value, struct err *err);
/* Fills d (initialised) from a `spawn`. */
int desc_from_wire(struct desc *d, const struct wire_view *msg, struct err *err);
/* Writes the same fields back (for a handover); the frame is begun and ended by the caller. */
void desc_to_wire(const struct desc *d, struct buf *out);
/* One of its levels: which box above its own, and its limit. */
int desc_level(const struct desc *d, const char *value, char box[sizeof(d->box)], struct desc_limit *limit, struct err *err);
/* What is missing or contradicts itself. */
int desc_check(const struct desc *d, struct err *err);
const char *desc_knob_name(enum cgroup_knob knob);
int desc_knob(const char *name, enum cgroup_knob *knob, struct err *err);

#endif
