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

/* An open file as Lua holds it, closed when it is collected: request.send_file(status, type, file, fields) takes the descriptor, and the gate sends it in
 * pieces: it is never in memory, and the loop does not wait for its reader. */
#define ANSWER_FILE "dss.answer.file"

struct answer_file {
	int fd; /* -1: it was sent, or there is none */
	int64_t bytes;
};

/* On top of the stack, with no descriptor yet. May raise: set fd after. */
struct answer_file *answer_file_new(lua_State *L);

/* Calls handler(request); beside `reply` and `send_file` the request has fn, whose first upvalue is the answer, under that
 * name. */
void answer_ask(struct vm *vm, struct gate_request *req, const struct ref *handler, const char *name, lua_CFunction fn);
/* Loads the module and takes its function `take`. */
int answer_handler(struct vm *vm, const char *module, struct ref *handler, struct err *err);

#endif
