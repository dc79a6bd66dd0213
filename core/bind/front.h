#ifndef DSS_BIND_FRONT_H
#define DSS_BIND_FRONT_H
#include "bind/app.h"
/*
 * front: what stands before the backend: the ports that are told, and the eye on nginx: what the last test of its configuration said (run/nginx/trouble) is an alert and in app->nginx.
 */
struct front;
struct front *front_new(struct loop *loop, struct app *app, struct err *err); /* borrows both. NULL: err */
/* A descriptor that the keeper handed on under this name, ours alone from here on; -1: none. */
int front_inherited(const char *name);
/* The port of such a socket, which is nginx's to accept on; without one: otherwise. */
int front_port(const char *name, int otherwise);
struct front_ports {
	int page, callback, webapps, local; /* local: without nginx the page's; webapps < 1: none */
	int jupyter;                        /* < 1: none */
	bool has_tls;
};
/* run/ports.json: where people and programs find us. */
int front_tell_ports(const char *dir, const struct front_ports *ports, struct err *err);
void front_free(struct front **front); /* before the node */
#endif
