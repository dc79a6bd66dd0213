#ifndef DSS_BIND_GATE_H
#define DSS_BIND_GATE_H
#include "bind/app.h"
#include "gate/server.h"
/*
 * bind_gate: requests to Lua handlers. Lua gets a plain table { method, path, segments, query, fields, body, peer } and, of a
 * unix socket's peer, { uid, is_boxed, login }, and answers by request.reply(status, content_type, body, fields), now or later, by
 * request.send_file(status, content_type, file, fields) (answer.h), or by request.follow(login | nil, epoch | nil, seq): a stream of events. A request that Lua raised on or forgot is answered
 * with 500.
 */

/* Loads dss.api.serve and takes its handler. */
int bind_gate_start(struct vm *vm, struct err *err);
void bind_gate_stop(struct vm *vm);
/* A gate_handler; data is the vm. */
void bind_gate_take(void *data, struct gate_request *req);
/* The same for what nginx passes on: { is_passed = true } instead of a peer, who is nginx. */
void bind_gate_take_passed(void *data, struct gate_request *req);

#endif
