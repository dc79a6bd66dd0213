#ifndef DSS_SYS_APART_H
#define DSS_SYS_APART_H
/*
 * apart: keeps a process, and what it starts, from signalling and tracing others of its user, and so from reading their memory and environment
 * (Landlock's scope of signals: Linux 6.12). It is no border for files. They in turn may be reached by whoever set them apart.
 */

/* For good; wants no_new_privs. System calls alone, so that it may stand between fork and exec. A kernel that cannot: as apart_enter_untraced. */
void apart_enter(void);
/* Signals are let through: what Linux 5.19 to 6.11 can. It may mount nothing any more, in a namespace of its own either. -1: an older kernel, or one
 * without Landlock: nothing happens. */
int apart_enter_untraced(void);

#endif
