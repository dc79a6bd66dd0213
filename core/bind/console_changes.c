#include "bind/console_changes.h"
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/log.h"
#include "fleet/feed.h"
#include "fleet/jtext.h"
#include "fleet/versions.h"
#include "sys/clock.h"

static void clear(struct console_change *change)
{
	free(change->who);
	free(change->what);
	free(change->subject);
	free(change->before);
	free(change->after);
	memset(change, 0, sizeof *change);
}

static char *copy(const char *text)
{
	return strdup(text ? text : "null");
}

static void keep(struct changes *c, const struct app *app, const char *who, const char *what, const char *subject,
		 const char *before, const char *after)
{
	if (!c->ring && !(c->ring = calloc(CONSOLE_CHANGES, sizeof *c->ring)))
		return;
	if (c->n == CONSOLE_CHANGES) {
		clear(&c->ring[c->first]);
		c->first = (c->first + 1) % CONSOLE_CHANGES;
		c->n--;
		c->forgotten++;
	}
	struct console_change *change = &c->ring[(c->first + c->n) % CONSOLE_CHANGES];
	*change = (struct console_change){
		.wall_ms = clock_wall_ms(), .who = copy(who), .what = copy(what), .subject = copy(subject)
	};
	change->before = copy(before);
	change->after = copy(after);
	change->version = app->versions ? versions_now(app->versions) : 0;
	if (change->who && change->what && change->subject && change->before && change->after)
		c->n++;
	else
		clear(change);
}

static void tell(const struct app *app, const char *who, const char *what, const char *subject, const char *before,
		 const char *after)
{
	struct buf detail;
	buf_init(&detail, FEED_DETAIL_MAX);
	buf_putc(&detail, '{');
	jtext_text(&detail, "by", who);
	jtext_text(&detail, "what", what);
	jtext_member(&detail, "before");
	buf_puts(&detail, before ? before : "null");
	jtext_member(&detail, "after");
	buf_puts(&detail, after ? after : "null");
	buf_putc(&detail, '}');
	struct store_fact fact = {
		.what = "console.changed", .subject = subject, .detail = detail.failed ? NULL : detail.data, .owner = FEED_OWN_ADMIN
	};
	store_add_fact(fleet_store(node_fleet(app->node)), &fact, NULL, NULL);
	buf_fini(&detail);
}

void changes_note(struct changes *c, struct app *app, const char *who, const char *what, const char *subject, const char *before,
		  const char *after)
{
	log_info("console: %s: %s %s: %s%s%s", who, what, subject, before ? before : "", before ? " -> " : "", after ? after : "");
	keep(c, app, who, what, subject, before, after);
	if (app->node)
		tell(app, who, what, subject, before, after);
}

const struct console_change *changes_at(const struct changes *c, size_t i)
{
	return i < c->n ? &c->ring[(c->first + i) % CONSOLE_CHANGES] : NULL;
}

void changes_fini(struct changes *c)
{
	for (size_t i = 0; i < c->n; i++)
		clear(&c->ring[(c->first + i) % CONSOLE_CHANGES]);
	free(c->ring);
	memset(c, 0, sizeof *c);
}
