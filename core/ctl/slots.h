#ifndef DSS_CTL_SLOTS_H
#define DSS_CTL_SLOTS_H
#include "ctl/rest.h"
/* slots: the rules of /api/slots as a table below the pools: one row for each key in use. Prints nothing where there is no rule. */
void slots_print(struct rest *rest);

#endif
