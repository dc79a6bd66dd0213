#ifndef DSS_FLEET_STORE_SCHEMA_H
#define DSS_FLEET_STORE_SCHEMA_H
#include "base/err.h"
/* store_schema: the tables of the store, version by version. */
struct store_sql;

/* Brings the database to STORE_SCHEMA (store.h). path: for error texts. -1: err; a newer schema than ours is one. */
int store_schema_migrate(struct store_sql *sql, const char *path, struct err *err);

#endif
