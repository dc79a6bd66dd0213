/* node_notebook_order: the order that puts a kernel into its box, and what is told of its end. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "fleet/jtext.h"
#include "node/node_boxes.h"
#include "node/node_notebook_inner.h"
#include "node/node_spawn.h"

int64_t notebook_find_limit(struct node *n, const struct guest_facts *facts, struct err *err)
{
	struct node_spawn_box box;
	int64_t limit = 0;
	if (node_spawn_find_box(n, facts, &box, err) < 0)
		return -1;
	for (size_t i = 0; i < box.found.n; i++)
		if (strcmp(box.found.levels[i].box, box.path) == 0 && box.found.levels[i].memory_bytes > 0)
			limit = box.found.levels[i].memory_bytes;
	return limit;
}

/* Whose it is for as long as it lives: what is counted and limited by it stays where it was born. */
static void put_label(const struct notebook_start *s, struct buf *b)
{
	struct buf label;
	buf_init(&label, WIRE_LABEL_MAX);
	buf_putc(&label, '{');
	jtext_text(&label, "kind", "notebook");
	jtext_some_text(&label, "project", s->birth.project);
	jtext_text(&label, "owner", s->birth.user);
	jtext_text(&label, "kernelId", s->e->k.id);
	jtext_text(&label, "notebookId", s->birth.notebook);
	jtext_some_text(&label, "kernelSpec", s->birth.spec);
	node_spawn_label_limits(&label, NULL);
	buf_putc(&label, '}');
	if (!label.failed)
		wire_text(b, WF_label, label.data);
	buf_fini(&label);
}

int notebook_order_box(const struct notebook_start *s, int pid, node_keeper_answer_fn *fn, void *data, struct err *err)
{
	struct node *n = s->e->in->node;
	struct node_spawn_box box;
	const struct guest_facts facts = notebook_facts(&s->birth, s->process, s->limit_bytes);
	if (node_spawn_find_box(n, &facts, &box, err) < 0)
		return -1;
	struct buf *b = node_keeper_begin(n->keeper, WIRE_box);
	wire_text(b, WF_id, s->process);
	wire_int(b, WF_pid, pid);
	wire_text(b, WF_kind, "notebook");
	node_spawn_put_box(b, &box, NULL);
	node_spawn_put_user(n, b);
	wire_text(b, WF_parent, "jupyter");
	put_label(s, b);
	return node_keeper_end(n->keeper, fn, data, err);
}

void notebook_tell_end(const struct notebook_entry *e, const struct judge_end *end, char *out, size_t room)
{
	char peak[48] = "unknown", limit[48], path[400], what[700];
	const struct guest_facts facts = notebook_facts(&e->birth, end->id, e->limit_bytes);
	text_escape(path, sizeof(path), e->k.path, strlen(e->k.path));
	snprintf(what, sizeof(what), "The kernel of notebook \"%s\" of %s", path[0] ? path : e->k.id, e->k.user);
	if (node_boxes_tell_oom(e->in->node, what, &facts, end, out, room))
		return;
	if (end->peak_bytes > 0)
		text_print_size(end->peak_bytes, peak, sizeof(peak));
	if (strcmp(end->cause, "oom_limit") == 0 && end->limit_bytes > 0)
		snprintf(out, room,
			 "Killed: %s used %s, the memory limit of %s is %s. Its variables are lost; other notebooks and the server "
			 "were "
			 "not affected. Work with less data at a time, or ask an admin for a higher limit.",
			 what, peak, end->limit_owner[0] ? end->limit_owner : "its box",
			 text_print_size(end->limit_bytes, limit, sizeof(limit)));
	else if (end->code > 0)
		snprintf(out, room, "%s ended by itself with status %d. Peak %s.", what, end->code, peak);
	else
		snprintf(out, room, "%s ended (%s)%s%s. Peak %s.", what, end->cause, end->text[0] ? ": " : "", end->text, peak);
}
