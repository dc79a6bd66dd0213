#ifndef DSS_BIND_BIND_ORIGIN_H
#define DSS_BIND_BIND_ORIGIN_H
#include "base/err.h"
#include "bind/app.h"
#include "gate/server.h"
/*
 * bind_origin: the webapps' own port: a gate and a tunnel, with dss.api.origin between them, which decides who may, and where to. Its
 * requests have instead of `follow`
 *   pass(target, fn(status, why))      target: { prefix, depth, socket | port, user?, is_proxied?, strips_authorization? }
 * which answers by what stands there; fn is called where nothing was answered: reply works again then.
 */
struct origin;

/* Takes fd. s: of the page; what differs is set here. app->webapps_port tells Lua the port. */
struct origin *origin_new(struct vm *vm, int fd, const struct gate_settings *s, struct err *err);
void origin_drain(struct origin *o); /* NULL: nothing */
size_t origin_waiting(const struct origin *o);
void origin_free(struct origin **o); /* before the vm */

#endif
