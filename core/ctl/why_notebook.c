#include "ctl/why_notebook.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "ctl/say.h"

enum { SHOWN = 3, ID_LEAST = 4 };

bool why_notebook_is_word(const char *word)
{
	size_t n = strlen(word);
	return strchr(word, '/') || strncmp(word, "notebook-", 9) == 0 ||
	       (n >= ID_LEAST && strspn(word, "0123456789abcdefABCDEF-") == n);
}

json_t *why_notebook_ends(struct rest *rest, const char *word)
{
	char escaped[6200], path[6300];
	struct rest_answer a = { 0 };
	json_t *ends = NULL;
	if (rest_escape(word, escaped, sizeof(escaped)) == 0) {
		snprintf(path, sizeof(path), "/api/notebooks/ends?of=%s", escaped);
		rest_ask(rest, "GET", path, NULL, &a);
	}
	if (json_is_array(a.json))
		ends = json_incref(a.json);
	rest_answer_fini(&a);
	return ends ? ends : json_array();
}

static void print_end(const json_t *end, const char *more)
{
	char when[48], shown[4000], size[32];
	const char *name = rest_text(end, "notebook"), *text = rest_text(end, "text"), *session = rest_text(end, "session");
	double limit = rest_number(end, "limitBytes", -1), peak = rest_number(end, "peakBytes", -1);
	if (name[0] == '\0')
		name = rest_text(end, "kernelId");
	text_escape(shown, sizeof(shown), name, strlen(name));
	printf("notebook %s: its kernel ended %s%s\n", shown, say_time((int64_t)rest_number(end, "at", 0), when, sizeof(when)),
	       more);
	text_escape(shown, sizeof(shown), text, strlen(text));
	printf("          %s\n", shown);
	text_escape(shown, sizeof(shown), rest_text(end, "cause"), strlen(rest_text(end, "cause")));
	printf("          cause: %s", shown);
	if (limit > 0)
		printf(", limit %s", text_print_size((int64_t)limit, size, sizeof(size)));
	if (peak > 0)
		printf(", peak %s", text_print_size((int64_t)peak, size, sizeof(size)));
	text_escape(shown, sizeof(shown), session, strlen(session));
	printf("%s%s\n", session[0] ? ", session " : "", shown);
}

void why_notebook_print(const json_t *ends, bool is_open)
{
	size_t i, n = json_array_size(ends);
	const json_t *end;
	json_array_foreach(ends, i, end)
	{
		if (i == SHOWN)
			break;
		print_end(end, i == 0 && is_open ? "; it is open again" : "");
	}
	if (n > SHOWN)
		printf("          %zu more ended before.\n", n - SHOWN);
	if (n > 0)
		putchar('\n');
}

static const char *const members[] = { "session", "kernelId" }; /* a kernel without a session is known by its own id */

static bool is_earlier(const json_t *ends, size_t at, size_t member, const char *id)
{
	for (size_t i = 0; i <= at; i++)
		for (size_t m = 0; m < 2 && (i < at || m < member); m++)
			if (strcmp(rest_text(json_array_get(ends, i), members[m]), id) == 0)
				return true;
	return false;
}

const char *why_notebook_subject(const json_t *ends, size_t i)
{
	size_t at, found = 0;
	const json_t *end;
	json_array_foreach(ends, at, end) for (size_t m = 0; m < 2; m++)
	{
		const char *id = rest_text(end, members[m]);
		if (id[0] != '\0' && !is_earlier(ends, at, m, id) && found++ == i)
			return id;
	}
	return "";
}

const char *why_notebook_path(const json_t *ends, const char *subject)
{
	size_t i;
	const json_t *end;
	json_array_foreach(ends, i, end) for (size_t m = 0; m < 2; m++) if (strcmp(rest_text(end, members[m]), subject) ==
									    0) return rest_text(end, "notebook");
	return "";
}
