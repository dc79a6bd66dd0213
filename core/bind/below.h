#ifndef DSS_BIND_BELOW_H
#define DSS_BIND_BELOW_H
#include "bind/app.h"
/* below: files beneath a folder of the instance in which users write: nothing is opened through a link, nothing beside the folder. */
/* Beneath DIR/FOLDER. The descriptor, or -1 with errno. */
int below_open(const struct app *app, const char *folder, const char *path, int flags);

#endif
