#ifndef DSS_BASE_LIST_H
#define DSS_BASE_LIST_H
#include <stddef.h>
#include <stdbool.h>
/*
 * list: intrusive, doubly linked, circular, with a head node. Elements are owned by whoever owns them elsewhere.
 *
 *     struct item { struct list link; int n; };
 *     struct list items = LIST_INIT(items);
 *     list_push(&items, &it->link);
 *     list_each(&items, p) { struct item *it = list_of(p, struct item, link); ... }
 *
 * list_each allows unlinking the current element.
 */
struct list {
	struct list *prev, *next;
};

/* clang-format off */
#define LIST_INIT(name) { &(name), &(name) }
#define list_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define list_each(head, p) \
	for (struct list *p = (head)->next, *p##_next = p->next; p != (head); p = p##_next, p##_next = p->next)
/* clang-format on */

static inline void list_init(struct list *l)
{
	l->prev = l->next = l;
}
static inline bool list_is_empty(const struct list *l)
{
	return l->next == l;
}
static inline void list_insert_after(struct list *at, struct list *n)
{
	n->prev = at;
	n->next = at->next;
	at->next->prev = n;
	at->next = n;
}
/* At the end. */
static inline void list_push(struct list *head, struct list *n)
{
	list_insert_after(head->prev, n);
}
/* Safe on an initialised, unlinked node; the node is initialised again after. */
static inline void list_remove(struct list *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_init(n);
}
static inline struct list *list_first(const struct list *head)
{
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): who is freed was taken from its list before; the analyzer does not follow links */
	return head->next == head ? NULL : head->next;
}
static inline size_t list_count(const struct list *head)
{
	size_t n = 0;
	for (const struct list *p = head->next; p != head; p = p->next)
		n++;
	return n;
}

#endif
