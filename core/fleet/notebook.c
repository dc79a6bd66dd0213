#include "fleet/notebook.h"

#include <stdio.h>

#include "fleet/store_texts.h"

struct loading {
	notebook_row_fn *fn;
	void *data;
};

static void take_row(void *data, const char *const *t)
{
	const struct loading *l = data;
	const struct notebook_row row = { t[0], t[1], t[2] };
	l->fn(l->data, &row);
}

int notebook_load(struct store *store, notebook_row_fn *fn, void *data, struct err *err)
{
	struct loading l = { fn, data };
	return store_texts_load(
		store, "SELECT kernel, process, detail FROM notebook WHERE process <> '" NOTEBOOK_ATTACHED "' ORDER BY kernel", 3,
		take_row, &l, err);
}

int notebook_load_attached(struct store *store, notebook_row_fn *fn, void *data, struct err *err)
{
	struct loading l = { fn, data };
	return store_texts_load(
		store, "SELECT kernel, process, detail FROM notebook WHERE process = '" NOTEBOOK_ATTACHED "' ORDER BY kernel", 3,
		take_row, &l, err);
}

static int write_row(struct store *store, const char *statement, const char *const *texts, size_t n, store_done_fn *fn, void *data)
{
	char what[200];
	snprintf(what, sizeof(what), "the kernel %.100s of a notebook", texts[0]);
	return store_texts_write(store, statement, texts, n, what, fn, data);
}

int notebook_save(struct store *store, const struct notebook_row *row, store_done_fn *fn, void *data)
{
	const char *const texts[] = { row->kernel, row->process, row->detail };
	return write_row(store, "INSERT OR REPLACE INTO notebook (kernel, process, detail) VALUES (?1,?2,?3)", texts, 3, fn, data);
}

int notebook_remove(struct store *store, const char *kernel, store_done_fn *fn, void *data)
{
	return write_row(store, "DELETE FROM notebook WHERE kernel = ?1", &kernel, 1, fn, data);
}
