/* node_board_tell: who is told what of the rows: what is newer than a rev, and all of them as a list. */
#include <stdlib.h>
#include <string.h>

#include "net/json.h"
#include "node/node_board_inner.h"

static bool may_see(const struct board_row *row, const char *login)
{
	return !login || strcmp(row->owner, login) == 0;
}

/* Its text for that viewer, without its last brace. It ends with `"ends":[]` where it is_spare. */
static void put_text(struct buf *out, const struct board_row *row, const char *login)
{
	if (login || !row->is_spare) {
		buf_put(out, row->text, row->len);
		return;
	}
	buf_put(out, row->text, row->len - 1);
	buf_puts(out, "\"kill\"]");
}

bool node_board_find(const struct node_board *b, int64_t epoch, int64_t rev, struct board_place *out)
{
	*out = BOARD_FROM_START;
	if (epoch != b->node->facts.epoch || rev < b->floor || rev > b->rev || rev <= 0)
		return false;
	out->rev = out->base = out->numbers = rev;
	out->is_whole = true;
	return true;
}

/* The first that is newer than rev, or the list's head. */
static struct list *after(struct node_board *b, int64_t rev)
{
	struct list *l = b->rows.prev;
	while (l != &b->rows && list_of(l, struct board_row, link)->rev > rev)
		l = l->prev;
	return l->next;
}

/* The rows that are newer than `from`, until out is full; returns the rev up to which they were looked at. */
static int64_t put_rows(struct node_board *b, const char *login, int64_t from, size_t most, struct buf *out, bool *is_any)
{
	int64_t rev = from;
	bool is_first = true;
	buf_puts(out, ",\"rows\":[");
	for (struct list *l = after(b, from); l != &b->rows; l = l->next) {
		const struct board_row *row = list_of(l, struct board_row, link);
		if (out->len >= most) {
			buf_putc(out, ']');
			return rev;
		}
		rev = row->rev;
		if (row->gone_mono_ms || !row->text || !may_see(row, login))
			continue;
		if (!is_first)
			buf_putc(out, ',');
		is_first = false;
		put_text(out, row, login);
		buf_putc(out, '}');
	}
	buf_putc(out, ']');
	*is_any |= !is_first;
	return b->rev;
}

static void put_gone(struct node_board *b, const char *login, int64_t from, int64_t to, struct buf *out, bool *is_any)
{
	bool is_first = true;
	for (struct list *l = after(b, from); l != &b->rows; l = l->next) {
		const struct board_row *row = list_of(l, struct board_row, link), *other;
		if (row->rev > to)
			break;
		if (!row->gone_mono_ms || !may_see(row, login))
			continue;
		other = row->is_named ? NULL : map_get(b->by_id, row->id);
		if (other && !other->gone_mono_ms && may_see(other, login))
			continue; /* another's now, and seen as well */
		buf_puts(out, is_first ? ",\"gone\":[" : ",");
		json_put_text(out, row->id, strlen(row->id));
		is_first = false;
	}
	if (!is_first) {
		buf_putc(out, ']');
		*is_any = true;
	}
}

/* Of rows that were told with this event, and of older ones where they are others than before, once all rows are told. */
static void put_numbers(struct node_board *b, const char *login, const struct board_place *at, int64_t to, struct buf *out,
			bool *is_any)
{
	bool is_first = true, is_last = to == b->rev;
	for (struct list *l = is_last ? b->rows.next : after(b, at->rev); l != &b->rows; l = l->next) {
		const struct board_row *row = list_of(l, struct board_row, link);
		if (row->rev > to)
			break;
		if (row->gone_mono_ms || row->numbers_rev == 0 || (row->rev <= at->rev && row->numbers_rev <= at->numbers) ||
		    !may_see(row, login))
			continue;
		buf_puts(out, is_first ? ",\"numbers\":[" : ",");
		board_put_numbers(out, row);
		is_first = false;
	}
	if (!is_first) {
		buf_putc(out, ']');
		*is_any = true;
	}
}

/* Returns the rev up to which all was told; -1: no memory, nothing was put. */
static int64_t write_event(struct node_board *b, const char *login, const struct board_place *at, size_t most, struct buf *out)
{
	bool is_any = !at->is_told || !at->is_whole;
	struct buf body;
	size_t head = out->len;
	buf_init(&body, SIZE_MAX / 4);
	buf_puts(&body, at->is_whole ? "" : ",\"whole\":true");
	int64_t to = put_rows(b, login, at->rev, most, &body, &is_any);
	put_gone(b, login, at->rev > at->base ? at->rev : at->base, to, &body, &is_any);
	put_numbers(b, login, at, to, &body, &is_any);
	if (is_any || to < b->rev) {
		buf_printf(out, "event: board\ndata: {\"rev\":\"%lld-%lld\"", (long long)b->node->facts.epoch, (long long)to);
		buf_put(out, body.data, body.len);
		buf_puts(out, "}\n\n");
	}
	if (body.failed || out->failed) {
		out->len = head;
		to = -1;
	}
	buf_fini(&body);
	return to;
}

bool node_board_put(struct node_board *b, const char *login, struct board_place *at, size_t most, struct buf *out)
{
	int64_t from = at->rev, to;
	if (at->is_whole && b->floor > at->rev && b->floor > at->base) { /* something that it was told went, and is forgotten */
		at->is_whole = false;
		from = at->rev = 0;
	}
	if (at->is_told && at->is_whole && from == b->rev)
		return false;
	if (!at->is_whole)
		at->base = at->numbers = b->rev; /* each row comes with its numbers */
	bool is_plain = at->is_told && at->is_whole && at->numbers == from;
	bool is_alike = is_plain && from == b->shared.from && b->rev == b->shared.to && b->shared.text.data &&
			(login ? b->shared.login && strcmp(login, b->shared.login) == 0 : !b->shared.login);
	if (is_alike) {
		buf_put(out, b->shared.text.data, b->shared.text.len);
		at->rev = at->numbers = b->rev;
		return false;
	}
	size_t was = out->len;
	to = write_event(b, login, at, most, out);
	if (to < 0)
		return false;
	if (is_plain && to == b->rev) {
		buf_clear(&b->shared.text);
		free(b->shared.login);
		b->shared.login = login ? strdup(login) : NULL;
		b->shared.from = from;
		buf_put(&b->shared.text, out->data ? out->data + was : "", out->len - was);
		b->shared.to = b->shared.text.failed || (login && !b->shared.login) ? -1 : to;
	}
	at->is_whole = at->is_told = true;
	at->rev = to;
	if (to == b->rev)
		at->numbers = to;
	return to < b->rev;
}

void node_board_json(struct node_board *b, const char *login, struct buf *out)
{
	bool is_first = true;
	buf_putc(out, '[');
	list_each (&b->rows, l) {
		const struct board_row *row = list_of(l, struct board_row, link);
		if (row->gone_mono_ms || !row->text || !may_see(row, login))
			continue;
		if (!is_first)
			buf_putc(out, ',');
		is_first = false;
		put_text(out, row, login);
		board_put_inline(out, row);
		buf_putc(out, '}');
	}
	buf_putc(out, ']');
}
