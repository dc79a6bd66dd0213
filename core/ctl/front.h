#ifndef DSS_CTL_FRONT_H
#define DSS_CTL_FRONT_H
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "ctl/bell.h"
#include "ctl/ctl.h"
/* front: nginx before the backend: its configuration is tested, and put in force, as the user that it runs as. */

enum front_act {
	FRONT_CHECK,   /* would nginx take config/dss.lua as it stands? */
	FRONT_INSTALL, /* and put it where the running one reads it when it is told to */
};
/* CTL_DONE also where nginx is off; else what nginx said is on standard error. */
int front_test(struct ctl *ctl, enum front_act act);

/* What the last test said that is not yet put right; false: nothing, or it cannot be read. */
enum { FRONT_TROUBLE_MAX = 16 * 1024 };
bool front_trouble(struct ctl *ctl, char *out, size_t room);
/* The same as a line on standard error. */
void front_note(struct ctl *ctl);

/* The processes that serve requests now; of a reload nobody hears but by new ones. */
enum { FRONT_WORKERS_MAX = 256 };
struct front_workers {
	pid_t master, pids[FRONT_WORKERS_MAX];
	int n;
};
void front_workers_read(struct bell *bell, struct front_workers *out); /* master 0: none runs */
/* The keeper has nginx among its services, in whatever state; also true where it does not answer. */
bool front_is_there(struct bell *bell);
/* Waits, with a deadline, until one is there that was not before. */
bool front_has_taken(const struct front_workers *before);

#endif
