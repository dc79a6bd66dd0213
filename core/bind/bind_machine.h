#ifndef DSS_BIND_MACHINE_H
#define DSS_BIND_MACHINE_H
#include <stdint.h>
/* bind_machine: what policies hear of this machine; toc.h has the numbers. */

/* Sets that are loaded from now on are told of another machine: in users' specs of their policies; or of as much memory as is ours to use.
 * 0: of this one's. */
void bind_machine_pretend(int64_t cores, int64_t bytes);

#endif
