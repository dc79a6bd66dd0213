#ifndef DSS_LOGGER_LAUNCH_H
#define DSS_LOGGER_LAUNCH_H
/*
 * launch: `dss-logger launch PROGRAM ARGS…`, what the Jupyter server runs in a kernel's place: registers the process at the backend's socket
 * (DSS_NOTEBOOK_DOOR) with the nonce that the server got for it (DSS_NOTEBOOK_NONCE), waits until it was put into its own box, and becomes the
 * program. Same pid, so signals and the server's idea of it stay right. Refused, or nobody there for a minute: says why and ends.
 */
int launch_main(int argc, char **argv);

#endif
