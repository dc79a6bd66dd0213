#ifndef DSS_BIND_PROJECT_CHANGE_H
#define DSS_BIND_PROJECT_CHANGE_H
#include <stdbool.h>
/*
 * project_change: `dssd project --make DIR KEY` and `--remove`, as the backend orders them, run by the user whose projects/ is. No link is followed
 * on the way: whoever may write there could have put one. The exit status is 0, or the errno of what failed, which is printed too.
 */
int project_make(const char *dir, const char *key); /* with $DSS_PROJECT_TEXT as its project.lua; EEXIST: there is such a project */
int project_remove(const char *dir, const char *key, bool keeps_data);

#endif
