#include "ctl/ctl.h"
#define STUB(n)                                                                                                                    \
	int n(struct ctl *ctl, int argc, char **argv)                                                                              \
	{                                                                                                                          \
		(void)ctl, (void)argc, (void)argv;                                                                                 \
		return ctl_fail(CTL_FAILED, "not yet");                                                                            \
	}
STUB(submit_command) STUB(wait_command) STUB(result_command) STUB(abort_command) STUB(tasks_command) STUB(ps_command)
