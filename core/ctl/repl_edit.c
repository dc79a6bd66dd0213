#include "ctl/repl_edit.h"

#include <errno.h>
#include <fcntl.h>
#include <histedit.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "ctl/ctl.h"
#include "ctl/say.h"

enum { HISTORY_MOST = 1000, HISTORY_LINE_MOST = 4096, WORD_ROOM = 512, LIST_MOST = 100 };

struct repl_edit {
	EditLine *el;
	History *history;
	const char *prompt;
	repl_complete_fn *complete;
	void *data;
	char path[PATH_MAX]; /* of the history; "" = none */
	char *line;
};

static volatile sig_atomic_t was_interrupted;

static void on_interrupt(int signo)
{
	(void)signo;
	was_interrupted = 1;
}

static char *tell_prompt(EditLine *el)
{
	struct repl_edit *e = NULL;
	el_get(el, EL_CLIENTDATA, &e);
	return (char *)e->prompt;
}

/* --- completion --- */

static size_t common(const json_t *words, const char *first)
{
	size_t i, n = strlen(first);
	const json_t *word;
	json_array_foreach(words, i, word)
	{
		const char *s = json_string_value(word);
		size_t k = 0;
		while (k < n && s != NULL && s[k] == first[k])
			k++;
		n = k;
	}
	return n;
}

static void list_words(const json_t *words)
{
	size_t i, at = 0, lines = 0, columns = say_columns(stdout, &lines);
	const json_t *word;
	char shown[WORD_ROOM];
	putchar('\n');
	json_array_foreach(words, i, word)
	{
		const char *s = json_string_value(word);
		if (s == NULL || i >= LIST_MOST)
			continue;
		text_escape(shown, sizeof(shown), s, strlen(s));
		size_t len = strlen(shown) + 2;
		if (at > 0 && columns > 0 && at + len > columns) {
			putchar('\n');
			at = 0;
		}
		printf("%s  ", shown);
		at += len;
	}
	printf(json_array_size(words) > LIST_MOST ? "…\n" : "\n");
}

static unsigned char on_tab(EditLine *el, int ch)
{
	struct repl_edit *e = NULL;
	const LineInfo *li = el_line(el);
	size_t cursor = (size_t)(li->cursor - li->buffer), len = (size_t)(li->lastchar - li->buffer), from = cursor;
	unsigned char result = CC_ERROR;
	(void)ch;
	el_get(el, EL_CLIENTDATA, &e);
	char word[WORD_ROOM], *line = strndup(li->buffer, len);
	json_t *words = line != NULL ? e->complete(e->data, line, cursor, &from) : NULL;
	const char *first = json_string_value(json_array_get(words, 0));
	if (first != NULL && from <= cursor) {
		size_t typed = cursor - from, n = common(words, first);
		bool is_one = json_array_size(words) == 1;
		if (n < sizeof(word) && (n > typed || is_one)) {
			memcpy(word, first, n);
			word[n] = '\0';
			el_deletestr(el, (int)typed); /* names are ASCII: bytes are characters */
			result = n == 0 || el_insertstr(el, word) == 0 ? CC_REFRESH : CC_ERROR;
		} else {
			list_words(words);
			result = CC_REDISPLAY;
		}
	}
	json_decref(words);
	free(line);
	return result;
}

/* --- history --- */

static void load_history(struct repl_edit *e)
{
	HistEvent ev;
	const char *home = getenv("HOME");
	struct stat st;
	if (home == NULL || home[0] != '/' || snprintf(e->path, sizeof(e->path), "%s/.dss_history", home) >= (int)sizeof(e->path)) {
		e->path[0] = '\0';
		return;
	}
	/* sudo keeps HOME on some machines: another's file is neither read nor written */
	if (lstat(e->path, &st) < 0 ? errno != ENOENT : !S_ISREG(st.st_mode) || st.st_uid != geteuid())
		e->path[0] = '\0';
	else
		history(e->history, &ev, H_LOAD, e->path);
}

static void save_history(struct repl_edit *e)
{
	HistEvent ev;
	if (e->path[0] == '\0')
		return;
	int fd = open(e->path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	FILE *f = fd >= 0 && fchmod(fd, 0600) == 0 && ftruncate(fd, 0) == 0 ? fdopen(fd, "w") : NULL;
	if (f == NULL || history(e->history, &ev, H_SAVE_FP, f) < 0)
		ctl_note("unable to write the history %s: %s", e->path, strerror(errno));
	if (f != NULL)
		fclose(f);
	else if (fd >= 0)
		close(fd);
}

void repl_edit_remember(struct repl_edit *e, const char *line)
{
	HistEvent ev;
	if (line[0] != '\0' && strlen(line) <= HISTORY_LINE_MOST)
		history(e->history, &ev, H_ENTER, line);
}

/* --- life --- */

struct repl_edit *repl_edit_open(bool has_history, repl_complete_fn *fn, void *data)
{
	HistEvent ev;
	struct sigaction sa = { .sa_handler = on_interrupt }; /* no SA_RESTART: reading a line ends */
	struct repl_edit *e = calloc(1, sizeof(*e));
	if (e == NULL)
		return NULL;
	e->complete = fn;
	e->data = data;
	e->el = el_init("dssctl", stdin, stdout, stderr);
	e->history = history_init();
	if (e->el == NULL || e->history == NULL) {
		repl_edit_close(&e);
		return NULL;
	}
	history(e->history, &ev, H_SETSIZE, HISTORY_MOST);
	history(e->history, &ev, H_SETUNIQUE, 1);
	if (has_history)
		load_history(e);
	el_set(e->el, EL_CLIENTDATA, e);
	el_set(e->el, EL_PROMPT, tell_prompt);
	el_set(e->el, EL_EDITOR, "emacs");
	el_set(e->el, EL_HIST, history, e->history);
	el_set(e->el, EL_ADDFN, "dss-complete", "complete the word", on_tab);
	el_set(e->el, EL_BIND, "\t", "dss-complete", NULL);
	el_set(e->el, EL_BIND, "^R", "em-inc-search-prev", NULL);
	sigemptyset(&sa.sa_mask);
	sigaction(SIGINT, &sa, NULL);
	return e;
}

void repl_edit_close(struct repl_edit **edit)
{
	struct repl_edit *e = *edit;
	if (e == NULL)
		return;
	if (e->history != NULL) {
		save_history(e);
		history_end(e->history);
	}
	if (e->el != NULL)
		el_end(e->el);
	free(e->line);
	free(e);
	*edit = NULL;
}

enum repl_read repl_edit_read(struct repl_edit *e, const char *prompt, const char **line)
{
	int n = 0;
	was_interrupted = 0;
	e->prompt = prompt;
	const char *typed = el_gets(e->el, &n);
	if (typed == NULL || n <= 0) {
		putchar('\n');
		if (!was_interrupted)
			return REPL_LEFT;
		el_reset(e->el);
		return REPL_CLEARED;
	}
	free(e->line);
	e->line = strndup(typed, strcspn(typed, "\r\n"));
	*line = e->line != NULL ? e->line : "";
	return REPL_LINE;
}
