/*
 * bind.usage: what processes used (fleet/meter.h).
 *   read(query, fn(json | nil, why))      query: by since_ms until_ms limit, and user project kind, each may be absent: only those
 */
#include <lauxlib.h>
#include "bind/arg.h"
#include "bind/json_out.h"
#include "bind/later.h"
#include "bind/toc.h"
#include "fleet/meter.h"

#define LIMIT_MOST 10000

static void on_read(void *data, const struct buf *out, const struct err *why)
{
	struct later *later = data;
	json_out_later(&later, out, why ? why->text : NULL);
}

static int read_rows(lua_State *L)
{
	struct meter *meter = node_book(json_out_app(L)->node);
	struct err err = { 0 };
	arg_table(L, 1);
	struct meter_query q = {
		.by = arg_field_text(L, 1, "by"),
		.user = arg_field_text(L, 1, "user"),
		.project = arg_field_text(L, 1, "project"),
		.kind = arg_field_text(L, 1, "kind"),
		.since_ms = arg_field_int(L, 1, "since_ms", 0),
		.until_ms = arg_field_int(L, 1, "until_ms", 0),
		.limit = (int)arg_field_int(L, 1, "limit", LIMIT_MOST),
	};
	luaL_argcheck(L, q.by && meter_is_key(q.by), 1, "by: no key");
	luaL_argcheck(L, q.limit >= 1 && q.limit <= LIMIT_MOST, 1, "limit: 1 to 10000");
	struct later *later = later_new(L, 2);
	if (meter_read(meter, &q, on_read, later) < 0) {
		err_set(&err, "the store takes nothing now");
		on_read(later, NULL, &err);
	}
	return 0;
}

int bind_usage_open(lua_State *L)
{
	static const luaL_Reg words[] = { { "read", read_rows }, { NULL, NULL } };
	luaL_newlib(L, words);
	return 1;
}
