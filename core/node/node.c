#include "node/node.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "fleet/curve.h"
#include "fleet/jtext.h"
#include "fleet/setting.h"
#include "net/digest.h"
#include "node/node_board.h"
#include "node/node_boxes.h"
#include "node/node_callback.h"
#include "node/node_change.h"
#include "node/node_inner.h"
#include "node/node_job.h"
#include "node/node_meter.h"
#include "node/node_notebook_session.h"
#include "node/node_orders.h"
#include "node/node_project.h"
#include "node/node_spawn.h"
#include "node/node_takeup.h"
#include "node/node_webapp.h"
#include "sys/clock.h"
#include "sys/fds.h"
#include "sys/home.h"
#include "sys/machine.h"
#include "sys/sock.h"

#define KEY_LEAST         32
#define CONNECTIONS_KEPT  16384              /* two for each kernel: one that is not kept has to prove itself again, for ever */
#define CALLBACK_BODY_MAX (2 * 1024 * 1024)  /* what a project says */
#define SERVICES_STEP     ((int64_t)8 << 20) /* a few pages more are no news */
#define SERVICES_MS       60000              /* between two looks at the services' memory, while something happens at all */

/* --- hooks --- */

static void over(struct node *n, const char *text)
{
	if (n->on_over)
		n->on_over(n->data, text);
}

static void on_fatal(void *data, const char *text)
{
	char why[ERR_TEXT_MAX + 64];
	snprintf(why, sizeof(why), "the store has failed: %s", text);
	over(data, why);
}

static void on_gone(void *data, const char *text)
{
	struct node *n = data;
	char why[ERR_TEXT_MAX + 64];
	n->facts.is_connected = false;
	snprintf(why, sizeof(why), "the keeper's link has ended: %s", text);
	over(n, why);
}

static void copy_fact(char *to, size_t room, const struct wire_view *msg, enum wire_field f)
{
	const char *s = wire_get_text(msg, f);
	snprintf(to, room, "%s", s ? s : "");
}

static void on_welcome(void *data, const struct wire_view *msg)
{
	struct node *n = data;
	struct node_facts *f = &n->facts;
	copy_fact(f->instance, sizeof(f->instance), msg, WF_instance);
	copy_fact(f->isolation, sizeof(f->isolation), msg, WF_isolation);
	copy_fact(f->cgroups, sizeof(f->cgroups), msg, WF_cgroups);
	copy_fact(f->boot, sizeof(f->boot), msg, WF_boot);
	f->keeper_pid = (int)wire_get_int(msg, WF_pid, 0);
	f->is_connected = true;
	node_takeup_begin(n);
}

static int64_t count_busy(void *data)
{
	struct node *n = data;
	return fleet_count_busy(n->fleet);
}

/* The keeper waits for "no kernel is at work": it hears each change at once. */
static void before_wait(void *data)
{
	struct node *n = data;
	int64_t busy, now = clock_mono_ms();
	if (n->facts.is_connected && (!n->services_at_mono_ms || now - n->services_at_mono_ms >= SERVICES_MS)) {
		n->services_at_mono_ms = now;
		int64_t bytes = machine_services(n->tree);
		fleet_set_services(n->fleet, (bytes + SERVICES_STEP - 1) / SERVICES_STEP * SERVICES_STEP);
	}
	if (!n->is_draining || !n->facts.is_connected || (busy = count_busy(n)) == n->busy_told)
		return;
	n->busy_told = busy;
	node_keeper_beat(n->keeper);
}

static void on_drain(void *data)
{
	struct node *n = data;
	n->is_draining = true;
	n->busy_told = -1;
	fleet_drain(n->fleet, NULL, NULL);
	log_info("draining: %lld kernels are at work", (long long)count_busy(n));
}

/* --- set-up --- */

static int read_key(struct node *n, const char *path, struct err *err)
{
	char text[NODE_KEY_MAX + 1];
	struct err why = { 0 };
	ssize_t len = fds_read_file(path, text, sizeof(text), &why);
	if (len < 0 && why.code == ENOENT) {
		if (digest_random_hex(text, KEY_LEAST, err) < 0 || fds_replace_file(path, text, 2 * KEY_LEAST, 0600, err) < 0)
			return err_add(err, "unable to make the node's key");
		len = 2 * KEY_LEAST;
	} else if (len < 0) {
		return err_set(err, "unable to read the node's key: %s", why.text);
	}
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		len--;
	if (len < KEY_LEAST)
		return err_set(err, "unable to use %s: it has %zd bytes, the node's key needs %d or more", path, len, KEY_LEAST);
	memcpy(n->key, text, (size_t)len);
	n->key_len = (size_t)len;
	explicit_bzero(text, sizeof(text));
	return 0;
}

static int open_callbacks(struct node *n, int *fd, struct err *err)
{
	struct gate_settings s;
	int taken = *fd;
	*fd = -1;
	if (taken < 0) {
		snprintf(n->backend_url, sizeof(n->backend_url), "http://127.0.0.1:0");
		return 0;
	}
	snprintf(n->backend_url, sizeof(n->backend_url), "http://127.0.0.1:%d", sock_port(taken));
	gate_settings_init(&s);
	s.version = s.api_version = DSS_VERSION;
	s.body_max = CALLBACK_BODY_MAX;
	s.per_peer_max = s.connections_max; /* they all come from this machine */
	n->callbacks = gate_new(n->loop, taken, &s, node_callback_handle, n, err);
	return n->callbacks ? 0 : err_add(err, "unable to open the kernels' port");
}

static int64_t memory_of(const struct node *n, const struct node_config *config)
{
	int64_t machine = machine_memory(n->tree);
	if (config->memory_bytes > 0 && (machine < 0 || config->memory_bytes <= machine))
		return config->memory_bytes;
	if (config->memory_bytes > 0)
		log_warn("config/dss.lua: node.memory is more than this machine has; what it has counts");
	return machine > 0 ? machine : 0;
}

static void on_told(void *data, const char *task, const json_t *state)
{
	struct node *n = data;
	node_jobs_told(n->jobs, task, state);
}

static int open_fleet(struct node *n, const struct node_config *node, struct err *err)
{
	char path[4096], id[16] = "";
	const char *dir = node->dir;
	home_instance_id(dir, id, sizeof(id), NULL);
	snprintf(n->tree, sizeof(n->tree), "dss-%s", id);
	snprintf(path, sizeof(path), "%s/db", dir);
	if (fds_make_dirs(path, 0700, err) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/db/dss.sqlite", dir);
	n->facts.memory_bytes = memory_of(n, node);
	struct fleet_config config = {
		.store_path = path,
		.orders = node_orders_for(n),
		.on_fatal = on_fatal,
		.memory_bytes = n->facts.memory_bytes,
		.reserve_bytes = node->reserve_bytes,
	};
	n->fleet = fleet_new(n->loop, &config, err);
	if (!n->fleet)
		return -1;
	n->facts.epoch = store_epoch(fleet_store(n->fleet));
	node_kernels_set_fleet(n->kernels, n->fleet);
	n->settings = settings_new(fleet_store(n->fleet), err);
	n->curves = curves_new();
	n->board = node_board_new(n);
	if (!n->curves || !n->board)
		return err_set(err, "unable to start the backend: no memory");
	n->meter = n->settings ? node_meter_new(n, err) : NULL;
	n->jobs = n->meter ? node_jobs_new(n, err) : NULL;
	n->changes = n->jobs ? node_changes_new(n, dir) : NULL;
	n->projects = n->changes ? node_projects_new(n, dir, err) : NULL;
	n->webapps = n->projects ? node_webapps_new(n, dir, err) : NULL;
	n->notebooks = n->webapps ? node_notebooks_new(n, node, err) : NULL;
	if (n->notebooks)
		node_notebooks_set(n->notebooks, &(struct notebook_quota){ node->lease_longest_ms, node->leases_each_user },
				   node->is_jupyter_trusted);
	n->boxes = n->notebooks ? node_boxes_new(n) : NULL;
	if (!n->boxes)
		return -1;
	node_kernels_on_told(n->kernels, on_told, n);
	return 0;
}

static int open_keeper(struct node *n, int *fd, struct err *err)
{
	struct node_keeper_hooks hooks = {
		.welcome = on_welcome,
		.event = node_takeup_event,
		.drain = on_drain,
		.busy = count_busy,
		.gone = on_gone,
		.data = n,
	};
	int taken = *fd;
	*fd = -1;
	if (taken < 0)
		return 0;
	n->keeper = node_keeper_new(n->loop, taken, n->facts.epoch, &hooks, err);
	return n->keeper ? 0 : -1;
}

struct node *node_new(struct loop *loop, const struct node_config *config, struct err *err)
{
	int keeper_fd = config->keeper_fd, callback_fd = config->callback_fd;
	struct node *n = calloc(1, sizeof(*n));
	if (!n) {
		err_set(err, "unable to start the backend: no memory");
		goto out;
	}
	n->loop = loop;
	n->on_over = config->on_over;
	n->data = config->data;
	list_init(&n->held);
	n->page_port = config->page_port;
	snprintf(n->run_user, sizeof(n->run_user), "%s", config->run_user ? config->run_user : "");
	if (read_key(n, config->node_key_path, err) < 0)
		goto out;
	n->client = client_new(loop, CONNECTIONS_KEPT, err);
	n->prepare = loop_prepare_new(loop, before_wait, n);
	if (!n->client || !n->prepare || !(n->kernels = node_kernels_new(loop, n->client, n->key, n->key_len, err)))
		goto out;
	if (open_fleet(n, config, err) < 0 || open_callbacks(n, &callback_fd, err) < 0 || open_keeper(n, &keeper_fd, err) < 0)
		goto out;
	return n;
out:
	fds_close(&keeper_fd);
	fds_close(&callback_fd);
	node_free(&n);
	return NULL;
}

void node_free(struct node **np)
{
	struct node *n = *np;
	if (!n)
		return;
	loop_prepare_free(&n->prepare);
	if (n->jobs)
		node_jobs_stop(n->jobs);
	if (n->webapps)
		node_webapps_stop(n->webapps);
	if (n->notebooks)
		node_notebooks_stop(n->notebooks);
	if (n->projects)
		node_projects_stop(n->projects);
	node_changes_free(&n->changes);
	gate_free(&n->callbacks);
	if (n->kernels)
		node_kernels_free(&n->kernels);
	if (n->client)
		client_free(&n->client);
	if (n->meter)
		node_meter_stop(n->meter);
	/* The store is closed first: what was queued gets to the disk; the keeper tells the next backend what was not acknowledged. */
	fleet_free(&n->fleet);
	node_jobs_free(&n->jobs);
	node_webapps_free(&n->webapps);
	node_notebooks_free(&n->notebooks);
	node_boxes_free(&n->boxes);
	node_projects_free(&n->projects);
	node_meter_free(&n->meter);
	node_board_free(&n->board);
	curves_free(&n->curves);
	settings_free(&n->settings);
	node_keeper_free(&n->keeper);
	node_takeup_free(n);
	explicit_bzero(n->key, sizeof(n->key));
	free(n);
	*np = NULL;
}

/* --- words --- */

struct fleet *node_fleet(struct node *n)
{
	return n->fleet;
}
struct jobs *node_jobs(struct node *n)
{
	return node_jobs_table(n->jobs);
}
void node_project(struct node *n, const char *key, node_project_fn *fn, void *data)
{
	node_projects_ask(n->projects, key, fn, data);
}
/* Of a kernel that got one at its start: whoever's task it runs. */
static const char *kernel_ticket(const struct node *n, const char *ticket)
{
	char process[JOB_PROCESS_MAX];
	const struct kernel *k = node_spawn_read_ticket(n, ticket, process) ? fleet_kernel(n->fleet, process) : NULL;
	return k && k->task[0] ? k->owner : NULL;
}

void node_change(struct node *n, const char *key, const char *text, bool keeps_data, node_change_fn *fn, void *data)
{
	node_changes_order(n->changes, key, text, keeps_data, fn, data);
}
const char *node_ticket_owner(struct node *n, const char *ticket)
{
	const char *owner = node_jobs_ticket(n->jobs, ticket);
	if (!owner)
		owner = node_webapps_ticket(n->webapps, ticket);
	return owner ? owner : kernel_ticket(n, ticket);
}
struct meter *node_book(struct node *n)
{
	return node_meter_book(n->meter);
}
struct settings *node_settings(struct node *n)
{
	return n->settings;
}
void node_take_boxes(struct node *n, int64_t nwords)
{
	node_boxes_take(n->boxes, nwords);
}
struct node_jobs *node_recipes(struct node *n)
{
	return n->jobs;
}

struct node_meter *node_usage(struct node *n)
{
	return n->meter;
}

struct node_board *node_board(struct node *n)
{
	return n->board;
}

struct node_webapps *node_webapps(struct node *n)
{
	return n->webapps;
}
struct node_notebooks *node_notebooks(struct node *n)
{
	return n->notebooks;
}
const struct node_facts *node_facts(const struct node *n)
{
	return &n->facts;
}

int node_set_pools(struct node *n, struct pool_spec **specs, size_t count, struct err *err)
{
	if (fleet_set_pools(n->fleet, specs, count, err) < 0)
		return -1;
	n->has_pools = true;
	if (n->keeper)
		node_takeup_begin(n);
	return 0;
}

int node_health_json(const struct node *n, struct buf *out)
{
	const struct node_facts *f = &n->facts;
	buf_putc(out, '{');
	jtext_text(out, "status", f->is_connected && f->is_taken_up ? n->is_draining ? "draining" : "ok" : "starting");
	jtext_text(out, "version", DSS_VERSION);
	jtext_text(out, "instance", f->instance);
	jtext_text(out, "isolation", f->isolation);
	jtext_text(out, "cgroups", f->cgroups);
	jtext_int(out, "epoch", f->epoch);
	jtext_int(out, "pid", getpid());
	jtext_int(out, "keeperPid", f->keeper_pid);
	jtext_bool(out, "takenUp", f->is_taken_up);
	buf_putc(out, '}');
	return out->failed ? -1 : 0;
}

int node_reopen_logs(struct node *n, struct err *err)
{
	if (!n->keeper)
		return err_set(err, "there is no keeper");
	node_keeper_begin(n->keeper, WIRE_reopen);
	return node_keeper_end(n->keeper, NULL, NULL, err);
}
