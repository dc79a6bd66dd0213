#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <malloc.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/log.h"
#include "base/text.h"
#include "bind/bind_machine.h"
#include "bind/app.h"
#include "bind/bind_events.h"
#include "bind/bind_gate.h"
#include "bind/bind_origin.h"
#include "bind/config.h"
#include "bind/crumb.h"
#include "bind/front.h"
#include "bind/nginx.h"
#include "bind/policies_live.h"
#include "bind/policy_check.h"
#include "bind/policy_set.h"
#include "bind/policy_test.h"
#include "bind/project_command.h"
#include "bind/replay.h"
#include "fleet/keys.h"
#include "fleet/purge.h"
#include "fleet/versions.h"
#include "gate/pages.h"
#include "gate/server.h"
#include "node/node.h"
#include "sys/clock.h"
#include "sys/fds.h"
#include "sys/home.h"
#include "sys/loop.h"
#include "sys/notify.h"
#include "sys/sock.h"
/* dssd: the backend, and the one who turns config/dss.lua into the keeper's plan. */

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

#define PLAN_MAX (1 << 20)

static const char usage[] =
	"usage: dssd plan DIR [-o FILE] [--web-dir FOLDER]   evaluate DIR/config/dss.lua into the keeper's plan\n"
	"       dssd check DIR [-q] [--json]  policies on standard input; dssctl policy check calls it\n"
	"       dssd run DIR              the backend; started by dss-keeper\n"
	"       dssd project DIR KEY [--absolute]   projects/KEY/project.lua as checked data\n"
	"       dssd nginx DIR [check|install]   nginx, as config/dss.lua says; started by dss-keeper\n"
	"       dssd replay DIR …         decisions that were recorded, made again\n"
	"       dssd test DIR …           users' specs of their policies\n"
	"       dssd --help | --version\n";

static int complain(const char *text)
{
	fprintf(stderr, "dssd: %s\n", text);
	return EXIT_FAILED;
}

static int plan(int argc, char **argv)
{
	char dir[PATH_MAX];
	const char *file = NULL, *web_dir = NULL;
	struct err err = { 0 };
	struct buf out;
	int status = EXIT_DONE;
	static const struct option options[] = { { "web-dir", required_argument, NULL, 'w' }, { 0 } };
	for (int c; (c = getopt_long(argc, argv, "o:", options, NULL)) != -1;) {
		if (c == 'o')
			file = optarg;
		else if (c == 'w' && optarg[0] == '/')
			web_dir = optarg;
		else
			return fputs(usage, stderr), EXIT_USAGE;
	}
	if (optind != argc - 1)
		return fputs(usage, stderr), EXIT_USAGE;
	if (!realpath(argv[optind], dir)) {
		err_sys(&err, errno, "unable to find the instance %s", argv[optind]);
		return complain(err.text);
	}
	buf_init(&out, PLAN_MAX);
	if (config_plan(dir, web_dir, &out, &err) < 0) {
		if (out.len > 0)
			fprintf(stderr, "%s\n", out.data);
		status = complain(err.text);
	} else if (file) {
		/* the keeper's alone: environments may hold secrets */
		if (fds_replace_file(file, out.data, out.len, 0600, &err) < 0)
			status = complain(err.text);
	} else if (fwrite(out.data, 1, out.len, stdout) != out.len || fflush(stdout) != 0) {
		err_sys(&err, errno, "unable to write the plan");
		status = complain(err.text);
	}
	buf_fini(&out);
	return status;
}

static int check(int argc, char **argv)
{
	char dir[PATH_MAX];
	struct err err = { 0 };
	bool is_quiet = false, as_json = false;
	static const struct option options[] = { { "json", no_argument, NULL, 'j' }, { 0 } };
	for (int c; (c = getopt_long(argc, argv, "q", options, NULL)) != -1;) {
		if (c != 'q' && c != 'j')
			return fputs(usage, stderr), EXIT_USAGE;
		is_quiet |= c == 'q';
		as_json |= c == 'j';
	}
	if (optind != argc - 1)
		return fputs(usage, stderr), EXIT_USAGE;
	if (!realpath(argv[optind], dir)) {
		err_sys(&err, errno, "unable to find the instance %s", argv[optind]);
		return complain(err.text);
	}
	return policy_check_input(dir, is_quiet, as_json) == 0 ? EXIT_DONE : EXIT_FAILED;
}

/* --- the backend --- */

#define API_VERSION      "1"
#define KEEP_BYTES       (1 << 20)
#define DRAIN_MS         2000 /* for answers under way, at SIGTERM */
#define DRAIN_LOOK_MS    20
#define API_MEMORY_BYTES ((size_t)256 << 20)
#define ANSWER_MAX       ((size_t)65 << 20) /* the largest result (64 MB) and its state */

struct dssd {
	char dir[PATH_MAX], share[PATH_MAX];
	struct loop *loop;
	struct config_node config;
	struct node *node;
	struct vm *vm;
	struct gate *page, *admin, *behind;
	struct pages *pages;
	struct front *front;
	struct origin *origin; /* NULL: webapps have no port of their own */
	struct policies_live *live;
	struct purge *purge;
	struct policy_set *policies;
	struct loop_signal *terms[2];
	struct loop_timer *drain;
	struct app app;
	int keeper_fd, page_fd, callback_fd;
	int backend_fd, webapps_fd; /* what nginx passes on; webapps' own origin (behind nginx a Unix socket); -1: none */
	int port, callback_port;
	int page_port, webapps_port; /* as people know them: nginx has them, where it runs */
	int jupyter_port;            /* of the Jupyter server that the keeper runs; -1: none */
	int64_t drain_until_ms;
	bool has_failed;
};

static void on_over(void *data, const char *text)
{
	struct dssd *d = data;
	log_error("ending: %s", text);
	d->has_failed = true;
	loop_stop(d->loop);
}

/* The first set: taking up waits for it. */
static int start_policies(struct dssd *d, struct err *err)
{
	const char *safe = getenv("DSS_SAFE");
	struct policy_set_config c = {
		.loop = d->loop,
		.node = d->node,
		.live = d->live,
		.app = &d->app,
		.dir = d->dir,
		.share = d->share,
		.run_user = d->config.run_user,
	};
	d->policies = policy_set_new(&c, err);
	d->app.policy_set = d->policies;
	return d->policies ? policy_set_start(d->policies, safe && strcmp(safe, "1") == 0, err) : -1;
}

static void on_retention(void *data, const struct policy_retention *retention)
{
	purge_set(data, retention);
}

/* Where a Jupyter server is, and the file with its token; "" = there is none. */
static void find_jupyter(const struct dssd *d, char *url, size_t room, char *token, size_t token_room)
{
	const struct config_node *c = &d->config;
	if (c->jupyter_attach)
		snprintf(url, room, "%s", c->jupyter_attach);
	else if (c->is_jupyter_ours && d->jupyter_port > 0)
		snprintf(url, room, "http://%s:%d", c->jupyter_host, d->jupyter_port);
	if (c->jupyter_token_file)
		snprintf(token, token_room, "%s", c->jupyter_token_file);
	else
		snprintf(token, token_room, "%s/config/jupyter.token", d->dir);
}

static int start_node(struct dssd *d, struct err *err)
{
	char key[PATH_MAX];
	if (snprintf(key, sizeof key, "%s/config/node.key", d->dir) >= (int)sizeof key)
		return err_set(err, "unable to start: the instance's path is too long");
	char jupyter[400] = "", token[PATH_MAX + 32] = "";
	find_jupyter(d, jupyter, sizeof jupyter, token, sizeof token);
	struct node_config c = {
		.dir = d->dir,
		.jupyter_url = jupyter,
		.jupyter_token = token,
		.is_jupyter_ours = d->config.is_jupyter_ours,
		.is_jupyter_trusted = d->config.is_jupyter_trusted,
		.lease_longest_ms = d->config.lease_longest_ms,
		.leases_each_user = d->config.leases_each_user,
		.keeper_fd = d->keeper_fd,
		.callback_fd = d->callback_fd,
		.node_key_path = key,
		.share_dir = d->share,
		.run_user = d->config.run_user,
		.page_port = d->port,
		.memory_bytes = d->config.memory_bytes,
		.reserve_bytes = d->config.reserve_bytes,
		.on_over = on_over,
		.data = d,
	};
	d->keeper_fd = d->callback_fd = -1;
	d->node = node_new(d->loop, &c, err);
	if (!d->node)
		return -1;
	bind_machine_pretend(0, node_facts(d->node)->memory_bytes);
	struct store *store = fleet_store(node_fleet(d->node));
	d->app.events = events_new(d->loop, store, node_board(d->node)); /* before the first fact */
	d->live = policies_live_new(d->loop, node_fleet(d->node), d->node);
	d->app.live = d->live;
	d->purge = purge_new(d->loop, node_fleet(d->node), d->dir);
	if (!d->app.events || !d->live || !d->purge)
		return err_set(err, "unable to start: not enough memory");
	d->app.purge = d->purge;
	policies_live_on_retention(d->live, on_retention, d->purge);
	d->app.is_observe = d->config.is_observe;
	policies_live_observe(d->live, d->app.is_observe);
	d->app.keys = keys_new(store, err);
	d->app.versions = d->app.keys ? versions_open(store, err) : NULL;
	return d->app.versions ? 0 : -1;
}

static int start_api(struct dssd *d, struct err *err)
{
	if (!(d->pages = pages_new(&pages_built, d->config.web_dir)))
		return err_set(err, "unable to start: not enough memory");
	d->app.pages = d->pages;
	d->app.loop = d->loop;
	d->app.node = d->node;
	d->app.dir = d->dir;
	d->app.version = DSS_VERSION;
	d->app.control_uid = geteuid();
	d->app.is_one_user = d->config.control_user[0] == '\0';
	const struct passwd *run = d->config.run_user[0] ? getpwnam(d->config.run_user) : NULL;
	d->app.run_uid = run ? run->pw_uid : (uid_t)-1;
	d->app.keeper = getppid();
	d->app.started_wall_ms = clock_wall_ms();
	d->app.takes_remote_user = d->config.takes_remote_user;
	d->app.remote_admins = (const char *const *)d->config.remote_admins;
	if (d->config.is_fronted && !(d->front = front_new(d->loop, &d->app, err)))
		return -1;
	d->vm = vm_new(
		&(struct vm_options){ .use = VM_API, .share = d->share, .memory_max_bytes = API_MEMORY_BYTES, .app = &d->app },
		err);
	return d->vm ? bind_gate_start(d->vm, err) : -1;
}

static int start_gates(struct dssd *d, struct err *err)
{
	char path[PATH_MAX];
	struct gate_settings s;
	gate_settings_init(&s);
	s.version = DSS_VERSION;
	s.api_version = API_VERSION;
	s.hosts = (const char *const *)d->config.hosts;
	s.answer_max = ANSWER_MAX;
	int page = d->page_fd, admin, behind = d->backend_fd;
	d->page_fd = d->backend_fd = -1;
	if (behind >= 0) { /* nginx counts each client's connections; to us all are its own */
		struct gate_settings front = s;
		front.per_peer_max = front.connections_max;
		if (!(d->behind = gate_new(d->loop, behind, &front, bind_gate_take_passed, d->vm, err)))
			return fds_close(&page), -1;
	}
	if (!(d->page = gate_new(d->loop, page, &s, bind_gate_take, d->vm, err)))
		return -1;
	if (snprintf(path, sizeof path, "%s/run/admin.sock", d->dir) >= (int)sizeof path)
		return err_set(err, "unable to listen on run/admin.sock: the path is too long");
	/* Where users' code runs as another user, run/ says who may come near; where it runs as ours, whoever submits acts as us. */
	if ((admin = sock_listen_unix(path, d->app.is_one_user ? 0600 : 0666, err)) < 0)
		return -1;
	d->admin = gate_new(d->loop, admin, &s, bind_gate_take, d->vm, err);
	d->app.gates[0] = d->page;
	d->app.gates[1] = d->admin;
	d->app.gates[2] = d->behind;
	if (!d->admin || d->webapps_fd < 0)
		return d->admin ? 0 : -1;
	if (d->behind)
		s.per_peer_max = s.connections_max;
	int webapps = d->webapps_fd;
	d->webapps_fd = -1;
	d->app.webapps_port = d->webapps_port;
	return (d->origin = origin_new(d->vm, webapps, &s, err)) ? 0 : -1;
}

static int tell_ports(struct dssd *d, struct err *err)
{
	const struct front_ports ports = { d->page_port, d->callback_port, d->webapps_port,
					   d->port,      d->jupyter_port,  d->config.is_front_tls };
	return front_tell_ports(d->dir, &ports, err);
}

/* --- its end: answers under way get a moment, kernels are not touched --- */

static void look_at_drain(void *data)
{
	struct dssd *d = data;
	struct gate *const gates[] = { d->page, d->admin, d->behind };
	size_t waiting = origin_waiting(d->origin);
	for (size_t i = 0; i < sizeof gates / sizeof gates[0]; i++) {
		struct gate_stats stats = { 0 };
		if (gates[i])
			gate_get_stats(gates[i], &stats);
		waiting += stats.waiting;
	}
	if (waiting == 0 || clock_mono_ms() >= d->drain_until_ms)
		loop_stop(d->loop);
	else
		loop_timer_start(d->drain, DRAIN_LOOK_MS);
}

static void on_term(void *data, int signo)
{
	struct dssd *d = data;
	if (d->drain_until_ms)
		return;
	log_info("ending: %s", strsignal(signo));
	d->app.is_ending = true;
	notify_send("STOPPING=1");
	events_end(d->app.events);
	gate_drain(d->page);
	gate_drain(d->admin);
	if (d->behind)
		gate_drain(d->behind);
	origin_drain(d->origin);
	d->drain_until_ms = clock_mono_ms() + DRAIN_MS;
	look_at_drain(d);
}

static int start_loop(struct dssd *d, struct err *err)
{
	signal(SIGPIPE, SIG_IGN);
	fds_raise_limit();
	if (!(d->loop = loop_new(err)))
		return -1;
	d->terms[0] = loop_signal_new(d->loop, SIGTERM, on_term, d);
	d->terms[1] = loop_signal_new(d->loop, SIGINT, on_term, d);
	d->drain = loop_timer_new(d->loop, look_at_drain, d);
	return d->terms[0] && d->terms[1] && d->drain ? 0 : err_set(err, "unable to start the loop: not enough memory");
}

static int find_inherited(struct dssd *d, struct err *err)
{
	d->keeper_fd = front_inherited("DSS_KEEPER_FD");
	d->page_fd = front_inherited("DSS_LISTEN_PAGE_FD");
	d->callback_fd = front_inherited("DSS_LISTEN_CALLBACK_FD");
	if (d->keeper_fd < 0 || d->page_fd < 0 || d->callback_fd < 0)
		return err_set(err,
			       "unable to start: DSS_KEEPER_FD, DSS_LISTEN_PAGE_FD and DSS_LISTEN_CALLBACK_FD have to name open "
			       "descriptors; dss-keeper starts the backend (use DIR/bin/dss start)");
	d->backend_fd = front_inherited("DSS_LISTEN_BACKEND_FD");
	d->webapps_fd = front_inherited("DSS_LISTEN_WEBAPPS_FD");
	d->port = sock_port(d->page_fd);
	d->callback_port = sock_port(d->callback_fd);
	d->page_port = front_port("DSS_LISTEN_FRONT_FD", d->port);
	d->jupyter_port = front_port("DSS_LISTEN_JUPYTER_FD", -1);
	d->webapps_port = front_port("DSS_LISTEN_FRONT_WEBAPPS_FD", d->webapps_fd >= 0 ? sock_port(d->webapps_fd) : -1);
	return 0;
}

static int read_config(struct dssd *d, struct err *err)
{
	if (home_share(d->share, sizeof d->share) < 0)
		return err_set(err, "unable to find lua/dss near our program; set DSS_SHARE");
	return config_node(d->dir, &d->config, err);
}

static int start(struct dssd *d, struct err *err)
{
	crumb_start(); /* before any of the user's runs */
	static int (*const steps[])(struct dssd * d, struct err * err) = {
		find_inherited, start_loop, read_config, start_node, start_policies, start_api, start_gates, tell_ports,
	};
	for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
		if (steps[i](d, err) < 0)
			return -1;
	notify_send("READY=1");
	log_info("ready: dssd %s, page on port %d%s, callbacks on port %d", DSS_VERSION, d->page_port,
		 d->behind ? " behind nginx" : "", d->callback_port);
	return 0;
}

static void stop(struct dssd *d)
{
	d->app.gates[0] = d->app.gates[1] = d->app.gates[2] = NULL;
	origin_free(&d->origin);
	if (d->behind)
		gate_free(&d->behind);
	if (d->admin)
		gate_free(&d->admin);
	if (d->page)
		gate_free(&d->page);
	d->app.policy_set = NULL;
	policy_set_free(&d->policies);
	policies_live_free(&d->live);
	d->app.live = NULL; /* the answers that node_free gives reach Lua, which may ask for more */
	front_free(&d->front);
	if (d->node)
		node_free(&d->node); /* what was asked of it is answered while the state still lives */
	d->app.node = NULL;
	keys_free(&d->app.keys);
	versions_free(&d->app.versions);
	purge_free(&d->purge);
	events_free(&d->app.events);
	if (d->vm) {
		bind_gate_stop(d->vm);
		vm_free(&d->vm);
	}
	d->app.pages = NULL;
	pages_free(&d->pages);
	config_node_fini(&d->config);
	if (d->loop) {
		loop_timer_free(&d->drain);
		loop_signal_free(&d->terms[0]);
		loop_signal_free(&d->terms[1]);
		loop_free(&d->loop);
	}
	fds_close(&d->page_fd);
	fds_close(&d->callback_fd);
	fds_close(&d->backend_fd);
	fds_close(&d->webapps_fd);
	fds_close(&d->keeper_fd);
}

static int run(int argc, char **argv)
{
	static struct dssd d;
	struct err err = { 0 };
	if (argc != 2)
		return fputs(usage, stderr), EXIT_USAGE;
	d.keeper_fd = d.page_fd = d.callback_fd = d.backend_fd = d.webapps_fd = -1;
	log_init("backend", LOG_INFO);
	/* Otherwise each transaction's few hundred KB go back to the kernel and are faulted in anew by the next. */
	mallopt(M_MMAP_THRESHOLD, KEEP_BYTES);
	mallopt(M_TRIM_THRESHOLD, KEEP_BYTES);
	/* Each request's larger pieces would first gather all that is kept apart: a fifteenth of the time of a task. */
	mallopt(M_MXFAST, 0);
	if (!realpath(argv[1], d.dir)) {
		err_sys(&err, errno, "unable to find the instance %s", argv[1]);
		return complain(err.text);
	}
	if (start(&d, &err) == 0) {
		loop_run(d.loop);
	} else {
		log_error("%s", err.text);
		d.has_failed = true;
	}
	stop(&d);
	if (!d.has_failed)
		log_info("ended");
	return d.has_failed ? EXIT_FAILED : EXIT_DONE;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv);
	} commands[] = { { "plan", plan },        { "check", check },        { "project", project_main }, { "run", run },
			 { "nginx", nginx_main }, { "replay", replay_main }, { "test", policy_test_main } };

	if (argc < 2)
		return fputs(usage, stderr), EXIT_USAGE;
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return fputs(usage, stdout), EXIT_DONE;
	if (strcmp(argv[1], "--version") == 0)
		return printf("dssd %s\n", DSS_VERSION), EXIT_DONE;
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "dssd: unknown command \"%s\"\n%s", argv[1], usage);
	return EXIT_USAGE;
}
