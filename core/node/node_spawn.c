#include "node/node_spawn.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
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

/* --- the rest --- */

static void put_limit(struct buf *b, const json_t *limits, const char *key, const char *knob, double scale, bool may_be_0)
{
	char text[64];
	const json_t *v = json_object_get(limits, key);
	if (!json_is_number(v) || (json_number_value(v) <= 0 && !may_be_0))
		return;
	snprintf(text, sizeof(text), "%s=%lld", knob, (long long)(json_number_value(v) * scale));
	wire_text(b, WF_limit, text);
}

void node_spawn_put_limits(struct buf *b, const json_t *limits)
{
	put_limit(b, limits, "memory_bytes", "memory", 1, false);
	put_limit(b, limits, "swap_bytes", "swap", 1, true);
	if (json_object_get(limits, "memory_bytes") && !json_object_get(limits, "swap_bytes"))
		wire_text(b, WF_limit, "swap=0");
	put_limit(b, limits, "threads", "pids", 1, false);
	put_limit(b, limits, "cpu", "cpu", 1000, false);
}

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
