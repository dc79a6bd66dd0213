#ifndef DSS_BIND_SUBJECT_INNER_H
#define DSS_BIND_SUBJECT_INNER_H
#include <jansson.h>
#include "bind/subject.h"
/* subject_inner: the rows of the table in subject.c, and what their files share. */
#define SUBJECT_NODE_ID "local"

struct subject_verb {
	const char *name;
	int (*order)(const struct subject_world *world, const char *id, const char *why, struct err *err);
};

struct subject_row {
	const char *name;                                                         /* as facts.lua and `each` have it */
	int (*list)(struct subjects *s);                                          /* subjects_add for each; -1: no memory */
	bool (*is_there)(const struct subjects *s, size_t i, const char **owner); /* owner is NULL before */
	void (*push)(lua_State *L, const struct subjects *s, size_t i, int64_t now_ms);
	struct subject_verb verbs[4]; /* beside notify and keep; NULL at the end */
};

int subjects_add(struct subjects *s, const char *id); /* cut where it is too long; -1: no memory */

/* subject_fleet.c */
extern const struct subject_row subject_notebook; /* subject_notebook.c */
extern const struct subject_row subject_kernel, subject_task, subject_pool, subject_user, subject_node;
/* subject_guest.c */
extern const struct subject_row subject_recipe, subject_webapp;

/* --- a fact of the table on top --- */
void subject_text(lua_State *L, const char *name, const char *value);      /* NULL: "" */
void subject_some_text(lua_State *L, const char *name, const char *value); /* NULL: not known */
void subject_integer(lua_State *L, const char *name, int64_t value);
void subject_some_integer(lua_State *L, const char *name, int64_t value, bool is_known);
void subject_number(lua_State *L, const char *name, double value);
void subject_flag(lua_State *L, const char *name, bool value);
void subject_span(lua_State *L, const char *name, int64_t from_ms, int64_t till_ms); /* seconds */
void subject_texts(lua_State *L, const char *name, const json_t *list);              /* NULL: none */

#endif
