/* node_board_node: the node as a whole, its pools, and the curves of processes. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fleet/jtext.h"
#include "net/json.h"
#include "node/node_board_inner.h"
#include "node/node_takeup.h"
#include "sys/clock.h"
#include "sys/fds.h"

#define GRAIN_BYTES ((int64_t)1 << 16) /* what is less is no news */
#define STAT_MS     500                /* between two looks at the processors */
#define TEXT_MAX    ((size_t)8 << 20)
#define CURVES_MOST 200

/* --- the machine --- */

static int64_t value_after(const char *text, const char *name)
{
	const char *at = strstr(text, name);
	return at ? strtoll(at + strlen(name), NULL, 10) : -1;
}

static int64_t used_bytes(void)
{
	char text[4096];
	if (fds_read_file("/proc/meminfo", text, sizeof(text), NULL) < 0)
		return -1;
	int64_t total = value_after(text, "MemTotal:"), left = value_after(text, "MemAvailable:");
	return total < 0 || left < 0 ? -1 : (total - left) * 1024 / GRAIN_BYTES * GRAIN_BYTES;
}

/* The first line is enough: one for each processor follows. */
static int read_head(const char *path, char *out, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, out, room - 1);
	fds_close(&fd);
	out[len > 0 ? len : 0] = '\0';
	return len > 0 ? 0 : -1;
}

/* "cpu  user nice system idle iowait irq softirq steal …" in ticks of all processors. */
static void look_at_processors(struct node_board *b)
{
	char text[512], *p;
	int64_t sum = 0, idle = 0;
	if (b->stat_mono_ms && b->now_mono_ms - b->stat_mono_ms < STAT_MS)
		return;
	if (read_head("/proc/stat", text, sizeof(text)) < 0 || strncmp(text, "cpu ", 4) != 0)
		return;
	p = text + 4;
	for (int i = 0; i < 8; i++) {
		int64_t ticks = strtoll(p, &p, 10);
		sum += ticks;
		if (i == 3 || i == 4)
			idle += ticks;
	}
	int64_t total = sum - b->stat_total, used = sum - idle - b->stat_used;
	if (b->stat_mono_ms && total > 0 && used >= 0)
		b->cpu_share = (double)used / (double)total * (double)sysconf(_SC_NPROCESSORS_ONLN);
	b->stat_total = sum;
	b->stat_used = sum - idle;
	b->stat_mono_ms = b->now_mono_ms;
}

/* --- what runs --- */

struct sums {
	int64_t services, warm, busy, notebooks, webapps;
	size_t waiting, running;
};

static void add_up(const struct node_board *b, struct sums *s)
{
	*s = (struct sums){ 0 };
	int64_t *const to[BOARD_KINDS] = {
		[BOARD_FUTURE] = &s->busy,   [BOARD_JOB] = &s->busy,         [BOARD_RECIPE] = &s->busy,
		[BOARD_TRAINING] = &s->busy, [BOARD_WEBAPP] = &s->webapps,   [BOARD_NOTEBOOK] = &s->notebooks,
		[BOARD_KERNEL] = &s->warm,   [BOARD_SERVICE] = &s->services,
	};
	list_each (&b->rows, l) {
		const struct board_row *row = list_of(l, struct board_row, link);
		if (row->gone_mono_ms)
			continue;
		s->waiting += row->is_waiting;
		s->running += row->is_busy;
		if (to[row->kind] && row->numbers.memory_bytes > 0)
			*to[row->kind] += row->numbers.memory_bytes;
	}
}

static int64_t grained(int64_t bytes)
{
	return bytes / GRAIN_BYTES * GRAIN_BYTES;
}

static void put_node(const struct node_board *b, struct buf *out)
{
	struct sums s;
	struct fleet_memory m;
	fleet_get_memory(b->node->fleet, &m);
	add_up(b, &s);
	jtext_some_int(out, "totalBytes", m.machine_bytes > 0 ? m.machine_bytes : -1);
	jtext_int(out, "budgetBytes", m.budget_bytes);
	jtext_int(out, "reserveBytes", m.reserve_bytes);
	jtext_int(out, "promisedBytes", grained(m.promised_bytes));
	jtext_some_int(out, "usedBytes", used_bytes());
	jtext_int(out, "cores", sysconf(_SC_NPROCESSORS_ONLN));
	if (b->cpu_share >= 0) {
		jtext_member(out, "cpuShare");
		buf_printf(out, "%.2f", b->cpu_share);
	}
	jtext_int(out, "services", grained(s.services));
	jtext_int(out, "warm", grained(s.warm));
	jtext_int(out, "busy", grained(s.busy));
	jtext_int(out, "notebooks", grained(s.notebooks));
	jtext_int(out, "webapps", grained(s.webapps));
	jtext_int(out, "waiting", (int64_t)s.waiting);
	jtext_int(out, "running", (int64_t)s.running);
}

static void take(struct board_text *t, struct buf *text)
{
	if (text->failed || (t->text && t->len == text->len && memcmp(t->text, text->data, text->len) == 0)) {
		buf_fini(text);
		return;
	}
	free(t->text);
	t->len = text->len;
	t->text = buf_steal(text);
	t->count++;
}

void board_look_at_node(struct node_board *b)
{
	struct buf text;
	look_at_processors(b);
	buf_init(&text, TEXT_MAX);
	put_node(b, &text);
	take(&b->told_node, &text);
	buf_init(&text, TEXT_MAX);
	fleet_pools_json(b->node->fleet, &text);
	take(&b->told_pools, &text);
}

void node_board_put_node(struct node_board *b, struct board_place *at, struct buf *out)
{
	if (at->told_node != b->told_node.count && b->told_node.text) {
		buf_printf(out, "event: node\ndata: {\"at\":%lld,", (long long)b->now_wall_ms);
		buf_put(out, b->told_node.text, b->told_node.len);
		buf_puts(out, "}\n\n");
		at->told_node = b->told_node.count;
	}
	if (at->told_pools != b->told_pools.count && b->told_pools.text) {
		buf_puts(out, "event: pools\ndata: {\"pools\":");
		buf_put(out, b->told_pools.text, b->told_pools.len);
		buf_puts(out, "}\n\n");
		at->told_pools = b->told_pools.count;
	}
}

void node_board_put_topics(unsigned topics, struct buf *out)
{
	static const char *const names[] = { "jobs", "notebooks", "webapps", "macros", "alerts", "policies", "models" };
	buf_puts(out, "event: topics\ndata: {\"topics\":[");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!(topics & 1u << i))
			continue;
		jtext_next(out);
		jtext_put(out, names[i]);
	}
	buf_puts(out, "]}\n\n");
}

/* --- curves --- */

static bool may_see_curve(const struct node_board *b, const char *login, const char *process)
{
	if (!login)
		return true;
	const char *owner = curves_owner(b->node->curves, process);
	if (!owner)
		owner = node_takeup_owner(b->node, process);
	return owner && strcmp(owner, login) == 0;
}

void node_board_curves_json(struct node_board *b, const char *login, const char *ids, int points, struct buf *out)
{
	char id[128];
	int64_t mono = clock_mono_ms(), wall = clock_wall_ms();
	buf_putc(out, '[');
	for (int n = 0; *ids && n < CURVES_MOST; n++) {
		size_t len = strcspn(ids, ",");
		bool fits = len > 0 && len < sizeof(id);
		if (fits) {
			memcpy(id, ids, len);
			id[len] = '\0';
		}
		if (fits && may_see_curve(b, login, id))
			curves_put_recent(b->node->curves, id, points, mono, wall, out);
		ids += len + (ids[len] == ',');
	}
	buf_putc(out, ']');
}

bool node_board_curve_json(struct node_board *b, const char *login, const char *process, struct buf *out)
{
	return may_see_curve(b, login, process) && curves_put_life(b->node->curves, process, clock_mono_ms(), clock_wall_ms(), out);
}
