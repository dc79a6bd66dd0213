#ifndef DSS_CTL_MACRO_H
#define DSS_CTL_MACRO_H
#include "ctl/ctl.h"
/* macro: `dssctl macros`, `dssctl macro show | run | state | result | abort`. */
int macros_command(struct ctl *ctl, int argc, char **argv);
int macro_command(struct ctl *ctl, int argc, char **argv);

#endif
