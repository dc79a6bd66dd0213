#include "base/words.h"
#include <stdlib.h>
#include <string.h>

size_t words_count(char *const *words)
{
	size_t n = 0;
	while (words && words[n])
		n++;
	return n;
}

int words_add(char ***words, const char *s, struct err *err)
{
	size_t n = words_count(*words);
	if (n >= WORDS_MAX)
		return err_set(err, "unable to keep a word: %d is the most", WORDS_MAX);
	char **w = realloc(*words, (n + 2) * sizeof(*w));
	if (!w)
		return err_set(err, "unable to keep a word: no memory");
	*words = w;
	w[n] = strdup(s);
	w[n + 1] = NULL;
	return w[n] ? 0 : err_set(err, "unable to keep a word: no memory");
}

void words_cut(char **words, size_t n)
{
	if (words_count(words) <= n)
		return;
	for (char **w = words + n; *w; w++) {
		explicit_bzero(*w, strlen(*w));
		free(*w);
		*w = NULL;
	}
}

void words_free(char ***words)
{
	words_cut(*words, 0);
	free(*words);
	*words = NULL;
}
