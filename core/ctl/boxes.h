#ifndef DSS_CTL_BOXES_H
#define DSS_CTL_BOXES_H
#include "ctl/ctl.h"
/* boxes: the levels that processes are put into, their limits and what they use. */
int boxes_command(struct ctl *ctl, int argc, char **argv);

#endif
