#ifndef DSS_BASE_MAP_H
#define DSS_BASE_MAP_H
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
/*
 * map: string -> pointer, and u64 -> pointer through map_*_u64 (never mix both in one map). Open addressing, keyed
 * hash (SipHash-like seed from getrandom) so that hostile names cannot make it slow. String keys are copied; values
 * are borrowed. Removing the current entry while iterating is allowed; adding is not.
 */
struct map;

struct map *map_new(void); /* NULL: no memory */
void map_free(struct map **m);
size_t map_count(const struct map *m);
void *map_get(const struct map *m, const char *key);      /* NULL: not there */
int map_set(struct map *m, const char *key, void *value); /* value must not be NULL; replaces; -1: no memory */
void *map_remove(struct map *m, const char *key);         /* the value, or NULL */
void *map_get_u64(const struct map *m, uint64_t key);
int map_set_u64(struct map *m, uint64_t key, void *value);
void *map_remove_u64(struct map *m, uint64_t key);

/* *cursor starts at 0; NULL at the end. */
void *map_next(const struct map *m, size_t *cursor);

#endif
