#include "bind/match.h"
#include <ctype.h>
#include <string.h>

static const char *run(struct match *m, const char *s, const char *p);

void match_init(struct match *m, const char *subject, size_t len, const char *pattern, size_t pattern_len)
{
	memset(m, 0, sizeof *m);
	m->subject = subject;
	m->subject_end = subject + len;
	m->pattern_end = pattern + pattern_len;
	m->steps = MATCH_STEPS_MAX;
}

static const char *give_up(struct match *m, const char *why)
{
	if (!m->fault)
		m->fault = why;
	return NULL;
}

static bool is_spent(struct match *m)
{
	if (--m->steps < 0)
		give_up(m, "pattern takes too many steps");
	return m->fault != NULL;
}

static bool is_of_class(int c, int letter)
{
	bool is;
	switch (tolower(letter)) {
	case 'a':
		is = isalpha(c);
		break;
	case 'c':
		is = iscntrl(c);
		break;
	case 'd':
		is = isdigit(c);
		break;
	case 'g':
		is = isgraph(c);
		break;
	case 'l':
		is = islower(c);
		break;
	case 'p':
		is = ispunct(c);
		break;
	case 's':
		is = isspace(c);
		break;
	case 'u':
		is = isupper(c);
		break;
	case 'w':
		is = isalnum(c);
		break;
	case 'x':
		is = isxdigit(c);
		break;
	default:
		return letter == c;
	}
	return isupper(letter) ? !is : is;
}

/* Past the single-character item at p: x, %x, ., [set]. NULL: malformed. */
static const char *item_end(struct match *m, const char *p)
{
	if (*p == '%')
		return p + 1 < m->pattern_end ? p + 2 : give_up(m, "malformed pattern (ends with '%')");
	if (*p != '[')
		return p + 1;
	p++;
	if (p < m->pattern_end && *p == '^')
		p++;
	bool is_first = true;
	while (p < m->pattern_end && (is_first || *p != ']')) {
		is_first = false;
		if (*p++ == '%' && p < m->pattern_end)
			p++;
	}
	return p < m->pattern_end ? p + 1 : give_up(m, "malformed pattern (missing ']')");
}

/* set: from '[' to its ']' (inclusive end pointer after it) */
static bool is_in_set(int c, const char *p, const char *end)
{
	bool is_negated = p[1] == '^';
	const char *last = end - 1;
	for (p += is_negated ? 2 : 1; p < last; p++) {
		if (*p == '%' && p + 1 < last) {
			if (is_of_class(c, (unsigned char)*++p))
				return !is_negated;
		} else if (p + 2 < last && p[1] == '-') {
			if ((unsigned char)p[0] <= c && c <= (unsigned char)p[2])
				return !is_negated;
			p += 2;
		} else if ((unsigned char)*p == c) {
			return !is_negated;
		}
	}
	return is_negated;
}

static bool is_item(const struct match *m, const char *s, const char *p, const char *end)
{
	if (s >= m->subject_end)
		return false;
	int c = (unsigned char)*s;
	switch (*p) {
	case '.':
		return true;
	case '%':
		return is_of_class(c, (unsigned char)p[1]);
	case '[':
		return is_in_set(c, p, end);
	default:
		return (unsigned char)*p == c;
	}
}

static const char *run_greedy(struct match *m, const char *s, const char *p, const char *end)
{
	ptrdiff_t n = 0;
	while (is_item(m, s + n, p, end)) {
		n++;
		if (is_spent(m))
			return NULL;
	}
	for (; n >= 0 && !m->fault; n--) {
		const char *r = run(m, s + n, end + 1);
		if (r)
			return r;
	}
	return NULL;
}

static const char *run_lazy(struct match *m, const char *s, const char *p, const char *end)
{
	while (!is_spent(m)) {
		const char *r = run(m, s, end + 1);
		if (r)
			return r;
		if (m->fault || !is_item(m, s, p, end))
			return NULL;
		s++;
	}
	return NULL;
}

static const char *open_capture(struct match *m, const char *s, const char *p, ptrdiff_t what)
{
	if (m->ncaptures >= MATCH_CAPTURES_MAX)
		return give_up(m, "too many captures");
	m->capture[m->ncaptures].at = s;
	m->capture[m->ncaptures].len = what;
	m->ncaptures++;
	const char *r = run(m, s, p);
	if (!r)
		m->ncaptures--;
	return r;
}

static const char *close_capture(struct match *m, const char *s, const char *p)
{
	int i = m->ncaptures - 1;
	while (i >= 0 && m->capture[i].len != MATCH_OPEN)
		i--;
	if (i < 0)
		return give_up(m, "invalid pattern capture");
	m->capture[i].len = s - m->capture[i].at;
	const char *r = run(m, s, p);
	if (!r)
		m->capture[i].len = MATCH_OPEN;
	return r;
}

static const char *skip_balanced(struct match *m, const char *s, const char *p)
{
	if (p + 3 >= m->pattern_end)
		return give_up(m, "malformed pattern (missing arguments to '%b')");
	if (s >= m->subject_end || *s != p[2])
		return NULL;
	for (int depth = 1; ++s < m->subject_end;) {
		if (is_spent(m))
			return NULL;
		if (*s == p[3]) {
			if (--depth == 0)
				return s + 1;
		} else if (*s == p[2]) {
			depth++;
		}
	}
	return NULL;
}

static const char *skip_back_reference(struct match *m, const char *s, int digit)
{
	int i = digit - '1';
	if (i < 0 || i >= m->ncaptures || m->capture[i].len < 0)
		return give_up(m, "invalid capture index in a pattern");
	size_t len = (size_t)m->capture[i].len;
	m->steps -= (long)len;
	if ((size_t)(m->subject_end - s) < len || memcmp(m->capture[i].at, s, len) != 0)
		return NULL;
	return s + len;
}

static bool is_frontier(struct match *m, const char *s, const char *set, const char *end)
{
	int before = s == m->subject ? 0 : (unsigned char)s[-1], here = s < m->subject_end ? (unsigned char)*s : 0;
	return !is_in_set(before, set, end) && is_in_set(here, set, end);
}

/* The items that are no single character: %b, %f, %1. Sets *next past the item; NULL and no fault: no match. */
static const char *run_special(struct match *m, const char *s, const char *p, const char **next)
{
	*next = p + 2;
	if (p[1] == 'b') {
		*next = p + 4;
		return skip_balanced(m, s, p);
	}
	if (p[1] == 'f') {
		const char *set = p + 2;
		if (set >= m->pattern_end || *set != '[')
			return give_up(m, "missing '[' after '%f' in a pattern");
		*next = item_end(m, set);
		return *next && is_frontier(m, s, set, *next) ? s : NULL;
	}
	return skip_back_reference(m, s, (unsigned char)p[1]);
}

static const char *run_items(struct match *m, const char *s, const char *p)
{
	while (p < m->pattern_end) {
		if (is_spent(m))
			return NULL;
		if (*p == '(')
			return p + 1 < m->pattern_end && p[1] == ')' ? open_capture(m, s, p + 2, MATCH_POSITION)
								     : open_capture(m, s, p + 1, MATCH_OPEN);
		if (*p == ')')
			return close_capture(m, s, p + 1);
		if (*p == '$' && p + 1 == m->pattern_end)
			return s == m->subject_end ? s : NULL;
		if (*p == '%' && p + 1 < m->pattern_end && (p[1] == 'b' || p[1] == 'f' || isdigit((unsigned char)p[1]))) {
			s = run_special(m, s, p, &p);
			if (!s)
				return NULL;
			continue;
		}
		const char *end = item_end(m, p);
		if (!end)
			return NULL;
		char suffix = end < m->pattern_end ? *end : '\0';
		bool is_here = is_item(m, s, p, end);
		if (suffix == '*')
			return run_greedy(m, s, p, end);
		if (suffix == '+')
			return is_here ? run_greedy(m, s + 1, p, end) : NULL;
		if (suffix == '-')
			return run_lazy(m, s, p, end);
		if (suffix == '?') {
			const char *r = is_here ? run(m, s + 1, end + 1) : NULL;
			if (r || m->fault)
				return r;
			p = end + 1;
			continue;
		}
		if (!is_here)
			return NULL;
		s++;
		p = end;
	}
	return s;
}

static const char *run(struct match *m, const char *s, const char *p)
{
	if (m->depth >= MATCH_DEPTH_MAX)
		return give_up(m, "pattern too complex");
	m->depth++;
	const char *r = run_items(m, s, p);
	m->depth--;
	return r;
}

const char *match_at(struct match *m, const char *at, const char *pattern)
{
	m->ncaptures = 0;
	m->depth = 0;
	const char *end = run(m, at, pattern);
	if (m->fault)
		return NULL;
	for (int i = 0; end && i < m->ncaptures; i++)
		if (m->capture[i].len == MATCH_OPEN)
			return give_up(m, "unfinished capture");
	return end;
}
