#include "node/node_spawn.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "fleet/jtext.h"
#include "fleet/setting.h"
#include "net/digest.h"
#include "sys/home.h"

#define PATH_DEFAULT "/usr/local/bin:/usr/bin:/bin"

/* --- tickets --- */

int node_spawn_ticket(const struct node *n, const char *process, char out[JOB_TICKET_MAX])
{
	char text[JOB_PROCESS_MAX + 16], hex[DIGEST_HEX_SIZE];
	snprintf(text, sizeof(text), "ticket:%s", process);
	digest_hmac_sha256_hex(n->key, n->key_len, text, strlen(text), hex);
	return snprintf(out, JOB_TICKET_MAX, "%s.%s", process, hex);
}

bool node_spawn_read_ticket(const struct node *n, const char *ticket, char process[JOB_PROCESS_MAX])
{
	char right[JOB_TICKET_MAX];
	const char *dot = strrchr(ticket, '.');
	if (!dot || (size_t)(dot - ticket) >= JOB_PROCESS_MAX)
		return false;
	memcpy(process, ticket, (size_t)(dot - ticket));
	process[dot - ticket] = '\0';
	return node_spawn_ticket(n, process, right) >= 0 && strlen(right) == strlen(ticket) &&
	       text_is_same_secret(right, ticket, strlen(right));
}

/* --- the environment --- */

void node_spawn_put_env(struct buf *b, const char *name, const char *value)
{
	char line[4400];
	int n = snprintf(line, sizeof(line), "%s=%s", name, value);
	if (n > 0 && (size_t)n < sizeof(line))
		wire_text(b, WF_env, line);
}

static bool is_ours(const char *name)
{
	return strncmp(name, "DKU_", 4) == 0 || strncmp(name, "DSS_", 4) == 0 || strchr(name, '=') != NULL;
}

void node_spawn_put_own_env(struct buf *b, const json_t *env, const char *home)
{
	const char *const defaults[][2] = {
		{ "PATH", PATH_DEFAULT },    { "LANG", "C.UTF-8" }, { "TMPDIR", "/tmp" },
		{ "PYTHONUNBUFFERED", "1" }, { "HOME", home },
	};
	json_t *value;
	const char *name;
	for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
		if (!json_object_get(env, defaults[i][0]))
			node_spawn_put_env(b, defaults[i][0], defaults[i][1]);
	json_object_foreach((json_t *)env, name, value) if (json_is_string(value) && !is_ours(name))
		node_spawn_put_env(b, name, json_string_value(value));
}

/* What a project's code reads of its variables; larger ones are there for who asks the API. */
static void put_variables(const struct node *n, struct buf *b, const char *project)
{
	struct buf line;
	buf_init(&line, NODE_SPAWN_VARIABLES_MAX);
	buf_puts(&line, "DKU_CUSTOM_VARIABLES=");
	if (settings_variables(n->settings, project, false, &line) == 0)
		wire_text(b, WF_env, line.data);
	else
		log_warn("the variables of project %s are more than %d KB: DKU_CUSTOM_VARIABLES is left out", project,
			 NODE_SPAWN_VARIABLES_MAX >> 10);
	buf_fini(&line);
}

void node_spawn_put_api_env(const struct node *n, struct buf *b, const char *project, const char *process)
{
	char ticket[JOB_TICKET_MAX], text[64];
	node_spawn_put_env(b, "DKU_CURRENT_PROJECT_KEY", project);
	put_variables(n, b, project);
	node_spawn_put_env(b, "DKU_BACKEND_PROTOCOL", "http");
	node_spawn_put_env(b, "DKU_BACKEND_HOST", "127.0.0.1");
	snprintf(text, sizeof(text), "%d", n->page_port);
	node_spawn_put_env(b, "DKU_BACKEND_PORT", text);
	snprintf(text, sizeof(text), "http://127.0.0.1:%d", n->page_port);
	node_spawn_put_env(b, "DSS_BACKEND_URL", text);
	node_spawn_ticket(n, process, ticket);
	node_spawn_put_env(b, "DKU_API_TICKET", ticket);
	wire_text(b, WF_mask, ticket);
	wire_text(b, WF_mask, strrchr(ticket, '.') + 1);
	explicit_bzero(ticket, sizeof(ticket));
}

/* --- its box --- */

int node_spawn_find_box(const struct node *n, const struct guest_facts *facts, struct node_spawn_box *out, struct err *err)
{
	if (guest_box_find(n->fleet, facts, NULL, &out->found, err) < 0)
		return err_add(err, "unable to put it into a box");
	int len = snprintf(out->path, sizeof(out->path), "%s/%s", out->found.box, guest_box_own(facts));
	return len > 0 && (size_t)len < sizeof(out->path) ? 0 : err_set(err, "the names of its levels are too long for a box");
}

static int64_t number(const json_t *limits, const char *key, double scale, int64_t least)
{
	double v = json_number_value(json_object_get(limits, key)) * scale;
	return json_is_number(json_object_get(limits, key)) && v >= (double)least ? (int64_t)v : -1;
}

static struct guest_level own_limits(const json_t *limits)
{
	struct guest_level own = {
		.memory_bytes = number(limits, "memory_bytes", 1, 1),
		.swap_bytes = number(limits, "swap_bytes", 1, 0),
		.threads = number(limits, "threads", 1, 1),
		.cpu_milli = number(limits, "cpu", 1000, 1),
	};
	if (own.memory_bytes >= 0 && own.swap_bytes < 0)
		own.swap_bytes = 0;
	return own;
}

static void lower(int64_t *a, int64_t b)
{
	if (b >= 0 && (*a < 0 || b < *a))
		*a = b;
}

static void put_limit(struct buf *b, enum wire_field f, const char *box, const char *knob, int64_t value)
{
	char text[GUEST_BOX_MAX + 64];
	if (value < 0)
		return;
	snprintf(text, sizeof(text), "%s%s%s=%lld", box, *box ? " " : "", knob, (long long)value);
	wire_text(b, f, text);
}

/* box "": its own. Memory first: without it there is no swap to limit. */
static void put_limits(struct buf *b, enum wire_field f, const char *box, const struct guest_level *l)
{
	put_limit(b, f, box, "memory", l->memory_bytes);
	put_limit(b, f, box, "swap", l->swap_bytes);
	put_limit(b, f, box, "pids", l->threads);
	put_limit(b, f, box, "cpu", l->cpu_milli);
}

void node_spawn_put_box(struct buf *b, const struct node_spawn_box *box, const json_t *limits)
{
	struct guest_level own = own_limits(limits);
	int64_t cpu_milli = -1;
	wire_text(b, WF_box, box->path);
	for (size_t i = 0; i < box->found.n; i++) {
		const struct guest_level *l = &box->found.levels[i];
		lower(&cpu_milli, l->cpu_milli);
		if (strcmp(l->box, box->path) != 0) {
			put_limits(b, WF_level, l->box, l);
			continue;
		}
		lower(&own.memory_bytes, l->memory_bytes);
		lower(&own.swap_bytes, l->swap_bytes);
		lower(&own.threads, l->threads);
		lower(&own.cpu_milli, l->cpu_milli);
	}
	if (own.cpu_milli >= 0)
		lower(&own.cpu_milli, cpu_milli);
	put_limits(b, WF_limit, "", &own);
}

void node_spawn_label_limits(struct buf *label, const json_t *limits)
{
	struct guest_level own = own_limits(limits);
	jtext_member(label, "limits");
	buf_putc(label, '{');
	jtext_some_int(label, "memory", own.memory_bytes);
	jtext_some_int(label, "swap", own.swap_bytes);
	jtext_some_int(label, "pids", own.threads);
	jtext_some_int(label, "cpu", own.cpu_milli);
	buf_putc(label, '}');
}

/* --- the rest --- */

void node_spawn_put_stamp(struct buf *b, const char *name, const char *script, const json_t *outputs)
{
	char program[4096], folder[JOB_NAME_MAX + 16];
	size_t i;
	json_t *v;
	if (home_program("dss-logger", program, sizeof(program)) < 0 || access(program, X_OK) < 0)
		return;
	const char *const words[] = { program, "stamp", "--name", name };
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		wire_text(b, WF_argv, words[i]);
	wire_int(b, WF_starter, 1);
	if (script) {
		wire_text(b, WF_argv, "--script");
		wire_text(b, WF_argv, script);
	}
	json_array_foreach(outputs, i, v)
	{
		snprintf(folder, sizeof(folder), "data/%s", json_string_value(v) ? json_string_value(v) : "");
		wire_text(b, WF_argv, "--folder");
		wire_text(b, WF_argv, folder);
	}
	wire_text(b, WF_argv, "--");
}

void node_spawn_put_user(const struct node *n, struct buf *b)
{
	if (n->run_user[0] && strcmp(n->facts.isolation, "none") != 0)
		wire_text(b, WF_user, n->run_user);
}
