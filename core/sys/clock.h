#ifndef DSS_SYS_CLOCK_H
#define DSS_SYS_CLOCK_H
#include <stdint.h>
/* clock: durations and deadlines run on the monotonic clock, which stands while the machine is suspended. */
int64_t clock_mono_ms(void);
int64_t clock_mono_us(void);
int64_t clock_wall_ms(void); /* since the epoch, UTC */
/* "2026-11-21T20:35:06.123Z"; room >= 25. Returns out. */
const char *clock_print(int64_t wall_ms, char *out, int room);
/* The kernel's boot id, 36 characters and NUL; "" where /proc does not tell. */
const char *clock_boot_id(void);
#endif
