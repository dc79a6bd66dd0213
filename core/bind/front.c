#include "bind/front.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/text.h"
#include "bind/nginx.h"
#include "fleet/alerts.h"
#include "sys/fds.h"
#include "sys/sock.h"
#include "sys/watch.h"

#define SETTLE_MS 50
#define ALERT     "nginx"

struct front {
	struct app *app;
	struct watch *watch;
};

static void look(void *data)
{
	struct front *f = data;
	struct app *app = f->app;
	struct alerts *alerts = fleet_alerts(node_fleet(app->node));
	char text[sizeof app->nginx + 16], now[sizeof app->nginx];
	nginx_trouble(app->dir, now, sizeof now);
	if (strcmp(now, app->nginx) == 0) /* each test writes there */
		return;
	strcpy(app->nginx, now);
	if (app->nginx[0] == '\0') {
		alerts_clear(alerts, ALERT);
		return;
	}
	snprintf(text, sizeof text, "nginx: %s", app->nginx);
	alerts_raise(alerts, ALERT, ALERT_WARNING, NULL, NULL, text);
}

struct front *front_new(struct loop *loop, struct app *app, struct err *err)
{
	char dir[PATH_MAX];
	struct front *f = calloc(1, sizeof *f);
	if (!f || snprintf(dir, sizeof dir, "%s/run/nginx", app->dir) >= (int)sizeof dir) {
		free(f);
		err_set(err, "unable to watch run/nginx: no memory, or its path is too long");
		return NULL;
	}
	f->app = app;
	/* whoever of nginx and us comes first makes it */
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		err_sys(err, errno, "unable to make %s", dir);
	else
		f->watch = watch_new(loop, dir, SETTLE_MS, look, f, err);
	if (!f->watch) {
		free(f);
		return NULL;
	}
	look(f);
	return f;
}

void front_free(struct front **front)
{
	struct front *f = *front;
	*front = NULL;
	if (!f)
		return;
	watch_free(&f->watch);
	free(f);
}

int front_tell_ports(const char *dir, const struct front_ports *p, struct err *err)
{
	char path[PATH_MAX], text[240], webapps[16] = "null", jupyter[16] = "null";
	if (snprintf(path, sizeof path, "%s/run/ports.json", dir) >= (int)sizeof path)
		return err_set(err, "unable to write run/ports.json: the path is too long");
	if (p->webapps > 0)
		snprintf(webapps, sizeof webapps, "%d", p->webapps);
	if (p->jupyter > 0)
		snprintf(jupyter, sizeof jupyter, "%d", p->jupyter);
	int n = snprintf(text, sizeof text, "{\"page\":%d,\"callback\":%d,\"jupyter\":%s,\"webapps\":%s,\"local\":%d,\"tls\":%s}\n",
			 p->page, p->callback, jupyter, webapps, p->local, p->has_tls ? "true" : "false");
	return fds_replace_file(path, text, (size_t)n, 0644, err);
}

int front_inherited(const char *name)
{
	int64_t fd;
	const char *text = getenv(name);
	if (!text || text_int(text, 3, INT_MAX, &fd, NULL) < 0 || fcntl((int)fd, F_GETFD) < 0)
		return -1;
	unsetenv(name);
	fds_cloexec((int)fd, true, NULL);
	return (int)fd;
}

int front_port(const char *name, int otherwise)
{
	int fd = front_inherited(name), port = fd >= 0 ? sock_port(fd) : otherwise;
	fds_close(&fd);
	return port;
}
