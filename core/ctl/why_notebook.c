#include "ctl/why_notebook.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "ctl/say.h"

enum { SHOWN = 3, ID_LEAST = 4, NAME_ROOM = 512 };

static const char extension[] = ".ipynb";

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
	if (json_is_array(a.json)) /* integers as they are */
		ends = json_loadb(a.body.data, a.body.len, 0, NULL);
	rest_answer_fini(&a);
	return ends ? ends : json_array();
}

json_t *why_notebook_rows(const json_t *ends, const json_t *decisions)
{
	json_t *rows = json_array();
	const json_t *end;
	size_t i;
	json_array_foreach(ends, i, end)
	{
		json_t *row = json_copy((json_t *)end);
		json_object_set_new(row, "kind", json_string("end"));
		json_array_append_new(rows, row);
	}
	json_array_extend(rows, (json_t *)decisions);
	return rows;
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

/* Its path as one types it. */
static const char *typed(const json_t *session, char *out, size_t room)
{
	const char *path = rest_text(session, "notebook");
	size_t n = strlen(path), tail = sizeof(extension) - 1;
	text_escape(out, room, path, n > tail && strcmp(path + n - tail, extension) == 0 ? n - tail : n);
	return out;
}

void why_notebook_print_young(const json_t *session)
{
	char path[NAME_ROOM], since[48];
	ctl_note("%s is open since %s (dssctl notebooks); nothing has been decided about it yet.",
		 typed(session, path, sizeof(path)), say_time((int64_t)rest_number(session, "startedAt", 0), since, sizeof(since)));
}

/* As names are compared: in small letters, without the extension; the last part alone, if that is all that was asked for. */
static void fold(const char *path, bool is_last, char out[NAME_ROOM])
{
	const char *last = strrchr(path, '/');
	size_t i, n, tail = sizeof(extension) - 1;
	if (is_last && last != NULL)
		path = last + 1;
	for (i = 0; path[i] != '\0' && i < NAME_ROOM - 1; i++)
		out[i] = (char)tolower((unsigned char)path[i]);
	n = i > tail && strncmp(out + i - tail, extension, tail) == 0 ? i - tail : i;
	out[n] = '\0';
}

/* NULL: none is near. */
static const json_t *nearest(const json_t *open, const char *word)
{
	size_t i, n = json_array_size(open);
	bool is_last = strchr(word, '/') == NULL;
	char meant[NAME_ROOM];
	char(*names)[NAME_ROOM] = calloc(n + 1, sizeof(*names));
	const char **list = calloc(n + 1, sizeof(*list)), *near = NULL;
	const json_t *found = NULL, *row;
	fold(word, is_last, meant);
	if (names != NULL && list != NULL) {
		json_array_foreach(open, i, row)
		{
			fold(rest_text(row, "notebook"), is_last, names[i]);
			list[i] = names[i];
			if (near == NULL && strcmp(names[i], meant) == 0)
				near = names[i];
		}
		if (near == NULL)
			near = text_nearest(meant, list);
		for (i = 0; near != NULL && found == NULL && i < n; i++)
			if (list[i] == near)
				found = json_array_get(open, i);
	}
	free(names);
	free(list);
	return found;
}

void why_notebook_hint(const json_t *open, const char *word, bool is_notebook)
{
	char path[NAME_ROOM];
	size_t n = strlen(word), tail = sizeof(extension) - 1;
	const json_t *near = nearest(open, word);
	if (near != NULL)
		ctl_note("Did you mean notebook \"%s\"?", typed(near, path, sizeof(path)));
	else if (is_notebook || strchr(word, '/') || (n > tail && strcmp(word + n - tail, extension) == 0))
		ctl_note("Notebooks are named PROJECT/NAME; dssctl notebooks lists those that are open.");
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
