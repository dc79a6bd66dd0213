#include "ctl/where.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

enum { AROUND = 60, SHOWN_ROOM = 8 * AROUND };

/* Columns of a text: continuation bytes of UTF-8 take none. */
static int width_of(const char *s)
{
	int n = 0;
	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

/* The filter near its character `at` (from 1), and a caret below. */
static void point(const char *filter, size_t at)
{
	char head[SHOWN_ROOM], tail[SHOWN_ROOM];
	size_t len = strlen(filter), from = at > AROUND ? at - AROUND : 0;
	if (at < 1 || at > len + 1)
		return;
	size_t rest = len - (at - 1);
	text_escape(head, sizeof(head), filter + from, at - 1 - from);
	text_escape(tail, sizeof(tail), filter + at - 1, rest < AROUND ? rest : AROUND);
	ctl_note("  %s%s%s\n  %*s^", from > 0 ? "..." : "", head, tail, width_of(head) + (from > 0 ? 3 : 0), "");
}

int where_ask(struct rest *rest, const char *path, const char *filter, struct rest_answer *out)
{
	char full[WHERE_PATH_ROOM], escaped[3 * WHERE_MAX + 8];
	*out = (struct rest_answer){ 0 };
	if (filter == NULL)
		return rest_ask(rest, "GET", path, NULL, out);
	if (strlen(filter) > WHERE_MAX || rest_escape(filter, escaped, sizeof(escaped)) < 0)
		return ctl_fail(CTL_USAGE, "a filter has up to %d characters", WHERE_MAX);
	snprintf(full, sizeof(full), "%s%swhere=%s", path, strchr(path, '?') != NULL ? "&" : "?", escaped);
	int code = rest_ask(rest, "GET", full, NULL, out);
	const char *place = code == CTL_USAGE ? strstr(rest_text(out->json, "message"), "character ") : NULL;
	if (place != NULL)
		point(filter, strtoul(place + strlen("character "), NULL, 10));
	if (code == CTL_DONE && rest_field(out, "Where-Matched", -1) != (double)json_array_size(out->json))
		return ctl_fail(CTL_FAILED, "this backend does not know filters; restart it: bin/dss restart backend");
	return code;
}

int where_join(const struct opt_words *words, char *out, size_t room)
{
	size_t at = 0;
	for (int i = 0; i < words->count; i++) {
		int n = snprintf(out + at, room - at, "%s%s", i > 0 ? " " : "", words->words[i]);
		if (n < 0 || (size_t)n >= room - at)
			return ctl_fail(CTL_USAGE, "a filter has up to %d characters", WHERE_MAX);
		at += (size_t)n;
	}
	return CTL_DONE;
}
