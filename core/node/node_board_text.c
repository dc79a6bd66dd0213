/* node_board_text: a row as JSON. Whatever a user wrote goes through jtext, is cut where it is long, and never breaks a line. */
#include <stdio.h>
#include <string.h>

#include "fleet/jtext.h"
#include "node/node_board_inner.h"

#define TEXT_MOST 500  /* bytes of one text of a user's */
#define TAGS_MOST 4000 /* longer lists of tags are left out */

/* Cut where it is too long, at a character. */
static void put_cut(struct buf *out, const char *name, const char *s)
{
	char cut[TEXT_MOST + 4];
	if (!s || !*s)
		return;
	size_t len = strnlen(s, TEXT_MOST + 1);
	if (len > TEXT_MOST) {
		for (len = TEXT_MOST; len > 0 && ((unsigned char)s[len] & 0xc0) == 0x80;)
			len--;
		memcpy(cut, s, len);
		memcpy(cut + len, "\xe2\x80\xa6", 4);
		s = cut;
	}
	jtext_text(out, name, s);
}

static void put_time(struct buf *out, const char *name, int64_t ms)
{
	jtext_some_int(out, name, ms > 0 ? ms : -1);
}

static void put_tags(struct buf *out, const struct board_facts *f)
{
	size_t len = f->tags_json ? strlen(f->tags_json) : 0, i, told = 0;
	json_t *tag;
	if (len > 2 && len <= TAGS_MOST) {
		jtext_raw(out, "tags", f->tags_json, len);
	} else if (json_array_size(f->tags) > 0) {
		size_t was = out->len;
		jtext_member(out, "tags");
		buf_putc(out, '[');
		json_array_foreach(f->tags, i, tag)
		{
			if (!json_is_string(tag))
				continue;
			told += json_string_length(tag);
			if (told > TAGS_MOST)
				break;
			jtext_next(out);
			jtext_put(out, json_string_value(tag));
		}
		buf_putc(out, ']');
		if (told > TAGS_MOST || out->len - was > TAGS_MOST)
			out->len = was;
	}
}

/* What users' code handed in as JSON may hold breaks, between its parts: an event is one line. */
static void join_lines(struct buf *out, size_t from)
{
	for (size_t i = from; i < out->len; i++)
		if (out->data[i] == '\n' || out->data[i] == '\r')
			out->data[i] = ' ';
}

void board_put_row(struct buf *out, enum board_kind kind, const char *id, const struct board_facts *f)
{
	size_t from = out->len;
	buf_putc(out, '{');
	jtext_text(out, "id", id);
	jtext_text(out, "kind", board_kinds[kind]);
	jtext_text(out, "ref", f->ref);
	jtext_some_text(out, "parent", f->parent);
	put_cut(out, "what", f->what);
	jtext_some_text(out, "project", f->project);
	jtext_some_text(out, "user", f->user);
	jtext_some_text(out, "pool", f->pool);
	put_tags(out, f);
	jtext_some_text(out, "state", f->state);
	put_cut(out, "reason", f->reason);
	put_time(out, "position", f->position);
	put_time(out, "sinceAt", f->since_ms);
	put_time(out, "submittedAt", f->submitted_ms);
	put_time(out, "startedAt", f->started_ms);
	jtext_some_text(out, "processId", f->process);
	put_time(out, "pid", f->pid);
	put_time(out, "limitBytes", f->limit_bytes);
	if (f->limit_bytes > 0)
		put_cut(out, "limitOwner", f->limit_owner);
	put_time(out, "attempt", f->attempt);
	if (f->progress >= 0) {
		jtext_member(out, "progress");
		buf_printf(out, "%.2f", f->progress > 1 ? 1 : f->progress);
	}
	put_cut(out, "message", f->message);
	put_time(out, "quietAt", f->quiet_ms);
	put_time(out, "silentAt", f->silent_ms);
	put_time(out, "leasedUntil", f->leased_ms);
	jtext_some_int(out, "connections", f->connections);
	jtext_member(out, "ends");
	buf_putc(out, '[');
	if (f->ends && *f->ends)
		jtext_put(out, f->ends);
	buf_putc(out, ']');
	join_lines(out, from);
}

/* printf is most of the time of an update of 2,000 rows. */
static void put_number(struct buf *out, int64_t v)
{
	char text[24], *p = text + sizeof(text);
	uint64_t left = v < 0 ? 0 : (uint64_t)v;
	do
		*--p = (char)('0' + left % 10);
	while (left /= 10);
	buf_put(out, p, (size_t)(text + sizeof(text) - p));
}

static void put_bytes(struct buf *out, int64_t v)
{
	if (v < 0)
		buf_put(out, "null", 4);
	else
		put_number(out, v);
}

/* Thousandths, with `digits` of them told. */
static void put_milli(struct buf *out, int64_t v, int digits)
{
	static const int64_t by[] = { 1000, 100, 10, 1 };
	char text[4];
	if (v < 0) {
		buf_put(out, "null", 4);
		return;
	}
	put_number(out, v / 1000);
	int64_t part = v % 1000 / by[digits];
	if (part == 0)
		return;
	for (int i = digits; i > 0; i--, part /= 10)
		text[i] = (char)('0' + part % 10);
	text[0] = '.';
	buf_put(out, text, (size_t)digits + 1);
}

void board_put_numbers(struct buf *out, const struct board_row *row)
{
	const struct board_numbers *n = &row->numbers;
	buf_putc(out, '[');
	jtext_put(out, row->id);
	buf_putc(out, ',');
	put_bytes(out, n->memory_bytes);
	buf_putc(out, ',');
	put_bytes(out, n->peak_bytes);
	buf_putc(out, ',');
	put_milli(out, n->share_milli, 2);
	buf_putc(out, ',');
	put_milli(out, n->cpu_ms, 1);
	buf_putc(out, ']');
}

void board_put_inline(struct buf *out, const struct board_row *row)
{
	const struct board_numbers *n = &row->numbers;
	jtext_some_int(out, "memoryBytes", n->memory_bytes);
	jtext_some_int(out, "peakBytes", n->peak_bytes);
	if (n->share_milli >= 0) {
		jtext_member(out, "cpuShare");
		put_milli(out, n->share_milli, 2);
	}
	if (n->cpu_ms >= 0) {
		jtext_member(out, "cpuSeconds");
		put_milli(out, n->cpu_ms, 1);
	}
}
