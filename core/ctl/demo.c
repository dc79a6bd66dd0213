#include "ctl/demo.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "ctl/say.h"

enum { ROWS = 100000, BYTES_MAX = 16 * 1024 * 1024, DAYS = 365, CUSTOMERS = 5000, SHOPS = 24 };

static const struct {
	const char *name;
	int cents;
} products[] = { { "chair", 8900 }, { "desk", 24900 }, { "lamp", 3950 },  { "shelf", 11900 }, { "rug", 7900 },
		 { "mug", 890 },    { "clock", 2990 }, { "frame", 1490 }, { "vase", 1990 },   { "plant", 1250 } };
static const char *const channels[] = { "shop", "web", "phone" };

/* xorshift64*: only the same numbers every time are asked of it. */
static uint32_t next_random(uint64_t *state, uint32_t below)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (uint32_t)((*state * 2685821657736338717ULL) >> 33) % below;
}

static void put_date(struct buf *b, int day)
{
	static const int lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int month = 0;
	for (; day >= lengths[month]; month++)
		day -= lengths[month];
	buf_printf(b, "2025-%02d-%02d", month + 1, day + 1);
}

static void put_row(struct buf *b, int row, uint64_t *state)
{
	size_t p = next_random(state, sizeof(products) / sizeof(products[0]));
	uint32_t quantity = 1 + next_random(state, 8) * next_random(state, 2);
	uint32_t off = next_random(state, 5) == 0 ? 10 : 0; /* per cent */
	uint32_t cents = (uint32_t)products[p].cents * quantity * (100 - off) / 100;
	buf_printf(b, "%d,", row);
	put_date(b, (int)((int64_t)row * DAYS / (ROWS + 1)));
	buf_printf(b, ",S%02u,%s,%s,C%04u,%u,%u,", 1 + next_random(state, SHOPS), channels[next_random(state, 3)], products[p].name,
		   1 + next_random(state, CUSTOMERS), quantity, off);
	/* Some amounts are missing, as in life. */
	if (next_random(state, 200) == 0)
		buf_putc(b, '\n');
	else
		buf_printf(b, "%u.%02u\n", cents / 100, cents % 100);
}

int demo_make(const struct layout *l, struct err *err)
{
	static const char *const folders[] = { "projects/DEMO", "projects/DEMO/data", "projects/DEMO/data/sales" };
	uint64_t state = 0x9e3779b97f4a7c15ULL;
	struct buf b;
	int rc = 0;
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]) && rc == 0; i++)
		rc = layout_folder(l, folders[i], LAYOUT_RUN, LAYOUT_RUN, 0755, err);
	buf_init(&b, BYTES_MAX);
	buf_puts(&b, "order,date,shop,channel,product,customer,quantity,discount_percent,amount\n");
	for (int row = 1; row <= ROWS; row++)
		put_row(&b, row, &state);
	if (rc == 0 && b.failed)
		rc = err_set(err, "unable to make the demo's data: no memory");
	if (rc == 0)
		rc = layout_write(l, "projects/DEMO/data/sales/sales.csv", b.data, b.len, LAYOUT_RUN, LAYOUT_RUN, 0644, err);
	buf_fini(&b);
	return rc;
}

void demo_print_next(const char *dir)
{
	static const struct {
		const char *function, *arg, *rest;
	} lines[] = { { "stats:summarise", "/projects/DEMO/data/sales/sales.csv", "" },
		      { "stats:eat", "4294967296", " --memory 256m" } };
	char path[PATH_MAX + 64];
	struct buf b;
	buf_init(&b, 64 * 1024);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		buf_puts(&b, "  ");
		snprintf(path, sizeof(path), "%s/bin/dssctl", dir);
		say_put_word(&b, path);
		buf_printf(&b, " submit python %s --arg ", lines[i].function);
		snprintf(path, sizeof(path), "%s%s", lines[i].arg[0] == '/' ? dir : "", lines[i].arg);
		say_put_word(&b, path);
		buf_printf(&b, "%s --wait\n", lines[i].rest);
	}
	printf("try:\n%s", b.failed ? "" : b.data);
	buf_fini(&b);
}
