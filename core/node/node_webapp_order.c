/* node_webapp_order: the order to the keeper that starts a webapp's process, and what is read of its log. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "fleet/jtext.h"
#include "net/json.h"
#include "node/node_boxes.h"
#include "node/node_spawn.h"
#include "node/node_webapp_inner.h"
#include "sys/fds.h"
#include "sys/sock.h"

#define GRACE_MS   5000
#define TAIL_BYTES (64 * 1024)

int webapp_free_port(struct err *err)
{
	int fd = sock_listen_tcp("127.0.0.1", 0, err), port = fd >= 0 ? sock_port(fd) : -1;
	fds_close(&fd);
	return port;
}

static const char *text_of(const json_t *spec, const char *key)
{
	const char *s = json_string_value(json_object_get(spec, key));
	return s ? s : "";
}

bool webapp_wants_socket(const json_t *spec)
{
	return strcmp(text_of(spec, "listen"), "socket") == 0;
}

int webapp_name_socket(struct node_webapp *w, struct err *err)
{
	char path[WEBAPP_DIR_MAX + JOB_PROCESS_MAX + 32];
	struct stat st;
	int n = snprintf(path, sizeof(path), "%s/webapps", w->in->dir);
	if (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return err_set(err, "listen = \"socket\": the instance has no folder webapps/: dssctl init makes it");
	n += snprintf(path + n, sizeof(path) - (size_t)n, "/%s.sock", w->process);
	if (n >= WEBAPP_SOCKET_MAX)
		return err_set(err, "listen = \"socket\": %s has %d bytes, a socket's path may have %d", path, n,
			       WEBAPP_SOCKET_MAX - 1);
	snprintf(w->socket, sizeof(w->socket), "%.107s", path);
	return 0;
}

void webapp_drop_socket(struct node_webapp *w)
{
	if (w->socket[0] && unlink(w->socket) < 0 && errno != ENOENT)
		log_warn("unable to remove %s: %s", w->socket, strerror(errno));
	w->socket[0] = '\0';
}

bool webapp_cannot(const json_t *spec, struct err *err)
{
	if (webapp_wants_socket(spec) && (*text_of(spec, "flask") || *text_of(spec, "shiny")))
		return err_set(err,
			       "listen = \"socket\": %s listens on ports alone; write a command that listens on DSS_WEBAPP_SOCKET",
			       *text_of(spec, "flask") ? "flask run" : "shiny::runApp") < 0;
	if (strpbrk(text_of(spec, "health"), " \t\r\n") || strlen(text_of(spec, "health")) > 190)
		return err_set(err, "health has to be a path without spaces, up to 190 bytes") < 0;
	return false;
}

/* --- the command --- */

static void put_words(struct buf *b, const char *const *words)
{
	for (; *words; words++)
		wire_text(b, WF_argv, *words);
}

static void put_argv(const struct node_webapp *w, const json_t *spec, struct buf *b)
{
	const char *bin = text_of(spec, "bin"), *flask = text_of(spec, "flask");
	char port[16];
	size_t i;
	json_t *v;
	node_spawn_put_stamp(b, w->name, NULL, NULL);
	snprintf(port, sizeof(port), "%d", w->port);
	if (*flask) {
		const char *const words[] = { *bin ? bin : "/usr/bin/python3",
					      "-m",
					      "flask",
					      "--app",
					      flask,
					      "run",
					      "--host",
					      "127.0.0.1",
					      "--port",
					      port,
					      NULL };
		put_words(b, words);
	} else if (*text_of(spec, "shiny")) {
		const char *const words[] = { *bin ? bin : "Rscript", "-e",
					      "shiny::runApp(Sys.getenv('DSS_WEBAPP_FILE'), host = '127.0.0.1', port = "
					      "as.integer(Sys.getenv('DSS_WEBAPP_PORT')), launch.browser = FALSE)",
					      NULL };
		put_words(b, words);
	} else {
		json_array_foreach(json_object_get(spec, "command"), i, v) if (json_is_string(v))
			wire_text(b, WF_argv, json_string_value(v));
	}
}

/* --- the environment --- */

/* Ours come last: a webapp cannot say that it is somebody else's. */
static void put_environment(const struct node *n, const struct node_webapp *w, const json_t *spec, const char *dir, struct buf *b)
{
	char text[64], prefix[2 * JOB_NAME_MAX + 32];
	node_spawn_put_own_env(b, json_object_get(spec, "env"), dir);
	snprintf(text, sizeof(text), "%d", w->port);
	if (w->socket[0]) {
		node_spawn_put_env(b, "DSS_WEBAPP_SOCKET", w->socket);
	} else {
		node_spawn_put_env(b, "DSS_WEBAPP_PORT", text);
		node_spawn_put_env(b, "DSS_WEBAPP_HOST", "127.0.0.1");
	}
	snprintf(prefix, sizeof(prefix), "/web-apps-backends/%s/%s", w->project, w->name);
	node_spawn_put_env(b, "DSS_WEBAPP_PREFIX", prefix);
	node_spawn_put_env(b, "DSS_WEBAPP", w->name);
	if (*text_of(spec, "flask")) {
		node_spawn_put_env(b, "FLASK_APP", text_of(spec, "flask"));
		node_spawn_put_env(b, "FLASK_RUN_HOST", "127.0.0.1");
		node_spawn_put_env(b, "FLASK_RUN_PORT", text);
	}
	if (*text_of(spec, "shiny"))
		node_spawn_put_env(b, "DSS_WEBAPP_FILE", text_of(spec, "shiny"));
	node_spawn_put_api_env(n, b, w->project, w->process);
}

/* --- label, box, the whole --- */

/* What placing asks of it. */
static struct guest_facts facts_of(const struct node_webapp *w)
{
	return (struct guest_facts){
		.kind = "webapp", .id = w->process, .user = w->owner, .project = w->project, .webapp = w->name
	};
}

static void put_label(const struct node_webapp *w, const json_t *spec, struct buf *b)
{
	struct buf label;
	buf_init(&label, WIRE_LABEL_MAX);
	buf_putc(&label, '{');
	jtext_text(&label, "kind", "webapp");
	jtext_text(&label, "project", w->project);
	jtext_text(&label, "webapp", w->name);
	jtext_text(&label, "owner", w->owner);
	node_spawn_label_limits(&label, json_object_get(spec, "limits"));
	buf_putc(&label, '}');
	if (!label.failed)
		wire_text(b, WF_label, label.data);
	buf_fini(&label);
}

static void put_ready(const struct node_webapp *w, const json_t *spec, struct buf *b)
{
	char text[300];
	const char *health = text_of(spec, "health");
	if (w->socket[0])
		snprintf(text, sizeof(text), "socket %s", w->socket);
	else if (*health && strcmp(health, "/") != 0)
		snprintf(text, sizeof(text), "http 127.0.0.1 %d %s", w->port, health);
	else
		snprintf(text, sizeof(text), "port 127.0.0.1 %d", w->port);
	wire_text(b, WF_ready, text);
	wire_int(b, WF_ready_within_ms, (int64_t)json_number_value(json_object_get(spec, "start_timeout_ms")));
}

int webapp_order(struct node *n, const struct node_webapp *w, const json_t *spec, const char *dir, node_keeper_answer_fn *fn,
		 void *data, struct err *err)
{
	struct node_spawn_box box;
	char text[3 * JOB_NAME_MAX], folder[4200];
	if (!n->keeper || !n->facts.is_connected)
		return err_set(err, "there is no keeper to order it");
	const struct guest_facts facts = facts_of(w);
	if (node_spawn_find_box(n, &facts, &box, err) < 0)
		return -1;
	snprintf(folder, sizeof(folder), "%s/projects/%s", dir, w->project);
	struct buf *b = node_keeper_begin(n->keeper, WIRE_spawn);
	wire_text(b, WF_id, w->process);
	wire_text(b, WF_kind, "webapp");
	node_spawn_put_box(b, &box, json_object_get(spec, "limits"));
	put_argv(w, spec, b);
	put_environment(n, w, spec, folder, b);
	wire_text(b, WF_cwd, folder);
	node_spawn_put_user(n, b);
	snprintf(text, sizeof(text), "job:%s:webapp-%s", w->project, w->name);
	wire_text(b, WF_sink, text);
	put_ready(w, spec, b);
	wire_int(b, WF_stop_signal, SIGTERM);
	wire_int(b, WF_grace_ms, GRACE_MS);
	put_label(w, spec, b);
	return node_keeper_end(n->keeper, fn, data, err);
}

/* --- what is left of it --- */

json_t *webapp_tail(const char *dir, const struct node_webapp *w, size_t most)
{
	char path[4096 + 3 * JOB_NAME_MAX], *bytes = malloc(TAIL_BYTES + 1);
	struct stat st;
	json_t *lines = json_array();
	snprintf(path, sizeof(path), "%s/jobs/%s/webapp-%s/output.log", dir, w->project, w->name);
	int fd = bytes ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;
	off_t from = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > TAIL_BYTES ? st.st_size - TAIL_BYTES : 0;
	ssize_t n = fd >= 0 ? pread(fd, bytes, TAIL_BYTES, from) : 0;
	char *end = bytes + (n > 0 ? n : 0), *begin = end;
	size_t count = 0;
	for (; n > 0 && begin > bytes; begin--)
		if (begin[-1] == '\n' && begin != end && ++count == most)
			break;
	while (n > 0 && begin < end) {
		char *stop = memchr(begin, '\n', (size_t)(end - begin));
		struct buf line;
		buf_init(&line, TAIL_BYTES * 8);
		if (json_put_text(&line, begin, (size_t)((stop ? stop : end) - begin)) == 0)
			json_array_append_new(lines, json_loadb(line.data, line.len, JSON_DECODE_ANY, NULL));
		buf_fini(&line);
		begin = stop ? stop + 1 : end;
	}
	fds_close(&fd);
	free(bytes);
	return lines;
}

void webapp_tell_end(const struct node_webapp *w, const struct judge_end *end, char *out, size_t room)
{
	const struct guest_facts facts = facts_of(w);
	char peak[48] = "unknown", limit[48], what[JOB_NAME_MAX + 16];
	snprintf(what, sizeof(what), "webapp \"%s\"", w->name);
	if (node_boxes_tell_oom(w->in->node, what, &facts, end, out, room))
		return;
	if (end->peak_bytes > 0)
		text_print_size(end->peak_bytes, peak, sizeof(peak));
	if (strcmp(end->cause, "oom_limit") == 0 && end->limit_bytes > 0)
		snprintf(out, room,
			 "Killed: webapp \"%s\" used %s, the memory limit of %s is %s. Peak %s. Others were not affected. Give it "
			 "a higher "
			 "limits.memory in project.lua.",
			 w->name, peak, end->limit_owner[0] ? end->limit_owner : "its box",
			 text_print_size(end->limit_bytes, limit, sizeof(limit)), peak);
	else if (strcmp(end->cause, "start_failed") == 0)
		snprintf(out, room, "Webapp \"%s\" could not be started: %s.", w->name,
			 end->text[0] ? end->text : "no reason was told");
	else if (end->code >= 0)
		snprintf(out, room, "Webapp \"%s\" ended by itself with status %d. Peak %s.", w->name, end->code, peak);
	else
		snprintf(out, room, "Webapp \"%s\" was ended (%s): %s. Peak %s.", w->name, end->cause,
			 end->text[0] ? end->text : "no reason was told", peak);
}
