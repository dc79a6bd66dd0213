/* node_boxes_tell: what the owner of a process reads that ended for the limit of a level. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "node/node_boxes.h"
#include "node/node_job.h"
#include "node/node_job_order.h"

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);
	return n > m && strcmp(s + n - m, end) == 0 && s[n - m - 1] == '/';
}

/* The level at which it ended: "the limit of box \"a project's jobs\" (run/jobs/SALES, policies/20-limits.lua:4)". False: no word says it. */
static bool tell_word(struct node *n, const struct guest_facts *facts, const struct judge_end *end, bool is_own, char *out,
		      size_t room)
{
	struct guest_boxes found;
	char at[GUEST_BOX_MAX];
	/* Any process below a level is limited by the same words. */
	int len = snprintf(at, sizeof(at), "%s%s%s", end->limit_owner, is_own ? "" : "/", is_own ? "" : guest_box_own(facts));
	if (len < 0 || (size_t)len >= sizeof(at) || guest_box_find(n->fleet, facts, at, &found, &(struct err){ 0 }) < 0)
		return false;
	for (size_t i = 0; i < found.n; i++) {
		const struct guest_level *l = &found.levels[i];
		if (strcmp(l->box, end->limit_owner) != 0 || l->memory_bytes < 0 || l->memory_bytes > end->limit_bytes + 65536)
			continue;
		snprintf(out, room, "the limit of box \"%s\" (%s, %s)", l->name, l->box, l->source);
		return true;
	}
	return false;
}

/* "job-… (90 MB)" → "recipe \"large\" of job J (90 MB)"; what it is of, its owner knows by name. */
static void name_grower(struct node *n, const char *victim_of, char *out, size_t room)
{
	char id[JOB_PROCESS_MAX];
	size_t len = strcspn(victim_of, " ");
	snprintf(out, room, "%s", victim_of);
	if (len >= sizeof(id))
		return;
	memcpy(id, victim_of, len);
	id[len] = '\0';
	const struct job_activity *a = jobs_by_process(node_jobs(n), id);
	if (a)
		snprintf(out, room, "recipe \"%s\" of job %s%s", job_order_recipe(a), a->job->id, victim_of + len);
}

bool node_boxes_tell_oom(struct node *n, const char *what, const struct guest_facts *facts, const struct judge_end *end, char *out,
			 size_t room)
{
	char used[48] = "unknown", limit[48] = "unknown", word[GUEST_BOX_MAX + 256], grower[512];
	bool is_own = ends_with(end->cgroup, end->limit_owner);
	if (strcmp(end->cause, "oom_limit") != 0 || strncmp(end->limit_owner, "run/", 4) != 0)
		return false;
	bool has_word = tell_word(n, facts, end, is_own, word, sizeof(word));
	if (is_own && !has_word)
		return false; /* its project's own limit */
	name_grower(n, end->victim_of, grower, sizeof(grower));
	if (!has_word)
		snprintf(word, sizeof(word), "the memory limit of %s", end->limit_owner);
	if (end->peak_bytes > 0)
		text_print_size(end->peak_bytes, used, sizeof(used));
	if (end->limit_bytes > 0)
		text_print_size(end->limit_bytes, limit, sizeof(limit));
	if (is_own)
		snprintf(out, room,
			 "Killed: %s used %s; %s is %s. Peak %s. Others were not affected. Ask an admin for a larger box.", what,
			 used, word, limit, used);
	else
		snprintf(out, room,
			 "Killed: %s used %s when all that runs there had reached %s: %s%s%s. Peak %s. What else runs there goes "
			 "on. Let "
			 "less run there at the same time, or ask an admin for a larger box.",
			 what, used, word, limit, grower[0] ? "; what grew there: " : "", grower, used);
	return true;
}
