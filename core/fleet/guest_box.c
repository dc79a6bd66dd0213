/* guest_box: where a guest's box is made where no policy says it, and the question to the one in force. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "fleet/fleet_inner.h"
#include "fleet/guest.h"

static bool is(const struct guest_facts *f, const char *kind)
{
	return f->kind && strcmp(f->kind, kind) == 0;
}

const char *guest_box_own(const struct guest_facts *f)
{
	const char *own = is(f, "recipe") ? f->activity : is(f, "webapp") ? f->webapp : f->id;
	return own ? own : "";
}

static int join(const char *const *names, char *out, size_t room, struct err *err)
{
	size_t at = 0;
	for (; *names; names++) {
		if (!text_is_id(*names, strlen(*names)))
			return err_set(err, "\"%s\" is no name of a box", *names);
		int n = snprintf(out + at, room - at, "%s%s", at ? "/" : "", *names);
		if (n < 0 || (size_t)n >= room - at)
			return err_set(err, "its path would be longer than %zu bytes", room - 1);
		at += (size_t)n;
	}
	return 0;
}

static const char *or_empty(const char *s)
{
	return s ? s : "";
}

/* As lua/dss/model/placing.lua has the defaults. */
static int find_default(const struct guest_facts *f, struct guest_boxes *out, struct err *err)
{
	const char *recipe[] = { "run", "jobs", or_empty(f->project), or_empty(f->job), NULL };
	const char *webapp[] = { "run", "webapps", or_empty(f->project), NULL };
	const char *notebook[] = { "run", "notebooks", or_empty(f->user), NULL };
	const char *const *names = is(f, "recipe") ? recipe : is(f, "webapp") ? webapp : notebook;
	const char *own = guest_box_own(f);
	char whole[GUEST_BOX_MAX];
	if (join(names, out->box, sizeof(out->box), err) < 0)
		return -1;
	if (!text_is_id(own, strlen(own)))
		return err_set(err, "\"%s\" is no name of a box", own);
	if ((size_t)snprintf(whole, sizeof(whole), "%s/%s", out->box, own) >= sizeof(whole))
		return err_set(err, "its path would be longer than %zu bytes", sizeof(whole) - 1);
	return 0;
}

int guest_box_find(struct fleet *fleet, const struct guest_facts *facts, const char *at, struct guest_boxes *out, struct err *err)
{
	const struct fleet_policy *p = &fleet->policy;
	out->box[0] = '\0';
	out->n = 0;
	int rc = p->box_guest ? p->box_guest(p->data, facts, at, out, err) : 1;
	return rc <= 0 ? rc : at ? 0 : find_default(facts, out, err);
}
