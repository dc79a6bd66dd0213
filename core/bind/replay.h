#ifndef DSS_BIND_REPLAY_H
#define DSS_BIND_REPLAY_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
/*
 * replay: decisions of policies that the ledger has, made again from the facts that were recorded with them: by the versions of the policies that made
 * them, or by others. In a process of its own: a policy that loops or eats memory hurts nobody.
 */
struct replay_config {                      /* all borrowed */
	const char *dir, *share, *run_user; /* run_user: "" = one-user mode */
	const char *policies;               /* a folder of .lua files to decide anew; NULL = the versions that did */
	int64_t since_ms;                   /* wall; 0 = all that is kept */
	int most_differences;               /* that are told */
};

struct replay_result {
	int64_t replayed, differ;
	int64_t undecidable, gone, failed, core, unkept; /* not among replayed; unkept: of versions whose texts are not kept */
	struct buf differences;                          /* a JSON array; owned by the caller: buf_fini */
};

/* 0: done, whatever differs. -1: err. */
int replay_run(const struct replay_config *config, struct replay_result *out, struct err *err);
/* `dssd replay DIR [--policies DIR] [--since TIME] [--limit N] [--json]`: an exit code, 1 where something differs or failed. */
int replay_main(int argc, char **argv);

#endif
