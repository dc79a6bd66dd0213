#include "keeper/secret.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "sys/fds.h"

#define SECRET_MAX 4096

static int check(int fd, const char *path, struct err *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "unable to look at %s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, "unable to use %s: it is no regular file", path);
	if (st.st_mode & (S_IRWXG | S_IRWXO))
		return err_set(err, "unable to use %s: others than its owner may read or write it (mode %04o); chmod 600 it", path,
			       (unsigned)(st.st_mode & 07777));
	return 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

int secret_read(const char *path, struct desc *d, struct err *err)
{
	char text[SECRET_MAX + 1];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY), rc = -1;
	if (fd < 0)
		return err_sys(err, errno, "unable to open %s", path);
	ssize_t n = check(fd, path, err) < 0 ? -2 : read(fd, text, sizeof(text));
	char *from = text;
	while (n > 0 && is_blank(from[n - 1]))
		n--;
	while (n > 0 && is_blank(*from))
		from++, n--;
	if (n == -1)
		err_sys(err, errno, "unable to read %s", path);
	else if (n == 0 || n > SECRET_MAX)
		err_set(err, "unable to use %s: it is %s", path, n ? "longer than 4096 bytes" : "empty");
	else if (n > 0 && !(d->secrets = malloc((size_t)n)))
		err_set(err, "no memory");
	else if (n > 0)
		rc = 0;
	if (rc == 0) {
		memcpy(d->secrets, from, (size_t)n);
		d->secrets_len = (size_t)n;
	}
	explicit_bzero(text, sizeof(text));
	fds_close(&fd);
	return rc;
}
