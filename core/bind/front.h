#ifndef DSS_BIND_FRONT_H
#define DSS_BIND_FRONT_H
#include "bind/app.h"
/* front: the backend's eye on nginx: what the last test of its configuration said (run/nginx/trouble) is an alert and in app->nginx. */
struct front;
struct front *front_new(struct loop *loop, struct app *app, struct err *err); /* borrows both. NULL: err */
void front_free(struct front **front);                                       /* before the node */
#endif
