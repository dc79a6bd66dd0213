#include "bind/policy_load.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "bind/call.h"
#include "bind/crumb.h"
#include "sys/clock.h"

#define ERRORS_MAX  (64 << 10)
#define STACK_BYTES (8 << 20) /* Lua's 200 levels of C, with room */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* is_done, is_given_up and places of all loads */
static pthread_cond_t done;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool is_place_taken[CRUMB_THREADS];

static void init_done(void)
{
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&done, &attr);
	pthread_condattr_destroy(&attr);
}

static void free_load(struct policy_load *load)
{
	policies_fini(&load->out);
	buf_fini(&load->errors);
	free(load->dir);
	free(load->share);
	free(load->run_user);
	free(load->texts);
	free(load);
}

/* Under the lock. Places behind the loop's; where all are taken the last is shared. */
static int take_place(void)
{
	for (int i = 1; i < CRUMB_THREADS; i++)
		if (!is_place_taken[i]) {
			is_place_taken[i] = true;
			return i;
		}
	return CRUMB_THREADS - 1;
}

static void *run(void *data)
{
	struct policy_load *load = data;
	crumb_use(load->place);
	if (load->from == POLICY_TEXTS)
		load->status = policies_load_texts(load->share, load->run_user, load->texts, load->len, &load->out, &load->errors);
	else
		load->status =
			policies_load(load->dir, load->share, load->run_user, load->from == POLICY_LAST, &load->out, &load->errors);
	call_thread_end();
	pthread_mutex_lock(&lock);
	is_place_taken[load->place] = false;
	load->is_done = true;
	bool is_given_up = load->is_given_up;
	if (!is_given_up && load->wake)
		loop_wake_send(load->wake);
	pthread_cond_broadcast(&done);
	pthread_mutex_unlock(&lock);
	if (is_given_up)
		free_load(load);
	return NULL;
}

/* The loop's signals are the loop's; a load's own time comes by a signal to its thread. */
static int start_thread(struct policy_load *load)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, before;
	const int own[] = { SIGRTMIN + 3 /* call.c's */, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP };
	sigfillset(&all);
	for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
		sigdelset(&all, own[i]);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int failed = pthread_create(&thread, &attr, run, load);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return failed;
}

static char *copy(const char *text)
{
	return strdup(text ? text : "");
}

struct policy_load *policy_load_start(enum policy_from from, const char *dir, const char *share, const char *run_user,
				      const char *texts, size_t len, struct loop_wake *wake, struct err *err)
{
	struct policy_load *load = calloc(1, sizeof *load);
	int failed = ENOMEM;
	pthread_once(&once, init_done);
	if (!load)
		goto fail;
	load->from = from;
	load->wake = wake;
	load->status = -1;
	load->started_mono_ms = clock_mono_ms();
	buf_init(&load->errors, ERRORS_MAX);
	load->dir = copy(dir);
	load->share = copy(share);
	load->run_user = copy(run_user);
	load->texts = texts ? malloc(len + 1) : NULL;
	if (!load->dir || !load->share || !load->run_user || (texts && !load->texts))
		goto fail;
	if (texts)
		memcpy(load->texts, texts, len);
	load->len = texts ? len : 0;
	pthread_mutex_lock(&lock);
	load->place = take_place();
	pthread_mutex_unlock(&lock);
	failed = start_thread(load);
	if (!failed)
		return load;
	pthread_mutex_lock(&lock);
	is_place_taken[load->place] = false;
	pthread_mutex_unlock(&lock);
fail:
	if (load)
		free_load(load);
	err_sys(err, failed, "unable to start a thread for policies");
	return NULL;
}

bool policy_load_is_done(const struct policy_load *load)
{
	pthread_mutex_lock(&lock);
	bool is = load->is_done;
	pthread_mutex_unlock(&lock);
	return is;
}

bool policy_load_wait(const struct policy_load *load, int most_ms)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += most_ms / 1000;
	until.tv_nsec += (long)(most_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&lock);
	while (!load->is_done && pthread_cond_timedwait(&done, &lock, &until) == 0)
		;
	bool is = load->is_done;
	pthread_mutex_unlock(&lock);
	return is;
}

void policy_load_free(struct policy_load **load)
{
	struct policy_load *l = *load;
	if (!l)
		return;
	*load = NULL;
	pthread_mutex_lock(&lock);
	bool is_done = l->is_done;
	l->is_given_up = true;
	pthread_mutex_unlock(&lock);
	if (is_done)
		free_load(l);
}
