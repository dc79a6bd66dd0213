#include "keeper/desc.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/text.h"
#include "base/words.h"

#define GRACE_DEFAULT_MS 10000
/* Kept for the life of the process, as is its label: 20,000 of them must fit into a keeper. */
#define MASKS_MAX_BYTES 16384

static const struct {
	const char *name;
	enum cgroup_knob knob;
} knobs[] = {
	{ "memory", CGROUP_MEMORY },         { "swap", CGROUP_SWAP }, { "pids", CGROUP_PIDS }, { "cpu", CGROUP_CPU },
	{ "cpu_weight", CGROUP_CPU_WEIGHT },
};

static const struct {
	const char *name;
	int resource;
} resources[] = {
	{ "nofile", RLIMIT_NOFILE }, { "nproc", RLIMIT_NPROC }, { "core", RLIMIT_CORE },   { "as", RLIMIT_AS },
	{ "cpu", RLIMIT_CPU },       { "fsize", RLIMIT_FSIZE }, { "stack", RLIMIT_STACK }, { "memlock", RLIMIT_MEMLOCK },
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

#define SOCKET_MOST 390 /* desc_to_wire has room for it */
#define PREFIX_MOST 139

/* --- texts --- */

static int copy_text(char *out, size_t room, const char *s, const char *what, struct err *err)
{
	if (strlen(s) >= room)
		return err_set(err, "%s is longer than %zu characters", what, room - 1);
	memcpy(out, s, strlen(s) + 1);
	return 0;
}

static int copy_heap(char **out, const char *s, struct err *err)
{
	free(*out);
	*out = strdup(s);
	return *out ? 0 : err_set(err, "no memory");
}

static int copy_rare(char **out, size_t most, const char *s, const char *what, struct err *err)
{
	if (strlen(s) > most)
		return err_set(err, "%s is longer than %zu characters", what, most);
	if (*s)
		return copy_heap(out, s, err);
	free(*out);
	*out = NULL;
	return 0;
}

/* --- values --- */

const char *desc_knob_name(enum cgroup_knob knob)
{
	for (size_t i = 0; i < COUNT(knobs); i++)
		if (knobs[i].knob == knob)
			return knobs[i].name;
	return "?";
}

int desc_knob(const char *name, enum cgroup_knob *knob, struct err *err)
{
	for (size_t i = 0; i < COUNT(knobs); i++) {
		if (!strcmp(knobs[i].name, name)) {
			*knob = knobs[i].knob;
			return 0;
		}
	}
	return err_set(err, "unknown limit \"%s\": memory, swap, pids, cpu or cpu_weight", name);
}

/* "memory=3221225472" */
static int read_limit(const char *value, struct desc_limit *out, struct err *err)
{
	char name[32];
	const char *eq = strchr(value, '=');
	if (!eq || (size_t)(eq - value) >= sizeof(name))
		return err_set(err, "limit \"%s\" is not NAME=NUMBER", value);
	memcpy(name, value, (size_t)(eq - value));
	name[eq - value] = 0;
	return desc_knob(name, &out->knob, err) < 0 ? -1 : text_int(eq + 1, -1, INT64_MAX, &out->value, err);
}

static int set_limit(struct desc *d, const char *value, struct err *err)
{
	struct desc_limit l = { 0 };
	if (read_limit(value, &l, err) < 0)
		return -1;
	for (size_t i = 0; i < d->nlimits; i++) {
		if (d->limits[i].knob == l.knob) {
			d->limits[i].value = l.value;
			return 0;
		}
	}
	if (d->nlimits == DESC_LIMITS_MAX)
		return err_set(err, "more than %d limits", DESC_LIMITS_MAX);
	d->limits[d->nlimits++] = l;
	return 0;
}

int desc_level(const struct desc *d, const char *value, char box[sizeof(d->box)], struct desc_limit *limit, struct err *err)
{
	size_t n = strcspn(value, " ");
	if (!value[n] || n == 0 || n >= sizeof(d->box) || strncmp(d->box, value, n) != 0 || d->box[n] != '/')
		return err_set(err, "level \"%s\" is not BOX NAME=NUMBER of a box above %s", value, d->box);
	memcpy(box, value, n);
	box[n] = 0;
	return read_limit(value + n + 1, limit, err) < 0 ? err_add(err, "level \"%s\"", value) : 0;
}

/* "nofile=1024:4096" */
static int set_rlimit(struct desc *d, const char *value, struct err *err)
{
	char soft[24];
	const char *eq = strchr(value, '='), *colon = eq ? strchr(eq, ':') : NULL;
	int64_t lo, hi;
	if (!colon || (size_t)(colon - eq - 1) >= sizeof(soft))
		return err_set(err, "rlimit \"%s\" is not NAME=SOFT:HARD", value);
	memcpy(soft, eq + 1, (size_t)(colon - eq - 1));
	soft[colon - eq - 1] = 0;
	if (text_int(soft, 0, INT64_MAX, &lo, err) < 0 || text_int(colon + 1, 0, INT64_MAX, &hi, err) < 0)
		return -1;
	for (size_t i = 0; i < COUNT(resources); i++) {
		if (strncmp(resources[i].name, value, (size_t)(eq - value)) || resources[i].name[eq - value])
			continue;
		if (d->nrlimits == DESC_RLIMITS_MAX)
			return err_set(err, "more than %d rlimits", DESC_RLIMITS_MAX);
		d->rlimits[d->nrlimits++] = (struct spawn_rlimit){ resources[i].resource, { (rlim_t)lo, (rlim_t)hi } };
		return 0;
	}
	return err_set(err, "unknown rlimit in \"%s\"", value);
}

/* "fd", "port 127.0.0.1 80", "http 127.0.0.1 80 /health", "socket /srv/app.sock" */
static int set_ready(struct desc *d, const char *value, struct err *err)
{
	static const char *const plain[] = { "exec", "fd", "notify", "told" };
	for (size_t i = 0; i < COUNT(plain); i++) {
		if (!strcmp(value, plain[i])) {
			d->ready = (enum desc_ready)i;
			return 0;
		}
	}
	if (!strncmp(value, "socket /", 8) && !strpbrk(value + 7, " \t")) {
		if (strlen(value + 7) > SOCKET_MOST)
			return err_set(err, "ready rule: the path of the socket is longer than %d bytes", SOCKET_MOST);
		d->ready = DESC_READY_SOCKET;
		return copy_heap(&d->ready_path, value + 7, err);
	}
	char kind[8] = "", host[64] = "", path[200] = "";
	int port = 0, n = sscanf(value, "%7s %63s %d %199s", kind, host, &port, path);
	bool is_http = !strcmp(kind, "http");
	if ((!is_http && strcmp(kind, "port")) || n != (is_http ? 4 : 3) || port < 1 || port > 65535 || (is_http && path[0] != '/'))
		return err_set(err,
			       "ready rule \"%s\" is none of: exec, fd, notify, told, port HOST PORT, http HOST PORT PATH, "
			       "socket PATH",
			       value);
	d->ready = is_http ? DESC_READY_HTTP : DESC_READY_PORT;
	d->ready_port = port;
	return copy_heap(&d->ready_host, host, err) < 0 ? -1 : copy_heap(&d->ready_path, path, err);
}

static int set_number(int *out, const char *value, int least, int most, struct err *err)
{
	int64_t n;
	if (text_int(value, least, most, &n, err) < 0)
		return -1;
	*out = (int)n;
	return 0;
}

int desc_set(struct desc *d, const char *word, const char *value, struct err *err)
{
	if (!strcmp(word, "argv"))
		return words_add(&d->argv, value, err);
	if (!strcmp(word, "env"))
		return strchr(value, '=') > value ? words_add(&d->env, value, err)
						  : err_set(err, "env \"%s\" is not NAME=VALUE", value);
	if (!strcmp(word, "mask"))
		return words_add(&d->masks, value, err);
	if (!strcmp(word, "cwd"))
		return copy_heap(&d->cwd, value, err);
	if (!strcmp(word, "label"))
		return strlen(value) > WIRE_LABEL_MAX ? err_set(err, "label is longer than %d bytes", WIRE_LABEL_MAX)
						      : copy_heap(&d->label, value, err);
	if (!strcmp(word, "user"))
		return copy_text(d->user, sizeof(d->user), value, "user", err);
	if (!strcmp(word, "box"))
		return copy_text(d->box, sizeof(d->box), value, "box", err);
	if (!strcmp(word, "sink"))
		return copy_text(d->sink, sizeof(d->sink), value, "sink", err);
	if (!strcmp(word, "prefix"))
		return copy_rare(&d->prefix, PREFIX_MOST, value, "prefix", err);
	if (!strcmp(word, "parent"))
		return copy_rare(&d->parent, sizeof(d->id) - 1, value, "parent", err);
	if (!strcmp(word, "kind"))
		return copy_text(d->kind, sizeof(d->kind), value, "kind", err);
	if (!strcmp(word, "id"))
		return text_is_id(value, strlen(value)) ? copy_text(d->id, sizeof(d->id), value, "id", err)
							: err_set(err, "\"%s\" is no id", value);
	if (!strcmp(word, "limit"))
		return set_limit(d, value, err);
	if (!strcmp(word, "level"))
		return words_add(&d->levels, value, err);
	if (!strcmp(word, "rlimit"))
		return set_rlimit(d, value, err);
	if (!strcmp(word, "ready"))
		return set_ready(d, value, err);
	if (!strcmp(word, "ready_within_ms"))
		return set_number(&d->ready_within_ms, value, 0, 24 * 3600 * 1000, err);
	if (!strcmp(word, "stop_signal"))
		return set_number(&d->stop_signal, value, 1, SIGRTMAX, err);
	if (!strcmp(word, "grace_ms"))
		return set_number(&d->grace_ms, value, 0, 24 * 3600 * 1000, err);
	if (!strcmp(word, "starter")) {
		d->is_starter = !strcmp(value, "1");
		return 0;
	}
	return err_set(err, "unknown word \"%s\"", word);
}

/* --- whole descriptions --- */

void desc_init(struct desc *d)
{
	memset(d, 0, sizeof(*d));
	d->stop_signal = SIGTERM;
	d->grace_ms = GRACE_DEFAULT_MS;
}

void desc_fini(struct desc *d)
{
	words_free(&d->argv);
	words_free(&d->env);
	words_free(&d->masks);
	words_free(&d->levels);
	free(d->cwd);
	free(d->prefix);
	free(d->parent);
	free(d->label);
	free(d->ready_host);
	free(d->ready_path);
	if (d->secrets)
		explicit_bzero(d->secrets, d->secrets_len);
	free(d->secrets);
	memset(d, 0, sizeof(*d));
}

/* Which fields of a `spawn` are words of a description; the rest has its own place. */
static const struct {
	enum wire_field field;
	const char *word;
	bool is_number;
} wired[] = {
	{ WF_id, "id", false },
	{ WF_kind, "kind", false },
	{ WF_argv, "argv", false },
	{ WF_env, "env", false },
	{ WF_cwd, "cwd", false },
	{ WF_user, "user", false },
	{ WF_box, "box", false },
	{ WF_sink, "sink", false },
	{ WF_prefix, "prefix", false },
	{ WF_mask, "mask", false },
	{ WF_ready, "ready", false },
	{ WF_label, "label", false },
	{ WF_parent, "parent", false },
	{ WF_limit, "limit", false },
	{ WF_level, "level", false },
	{ WF_rlimit, "rlimit", false },
	{ WF_stop_signal, "stop_signal", true },
	{ WF_grace_ms, "grace_ms", true },
	{ WF_ready_within_ms, "ready_within_ms", true },
	{ WF_starter, "starter", true },
};

int desc_from_wire(struct desc *d, const struct wire_view *msg, struct err *err)
{
	for (size_t i = 0; i < COUNT(wired); i++) {
		char number[24];
		const char *s;
		if (wired[i].is_number) {
			if (!wire_has(msg, wired[i].field))
				continue;
			snprintf(number, sizeof(number), "%lld", (long long)wire_get_int(msg, wired[i].field, 0));
			if (desc_set(d, wired[i].word, number, err) < 0)
				return err_add(err, "%s", wired[i].word);
			continue;
		}
		for (size_t n = 0; (s = wire_get_nth(msg, wired[i].field, n)) != NULL; n++)
			if (desc_set(d, wired[i].word, s, err) < 0)
				return err_add(err, "%s", wired[i].word);
	}
	size_t len = 0;
	const void *secrets = wire_get_bytes(msg, WF_secrets, &len);
	if (secrets && len > 0) {
		d->secrets = malloc(len);
		if (!d->secrets)
			return err_set(err, "no memory");
		memcpy(d->secrets, secrets, len);
		d->secrets_len = len;
	}
	return desc_check(d, err);
}

static void put_words(struct buf *out, enum wire_field f, char **w)
{
	for (; w && *w; w++)
		wire_text(out, f, *w);
}

static void put_text(struct buf *out, enum wire_field f, const char *s)
{
	if (s && *s)
		wire_text(out, f, s);
}

void desc_to_wire(const struct desc *d, struct buf *out)
{
	static const char *const plain[] = { "exec", "fd", "notify", "told" };
	char text[400];
	put_text(out, WF_id, d->id);
	put_text(out, WF_kind, d->kind);
	put_words(out, WF_argv, d->argv);
	put_words(out, WF_env, d->env);
	put_words(out, WF_mask, d->masks);
	put_text(out, WF_cwd, d->cwd);
	put_text(out, WF_user, d->user);
	put_text(out, WF_box, d->box);
	put_text(out, WF_sink, d->sink);
	put_text(out, WF_prefix, d->prefix);
	put_text(out, WF_label, d->label);
	put_text(out, WF_parent, d->parent);
	for (size_t i = 0; i < d->nlimits; i++) {
		snprintf(text, sizeof(text), "%s=%lld", desc_knob_name(d->limits[i].knob), (long long)d->limits[i].value);
		wire_text(out, WF_limit, text);
	}
	for (size_t i = 0; i < d->nrlimits; i++) {
		for (size_t j = 0; j < COUNT(resources); j++) {
			if (resources[j].resource != d->rlimits[i].resource)
				continue;
			snprintf(text, sizeof(text), "%s=%llu:%llu", resources[j].name,
				 (unsigned long long)d->rlimits[i].value.rlim_cur,
				 (unsigned long long)d->rlimits[i].value.rlim_max);
			wire_text(out, WF_rlimit, text);
		}
	}
	if (d->ready <= DESC_READY_TOLD)
		wire_text(out, WF_ready, plain[d->ready]);
	else if (d->ready == DESC_READY_SOCKET) {
		snprintf(text, sizeof(text), "socket %s", d->ready_path);
		wire_text(out, WF_ready, text);
	} else {
		snprintf(text, sizeof(text), "%s %s %d%s%s", d->ready == DESC_READY_HTTP ? "http" : "port", d->ready_host,
			 d->ready_port, d->ready_path[0] ? " " : "", d->ready_path);
		wire_text(out, WF_ready, text);
	}
	wire_int(out, WF_stop_signal, d->stop_signal);
	wire_int(out, WF_grace_ms, d->grace_ms);
	wire_int(out, WF_ready_within_ms, d->ready_within_ms);
}

static bool is_box_path(const char *s)
{
	while (*s) {
		size_t n = strcspn(s, "/");
		if (!text_is_id(s, n))
			return false;
		s += n;
		if (*s && !*++s)
			return false;
	}
	return true;
}

/* "null", "service:NAME", "kernel:ID", "job:PROJECT:JOB": the logger owns the paths behind these. */
static bool is_sink(const char *s)
{
	static const char *const kinds[] = { "service:", "kernel:", "job:" };
	if (!strcmp(s, "null"))
		return true;
	for (size_t i = 0; i < COUNT(kinds); i++) {
		size_t n = strlen(kinds[i]);
		if (strncmp(s, kinds[i], n))
			continue;
		const char *colon = i == 2 ? strchr(s + n, ':') : NULL;
		if (i < 2)
			return text_is_id(s + n, strlen(s + n));
		return colon && text_is_id(s + n, (size_t)(colon - s) - n) && text_is_id(colon + 1, strlen(colon + 1));
	}
	return false;
}

int desc_check(const struct desc *d, struct err *err)
{
	if (!d->id[0] || !text_is_id(d->id, strlen(d->id)))
		return err_set(err, "id \"%s\" is missing or no id", d->id);
	if (!d->argv || !d->argv[0] || !d->argv[0][0])
		return err_set(err, "%s has no argv", d->id);
	if (!d->box[0] || !is_box_path(d->box))
		return err_set(err, "box \"%s\" of %s is no box", d->box, d->id);
	if (!is_sink(d->sink))
		return err_set(err, "sink \"%s\" of %s is none of: null, service:NAME, kernel:ID, job:PROJECT:JOB", d->sink, d->id);
	char above[sizeof(d->box)];
	struct desc_limit limit;
	for (char **w = d->levels; w && *w; w++)
		if (desc_level(d, *w, above, &limit, err) < 0)
			return -1;
	size_t masks = 0;
	for (char **w = d->masks; w && *w; w++)
		masks += strlen(*w);
	if (masks > MASKS_MAX_BYTES)
		return err_set(err, "the words to mask of %s are longer than %d bytes", d->id, MASKS_MAX_BYTES);
	if (d->secrets_len > 4096)
		return err_set(err, "secrets of %s are longer than 4096 bytes", d->id);
	return 0;
}
