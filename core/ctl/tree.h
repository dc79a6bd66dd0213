#ifndef DSS_CTL_TREE_H
#define DSS_CTL_TREE_H
#include <jansson.h>
#include "base/err.h"
/*
 * tree: the whole house: each process below the one that started it, a kernel's task or job between the kernel and its recipes, those who share a
 * box below the one that was ordered. Rows are those of /api/processes; who sees only their own gets a tree of these.
 */
void tree_print(const json_t *rows);

#endif
