#ifndef DSS_BIND_PROJECT_COMMAND_H
#define DSS_BIND_PROJECT_COMMAND_H
/*
 * project_command: `dssd project DIR KEY`: project.lua as checked data, for people; with --tell, --make, --remove, --remove-but-data as the backend orders
 * it (node/node_project.h, node/node_change.h), in a process of the run user. Returns the exit status.
 */
int project_main(int argc, char **argv);

#endif
