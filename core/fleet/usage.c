#include "fleet/usage.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/map.h"

#define GB ((double)(1 << 30))

struct usage {
	struct map *users;
	double gb, cores; /* of the node */
};

struct usage_user {
	const struct usage *usage;
	int64_t at_mono_ms;         /* of the two sums */
	double gb_seconds, seconds; /* decayed until then */
	double gb_at_work, at_work; /* now */
	char name[];
};

struct usage *usage_new(int64_t memory_bytes, int cores)
{
	struct usage *u = calloc(1, sizeof(*u));
	if (!u)
		return NULL;
	if (memory_bytes <= 0)
		memory_bytes = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
	if (cores <= 0)
		cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
	u->gb = memory_bytes > 0 ? (double)memory_bytes / GB : 1;
	u->cores = cores > 0 ? cores : 1;
	u->users = map_new();
	if (!u->users)
		usage_free(&u);
	return u;
}

void usage_free(struct usage **usage)
{
	size_t cursor = 0;
	if (!*usage)
		return;
	for (void *user; (*usage)->users && (user = map_next((*usage)->users, &cursor));)
		free(user);
	map_free(&(*usage)->users);
	free(*usage);
	*usage = NULL;
}

struct usage_user *usage_user(struct usage *usage, const char *name)
{
	struct usage_user *user = map_get(usage->users, name);
	if (user)
		return user;
	user = calloc(1, sizeof(*user) + strlen(name) + 1);
	if (!user || map_set(usage->users, name, user) < 0) {
		free(user);
		return NULL;
	}
	user->usage = usage;
	memcpy(user->name, name, strlen(name) + 1);
	return user;
}

const char *usage_name(const struct usage_user *user)
{
	return user->name;
}

/* Brings the sums to now: what was there decays, what is at work is added with its own decay. */
static void settle(struct usage_user *u, int64_t now)
{
	double dt = (double)(now - u->at_mono_ms);
	if (dt <= 0)
		return;
	double left = exp2(-dt / USAGE_HALF_LIFE_MS);
	double worked = (1 - left) * (USAGE_HALF_LIFE_MS / M_LN2) / 1000;
	u->gb_seconds = u->gb_seconds * left + u->gb_at_work * worked;
	u->seconds = u->seconds * left + u->at_work * worked;
	u->at_mono_ms = now;
}

static double gb_of(int64_t memory_bytes)
{
	return memory_bytes > 0 ? (double)memory_bytes / GB : 0;
}

static void add(struct usage_user *u, int64_t memory_bytes, double seconds)
{
	u->gb_seconds += gb_of(memory_bytes) * seconds;
	u->seconds += seconds;
}

void usage_begin(struct usage_user *u, int64_t memory_bytes, int64_t now)
{
	settle(u, now);
	u->gb_at_work += gb_of(memory_bytes);
	u->at_work += 1;
	add(u, memory_bytes, USAGE_AT_LEAST_MS / 1000.0);
}

void usage_end(struct usage_user *u, int64_t memory_bytes, int64_t now)
{
	settle(u, now);
	u->at_work -= 1;
	u->gb_at_work -= gb_of(memory_bytes);
	if (u->at_work <= 0) /* no rest of rounding stays at work */
		u->at_work = u->gb_at_work = 0;
}

void usage_add(struct usage_user *u, int64_t memory_bytes, int64_t worked_ms, int64_t ago_ms, int64_t now)
{
	settle(u, now);
	if (worked_ms > 0 && ago_ms >= 0)
		add(u, memory_bytes, (double)worked_ms / 1000 * exp2(-(double)ago_ms / USAGE_HALF_LIFE_MS));
}

/* A logarithm in half-lives, with the time added: so it needs no decay, and does not overflow in a year's run. */
static double rank(const struct usage_user *u, double gb_seconds, double seconds, int64_t now)
{
	double share = gb_seconds / u->usage->gb + seconds / u->usage->cores;
	return share > 0 ? log2(share) + (double)now / USAGE_HALF_LIFE_MS : -INFINITY;
}

double usage_rank(struct usage_user *u, int64_t now)
{
	settle(u, now);
	return rank(u, u->gb_seconds, u->seconds, now);
}

double usage_rank_with(struct usage_user *u, int64_t memory_bytes, double worked_ms, int64_t now)
{
	settle(u, now);
	return rank(u, u->gb_seconds + gb_of(memory_bytes) * worked_ms / 1000, u->seconds + worked_ms / 1000, now);
}

double usage_gb_seconds(struct usage_user *u, int64_t now)
{
	settle(u, now);
	return u->gb_seconds;
}

double usage_seconds(struct usage_user *u, int64_t now)
{
	settle(u, now);
	return u->seconds;
}
