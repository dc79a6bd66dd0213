#include "keeper/account.h"
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ACCOUNTS_MAX 32

struct accounts {
	struct account all[ACCOUNTS_MAX]; /* the first is the control user */
	size_t n;
};

static int add(struct accounts *a, const char *name, bool for_orders, struct err *err)
{
	for (size_t i = 0; i < a->n; i++) {
		if (!strcmp(a->all[i].name, name)) {
			a->all[i].for_orders |= for_orders && a->all[i].uid != 0;
			return 0;
		}
	}
	if (a->n == ACCOUNTS_MAX)
		return err_set(err, "more than %d users in the plan", ACCOUNTS_MAX);
	struct passwd *pw = getpwnam(name);
	if (!pw)
		return err_set(err, "unable to find user \"%s\": not in the system's accounts", name);
	struct account *c = &a->all[a->n];
	int groups = ACCOUNT_GROUPS_MAX;
	strncpy(c->name, name, sizeof(c->name) - 1);
	strncpy(c->home, pw->pw_dir, sizeof(c->home) - 1);
	c->uid = pw->pw_uid;
	c->gid = pw->pw_gid;
	c->for_orders = for_orders && pw->pw_uid != 0;
	if (getgrouplist(name, pw->pw_gid, c->groups, &groups) < 0)
		return err_set(err, "user \"%s\" is in more than %d groups", name, ACCOUNT_GROUPS_MAX);
	c->ngroups = (size_t)groups;
	a->n++;
	return 0;
}

struct accounts *accounts_read(const struct plan *plan, struct err *err)
{
	struct accounts *a = calloc(1, sizeof(*a));
	if (!a) {
		err_set(err, "no memory");
		return NULL;
	}
	if (!plan->control_user[0])
		return a;
	if (geteuid() != 0) {
		err_set(err, "unable to use user \"%s\": the keeper was not started as root", plan->control_user);
		goto fail;
	}
	if (add(a, plan->control_user, false, err) < 0)
		goto fail;
	for (char *const *u = plan->allow_users; u && *u; u++)
		if (add(a, *u, true, err) < 0)
			goto fail;
	list_each (&plan->services, p) {
		const struct plan_service *s = list_of(p, struct plan_service, link);
		if (s->desc.user[0] && add(a, s->desc.user, false, err) < 0)
			goto fail;
	}
	return a;
fail:
	accounts_free(&a);
	return NULL;
}

void accounts_free(struct accounts **a)
{
	free(*a);
	*a = NULL;
}

bool accounts_is_one_user(const struct accounts *a)
{
	return a->n == 0;
}

const struct account *accounts_control(const struct accounts *a)
{
	return a->n ? &a->all[0] : NULL;
}

const struct account *accounts_find(const struct accounts *a, const char *name, struct err *err)
{
	for (size_t i = 0; i < a->n; i++)
		if (!strcmp(a->all[i].name, name))
			return &a->all[i];
	err_set(err, "user \"%s\" is not on the list of the keeper's start", name);
	return NULL;
}

const struct account *accounts_for_orders(const struct accounts *a, uid_t uid)
{
	for (size_t i = 0; i < a->n; i++)
		if (a->all[i].for_orders && a->all[i].uid == uid)
			return &a->all[i];
	return NULL;
}
