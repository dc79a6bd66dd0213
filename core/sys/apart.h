#ifndef DSS_SYS_APART_H
#define DSS_SYS_APART_H
/*
 * apart: keeps a process, and what it starts, from signalling and tracing others of its user, and so from reading their memory and environment
 * (Landlock's scope of signals: Linux 6.12). It is no border for files. They in turn may be reached by whoever set them apart.
 */

/* For good; wants no_new_privs. System calls alone, so that it may stand between fork and exec. A kernel that cannot: nothing happens. */
void apart_enter(void);

#endif
