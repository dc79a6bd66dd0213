#ifndef DSS_FLEET_METER_INNER_H
#define DSS_FLEET_METER_INNER_H
#include "fleet/meter.h"
/* meter_inner: what meter.c and meter_read.c share. Nobody else includes it. */
struct store *meter_store(const struct meter *meter);
#endif
