#ifndef DSS_BIND_CONFIG_H
#define DSS_BIND_CONFIG_H
#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
/* config: config/dss.lua as the rest of the program reads it: the keeper's plan, and the few words that the backend needs itself. */

/* Evaluates DIR/config/dss.lua into the plan's text (keeper/plan.h). dir is absolute; web_dir, too: the folder that the page comes from
 * instead of what the configuration says; NULL: as it says. -1: out holds every error found, one a line,
 * as "config/dss.lua:LINE: …"; err says which step failed. */
int config_plan(const char *dir, const char *web_dir, struct buf *out, struct err *err);

struct config_node {
	char control_user[64], run_user[64]; /* "" = one-user mode */
	char **hosts;                        /* further names allowed in Host; NULL-terminated, owned */
	int port;
	bool is_fronted, is_front_tls;             /* nginx has our port */
	bool takes_remote_user;                    /* it may name the user */
	char **remote_admins;                      /* who of them are admins; NULL-terminated, owned */
	bool is_observe;                           /* policies only say what they would do */
	int64_t memory_bytes, reserve_bytes;       /* 0 = not said */
	bool is_jupyter_ours;                      /* the keeper runs it */
	char jupyter_host[80];                     /* where that listens, as the backend reaches it */
	char *jupyter_attach, *jupyter_token_file; /* of another's server; NULL = none; owned */
	bool is_jupyter_trusted;                   /* its own word counts where a kernel cannot be measured */
	int64_t lease_longest_ms;                  /* what users may have of leases of notebooks */
	int leases_each_user;
	char *web_dir; /* the page's files; NULL = those in the binary; owned */
};
/* What the keeper's plan took (environment DSS_NODE), so that a file which is just being edited holds up no backend; without it the file
 * as it stands. Errors are put in err, the first one where there are several. */
int config_node(const char *dir, struct config_node *out, struct err *err);
void config_node_fini(struct config_node *c);

#endif
