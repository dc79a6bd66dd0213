#ifndef DSS_BIND_APP_H
#define DSS_BIND_APP_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "bind/ref.h"
#include "gate/server.h"
#include "node/node.h"
#include "sys/loop.h"
struct console;
struct events;
struct keys;
struct pages;
struct policies_live;
struct purge;
struct policy_set;
struct tunnel;
struct versions;

/* app: what the bindings of an API state reach (vm_app): the parts of the running backend. All borrowed. */
struct app {
	struct loop *loop;
	struct node *node;
	struct keys *keys;
	struct events *events;
	struct pages *pages;           /* NULL before they are there */
	struct policies_live *live;    /* NULL before it is there */
	struct policy_set *policy_set; /* NULL before it is there */
	struct versions *versions;     /* the same */
	struct purge *purge;           /* NULL before it is there */
	struct console *console;       /* NULL before somebody asked for a prompt */
	struct gate *gates
		[4]; /* page, admin, what nginx passes on, webapps (bind_origin.c); NULL before they are there, or where there is none */
	struct tunnel *tunnel; /* bind_origin.c; NULL: webapps have no port of their own */
	int webapps_port;      /* as people know it; 0 or less: the same */
	const char *dir, *version;
	uid_t control_uid; /* whose unix connections count as admin, beside root */
	uid_t run_uid;     /* whose never count; (uid_t)-1 in one-user mode */
	pid_t keeper;      /* all that it starts lives below it */
	bool is_one_user;
	int64_t started_wall_ms;
	bool is_ending; /* whoever waits is answered now, before the gates close */
	/* told by /health */
	bool is_observe;    /* policies only say what they would do */
	bool is_safe;       /* runs on the last good policies */
	char policies[512]; /* the errors of the last load, first line; "" = taken */
	char nginx[512];    /* what is wrong with its configuration; "" = nothing, or there is none */
	/* nginx may name the user of what it passes on */
	bool takes_remote_user;
	const char *const *remote_admins; /* NULL-terminated */
	struct ref handler;               /* bind_gate.c: the Lua function that takes requests */
};

#endif
