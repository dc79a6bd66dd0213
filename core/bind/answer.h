#ifndef DSS_BIND_ANSWER_H
#define DSS_BIND_ANSWER_H
#include <lua.h>
#include "bind/ref.h"
#include "gate/server.h"
/* answer: what bind_gate and bind_origin share: a request in Lua's hands, as a userdata. One that is collected unanswered is answered 500. */
#define ANSWER "dss.answer"

struct answer {
	struct gate_request *req; /* NULL once it was answered */
};

/* Calls handler(request); beside `reply` the request has fn, whose first upvalue is the answer, under that name. */
void answer_ask(struct vm *vm, struct gate_request *req, const struct ref *handler, const char *name, lua_CFunction fn);
/* Loads the module and takes its function `take`. */
int answer_handler(struct vm *vm, const char *module, struct ref *handler, struct err *err);

#endif
