#ifndef DSS_BIND_NGINX_H
#define DSS_BIND_NGINX_H
#include <stddef.h>
/*
 * nginx: `dssd nginx DIR [check|install]`, run as the control user. Without a word, started by the keeper: renders run/nginx/nginx.conf,
 * lets nginx test it and becomes nginx, so that the keeper watches nginx itself, on the listening sockets DSS_LISTEN_FRONT_FD and
 * DSS_LISTEN_FRONT_WEBAPPS_FD. `check` tests config/dss.lua as it stands and changes nothing; `install` puts it where the nginx that runs
 * will read it when it is told to. What nginx says goes to standard error and to run/nginx/trouble.
 */
int nginx_main(int argc, char **argv);

/* What the last test said, cut where it is longer than room, or "": run/nginx/trouble of the instance in dir. */
void nginx_trouble(const char *dir, char *out, size_t room);

#endif
