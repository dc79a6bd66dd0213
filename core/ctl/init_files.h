#ifndef DSS_CTL_INIT_FILES_H
#define DSS_CTL_INIT_FILES_H
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include "ctl/layout.h"
/* init_files: what is written into a new instance: wrappers, configuration, keys, policies, id. All return 0, or -1 with the reason in err. */

struct init {               /* what was asked for, and what was found */
	const char *given;  /* DIR as written */
	char dir[PATH_MAX]; /* absolute */
	char share[PATH_MAX], dssctl[PATH_MAX];
	int64_t port;
	bool demo, observe, one_user, new_id, json;
	const char *control_user, *run_user, *cgroups;
	bool did_exist;
	struct layout layout;
};

/* bin/dss and bin/dssctl. */
int init_files_wrappers(const struct init *in, struct err *err);
/* config/dss.lua of etc/dss.lua.in. */
int init_files_config(const struct init *in, struct err *err);
/* A new random key at path, for the control user alone. */
int init_files_secret(const struct init *in, const char *path, struct err *err);
/* policies/ and policies/spec/ of ours; a note where we have none. */
int init_files_policies(const struct init *in, struct err *err);
/* config/instance.id, new: what has it is an instance. */
int init_files_id(const struct init *in, struct err *err);

#endif
