/* node_notebook_look: asks the server what its sessions do, and joins its words with the pids and boxes that the door knows. */
#include <stddef.h>

#include "node/node_notebook_inner.h"

int notebook_look_new(struct node_notebooks *t, struct err *err)
{
	(void)t;
	(void)err;
	return 0;
}

void notebook_look_stop(struct node_notebooks *t)
{
	(void)t;
}

void notebook_look_free(struct node_notebooks *t)
{
	(void)t;
}

void notebook_look_put(const struct notebook_kernel *k, struct buf *out)
{
	(void)k;
	(void)out;
}

void notebook_look_take(struct notebook_kernel *k, const json_t *saved)
{
	(void)k;
	(void)saved;
}

void notebook_look_drop(struct notebook_kernel *k)
{
	(void)k;
}

void node_notebooks_look(struct node_notebooks *t)
{
	(void)t;
}

void node_notebooks_list(struct node_notebooks *t, node_notebooks_list_fn *fn, void *data)
{
	struct err why = { 0 };
	(void)t;
	err_set(&why, "there is no server of notebooks");
	fn(data, NULL, &why);
}
