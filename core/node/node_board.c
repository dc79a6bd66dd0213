#include "node/node_board.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/node_board_inner.h"
#include "sys/clock.h"

#define LOOKED_MS   50   /* a look not older than that is good enough for who asks */
#define GONE_MOST   4096 /* rows that went, for those who come back */
#define GONE_MS     600000
#define ROW_MAX     ((size_t)64 << 10)
#define SHARE_GRAIN 10  /* changes below that are no news: a hundredth of a core */
#define CPU_GRAIN   100 /* a tenth of a second */
#define NUMBERS_NEW (-1)

const char *const board_kinds[BOARD_KINDS] = { "future",   "job",   "recipe", "training", "webapp",
					       "notebook", "macro", "kernel", "service" };
static const unsigned topics[BOARD_KINDS] = { 0, BOARD_JOBS, BOARD_JOBS, BOARD_MODELS, BOARD_WEBAPPS, BOARD_NOTEBOOKS, BOARD_MACROS,
					      0, 0 };

/* --- rows --- */

static void row_free(struct board_row *row)
{
	free(row->text);
	free(row->owner);
	free(row->what);
	free(row);
}

static void forget_row(struct node_board *b, struct board_row *row)
{
	list_remove(&row->link);
	if (row->is_named)
		map_remove(b->by_id, row->id);
	row_free(row);
}

struct node_board *node_board_new(struct node *n)
{
	struct node_board *b = calloc(1, sizeof(*b));
	if (!b)
		return NULL;
	b->node = n;
	b->cpu_share = -1;
	list_init(&b->rows);
	list_init(&b->macros);
	buf_init(&b->scratch, ROW_MAX);
	buf_init(&b->shared.text, SIZE_MAX / 4);
	b->by_id = map_new();
	if (!b->by_id)
		node_board_free(&b);
	return b;
}

void node_board_free(struct node_board **bp)
{
	struct node_board *b = *bp;
	if (!b)
		return;
	list_each (&b->rows, l)
		row_free(list_of(l, struct board_row, link));
	board_forget_macros(b);
	map_free(&b->by_id);
	buf_fini(&b->scratch);
	buf_fini(&b->shared.text);
	free(b->shared.login);
	free(b->told_node.text);
	free(b->told_pools.text);
	free(b);
	*bp = NULL;
}

int board_join(char out[BOARD_ID_MAX], enum board_kind kind, const char *first, const char *second, const char *third)
{
	const char *parts[] = { board_kinds[kind], ":", first, second ? "/" : "", second ? second : "", third ? "/" : "",
				third ? third : "" };
	size_t at = 0;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		size_t len = strlen(parts[i]);
		if (len >= BOARD_ID_MAX - at)
			return -1;
		memcpy(out + at, parts[i], len + 1);
		at += len;
	}
	return 0;
}

uint64_t board_mix_text(uint64_t print, const char *s)
{
	uint64_t h = 1469598103934665603u;
	for (; s && *s; s++)
		h = (h ^ (unsigned char)*s) * 1099511628211u;
	return board_mix(print, h);
}

/* They changed with the newest rev. */
static void note(struct node_board *b, unsigned changed)
{
	b->topics |= changed;
	for (size_t i = 0; i < BOARD_TOPICS; i++)
		if (changed & 1u << i)
			b->topic_revs[i] = b->rev;
}

/* It has the newest rev now. */
static void move_up(struct node_board *b, struct board_row *row)
{
	row->rev = ++b->rev;
	list_remove(&row->link);
	list_push(&b->rows, &row->link);
	note(b, topics[row->kind]);
}

static void go(struct node_board *b, struct board_row *row)
{
	free(row->text);
	free(row->what);
	row->text = row->what = NULL;
	row->gone_mono_ms = b->now_mono_ms;
	row->numbers = (struct board_numbers){ -1, -1, -1, -1 };
	row->print = 0;
	b->nlive--;
	b->ngone++;
	move_up(b, row);
}

/* Somebody else's from now on: to whom it was it is gone for ever, and comes anew to whom it is. */
static void leave_behind(struct node_board *b, struct board_row *row)
{
	map_remove(b->by_id, row->id);
	row->is_named = false;
	if (!row->gone_mono_ms)
		go(b, row);
}

static struct board_row *make_row(struct node_board *b, enum board_kind kind, const char *id, const char *owner)
{
	size_t len = strlen(id);
	struct board_row *row = calloc(1, sizeof(*row) + len + 1);
	if (!row || !(row->owner = strdup(owner))) {
		free(row);
		return NULL;
	}
	memcpy(row->id, id, len + 1);
	list_init(&row->link);
	row->kind = kind;
	row->numbers = (struct board_numbers){ -1, -1, -1, -1 };
	if (map_set(b->by_id, id, row) < 0) {
		row_free(row);
		return NULL;
	}
	row->is_named = true;
	row->rev = ++b->rev; /* also without a text: the list is by rev */
	list_push(&b->rows, &row->link);
	b->nlive++;
	return row;
}

struct board_row *board_see(struct node_board *b, enum board_kind kind, const char *id, const char *owner, uint64_t print,
			    bool *is_same)
{
	struct board_row *row = map_get(b->by_id, id);
	owner = owner ? owner : "";
	if (row && strcmp(row->owner, owner) != 0) {
		leave_behind(b, row);
		row = NULL;
	}
	if (row && row->gone_mono_ms) { /* it is back */
		row->gone_mono_ms = 0;
		b->ngone--;
		b->nlive++;
	}
	if (!row && !(row = make_row(b, kind, id, owner)))
		return NULL;
	row->round = b->round;
	*is_same = row->text && row->print == print;
	row->print = print;
	row->is_waiting = row->is_busy = false;
	return row;
}

void board_write(struct node_board *b, struct board_row *row, const struct board_facts *f)
{
	struct buf *text = &b->scratch;
	buf_clear(text);
	board_put_row(text, row->kind, row->id, f);
	if (text->failed || (row->text && row->len == text->len && memcmp(row->text, text->data, text->len) == 0))
		return;
	char *copy = malloc(text->len + 1);
	if (!copy) {
		row->print = 0; /* again in the next round */
		return;
	}
	memcpy(copy, text->data, text->len + 1);
	free(row->text);
	row->text = copy;
	row->len = text->len;
	move_up(b, row);
}

void board_set_process(struct board_row *row, const char *process)
{
	if (strcmp(row->process, process ? process : "") != 0)
		snprintf(row->process, sizeof(row->process), "%s", process ? process : "");
}

/* --- a look --- */

static bool is_news(int64_t was, int64_t is, int64_t grain)
{
	return was != is && (was < 0 || is < 0 || is - was >= grain || was - is >= grain);
}

static bool take_numbers(const struct node_board *b, struct board_row *row)
{
	struct curve_now now = { -1, -1, -1, -1 };
	struct board_numbers *n = &row->numbers;
	if (row->process[0])
		curves_now(b->node->curves, row->process, &now);
	if (n->memory_bytes == now.memory_bytes && n->peak_bytes == now.peak_bytes &&
	    !is_news(n->share_milli, now.share_milli, SHARE_GRAIN) && !is_news(n->cpu_ms, now.cpu_ms, CPU_GRAIN))
		return false;
	*n = (struct board_numbers){ now.memory_bytes, now.peak_bytes, now.share_milli, now.cpu_ms };
	return true;
}

/* The oldest of those that went are forgotten. */
static void forget_gone(struct node_board *b)
{
	list_each (&b->rows, l) {
		struct board_row *row = list_of(l, struct board_row, link);
		if (b->ngone == 0)
			return;
		if (!row->gone_mono_ms)
			continue;
		if (b->ngone <= GONE_MOST && b->now_mono_ms - row->gone_mono_ms < GONE_MS)
			return;
		b->floor = row->rev;
		b->ngone--;
		forget_row(b, row);
	}
}

void board_begin(struct node_board *b, int64_t mono_ms)
{
	b->looked_mono_ms = b->now_mono_ms = mono_ms;
	b->now_wall_ms = clock_wall_ms();
	b->round++;
}

static void end_round(struct node_board *b)
{
	bool has_numbers = false;
	size_t left = b->nlive + b->ngone;
	struct list *l = b->rows.next;
	for (; left > 0 && l != &b->rows; left--) { /* those that go move behind the last of them */
		struct board_row *row = list_of(l, struct board_row, link);
		l = l->next;
		if (row->gone_mono_ms)
			continue;
		if (row->round != b->round)
			go(b, row);
		else if (take_numbers(b, row)) {
			row->numbers_rev = NUMBERS_NEW;
			has_numbers = true;
		}
	}
	if (!has_numbers)
		return;
	b->rev++;
	list_each (&b->rows, p) {
		struct board_row *row = list_of(p, struct board_row, link);
		if (row->numbers_rev == NUMBERS_NEW)
			row->numbers_rev = b->rev;
	}
}

void board_end(struct node_board *b)
{
	end_round(b);
	forget_gone(b);
}

void node_board_refresh(struct node_board *b)
{
	int64_t now = clock_mono_ms();
	if (b->looked_mono_ms && now - b->looked_mono_ms < LOOKED_MS)
		return;
	board_begin(b, now);
	if (b->node->facts.is_taken_up) {
		board_look_at_tasks(b);
		board_look_at_guests(b);
		board_end(b);
	}
	board_look_at_node(b);
}

/* --- what no look sees --- */

void board_ended(struct node_board *b, enum board_kind kind, const char *owner, const char *id)
{
	struct board_row *row = map_get(b->by_id, id);
	if (!b->looked_mono_ms)
		return; /* nobody was told anything */
	if (row && strcmp(row->owner, owner) != 0) {
		leave_behind(b, row);
		row = NULL;
	}
	if (row && !row->gone_mono_ms)
		return; /* the next look misses it */
	if (!row && (row = make_row(b, kind, id, owner))) {
		go(b, row);
	} else if (row) {
		row->gone_mono_ms = b->now_mono_ms;
		move_up(b, row);
	}
	if (b->ngone > GONE_MOST)
		forget_gone(b);
}

void node_board_job_ended(struct node_board *b, const char *owner, const char *project, const char *job)
{
	char id[BOARD_ID_MAX];
	if (board_join(id, BOARD_JOB, project, job, NULL) == 0)
		board_ended(b, BOARD_JOB, owner, id);
}

void node_board_webapp_ended(struct node_board *b, const char *owner, const char *project, const char *name)
{
	char id[BOARD_ID_MAX];
	if (board_join(id, BOARD_WEBAPP, project, name, NULL) == 0)
		board_ended(b, BOARD_WEBAPP, owner, id);
}

void node_board_note(struct node_board *b, unsigned topics_changed)
{
	b->rev++; /* so that who was told all up to now has not been told this */
	note(b, topics_changed);
}

unsigned node_board_take_topics(struct node_board *b)
{
	unsigned taken = b->topics;
	b->topics = 0;
	return taken;
}

unsigned node_board_topics_since(const struct node_board *b, int64_t rev)
{
	unsigned since = 0;
	for (size_t i = 0; i < BOARD_TOPICS; i++)
		if (b->topic_revs[i] > rev)
			since |= 1u << i;
	return since;
}
