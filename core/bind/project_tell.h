#ifndef DSS_BIND_PROJECT_TELL_H
#define DSS_BIND_PROJECT_TELL_H
/*
 * project_tell: `dssd project --tell DIR KEY`, as the backend orders it: the answer goes to POST /kernel/v1/projects?process=ID&status=0|1 of
 * $DSS_BACKEND_URL, with the token that is read from $DSS_KERNEL_SECRETS_FD. The exit status: 0 = told.
 */
int project_tell(const char *dir, const char *key);
/* Why a change of a project (project_change) failed, in words an errno has not: {"why"} to the same place. Nothing where no backend ordered it. */
void project_tell_change(const char *why);

#endif
