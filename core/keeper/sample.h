#ifndef DSS_KEEPER_SAMPLE_H
#define DSS_KEEPER_SAMPLE_H
#include "keeper/keeper.h"
#include "keeper/wire.h"
/* sample: the order `sample`: what many processes use, in one answer. Returns as the other orders do: 0 = answered, -1 = refused. */
int sample_order(struct keeper *k, const struct wire_view *msg, struct err *err);

#endif
