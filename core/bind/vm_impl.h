#ifndef DSS_BIND_VM_IMPL_H
#define DSS_BIND_VM_IMPL_H
#include <stdbool.h>
#include <stdint.h>
#include "bind/call.h"
#include "bind/vm.h"
/* vm_impl: the inside of a vm; for vm.c and call.c only. */
struct vm {
	lua_State *L;
	enum vm_use use;
	size_t memory_bytes, memory_max_bytes;
	void *app;
	/* the call that runs now */
	int depth;
	lua_State *volatile thread; /* the coroutine that runs; NULL: the main thread, L */
	int64_t deadline_us;        /* of the innermost call; 0 = none */
	int budget_ms;
	bool is_over; /* the hook has fired; overtime says where */
	char overtime[ERR_TEXT_MAX];
	char short_of_memory[96]; /* "file:line" where memory was refused last; "" = never in this call */
	/* the last fault */
	enum call_fault why;
	char trace[4096];
};

/* call.c's, for the allocator: notes the user's line. Allocates nothing. */
void call_note_place(struct vm *vm);

#endif
