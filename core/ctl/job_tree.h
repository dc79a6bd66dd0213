#ifndef DSS_CTL_JOB_TREE_H
#define DSS_CTL_JOB_TREE_H
#include <jansson.h>
/* job_tree: rows of processes in the order of who started whom; each id is set in by its depth. What names no parent was started by the keeper. */
void job_tree_sort(json_t **rows); /* takes the list, gives another */

#endif
