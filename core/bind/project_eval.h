#ifndef DSS_BIND_PROJECT_EVAL_H
#define DSS_BIND_PROJECT_EVAL_H
#include <stdbool.h>
/*
 * project_eval: `dssd project DIR KEY`: DIR/projects/KEY/project.lua, written by users, evaluated into checked data. Its caller chooses the user
 * and the box; nothing but projects/KEY is read, links out of it are not followed. Time, memory and the answer's length are bounded.
 */

/* Prints the data as JSON, or {"errors":[{"file","line","text"}]}; 0 = data, 1 = errors. may_be_absolute: scripts may lie outside. */
int project_eval_print(const char *dir, const char *key, bool may_be_absolute);

#endif
