#include "sys/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include "sys/fds.h"

enum { BOOT_ID_LEN = 36 };

static int64_t read_us(clockid_t clock)
{
	struct timespec ts;
	clock_gettime(clock, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t clock_mono_us(void)
{
	return read_us(CLOCK_MONOTONIC);
}

int64_t clock_mono_ms(void)
{
	return read_us(CLOCK_MONOTONIC) / 1000;
}

int64_t clock_wall_ms(void)
{
	return read_us(CLOCK_REALTIME) / 1000;
}

const char *clock_print(int64_t wall_ms, char *out, int room)
{
	time_t s = (time_t)(wall_ms / 1000);
	int ms = (int)(wall_ms % 1000);
	if (ms < 0) { /* before 1970: a clock that was never set */
		ms += 1000;
		s--;
	}
	struct tm tm;
	char date[48];
	if (gmtime_r(&s, &tm) == NULL || strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		snprintf(date, sizeof(date), "?");
	snprintf(out, (size_t)room, "%s.%03dZ", date, ms);
	return out;
}

const char *clock_boot_id(void)
{
	static char id[64];
	if (id[0] == '\0') {
		char text[64];
		ssize_t n = fds_read_file("/proc/sys/kernel/random/boot_id", text, sizeof(text), NULL);
		if (n >= BOOT_ID_LEN) {
			text[BOOT_ID_LEN] = '\0';
			memcpy(id, text, BOOT_ID_LEN + 1);
		}
	}
	return id;
}
