#ifndef DSS_CTL_DIAG_H
#define DSS_CTL_DIAG_H
#include "ctl/ctl.h"
/* diag: `dssctl diag`, which the macro "diagnosis" runs as well. */
int diag_command(struct ctl *ctl, int argc, char **argv);

#endif
