#ifndef DSS_BIND_MACHINE_H
#define DSS_BIND_MACHINE_H
#include <stdint.h>
/* bind_machine: what policies hear of this machine; toc.h has the numbers. */

/* For users' specs of their policies: sets that are loaded from now on are told of another machine. 0: of this one. */
void bind_machine_pretend(int64_t cores, int64_t bytes);

#endif
