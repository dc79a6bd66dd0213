/*
 * bind.ledger: what was decided and why (fleet/ledger.h).
 *   read(query, fn(json | nil, why))    query: word name subject_kind subject login would oldest before limit, each may be absent;
 *                                       login: whose and everybody's; absent = an admin, all. json: an array, newest first
 *   stats() → { noted, lost, segments, segment_bytes, rows, folded }
 */
#include <lauxlib.h>
#include "bind/arg.h"
#include "bind/field.h"
#include "bind/json_out.h"
#include "bind/later.h"
#include "bind/toc.h"
#include "fleet/ledger.h"

#define LIMIT 100

static struct ledger *ledger_of(lua_State *L)
{
	return fleet_ledger(node_fleet(json_out_app(L)->node));
}

static void on_read(void *data, const struct buf *out, const struct err *why)
{
	struct later *later = data;
	json_out_later(&later, out, why ? why->text : NULL);
}

static int read_rows(lua_State *L)
{
	struct ledger *ledger = ledger_of(L);
	arg_table(L, 1);
	struct ledger_query q = {
		.word = arg_field_text(L, 1, "word"),
		.name = arg_field_text(L, 1, "name"),
		.subject_kind = arg_field_text(L, 1, "subject_kind"),
		.subject = arg_field_text(L, 1, "subject"),
		.login = arg_field_text(L, 1, "login"),
		.only_would = arg_field_bool(L, 1, "would", false),
		.oldest_first = arg_field_bool(L, 1, "oldest", false),
		.before_seq = arg_field_int(L, 1, "before", 0),
		.limit = (int)arg_field_int(L, 1, "limit", LIMIT),
	};
	luaL_argcheck(L, q.limit >= 1 && q.limit <= LEDGER_READ_MOST, 1, "limit: 1 to 1000");
	struct later *later = later_new(L, 2);
	if (ledger_read(ledger, &q, on_read, later) < 0) {
		later_free(&later);
		return luaL_error(L, "not enough memory");
	}
	return 0;
}

static int stats(lua_State *L)
{
	struct ledger_stats s;
	ledger_get_stats(ledger_of(L), &s);
	const struct field_int all[] = { { "noted", s.noted },       { "lost", s.lost },
					 { "segments", s.segments }, { "segment_bytes", s.segment_bytes },
					 { "rows", s.rows },         { "folded", s.folded } };
	lua_createtable(L, 0, 6);
	field_put_ints(L, all, FIELD_COUNT(all));
	return 1;
}

int bind_ledger_open(lua_State *L)
{
	static const luaL_Reg words[] = { { "read", read_rows }, { "stats", stats }, { NULL, NULL } };
	luaL_newlib(L, words);
	return 1;
}
