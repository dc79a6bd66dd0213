#ifndef DSS_CTL_WEBAPPS_H
#define DSS_CTL_WEBAPPS_H
#include "ctl/ctl.h"
/* webapps: what there is, started, stopped, and what they print. */
int webapps_command(struct ctl *ctl, int argc, char **argv);

#endif
