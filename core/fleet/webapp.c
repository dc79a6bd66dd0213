#include "fleet/webapp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/store_texts.h"

struct loading {
	webapp_row_fn *fn;
	void *data;
};

static void take_row(void *data, const char *const *t)
{
	const struct loading *l = data;
	const struct webapp_row row = { t[0], t[1], t[2], t[3], strcmp(t[4], "running") == 0, (int)strtol(t[5], NULL, 10), t[6] };
	l->fn(l->data, &row);
}

int webapp_load(struct store *store, webapp_row_fn *fn, void *data, struct err *err)
{
	static const char select[] =
		"SELECT project, name, state, process, wanted, port, detail FROM webapp ORDER BY project, name";
	struct loading l = { fn, data };
	return store_texts_load(store, select, 7, take_row, &l, err);
}

int webapp_save(struct store *store, const struct webapp_row *row, store_done_fn *fn, void *data)
{
	static const char insert[] = "INSERT INTO webapp (project, name, state, process, wanted, port, detail) VALUES "
				     "(?1,?2,?3,?4,?5,?6,?7)"
				     " ON CONFLICT (project, name) DO UPDATE SET state = excluded.state, process = "
				     "excluded.process,"
				     " detail = excluded.detail, wanted = excluded.wanted, port = excluded.port";
	char port[16], what[300];
	const char *const texts[] = { row->project, row->name,  row->state, row->process, row->is_wanted ? "running" : "stopped",
				      port,         row->detail };
	snprintf(port, sizeof(port), "%d", row->port);
	snprintf(what, sizeof(what), "webapp %.128s of project %.128s", row->name, row->project);
	return store_texts_write(store, insert, texts, 7, what, fn, data);
}
