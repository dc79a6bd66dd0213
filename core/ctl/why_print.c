#include "ctl/why_print.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "ctl/rest.h"
#include "ctl/say.h"

enum { TEXT_ROOM = 2400 };

static const struct {
	const char *answer, *past, *infinitive;
	bool ends; /* it may be kept from it */
} verbs[] = {
	{ "keep", "kept", "keep", false },
	{ "retire", "retired", "retire", true },
	{ "kill", "killed", "kill", true },
	{ "abort", "aborted", "abort", true },
	{ "notify", "told about", "tell about", false },
	{ "wait", "let wait", "let wait", false },
	{ "start", "started", "start", false },
	{ "stop", "stopped", "stop", true },
	{ "assign", "assigned", "assign", false },
	{ "set", "set", "set", false },
	{ "allow", "allowed", "allow", false },
	{ "deny", "denied", "deny", false },
	{ "unload", "unloaded", "unload", true },
	{ "place", "placed", "place", false },
	{ "refuse", "refused", "refuse", false },
	{ "admit", "admitted", "admit", false },
	{ "warn", "warned about", "warn about", false },
	{ "delete", "deleted", "delete", true },
	{ "interrupt", "interrupted", "interrupt", true },
	{ "macro", "ran a macro for", "run a macro for", false },
};

const char *why_escaped(const char *s, char *out, size_t room)
{
	text_escape(out, room, s, strlen(s));
	return out;
}

/* "would have retired", "warned before it retires", "unable to retire". Returns the tone. */
static enum say_tone answer_in_words(const json_t *row, char *out, size_t room)
{
	const char *answer = rest_text(row, "answer"), *outcome = rest_text(row, "outcome"), *mode = rest_text(row, "mode");
	char shown[160];
	const char *past = why_escaped(answer, shown, sizeof(shown)), *infinitive = past;
	bool ends = false;
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(verbs[i].answer, answer) == 0) {
			past = verbs[i].past;
			infinitive = verbs[i].infinitive;
			ends = verbs[i].ends;
		}
	if (strcmp(outcome, "would") == 0) {
		snprintf(out, room, "would have %s", past);
		return SAY_WARN;
	}
	if (strcmp(outcome, "failed") == 0) {
		snprintf(out, room, "was unable to %s", strcmp(answer, "keep") == 0 ? "decide about" : infinitive);
		return SAY_BAD;
	}
	if (strcmp(outcome, "warned") == 0) {
		snprintf(out, room, "warned, is going to %s", infinitive);
		return SAY_WARN;
	}
	if (strcmp(outcome, "kept") == 0 && ends) {
		snprintf(out, room, "kept, did not %s", infinitive);
		return SAY_PLAIN;
	}
	snprintf(out, room, "%s%s", past, strcmp(mode, "notify") == 0 ? " (notify only)" : "");
	return strcmp(answer, "keep") == 0 || strcmp(outcome, "nothing") == 0 ? SAY_PLAIN : SAY_GOOD;
}

static void print_line(const char *text)
{
	char shown[TEXT_ROOM];
	if (*text)
		printf("          %s\n", why_escaped(text, shown, sizeof(shown)));
}

static void print_by(const json_t *row)
{
	char word[80], name[200], source[300], threshold[600], version[48] = "";
	why_escaped(rest_text(row, "word"), word, sizeof(word));
	why_escaped(rest_text(row, "name"), name, sizeof(name));
	why_escaped(rest_text(row, "source"), source, sizeof(source));
	why_escaped(rest_text(row, "threshold"), threshold, sizeof(threshold));
	double n = rest_number(row, "version", 0);
	const json_t *v = json_object_get(row, "version");
	if (json_is_integer(v))
		n = (double)json_integer_value(v);
	if (n > 0)
		snprintf(version, sizeof(version), " (policies version %.0f)", n);
	bool is_core = strcmp(source, "core") == 0;
	printf("          by %s%s%s%s%s%s%s%s%s\n", word, *name ? " \"" : "", name, *name ? "\"" : "",
	       is_core   ? ", a rule of the core's own"
	       : *source ? ", "
			 : "",
	       is_core ? "" : source, version, *threshold ? ": " : "", threshold);
}

static void print_facts(const json_t *row)
{
	const json_t *texts = json_object_get(row, "inputsText"), *one;
	size_t i;
	struct buf b;
	buf_init(&b, 64 * 1024);
	json_array_foreach(texts, i, one)
		buf_printf(&b, "%s%s", i ? ", " : "", json_string_value(one) ? json_string_value(one) : "");
	if (!b.failed && b.len > 0)
		print_line(b.data);
	buf_fini(&b);
}

static int64_t integer(const json_t *row, const char *key)
{
	return (int64_t)json_integer_value(json_object_get(row, key));
}

void why_print_row(const json_t *row, const char *notebook)
{
	char when[48], first[48], answer[240], kind[80], subject[300], path[700];
	int64_t count = integer(row, "count");
	enum say_tone tone = answer_in_words(row, answer, sizeof(answer));
	printf("%-8s  ", say_time(integer(row, "at"), when, sizeof(when)));
	say_toned(stdout, tone, answer);
	printf(" %s %s", why_escaped(rest_text(row, "subjectKind"), kind, sizeof(kind)),
	       why_escaped(rest_text(row, "subject"), subject, sizeof(subject)));
	if (*notebook != '\0')
		printf(" (%s)", why_escaped(notebook, path, sizeof(path)));
	if (count > 1)
		printf(", %lld times since %s", (long long)count, say_time(integer(row, "firstAt"), first, sizeof(first)));
	putchar('\n');
	print_line(rest_text(row, "reason"));
	print_line(rest_text(row, "outcomeText"));
	print_by(row);
	print_facts(row);
}

void why_print_death(const json_t *answer)
{
	const json_t *detail = json_object_get(answer, "detail");
	char message[4000], words[300], limit[32], peak[32];
	double limit_bytes = rest_number(detail, "limitBytes", -1), peak_bytes = rest_number(detail, "peakBytes", -1);
	printf("%s\n", why_escaped(rest_text(answer, "message"), message, sizeof(message)));
	if (rest_text(answer, "cause")[0] != '\0')
		printf("          cause: %s", why_escaped(rest_text(answer, "cause"), words, sizeof(words)));
	if (limit_bytes >= 0)
		printf(", limit %s of %s", text_print_size((int64_t)limit_bytes, limit, sizeof(limit)),
		       why_escaped(rest_text(detail, "limitOwner"), words, sizeof(words)));
	if (peak_bytes >= 0)
		printf(", peak %s", text_print_size((int64_t)peak_bytes, peak, sizeof(peak)));
	printf("\n\n");
}
