#ifndef DSS_KEEPER_ACCOUNT_H
#define DSS_KEEPER_ACCOUNT_H
#include <stdbool.h>
#include <sys/types.h>
#include "base/err.h"
#include "keeper/plan.h"
/*
 * account: whom processes may run as. Read once at the start: a directory service that hangs later stops no spawn, and a
 * backend that lies can name nobody else.
 */
#define ACCOUNT_GROUPS_MAX 64

struct accounts;

struct account {
	char name[64], home[256];
	uid_t uid;
	gid_t gid;
	gid_t groups[ACCOUNT_GROUPS_MAX];
	size_t ngroups;
	bool for_orders; /* a backend's order may name it; root never is */
};

/* The plan's control user, allowed users and services' users. With no control user in the plan: one-user mode, empty. */
struct accounts *accounts_read(const struct plan *plan, struct err *err);
void accounts_free(struct accounts **a);
bool accounts_is_one_user(const struct accounts *a);
/* NULL with a text: not on the list. */
const struct account *accounts_find(const struct accounts *a, const char *name, struct err *err);
/* Whom of the list an order may name, by uid; NULL: nobody. */
const struct account *accounts_for_orders(const struct accounts *a, uid_t uid);
const struct account *accounts_control(const struct accounts *a); /* NULL in one-user mode */

#endif
