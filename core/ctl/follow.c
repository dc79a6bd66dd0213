#include "ctl/follow.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { PATH_ROOM = 1100, LOOK_MS = 300 };

static volatile sig_atomic_t stop;

static void on_signal(int signo)
{
	(void)signo;
	stop = 1;
}

void follow_begin(struct rest *rest)
{
	struct sigaction act = { .sa_handler = on_signal };
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	rest_stop_on(rest, &stop);
}

bool follow_is_over(void)
{
	return stop != 0;
}

int follow_log(struct rest *rest, const char *path, bool is_following)
{
	char piece[PATH_ROOM];
	int64_t offset = 0;
	bool is_whole = false;
	int code = CTL_DONE;
	while (code == CTL_DONE && !stop && !is_whole && !ferror(stdout)) {
		struct rest_answer a = { 0 };
		snprintf(piece, sizeof(piece), "%s?offset=%lld", path, (long long)offset);
		code = rest_ask(rest, "GET", piece, NULL, &a);
		if (code == CTL_DONE) {
			if (a.body.len > 0)
				fwrite(a.body.data, 1, a.body.len, stdout);
			fflush(stdout);
			offset = (int64_t)rest_field(&a, "Log-Offset", 0) + (int64_t)a.body.len;
			is_whole = strcasestr(a.head.data != NULL ? a.head.data : "", "\nLog-Whole: true") != NULL ||
				   (!is_following && offset >= (int64_t)rest_field(&a, "Log-Size", 0));
			if (!is_whole && a.body.len == 0)
				poll(NULL, 0, LOOK_MS);
		}
		rest_answer_fini(&a);
	}
	return stop ? CTL_INTERRUPTED : code;
}
