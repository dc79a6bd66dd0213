#include "bind/crumb.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/log.h"
#include "base/text.h"

#define PAGE_BYTES 4096
#define MAGIC      0x31424d5243535344ull /* "DSSCRMB1": another layout gets another number */

struct page {
	uint64_t magic;
	struct crumb places[CRUMB_THREADS][CRUMB_DEPTH];
};
_Static_assert(sizeof(struct page) <= PAGE_BYTES, "the crumbs fit the keeper's page");

static struct page own_page, *page = &own_page;
static struct crumb last[CRUMB_THREADS];
static __thread int my_thread, my_depth;

static struct page *map_page(void)
{
	struct stat st;
	int64_t fd;
	const char *text = getenv("DSS_CRUMB_FD");
	if (!text || text_int(text, 3, INT_MAX, &fd, NULL) < 0 || fstat((int)fd, &st) < 0)
		return NULL;
	unsetenv("DSS_CRUMB_FD");
	void *p = st.st_size < PAGE_BYTES ? MAP_FAILED : mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0);
	close((int)fd);
	if (p == MAP_FAILED)
		log_warn("unable to map the crumbs' page: a policy that ends the backend will not be known to the next one");
	return p == MAP_FAILED ? NULL : p;
}

/* A dying process may have written anything. */
static void end_texts(struct crumb *c)
{
	c->source[sizeof c->source - 1] = c->word[sizeof c->word - 1] = '\0';
	c->name[sizeof c->name - 1] = c->hash[sizeof c->hash - 1] = '\0';
}

void crumb_start(void)
{
	struct page *shared = map_page();
	if (!shared)
		return;
	for (int t = 0; t < CRUMB_THREADS && shared->magic == MAGIC; t++)
		for (int d = 0; d < CRUMB_DEPTH; d++)
			if (shared->places[t][d].state == 1) {
				last[t] = shared->places[t][d];
				end_texts(&last[t]);
			}
	memset(shared, 0, sizeof *shared);
	shared->magic = MAGIC;
	page = shared;
}

const struct crumb *crumb_last(int thread)
{
	return last[thread].state == 1 && last[thread].source[0] ? &last[thread] : NULL;
}

void crumb_use(int thread)
{
	my_thread = thread;
	my_depth = 0;
}

int crumb_thread(void)
{
	return my_thread;
}

static void put(char *out, size_t room, const char *text)
{
	size_t n = text ? strnlen(text, room - 1) : 0;
	memcpy(out, text ? text : "", n);
	out[n] = '\0';
}

void crumb_enter(const char *source, const char *word, const char *name, const char *hash)
{
	int depth = my_depth++;
	if (depth >= CRUMB_DEPTH)
		return;
	struct crumb *c = &page->places[my_thread][depth];
	put(c->source, sizeof c->source, source);
	put(c->word, sizeof c->word, word);
	put(c->name, sizeof c->name, name);
	put(c->hash, sizeof c->hash, hash);
	__atomic_store_n(&c->state, 1, __ATOMIC_RELEASE);
}

void crumb_leave(void)
{
	if (my_depth > 0 && --my_depth < CRUMB_DEPTH)
		__atomic_store_n(&page->places[my_thread][my_depth].state, 0, __ATOMIC_RELEASE);
}

int crumb_depth(void)
{
	return my_depth;
}

void crumb_back_to(int depth)
{
	while (my_depth > depth)
		crumb_leave();
}
