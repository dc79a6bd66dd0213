#ifndef DSS_SYS_NOTIFY_H
#define DSS_SYS_NOTIFY_H
/* notify: sd_notify(3) without libsystemd: one datagram to NOTIFY_SOCKET ("READY=1", "STOPPING=1", "WATCHDOG=1"). */

/* 1 sent, 0 nobody asked for it (no NOTIFY_SOCKET), -1 with errno. Never blocks. */
int notify_send(const char *text);

#endif
