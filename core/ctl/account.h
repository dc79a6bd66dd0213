#ifndef DSS_CTL_ACCOUNT_H
#define DSS_CTL_ACCOUNT_H
#include <stdbool.h>
#include <sys/types.h>
#include "base/err.h"
/* account: the system users of an instance, by the passwd tools. */
struct account {
	uid_t uid;
	gid_t gid;
};

/* [a-z_][a-z0-9_-]{0,31} */
bool account_is_name(const char *name);
/* Finds the user; with may_make, makes a system user without home and shell where there is none (*made = true). */
int account_ensure(const char *name, bool may_make, struct account *out, bool *made, struct err *err);
/* Whether the user is in that group, by its own or a further one. */
bool account_is_in(const char *name, const struct account *a, gid_t gid);
/* Whether that user could enter (or read) path; tried by a child that becomes the user. Needs root. */
bool account_can_reach(const struct account *a, const char *path);

#endif
