#ifndef DSS_BIND_CONSOLE_H
#define DSS_BIND_CONSOLE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <lua.h>
#include "base/err.h"
#include "bind/app.h"
/*
 * console: live Lua prompts in this backend. A session is a state of its own (VM_CONSOLE, CONSOLE_MEMORY_BYTES) with lua/dss/console as its
 * words: what one sets, no other sees. A line runs as a coroutine: what it asks of the store or the keeper it waits for while the loop goes on,
 * and it is answered when it is through. It may compute for CONSOLE_LINE_MS in all and wait for CONSOLE_WAIT_MS. Who may ask is the caller's
 * to check.
 *
 * A session begins read-only; what it changes after `:write` goes through console_note: the log, a fact `console.changed` for admins, and the
 * list of changes since this backend's start, which all sessions share.
 */
#define CONSOLE_SESSIONS     8 /* the one idle for longest makes place, once it is idle for CONSOLE_SPARE_MS */
#define CONSOLE_LINE_MS      200
#define CONSOLE_WAIT_MS      10000
#define CONSOLE_IDLE_MS      (30 * 60000)
#define CONSOLE_SPARE_MS     60000
#define CONSOLE_MEMORY_BYTES ((size_t)64 << 20)
#define CONSOLE_CHANGES      1000 /* the newest are kept */
#define CONSOLE_OUTPUT_MAX   ((size_t)256 << 10)

struct console;

struct console_ask {         /* all borrowed */
	const char *session; /* NULL = a new one */
	uid_t uid;           /* a session is its own uid's alone */
	const char *who;     /* for log, facts and texts: "admin (uid 0)" */
	const char *line;
	size_t len;
};

struct console_answer {
	const char *session; /* NULL: it is over */
	const char *output;
	size_t len;
	const char *prompt;
	bool is_error, is_incomplete;
};

enum console_refusal { CONSOLE_TAKEN, CONSOLE_NOT_FOUND, CONSOLE_BUSY, CONSOLE_FULL };

/* app is borrowed. NULL: no memory. */
struct console *console_new(struct app *app);
/* Lines under way are not answered any more. After the node: what sessions asked of it is answered into their states. */
void console_free(struct console **console);

/* CONSOLE_TAKEN: fn is called once, now or later; a is borrowed, and NULL where the console ends before. Else err says why. */
typedef void console_fn(void *data, const struct console_answer *a);
enum console_refusal console_line(struct console *console, const struct console_ask *ask, console_fn *fn, void *data,
				  struct err *err);
/* What may stand at byte `cursor` (from 0) of the line: words, one a line, that replace what begins at *from. Borrowed until the next call. */
enum console_refusal console_complete(struct console *console, const struct console_ask *ask, size_t cursor, size_t *from,
				      const char **words, struct err *err);

/* --- for the words of a session (console_change.c) --- */
struct console_session;
struct console_session *console_session_of(lua_State *L); /* raises where there is none */
const char *console_who(const struct console_session *s);
bool console_may_write(const struct console_session *s);
void console_allow(struct console_session *s, bool may_write);
/* Something was asked of another thread or process, and it answered: only then the session's state may go. */
void console_asked(struct console_session *s);
void console_told(struct console_session *s);

struct console_change {
	int64_t wall_ms, version; /* of the policies in force then */
	char *who, *what, *subject;
	char *before, *after; /* JSON */
};
/* what: "set", "stop", …; subject: "pool fek"; before, after: JSON texts or NULL. */
void console_note(struct console_session *s, const char *what, const char *subject, const char *before, const char *after);
size_t console_count_changes(const struct console_session *s, size_t *forgotten);
const struct console_change *console_change_at(const struct console_session *s, size_t i); /* 0 = the oldest */

#endif
