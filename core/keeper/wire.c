#include "keeper/wire.h"

#include <endian.h>
#include <string.h>

/* u32 length, u16 type, u16 descriptors; the length counts what follows it. */
enum { LENGTH_SIZE = 4, HEADER_SIZE = 8, FIELD_HEADER_SIZE = 6, INT_SIZE = 8 };
/* wire_get_nth walks from the front: without a bound, one frame of empty fields would cost its reader seconds. */
enum { FIELDS_MAX = 8192 };

static const struct wire_message_info messages[] = {
#define X(n, name, from, to, required) { n, #name, from, to, required },
	WIRE_MESSAGES(X)
#undef X
};

enum { T = 'T', I = 'I', B = 'B' };
static const struct wire_field_info fields[] = {
#define X(n, name, type) { n, #name, type },
	WIRE_FIELDS(X)
#undef X
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

const struct wire_message_info *wire_message_at(size_t i)
{
	return i < COUNT(messages) ? &messages[i] : NULL;
}

const struct wire_field_info *wire_field_at(size_t i)
{
	return i < COUNT(fields) ? &fields[i] : NULL;
}

static const struct wire_message_info *find_message(int type)
{
	for (size_t i = 0; i < COUNT(messages); i++)
		if (messages[i].number == type)
			return &messages[i];
	return NULL;
}

static const struct wire_field_info *find_field(int number)
{
	/* Numbered from 1 without gaps so far; the search is for the day they are not. */
	if (number >= 1 && (size_t)number <= COUNT(fields) && fields[number - 1].number == number)
		return &fields[number - 1];
	for (size_t i = 0; i < COUNT(fields); i++)
		if (fields[i].number == number)
			return &fields[i];
	return NULL;
}

const char *wire_type_name(int type)
{
	const struct wire_message_info *m = find_message(type);
	return m != NULL ? m->name : "?";
}

/* --- little endian at any alignment --- */

static uint16_t get_u16(const unsigned char *p)
{
	uint16_t v;
	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

static uint32_t get_u32(const unsigned char *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static void set_u16(void *p, uint16_t v)
{
	v = htole16(v);
	memcpy(p, &v, sizeof(v));
}

static void set_u32(void *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

/* --- writing --- */

/* The mark of a frame begun on a buffer that had failed before: its end must not hide that failure. */
static const size_t NO_MARK = SIZE_MAX;

size_t wire_begin(struct buf *out, enum wire_type type)
{
	if (out->failed)
		return NO_MARK;
	size_t mark = out->len;
	unsigned char header[HEADER_SIZE] = { 0 };
	set_u16(header + 4, (uint16_t)type);
	buf_put(out, header, sizeof(header));
	return mark;
}

void wire_bytes(struct buf *out, enum wire_field f, const void *p, size_t n)
{
	if (n > WIRE_FRAME_MAX) {
		out->failed = true;
		return;
	}
	unsigned char header[FIELD_HEADER_SIZE];
	set_u16(header, (uint16_t)f);
	set_u32(header + 2, (uint32_t)n);
	buf_put(out, header, sizeof(header));
	buf_put(out, p, n);
}

void wire_int(struct buf *out, enum wire_field f, int64_t v)
{
	uint64_t le = htole64((uint64_t)v);
	wire_bytes(out, f, &le, sizeof(le));
}

void wire_text(struct buf *out, enum wire_field f, const char *s)
{
	if (s != NULL)
		wire_bytes(out, f, s, strlen(s) + 1);
}

int wire_end(struct buf *out, size_t mark)
{
	if (mark == NO_MARK)
		return -1;
	if (!out->failed && out->len - mark <= LENGTH_SIZE + WIRE_FRAME_MAX) {
		set_u32(out->data + mark, (uint32_t)(out->len - mark - LENGTH_SIZE));
		return 0;
	}
	out->failed = false;
	out->len = mark;
	if (out->data != NULL)
		out->data[mark] = '\0';
	return -1;
}

/* --- reading --- */

ssize_t wire_parse(const void *data, size_t len, struct wire_view *view, struct err *err)
{
	const unsigned char *p = data;
	if (len < LENGTH_SIZE)
		return 0;
	uint32_t body = get_u32(p);
	if (body < HEADER_SIZE - LENGTH_SIZE || body > WIRE_FRAME_MAX)
		return err_set(err, "unable to read frame: its length %u is not in %d to %d", body, HEADER_SIZE - LENGTH_SIZE,
			       WIRE_FRAME_MAX);
	if (len < HEADER_SIZE)
		return 0;
	int nfds = get_u16(p + 6);
	if (nfds > WIRE_FDS_MAX)
		return err_set(err, "unable to read frame: it announces %d descriptors, at most %d may travel", nfds, WIRE_FDS_MAX);
	if (len - LENGTH_SIZE < body)
		return 0;
	view->type = get_u16(p + 4);
	view->nfds = nfds;
	view->fields = p + HEADER_SIZE;
	view->len = body - (HEADER_SIZE - LENGTH_SIZE);
	return (ssize_t)(LENGTH_SIZE + (size_t)body);
}

struct field {
	int number;
	const unsigned char *data;
	size_t len;
};

/* 1: *f is the field at *at, which moves on. 0: the end. -1: the bytes at *at are no field. */
static int next_field(const struct wire_view *view, size_t *at, struct field *f)
{
	size_t left = view->len - *at;
	if (left == 0)
		return 0;
	if (left < FIELD_HEADER_SIZE)
		return -1;
	const unsigned char *p = view->fields + *at;
	f->number = get_u16(p);
	f->len = get_u32(p + 2);
	f->data = p + FIELD_HEADER_SIZE;
	if (f->len > left - FIELD_HEADER_SIZE)
		return -1;
	*at += FIELD_HEADER_SIZE + f->len;
	return 1;
}

static bool is_text(const struct field *f)
{
	return f->len > 0 && memchr(f->data, '\0', f->len) == f->data + f->len - 1;
}

typedef struct {
	bool seen[WF_MAX];
} field_set;

static int check_field(const char *message, const struct field *f, field_set *set, struct err *err)
{
	const struct wire_field_info *info = find_field(f->number);
	if (info == NULL)
		return 0;
	if (info->type == I && f->len != INT_SIZE)
		return err_set(err, "unable to read message %s: field %s has %zu bytes, a number has %d", message, info->name,
			       f->len, INT_SIZE);
	if (info->type == T && !is_text(f))
		return err_set(err, "unable to read message %s: field %s is not one text that ends with its NUL", message,
			       info->name);
	if (info->type != T && set->seen[f->number])
		return err_set(err, "unable to read message %s: field %s stands there twice", message, info->name);
	set->seen[f->number] = true;
	return 0;
}

static int check_required(const struct wire_message_info *m, const field_set *set, struct err *err)
{
	for (const char *word = m->required; *word != '\0';) {
		size_t len = strcspn(word, " ");
		size_t i = 0;
		while (i < COUNT(fields) && (strlen(fields[i].name) != len || memcmp(fields[i].name, word, len) != 0))
			i++;
		if (i == COUNT(fields) || !set->seen[fields[i].number])
			return err_set(err, "unable to read message %s: field %.*s is missing", m->name, (int)len, word);
		word += len;
		word += strspn(word, " ");
	}
	return 0;
}

int wire_check(const struct wire_view *view, char from, struct err *err)
{
	const struct wire_message_info *m = find_message(view->type);
	if (m == NULL)
		return err_set(err, "unable to read message: its type %d is unknown", view->type);
	if (from == '\0' || strchr(m->from, from) == NULL)
		return err_set(err, "unable to read message %s: it may come from %s, not from %c", m->name, m->from, from);
	field_set set = { 0 };
	struct field f;
	size_t at = 0, n = 0;
	int more;
	while ((more = next_field(view, &at, &f)) > 0) {
		if (++n > FIELDS_MAX)
			return err_set(err, "unable to read message %s: it has more than %d fields", m->name, FIELDS_MAX);
		if (check_field(m->name, &f, &set, err) < 0)
			return -1;
	}
	if (more < 0)
		return err_set(err, "unable to read message %s: field %zu at byte %zu passes the end of the frame", m->name, n + 1,
			       at);
	return check_required(m, &set, err);
}

/* The n-th field of that number; false: there is none. Safe on frames nobody checked: it stops at the first nonsense. */
static bool find(const struct wire_view *view, enum wire_field number, size_t n, struct field *f)
{
	size_t at = 0;
	while (next_field(view, &at, f) > 0)
		if (f->number == (int)number && n-- == 0)
			return true;
	return false;
}

bool wire_has(const struct wire_view *view, enum wire_field f)
{
	struct field found;
	return find(view, f, 0, &found);
}

int64_t wire_get_int(const struct wire_view *view, enum wire_field f, int64_t otherwise)
{
	struct field found;
	if (!find(view, f, 0, &found) || found.len != INT_SIZE)
		return otherwise;
	uint64_t v;
	memcpy(&v, found.data, sizeof(v));
	return (int64_t)le64toh(v);
}

const char *wire_get_nth(const struct wire_view *view, enum wire_field f, size_t n)
{
	struct field found;
	if (!find(view, f, n, &found) || !is_text(&found))
		return NULL;
	return (const char *)found.data;
}

const char *wire_get_text(const struct wire_view *view, enum wire_field f)
{
	return wire_get_nth(view, f, 0);
}

const void *wire_get_bytes(const struct wire_view *view, enum wire_field f, size_t *len)
{
	struct field found;
	if (!find(view, f, 0, &found)) {
		*len = 0;
		return NULL;
	}
	*len = found.len;
	return found.data;
}

const char *wire_next_text(const struct wire_view *view, enum wire_field f, size_t *at)
{
	struct field found;
	while (next_field(view, at, &found) > 0)
		if (found.number == (int)f && is_text(&found))
			return (const char *)found.data;
	return NULL;
}

size_t wire_count(const struct wire_view *view, enum wire_field f)
{
	struct field found;
	size_t at = 0, n = 0;
	while (next_field(view, &at, &found) > 0)
		n += found.number == (int)f;
	return n;
}
