#ifndef DSS_CTL_REST_H
#define DSS_CTL_REST_H
#include <jansson.h>
#include <signal.h>
#include <stddef.h>
#include "base/buf.h"
#include "ctl/ctl.h"
/*
 * rest: the backend's API for a command: run/ports.json says where, config/admin.key (or --key-file, DSS_KEY) who asks. A
 * backend that is being replaced is waited for: up to REST_PATIENCE_MS of refused and reset connections and of 503.
 */
enum { REST_PATIENCE_MS = 60000 };

struct rest;

struct rest_answer {
	long status;
	struct buf body; /* raw */
	struct buf head; /* header fields, raw */
	json_t *json;    /* parsed body, NULL where it is none; integers are reals here */
};

/* CTL_DONE, or an exit code after telling why. key_file: NULL = DSS_KEY, else config/admin.key. DSS_URL (and no -C) stands for the instance: its
 * folder is not looked at. */
int rest_open(struct rest **rest, struct ctl *ctl, const char *key_file);
/* The same over run/admin.sock, without a key: who asks is the uid. rest_ask alone. */
int rest_open_socket(struct rest **rest, struct ctl *ctl);
void rest_close(struct rest **rest);

/* One request. body: JSON text or NULL. CTL_DONE when the answer's status is below 400, or is 422 (what became of the
 * task); otherwise an exit code after telling the server's message. Safe to repeat requests only: a submit needs its clientKey. */
int rest_ask(struct rest *rest, const char *method, const char *path, const char *body, struct rest_answer *out);
/* All of a command that is one request: as --json the raw body; else `print` gets the answer where it is good, and returns the exit code. */
typedef int rest_print_fn(struct ctl *ctl, const struct rest_answer *a);
int rest_once(struct ctl *ctl, const char *key_file, const char *method, const char *path, const char *body, rest_print_fn *print);
/* Requests from now on end early (CTL_INTERRUPTED) once *stop is not 0, within a second. NULL: never. Borrowed. */
void rest_stop_on(struct rest *rest, volatile sig_atomic_t *stop);
void rest_answer_fini(struct rest_answer *a);
/* One GET with the key at hand, without waiting for anybody and without a word: the JSON (owned; integers are reals), or NULL. The caller has
 * seen that the keeper lives. */
json_t *rest_glance(struct ctl *ctl, const char *path, int within_ms);
/* Tells the server's own words of an answer of 400 and over, or the raw body where it has none; the exit code. */
int rest_refused(const struct rest_answer *a);
/* CTL_DONE, or CTL_FAILED after telling that it is no list. */
int rest_check_list(const json_t *answer);
/* A header field of the answer as a number. */
double rest_field(const struct rest_answer *a, const char *name, double otherwise);

/* Reads a body without an end, piece by piece, until fn returns false, the peer ends it or *stop is set (CTL_INTERRUPTED). header: one
 * more line of the request, or NULL. quiet_s: ends once nothing came for that long; 0 = never. CTL_DONE: it ended; the caller may go on with another. */
typedef bool rest_piece_fn(void *data, const char *bytes, size_t n);
int rest_stream(struct rest *rest, const char *path, const char *header, int quiet_s, rest_piece_fn *fn, void *data);
/* Milliseconds for a pause between two tries, growing; waits that long, or less once *stop is set. */
void rest_pause(struct rest *rest, int *pause_ms);

/* Members, with a default. */
const char *rest_text(const json_t *o, const char *key); /* "" */
double rest_number(const json_t *o, const char *key, double otherwise);
bool rest_is(const json_t *o, const char *key);

/* For a path: what is no unreserved character as %XX. 0, or -1: too long. */
int rest_escape(const char *s, char *out, size_t room);

#endif
