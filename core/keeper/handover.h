#ifndef DSS_KEEPER_HANDOVER_H
#define DSS_KEEPER_HANDOVER_H
#include "keeper/keeper.h"
/*
 * handover: the keeper execs its successor in place. All state is written into a memory file in the wire's own form, all
 * descriptors stay open, the pid stays: no child notices. The successor reads the plan anew: what it changes holds from the next
 * start of each service.
 */
/* Whether a successor could take over now: its program, the plan as it is on disk, nothing on its way to backend or logger (waits for that).
 * 0 or -1. */
int handover_check(struct keeper *k, struct err *err);
/* Returns only on failure (-1); then everything is as before. */
int handover_exec(struct keeper *k, struct err *err);
/* The field of a saved process that carries the counters of its box; a description has no such field. */
#define HANDOVER_MARK WF_key
/* 20,000 processes with long command lines still fit. */
#define HANDOVER_MAX (256u << 20)
/* In the successor, before anything is opened: the descriptors that were kept. */
struct handover;
struct handover *handover_read(int fd, struct err *err);
void handover_free(struct handover **h);
int64_t handover_number(const struct handover *h, const char *name, int64_t otherwise);
/* Listening sockets, processes, services, journal, links. */
int handover_apply(struct handover *h, struct keeper *k, struct err *err);
#endif
