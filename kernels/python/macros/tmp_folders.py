"""Which folders clear-tmp may be pointed at: none of the system's, of the instance, or the run user's home, whatever way leads there."""
import errno
import os
import pwd

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
PLACE = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# All below them is the system's, but for folders for temporary files.
SYSTEM = ["/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/root", "/run", "/sbin", "/sys", "/usr"]
SYSTEM += ["/var/" + name for name in ("backups", "cache", "lib", "local", "lock", "log", "mail", "opt", "run", "spool", "www")]
NOT_SYSTEM = ["/dev/shm"]
# They hold what belongs to several.
SHARED = ["/", "/home", "/media", "/mnt", "/opt", "/srv", "/var"]


class Refused(Exception):
    """What is wrong with a folder, as one sentence."""


def is_below(path, folder):
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def id_of(found):
    return (found.st_dev, found.st_ino)


class Kept:
    """`paths`: real paths of the instance's folders and of the program's own, as the backend knows them."""

    def __init__(self, paths):
        self.paths, self.ids = paths, {}
        for path in paths:
            try:
                self.ids[id_of(os.stat(path))] = path
            except OSError:
                pass                        # what cannot be seen from here is known by its path
        self.home = os.path.realpath(pwd.getpwuid(os.geteuid()).pw_dir)

    def has(self, found):
        """A folder that is one of them: nobody goes in there."""
        return id_of(found) in self.ids

    def open(self, root):
        """The folder, as a descriptor. Judged is what was opened, not how it was written."""
        if not root.startswith("/"):
            raise Refused(f"{root} is no absolute path")
        try:
            place = os.open(root, PLACE)        # also of a folder that cannot be read, that it is told what it is
        except OSError as e:
            if e.errno in (errno.ELOOP, errno.ENOTDIR) and os.path.islink(root):
                raise Refused(f"{root} is a link: write the folder that it points to") from None
            self._judge(root, os.path.realpath(root), None)
            raise
        try:
            self._judge(root, os.readlink(f"/proc/self/fd/{place}"), os.fstat(place))
            return os.open(".", FOLDER, dir_fd=place)
        finally:
            os.close(place)

    def _judge(self, root, real, found):
        why = self._trouble(real, found)
        if why:
            raise Refused(root + ("" if real == (root.rstrip("/") or "/") else f" (which is {real})") + " " + why)

    def _trouble(self, real, found):
        """found: None where it cannot be looked at."""
        if any(is_below(real, name) for name in SYSTEM) and not any(is_below(real, name) for name in NOT_SYSTEM):
            return "is the system's: clear-tmp is for folders of temporary files"
        if real in SHARED:
            return "holds what belongs to others than clear-tmp: write the folder of temporary files in it"
        ours = (found and self.ids.get(id_of(found))) or next((path for path in self.paths if is_below(real, path)), None)
        if ours:
            return f"is part of this instance, or of its program ({ours}): nothing there is a temporary file"
        if is_below(self.home, real):
            return "is the home of the run user, or holds it: write the folder of temporary files in it"
        if found and found.st_uid not in (0, os.geteuid()):
            return f"belongs to user {found.st_uid}: neither to root nor to the run user"
        return None
