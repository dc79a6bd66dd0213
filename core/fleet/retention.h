#ifndef DSS_FLEET_RETENTION_H
#define DSS_FLEET_RETENTION_H
#include <stdint.h>
/*
 * retention: how long what was is kept, as the word `retention` of the policies says; all of it is set: where a policy says nothing the
 * word's defaults stand here (lua/dss/model/keeping.lua). Ages in milliseconds of wall time.
 */
struct policy_retention {
	int64_t tasks_ms;          /* ended tasks; 30 days */
	int64_t results_ms;        /* their results, never longer than tasks_ms; 7 days */
	int64_t facts_ms;          /* 30 days */
	int64_t decisions_ms;      /* folded decisions; 90 days */
	int64_t ledger_ms;         /* exact decisions; 24 h */
	int64_t ledger_most_bytes; /* 256 MB */
	int64_t job_logs_ms;       /* logs in jobs/, of what has ended; 30 days */
	int64_t runs_ms;           /* of scenarios; 30 days */
	int64_t usage_ms;          /* what processes used; 90 days */
	int64_t versions;          /* policy sets; 200 */
};

#endif
