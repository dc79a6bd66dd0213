#ifndef DSS_KEEPER_SECRET_H
#define DSS_KEEPER_SECRET_H
#include "keeper/desc.h"
/* secret: a service's secret, from a file that the user it runs as may not read. */

/* Into d->secrets, without the blanks around it. -1: it is not there, is more than 4096 bytes, or others than its owner may read it. */
int secret_read(const char *path, struct desc *d, struct err *err);

#endif
