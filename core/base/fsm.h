#ifndef DSS_BASE_FSM_H
#define DSS_BASE_FSM_H
#include <stddef.h>
/*
 * fsm: a life cycle as a table. What is not in the table does not happen: the step is refused and the caller says so.
 * docs/architecture.md shows every table; a spec holds the two against each other.
 *
 *     static const struct fsm_row rows[] = { { IDLE, ASSIGN, BUSY, "send" }, … };
 *     const struct fsm fsm = FSM("kernel", state_names, event_names, rows);
 *     const struct fsm_row *r = fsm_step(&fsm, k->state, ASSIGN);      NULL: not in the table
 */
struct fsm_row {
	int state, event, next;
	const char *action; /* a word for readers; "" = none */
};

struct fsm {
	const char *name;
	const char *const *states, *const *events; /* NULL-terminated, indexed by the enums */
	const struct fsm_row *rows;
	size_t nrows;
};

/* clang-format off */
#define FSM(name, states, events, rows) { (name), (states), (events), (rows), sizeof(rows) / sizeof((rows)[0]) }
/* clang-format on */

static inline const struct fsm_row *fsm_step(const struct fsm *fsm, int state, int event)
{
	for (size_t i = 0; i < fsm->nrows; i++)
		if (fsm->rows[i].state == state && fsm->rows[i].event == event)
			return &fsm->rows[i];
	return NULL;
}

#endif
