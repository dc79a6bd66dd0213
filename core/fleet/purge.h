#ifndef DSS_FLEET_PURGE_H
#define DSS_FLEET_PURGE_H
#include "fleet/fleet.h"
#include "fleet/retention.h"
#include "fleet/versions.h"
/*
 * purge: what is older than retention says goes: rows of the store in small steps of the writer thread, so that no submit waits for long, and
 * logs of jobs, tasks and webapps (jobs/PROJECT/ID) in small steps of the reader thread. Looks once an hour, and soon after the policies said another retention.
 * Open tasks, the newest version of the policies and whatever is younger stay. The store's file does not shrink: its free pages are used again.
 */
struct purge;

struct purge_stats { /* since the start */
	int64_t tasks, results, facts, decisions, versions, usage, logs;
};

/* dir: the instance's. All borrowed. NULL: no memory. */
struct purge *purge_new(struct loop *loop, struct fleet *fleet, const char *dir);
void purge_free(struct purge **p); /* after the store was closed */
void purge_set(struct purge *p, const struct policy_retention *retention);
/* Logs of that project's tasks go now, however young; those of open tasks stay. */
void purge_logs(struct purge *p, const char *project);
void purge_get_stats(const struct purge *p, struct purge_stats *out);

#endif
