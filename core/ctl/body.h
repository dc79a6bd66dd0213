#ifndef DSS_CTL_BODY_H
#define DSS_CTL_BODY_H
#include <jansson.h>
#include <stddef.h>
#include "base/err.h"
#include "ctl/ctl.h"
/* body: the JSON that a submit sends, for `submit` and `run`. */
enum { BODY_KEY_ROOM = 64 };

/* A fresh clientKey: the request may be repeated. CTL_DONE, or an exit code after telling why. */
int body_client_key(char out[BODY_KEY_ROOM]);
/* {"type", "payload"}; takes payload. NULL: no memory. Returns owned. */
json_t *body_new(const char *type, json_t *payload);
/* Left out where NULL or 0. memory: a size as people write it. */
void body_text(json_t *body, const char *key, const char *value);
void body_int(json_t *body, const char *key, int64_t value);
void body_memory(json_t *body, const char *memory);
/* A list of texts out of argv. NULL: one is not UTF-8. Returns owned. */
json_t *body_words(char *const *words, int n);
/* NAME=VALUE into o, as text. */
int body_pair(json_t *o, const char *pair, struct err *err);
/* An existing file or folder as an absolute path at the list's end: kernels have another working directory than we. */
int body_path(json_t *list, const char *path, struct err *err);
/* The member name before '=' into name; its value. NULL: err. */
const char *body_split(const char *pair, char *name, size_t room, struct err *err);
/* Words as one line without control characters, cut where it gets too long; false: that line is empty or no UTF-8. */
bool body_title(char *const *words, int n, char *out, size_t room);

#endif
