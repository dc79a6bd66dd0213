#include "ctl/say.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "sys/clock.h"

enum { CELL_ROOM = 600, CELLS_MAX = 200000, COLUMNS_MAX = 16, GAP = 2, LEAST_WIDTH = 6 };

struct cell {
	char *text;
	enum say_tone tone;
};

struct say_table {
	const char *const *titles;
	size_t columns, count, cap;
	struct cell *cells;
};

bool say_has_colour(FILE *out)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
	return isatty(fileno(out)) && (no == NULL || no[0] == '\0') && term != NULL && strcmp(term, "dumb") != 0;
}

struct say_table *say_table_new(const char *const *titles, size_t columns)
{
	struct say_table *t = calloc(1, sizeof(*t));
	if (t == NULL)
		return NULL;
	t->titles = titles;
	t->columns = columns == 0 ? 1 : columns < COLUMNS_MAX ? columns : COLUMNS_MAX;
	return t;
}

void say_cell(struct say_table *t, enum say_tone tone, const char *text)
{
	char shown[CELL_ROOM];
	if (t->count == CELLS_MAX)
		return;
	if (t->count == t->cap) {
		size_t cap = t->cap > 0 ? 2 * t->cap : 64;
		struct cell *more = realloc(t->cells, cap * sizeof(*more));
		if (more == NULL)
			return;
		t->cells = more;
		t->cap = cap;
	}
	text_escape(shown, sizeof(shown), text, strlen(text));
	t->cells[t->count++] = (struct cell){ strdup(shown), tone };
}

/* Characters, not bytes: continuation bytes of UTF-8 take no column. */
static int width_of(const char *s)
{
	int n = 0;
	for (; s != NULL && *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

/* At most `most` characters of it; the last one is … where it was cut. */
static void print_cut(FILE *out, const char *text, int most)
{
	int n = 0;
	const char *p = text;
	if (width_of(text) <= most) {
		fputs(text, out);
		return;
	}
	for (; *p != '\0' && n < most; p++)
		n += ((unsigned char)p[1] & 0xc0) != 0x80;
	/* p is behind the character that has to make room. */
	do
		p--;
	while (p > text && ((unsigned char)*p & 0xc0) == 0x80);
	fprintf(out, "%.*s…", (int)(p - text), text);
}

static void print_cell(FILE *out, const char *text, enum say_tone tone, int width, bool is_last, bool colour)
{
	static const char *const codes[] = { "", "\033[32m", "\033[31m", "\033[33m", "\033[2m" };
	bool is_coloured = colour && tone != SAY_PLAIN;
	int used = width_of(text);
	if (is_coloured)
		fputs(codes[tone], out);
	print_cut(out, text != NULL ? text : "", width);
	if (is_coloured)
		fputs("\033[0m", out);
	if (!is_last)
		fprintf(out, "%*s", width + GAP - (used < width ? used : width), "");
}

void say_toned(FILE *out, enum say_tone tone, const char *text)
{
	print_cell(out, text, tone, width_of(text), true, say_has_colour(out));
}

size_t say_columns(FILE *out, size_t *lines)
{
	struct winsize size;
	if (lines != NULL)
		*lines = 0;
	if (!isatty(fileno(out)) || ioctl(fileno(out), TIOCGWINSZ, &size) < 0)
		return 0;
	if (lines != NULL)
		*lines = size.ws_row;
	return size.ws_col;
}

/* A width of 0 is a column that is not shown. */
static int total_of(const int *widths, size_t n)
{
	int total = -GAP;
	for (size_t c = 0; c < n; c++)
		total += widths[c] > 0 ? widths[c] + GAP : 0;
	return total;
}

static bool is_empty(const struct say_table *t, size_t c)
{
	for (size_t i = c; i < t->count; i += t->columns)
		if (t->cells[i].text != NULL && t->cells[i].text[0] != '\0')
			return false;
	return true;
}

/* Where it is too wide: columns without a word go first; then the widest are cut, but not the first, which people copy; then whole
 * columns go, from the right. */
static void fit(const struct say_table *t, int *widths, size_t columns)
{
	size_t n = t->columns;
	for (size_t c = n; c-- > 1 && total_of(widths, n) > (int)columns;)
		if (is_empty(t, c))
			widths[c] = 0;
	while (n > 2 && total_of(widths, n) > (int)columns) {
		size_t widest = 1;
		for (size_t c = 2; c < n; c++)
			if (widths[c] >= widths[widest])
				widest = c;
		if (widths[widest] > LEAST_WIDTH)
			widths[widest]--;
		else
			widths[--n] = 0;
	}
}

void say_table_print_within(struct say_table *t, FILE *out, size_t columns, size_t most)
{
	int widths[COLUMNS_MAX] = { 0 };
	assert(t->columns > 0);
	bool colour = say_has_colour(out);
	for (size_t c = 0; c < t->columns; c++) {
		widths[c] = width_of(t->titles[c]);
		for (size_t i = c; i < t->count; i += t->columns)
			if (width_of(t->cells[i].text) > widths[c])
				widths[c] = width_of(t->cells[i].text);
	}
	if (columns > 0)
		fit(t, widths, columns);
	size_t last = t->columns - 1;
	while (last > 0 && widths[last] == 0)
		last--;
	for (size_t c = 0; c <= last; c++)
		if (widths[c] > 0)
			print_cell(out, t->titles[c], SAY_DIM, widths[c], c == last, colour);
	for (size_t i = 0; i < t->count && i / t->columns < most; i++) {
		size_t c = i % t->columns;
		if (c == 0)
			fputc('\n', out);
		if (c <= last && widths[c] > 0)
			print_cell(out, t->cells[i].text, t->cells[i].tone, widths[c], c == last, colour);
	}
	fputc('\n', out);
}

void say_table_print(struct say_table *t, FILE *out)
{
	say_table_print_within(t, out, say_columns(out, NULL), SIZE_MAX);
}

void say_table_free(struct say_table **t)
{
	if (*t == NULL)
		return;
	for (size_t i = 0; i < (*t)->count; i++)
		free((*t)->cells[i].text);
	free((*t)->cells);
	free(*t);
	*t = NULL;
}

const char *say_time(int64_t wall_ms, char *out, size_t room)
{
	time_t then = (time_t)(wall_ms / 1000), now = time(NULL);
	struct tm t, today;
	out[0] = '\0';
	if (wall_ms <= 0 || localtime_r(&then, &t) == NULL || localtime_r(&now, &today) == NULL)
		return out;
	bool is_today = t.tm_year == today.tm_year && t.tm_yday == today.tm_yday;
	if (strftime(out, room, is_today ? "%H:%M:%S" : "%Y-%m-%d %H:%M:%S", &t) == 0)
		out[0] = '\0';
	return out;
}

const char *say_since(int64_t wall_ms, char *out, size_t room)
{
	int64_t ms = clock_wall_ms() - wall_ms;
	out[0] = '\0';
	if (wall_ms > 0)
		text_print_duration(ms < 0 ? 0 : ms, out, room);
	return out;
}

void say_put_quoted(struct buf *b, const char *s)
{
	buf_putc(b, '\'');
	for (; *s != '\0'; s++) {
		if (*s == '\'')
			buf_puts(b, "'\\''");
		else
			buf_putc(b, *s);
	}
	buf_putc(b, '\'');
}

void say_put_word(struct buf *b, const char *s)
{
	static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:=@%+,-";
	if (s[0] != '\0' && s[strspn(s, safe)] == '\0')
		buf_puts(b, s);
	else
		say_put_quoted(b, s);
}
