#ifndef DSS_CTL_POLICY_FILES_H
#define DSS_CTL_POLICY_FILES_H
#include <jansson.h>
#include "ctl/ctl.h"
/*
 * policy_files: sets of policies as JSON, [{"name":"policies/10-pools.lua","text"}], in the order in which they are read; and as files.
 */

/* DIR/policies as it stands. CTL_DONE, or an exit code after telling why. *out is owned. */
int policy_files_read(struct ctl *ctl, json_t **out);
/* One file into the set, in the place of the one of that name, or as a new one. */
int policy_files_put(struct ctl *ctl, json_t *set, const char *path);
/* Makes DIR/policies that set (sys/fileset.h), as who owns it. What is replaced or removed is kept in `kept` (PATH_MAX), a folder of its own in
 * policies/, where nothing is read from; "" = nothing had to be. */
int policy_files_write(struct ctl *ctl, const json_t *set, char *kept);
/* Runs a program that evaluates them: where policies/ is not root's, root does so as the backend's user, with "/" as
 * its folder. As child_run. */
int policy_files_run(struct ctl *ctl, char *const *argv, struct err *err);
/* Evaluates a set with `dssd check`, which tells mistakes on standard error. CTL_DONE: it may come into force. */
int policy_files_check(struct ctl *ctl, const json_t *set, bool is_quiet);
/* `diff -u` of two sets, to standard output. CTL_DONE whether they differ or not; *differs says. */
int policy_files_diff(const json_t *a, const char *a_name, const json_t *b, const char *b_name, bool *differs);
bool policy_files_equal(const json_t *a, const json_t *b);

#endif
