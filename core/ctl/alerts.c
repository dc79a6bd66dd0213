/* alerts: what an admin should know now. Exit 0 also while there are some: --fail turns errors into exit 1, for monitors. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "ctl/list.h"
#include "ctl/opt.h"
#include "ctl/rest.h"

static enum say_tone tone_of(const char *level)
{
	return strcmp(level, "error") == 0 ? SAY_BAD : strcmp(level, "warning") == 0 ? SAY_WARN : SAY_PLAIN;
}

/* A block each: the text is what matters, and it is long. */
static void print_one(const json_t *row)
{
	char since[64], text[1200], count[48] = "";
	const char *level = rest_text(row, "level"), *source = rest_text(row, "source"), *words = rest_text(row, "text");
	double n = rest_number(row, "count", 1);
	text_escape(text, sizeof(text), words, strlen(words));
	if (n > 1)
		snprintf(count, sizeof(count), ", %.0f times", n);
	say_toned(stdout, tone_of(level), level);
	printf("  %s\n         since %s%s; %s%s%s\n", text, say_since((int64_t)rest_number(row, "since", 0), since, sizeof(since)),
	       count, rest_text(row, "key"), *source ? "; " : "", source);
}

int alerts_command(struct ctl *ctl, int argc, char **argv)
{
	const char *key_file = NULL;
	bool fails = false;
	struct rest *rest = NULL;
	struct rest_answer a = { 0 };
	const struct opt opts[] = {
		{ "fail", NULL, "exit 1 while there is a warning or an error", OPT_FLAG, &fails, 0, 0, NULL },
		OPT_KEY_FILE(&key_file),
		{ 0 },
	};
	struct opt_words words = { .usage = "[--fail] [--json]",
				   .about = "What an admin should know now, worst first, until it is over." };
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (code = rest_open(&rest, ctl, key_file)) != CTL_DONE)
		return code;
	code = rest_ask(rest, "GET", "/api/alerts", NULL, &a);
	if (code == CTL_DONE)
		code = rest_check_list(a.json);
	if (code == CTL_DONE && ctl->json)
		printf("%s\n", a.body.data);
	size_t i;
	json_t *row;
	bool is_bad = false;
	if (code == CTL_DONE)
		json_array_foreach(a.json, i, row)
		{
			is_bad = is_bad || strcmp(rest_text(row, "level"), "note") != 0;
			if (!ctl->json)
				print_one(row);
		}
	if (code == CTL_DONE && !ctl->json && json_array_size(a.json) == 0)
		ctl_note("No alerts.");
	rest_answer_fini(&a);
	rest_close(&rest);
	return code == CTL_DONE && fails && is_bad ? CTL_FAILED : code;
}
