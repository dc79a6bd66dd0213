#ifndef DSS_KEEPER_PLAN_H
#define DSS_KEEPER_PLAN_H
#include <stdbool.h>
#include <stddef.h>
#include "base/list.h"
#include "base/err.h"
#include "keeper/desc.h"
/*
 * plan: what the keeper was told to run: run/keeper.plan, written by `dssd plan DIR`, read once at start and on `reload`.
 *
 * Text, one statement a line: a word and its arguments, split by one blank each; in an argument every byte <= 0x20, '%' and
 * 0x7f is %XX. '#' begins a comment line. An unknown word is an error with its line number.
 *
 *     dss-plan 1
 *     instance 7f3a09c2                  id: names the boxes dss-7f3a09c2
 *     dir /srv/dss                       the instance's folder, absolute
 *     cgroups auto                       auto | v2 | v1 | none
 *     control_user dss                   who backend and logger run as; absent = one user
 *     allow_user dss-run                 may repeat; whom `spawn` may name
 *     listen page 127.0.0.1 11200        port 0 = choose; may repeat
 *     listen_unix backend                run/NAME.sock, for the control user alone; may repeat
 *     log_file 104857600 10              bytes a file, how many are kept
 *     log_job 52428800                   bytes of a job's log, head and tail are kept
 *     log_total 10737418240              bytes of all logs of the instance
 *     log_floor 1073741824               bytes of the disk that stay free
 *     service backend                    a block up to `end`; `logger` and `backend` must be there
 *       argv /usr/local/bin/dssd         one line an argument; the first is an absolute path
 *       env LANG=C.UTF-8                 all there is: nothing is inherited
 *       cwd /srv/dss
 *       user dss
 *       box core/backend
 *       limit memory=4294967296          memory | swap | pids | cpu | cpu_weight
 *       rlimit nofile=4096:20000
 *       sink service:backend
 *       prefix x                         optional, put before each line
 *       ready notify                     exec | fd | notify | told | port HOST PORT | http HOST PORT PATH
 *       ready_within_ms 30000
 *       stop_signal 15
 *       grace_ms 10000
 *       restart_most_ms 60000            longest pause between tries
 *       healthy_ms 60000
 *       give_up_ms 0                     0 = never
 *       reload_signal 1                  optional: what `reload NAME` sends
 *       after logger                     may repeat: started once that is ready
 *       starter 1                        argv tells on DSS_START_FD when it has started, or why not
 *       inherit page                     may repeat: listening sockets, as DSS_LISTEN_PAGE_FD=N
 *       secret /srv/dss/config/x.token   read anew at each start, handed over by a pipe: DSS_KERNEL_SECRETS_FD=N
 *     end
 */

struct plan_listen {
	struct list link;
	char name[32], host[64];
	int port;
	bool is_unix; /* run/NAME.sock; no host, no port */
};

struct plan_service {
	struct list link;
	struct desc desc; /* desc.id is the service's name */
	int restart_most_ms, healthy_ms;
	long give_up_ms;         /* 0 = never */
	int reload_signal;       /* 0 = it cannot be reloaded */
	char **after, **inherit; /* NULL-terminated, owned */
	char *secret;            /* owned; a file that its user may not read; NULL = none */
};

struct plan {
	char instance[64], dir[4096], cgroups[16], control_user[64];
	char **allow_users; /* NULL-terminated, owned */
	struct list listens, services;
	long log_file_bytes, log_job_bytes, log_total_bytes, log_floor_bytes;
	int log_files;
};

/* NULL: err names file, line, word. Returns owned. A file that is not root's or our own, or that others may write, is refused. */
struct plan *plan_read(const char *path, struct err *err);
void plan_free(struct plan **plan);
struct plan_service *plan_service_named(const struct plan *plan, const char *name);

#endif
