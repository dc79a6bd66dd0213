#include "fleet/store_op.h"

#include <stdlib.h>
#include <string.h>

void store_op_free(struct store_op *op)
{
	future_free(&op->f);
	future_free(&op->also);
	for (size_t i = 0; i < op->nlist; i++)
		future_free(&op->list[i]);
	free(op->list);
	free(op->what);
	free(op->subject);
	free(op->detail);
	free(op->owner);
	if (op->job)
		op->job->release(op->job);
	free(op);
}

struct store_op *store_op_new(enum store_op_kind kind, void *data)
{
	struct store_op *op = calloc(1, sizeof(*op));
	if (!op)
		return NULL;
	op->kind = kind;
	op->data = data;
	return op;
}

bool store_op_text(char **to, const char *from)
{
	if (!from)
		return true;
	*to = strdup(from);
	return *to;
}

bool store_op_bytes(char **to, const char *from, size_t len)
{
	if (!from)
		return true;
	*to = malloc(len + 1);
	if (!*to)
		return false;
	memcpy(*to, from, len);
	(*to)[len] = 0;
	return true;
}

struct future *store_op_task(const struct future *f, bool is_insert)
{
	struct future *c = future_new();
	if (!c)
		return NULL;
	memcpy(c->id, f->id, sizeof(c->id));
	memcpy(c->kernel, f->kernel, sizeof(c->kernel));
	memcpy(c->cause, f->cause, sizeof(c->cause));
	c->priority = f->priority;
	c->memory_bytes = f->memory_bytes;
	c->timeout_ms = f->timeout_ms;
	c->retries = f->retries;
	c->state = f->state;
	c->attempt = f->attempt;
	c->created_ms = f->created_ms;
	c->started_ms = f->started_ms;
	c->ended_ms = f->ended_ms;
	c->payload_len = f->payload_len;
	c->result_len = f->result_len;
	bool ok = store_op_text(&c->error, f->error) && store_op_bytes(&c->result, f->result, f->result_len);
	if (is_insert)
		ok = ok && store_op_text(&c->client_key, f->client_key) && store_op_text(&c->owner, f->owner) &&
		     store_op_text(&c->project, f->project) && store_op_text(&c->kind, f->kind) &&
		     store_op_text(&c->type, f->type) && store_op_text(&c->pool, f->pool) && store_op_text(&c->title, f->title) &&
		     store_op_text(&c->tags, f->tags) && store_op_text(&c->exclusive, f->exclusive) &&
		     store_op_text(&c->job, f->job) && store_op_bytes(&c->payload, f->payload, f->payload_len);
	if (!ok)
		future_free(&c);
	return c;
}
