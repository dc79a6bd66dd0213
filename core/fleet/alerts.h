#ifndef DSS_FLEET_ALERTS_H
#define DSS_FLEET_ALERTS_H
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "fleet/store.h"
/*
 * alerts: what an admin should know now, until it is over. An alert is one row for as long as its key holds: raised again it counts up and
 * takes the new text. Raised and cleared are facts (alert.raised, alert.cleared) for the event stream; the board itself is memory, and
 * whoever raises does so again after a restart while the trouble lasts.
 */
enum alert_level { ALERT_NOTE, ALERT_WARNING, ALERT_ERROR };

struct alerts;

struct alerts *alerts_new(struct store *store); /* store is borrowed, may be NULL in specs. NULL: no memory */
void alerts_free(struct alerts **alerts);
/* key: names the trouble, not its text: "policies", "pool.start:fek", "rule:idle kernels", "disk". subject, source: NULL = none. At most
 * 500 alerts are kept; of more the oldest goes, and that is said. */
void alerts_raise(struct alerts *alerts, const char *key, enum alert_level level, const char *subject, const char *source,
		  const char *text);
/* The same; of one that is raised already, about the same subject and as grave, a new text is no news: for texts that count. */
void alerts_renew(struct alerts *alerts, const char *key, enum alert_level level, const char *subject, const char *source,
		  const char *text);
void alerts_clear(struct alerts *alerts, const char *key);            /* nothing where it is not raised */
void alerts_clear_all(struct alerts *alerts, const char *key_begins); /* all whose key begins so */
int alerts_count(const struct alerts *alerts, enum alert_level least);
/* An array, worst first, then newest: key level subject source text since last count. */
int alerts_json(const struct alerts *alerts, struct buf *out);

#endif
