#include "node/node_callback.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "net/json.h"
#include "node/node_job.h"
#include "node/node_project.h"

#define PROTOCOL 1
#define HOST     "http://127.0.0.1:"

bool node_callback_read_url(const char *text, char *url, size_t room)
{
	char digits[8];
	int64_t port;
	if (strncmp(text, HOST, strlen(HOST)) != 0)
		return false;
	const char *p = text + strlen(HOST);
	size_t n = strcspn(p, "/");
	if (n == 0 || n >= sizeof(digits) || p[0] == '0' || p[0] == '-' || strcmp(p + n + (p[n] == '/'), "") != 0)
		return false;
	memcpy(digits, p, n);
	digits[n] = 0;
	if (text_int(digits, 1024, 65535, &port, NULL) < 0)
		return false;
	int len = snprintf(url, room, HOST "%d", (int)port);
	return len > 0 && (size_t)len < room;
}

/* The kernel that this request's token belongs to and its body names; NULL: answered. */
static struct kernel *known_kernel(struct node *n, struct gate_request *req, const json_t *body)
{
	const char *id = NULL, *given = http_field(req->http, "authorization");
	char token[KERNEL_TOKEN_MAX];
	struct err err = { 0 };
	if (!given || strncasecmp(given, "Bearer ", 7) != 0) {
		gate_reply_error(req, 401, NULL, "a kernel's token is required");
		return NULL;
	}
	if (json_get_text(body, "kernelId", JSON_REQUIRED, &id, &err) < 0) {
		gate_reply_error(req, 400, NULL, "%s", err.text);
		return NULL;
	}
	bool is_its = text_is_id(id, strlen(id)) && strlen(id) < KERNEL_ID_MAX &&
		      kernel_token(n->key, n->key_len, id, token) == 0 && strlen(given + 7) == strlen(token) &&
		      text_is_same_secret(given + 7, token, strlen(token));
	if (is_its && !n->facts.is_taken_up) {
		gate_set_field(req, "Retry-After", "1");
		gate_reply_error(req, 503, NULL, "the backend is starting");
		return NULL;
	}
	struct kernel *k = is_its ? fleet_kernel(n->fleet, id) : NULL;
	if (!k)
		gate_reply_error(req, 404, NULL, "that kernel does not exist");
	return k;
}

static void on_ready(struct node *n, struct gate_request *req, const struct kernel *k, const json_t *body)
{
	struct err err = { 0 };
	const char *text = NULL;
	char url[KERNEL_URL_MAX];
	int64_t protocol = 0;
	if (json_get_text(body, "url", JSON_REQUIRED, &text, &err) < 0 ||
	    json_get_int(body, "protocol", JSON_REQUIRED, 0, 1000, &protocol, &err) < 0) {
		gate_reply_error(req, 400, NULL, "%s", err.text);
	} else if (protocol != PROTOCOL) {
		gate_reply_error(req, 400, NULL, "this backend speaks kernel protocol %d, not %lld", PROTOCOL, (long long)protocol);
	} else if (!node_callback_read_url(text, url, sizeof(url))) {
		gate_reply_error(req, 400, NULL, "url must be http://127.0.0.1:PORT with a port over 1023");
	} else if (fleet_kernel_ready(n->fleet, k->id, url, &err) < 0) {
		gate_reply_error(req, 409, NULL, "%s", err.text);
	} else {
		gate_reply_json(req, 200, "{}", 2);
	}
}

static void on_event(struct node *n, struct gate_request *req, const struct kernel *k, const json_t *body)
{
	struct err err = { 0 };
	const char *task = NULL, *message = NULL;
	int64_t attempt = 0;
	double progress = -1;
	if (json_get_text(body, "taskId", JSON_REQUIRED, &task, &err) < 0 ||
	    json_get_int(body, "attempt", JSON_REQUIRED, 0, INT32_MAX, &attempt, &err) < 0 ||
	    json_get_number(body, "progress", JSON_OPTIONAL, &progress, &err) < 0 ||
	    json_get_text(body, "message", JSON_OPTIONAL, &message, &err) < 0) {
		gate_reply_error(req, 400, NULL, "%s", err.text);
	} else if (strcmp(task, k->task) != 0 || attempt != k->attempt) {
		gate_reply_error(req, 404, NULL, "that task does not exist");
	} else {
		fleet_task_progress(n->fleet, k->id, task, progress, message);
		gate_reply_json(req, 200, "{}", 2);
	}
}

void node_callback_handle(void *data, struct gate_request *req)
{
	static const struct {
		const char *name;
		void (*fn)(struct node *n, struct gate_request *req, const struct kernel *k, const json_t *body);
	} routes[] = { { "ready", on_ready }, { "event", on_event } };
	struct node *n = data;
	const struct http_request *http = req->http;
	struct err err = { 0 };
	size_t at = 0, count = sizeof(routes) / sizeof(routes[0]);
	bool is_ours = http->nsegments == 3 && strcmp(http->segment[0], "kernel") == 0 && strcmp(http->segment[1], "v1") == 0;
	if ((is_ours || http->nsegments == 4) && strcmp(http->segment[0], "kernel") == 0 && strcmp(http->segment[1], "v1") == 0 &&
	    strcmp(http->segment[2], "processes") == 0) {
		node_jobs_handle(n->jobs, req);
		return;
	}
	if (is_ours && strcmp(http->segment[2], "projects") == 0) {
		node_projects_handle(n->projects, req);
		return;
	}
	while (is_ours && at < count && strcmp(http->segment[2], routes[at].name) != 0)
		at++;
	if (!is_ours || at == count) {
		gate_reply_error(req, 404, NULL, "%s does not exist", http->path);
		return;
	}
	if (strcmp(http->method, "POST") != 0) {
		gate_reply_error(req, 405, NULL, "%s takes POST only", http->path);
		return;
	}
	json_t *body = json_parse_object(http->body.data ? http->body.data : "", http->body.len, &err);
	if (!body) {
		gate_reply_error(req, 400, NULL, "%s", err.text);
		return;
	}
	struct kernel *k = known_kernel(n, req, body);
	if (k)
		routes[at].fn(n, req, k, body);
	json_decref(body);
}
