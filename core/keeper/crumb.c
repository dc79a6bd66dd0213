#include "keeper/crumb.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

int crumb_open(struct err *err)
{
	int fd = memfd_create("dss-crumb", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return err_sys(err, errno, "unable to make the page for backends");
	/* A page that shrinks under its reader would end it by SIGBUS. */
	if (ftruncate(fd, CRUMB_BYTES) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		return fd;
	err_sys(err, errno, "unable to size the page for backends");
	close(fd);
	return -1;
}
