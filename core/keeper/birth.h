#ifndef DSS_KEEPER_BIRTH_H
#define DSS_KEEPER_BIRTH_H
#include "keeper/proc.h"
/*
 * birth: from a description to a running process: its box with limits, its pipes, its environment, its descriptors. Sets pid,
 * pidfd, start_ticks, status_fd, start_fd, ready_fd, pipe. -1: not born; p->cause holds errno and text. Either way secrets, environment and all of
 * argv but the program are wiped then: nobody needs them again, and an order may bring a megabyte of them.
 */
int birth(struct proc *p, const struct proc_fd *fds, size_t nfds);
/* Makes the boxes above its own with what limits them; for adopt.c too. */
int birth_make_levels(struct cgroup *cg, const struct desc *d, struct err *err);
#endif
