#ifndef DSS_CTL_START_H
#define DSS_CTL_START_H
#include "ctl/ctl.h"
#include "ctl/bell.h"
/* start: brings the keeper of ctl->dir up and follows its services until they are ready. */

/* `dssd plan`: config/dss.lua into run/keeper.plan; its own words on mistakes go to standard error. 0 or an exit code. web_dir: where the
 * page comes from until the next start, whatever the configuration says; NULL: as that says. */
int start_plan(struct ctl *ctl, const char *web_dir);
/* The same; *changed says whether the plan's text is another than before. */
int start_plan_again(struct ctl *ctl, bool *changed);
/* After that: the keeper did not take the new plan, so the one before stays the instance's. */
void start_plan_back(struct ctl *ctl);
/* argv for the keeper: dss-keeper DIR [--foreground]; room for 4. program: PATH_MAX bytes that argv borrows. */
int start_keeper_argv(struct ctl *ctl, char *program, bool foreground, char *argv[4]);
/* Starts the keeper and waits. */
int start_daemon(struct ctl *ctl, int64_t wait_ms);
/* Follows the services (only `name`, or all for NULL) until they are ready, one is in trouble, or the time is over. Lines
 * go to standard output unless ctl->json. since_ms: what was ready before counts as not yet (restart); 0 = all counts. */
int start_follow(struct ctl *ctl, struct bell *bell, const char *name, int64_t since_ms, int64_t wait_ms);

#endif
