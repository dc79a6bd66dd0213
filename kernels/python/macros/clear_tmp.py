"""What the macro clear-tmp looks at and removes: files that users' code left in folders for temporary files.

A task of the run user: it can remove nothing but the run user's own. It follows no link, goes into no folder of somebody else's and none of the instance,
and removes only what is still the very file that was judged.
"""
import fcntl
import os
import signal
import stat
import time

from macros.tmp_folders import FOLDER, Kept, Refused

ROWS = 20_000
ENTRIES = 500_000
DEPTH = 20
F_SETSIG = 10                       # of Linux; the module has no name for it


class Folders:
    """Folders in which processes of ours stand, or that they hold open."""

    def __init__(self):
        self.held = set()
        self.is_whole = True        # False: a process of ours could not be looked at
        me = os.geteuid()
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    if os.stat("/proc/" + name).st_uid == me:
                        self._look("/proc/" + name)
                except (FileNotFoundError, ProcessLookupError):
                    pass                    # it has ended
                except OSError:
                    self.is_whole = False

    def _look(self, place):
        for link in [place + "/cwd", place + "/root"] + [place + "/fd/" + name for name in os.listdir(place + "/fd")]:
            try:
                found = os.stat(link)
                self.held.add((found.st_dev, found.st_ino))
            except FileNotFoundError:
                pass                        # closed meanwhile, or of a file that has no name any more

    def hold(self, found):
        """True, False, or None: nobody knows."""
        if (found.st_dev, found.st_ino) in self.held:
            return True
        return False if self.is_whole else None


def lease(name, folder, found):
    """A descriptor while nobody else has the file open, whoever it is: the system says so by granting a lease, and who opens it then has to wait until we
    close. None: somebody has it open. Raises where nobody can say."""
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=folder)
    try:
        if key_of(os.fstat(fd)) != key_of(found):
            raise OSError("it has changed meanwhile")
        fcntl.fcntl(fd, F_SETSIG, signal.SIGURG)    # who wants it open must not end us: SIGIO would
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except BlockingIOError:
        os.close(fd)
        return None
    except OSError:
        os.close(fd)
        raise
    return fd


def is_open(name, folder, found):
    """True, False, or None: nobody knows."""
    try:
        fd = lease(name, folder, found)
    except OSError:
        return None
    if fd is None:
        return True
    os.close(fd)
    return False


def key_of(found):
    """What was read or changed since has another one. A folder is read by who looks at it."""
    read_ns = 0 if stat.S_ISDIR(found.st_mode) else found.st_atime_ns
    return [found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, read_ns, found.st_size]


def is_ours(found):
    return found.st_uid == os.geteuid()


class Look:
    def __init__(self, kept):
        self.kept = kept
        self.rows, self.entries, self.is_cut = [], 0, False
        self.folders, self.now = Folders(), time.time()

    def folder(self, root, fd, words, depth):
        """Takes fd. How many entries are left in it."""
        left = 0
        try:
            for name in os.listdir(fd):
                left += 1
                self.entries += 1
                if len(self.rows) >= ROWS or self.entries >= ENTRIES:
                    self.is_cut = True
                    break
                self._entry(root, fd, words + [name], depth)
        finally:
            os.close(fd)
        return left

    def _entry(self, root, fd, words, depth):
        try:
            found = os.stat(words[-1], dir_fd=fd, follow_symlinks=False)
            if not is_ours(found):
                return
            if stat.S_ISREG(found.st_mode):
                self._add(root, words, found, max(found.st_mtime, found.st_atime, found.st_ctime), is_open(words[-1], fd, found))
            elif stat.S_ISDIR(found.st_mode) and depth < DEPTH:
                inner = os.open(words[-1], FOLDER, dir_fd=fd)
                if os.fstat(inner).st_dev != os.fstat(fd).st_dev or self.kept.has(os.fstat(inner)):
                    os.close(inner)         # a file system of its own, or the instance
                elif self.folder(root, inner, words, depth + 1) == 0:
                    self._add(root, words, found, max(found.st_mtime, found.st_ctime), self.folders.hold(found))
        except OSError:
            pass                            # gone, or made into something else meanwhile

    def _add(self, root, words, found, touched, held):
        path = "/".join([root] + words)
        try:
            path.encode("utf-8")
        except UnicodeEncodeError:
            return                          # a name that no list can show is left to people
        self.rows.append({"id": path, "folder": root, "words": words, "key": key_of(found), "size": found.st_size if stat.S_ISREG(found.st_mode) else 0, "age": max(0.0, self.now - touched),
                          "open": held, "directory": stat.S_ISDIR(found.st_mode)})


def look(folders, kept):
    """{"rows": [...], "cut": there are more, "missing": which folders are not there}, or {"refused": why}. kept: see tmp_folders.Kept."""
    out, opened, missing = Look(Kept(kept)), [], []
    try:
        for root in folders:
            try:
                opened.append((root, out.kept.open(root)))
            except OSError as e:
                missing.append(f"{root}: {e.strerror}")
    except Refused as e:
        for _, fd in opened:
            os.close(fd)
        return {"refused": str(e)}
    for root, fd in opened:
        out.folder(root, fd, [], 0)
    return {"rows": out.rows, "cut": out.is_cut, "missing": missing}


def open_parent(root, words, kept):
    """The folder that holds words[-1]. Each step is a folder of ours, no link, none of the instance."""
    fd = kept.open(root)
    for word in words[:-1]:
        try:
            inner = os.open(word, FOLDER, dir_fd=fd)
        finally:
            os.close(fd)
        fd = inner
        if not is_ours(os.fstat(fd)) or kept.has(os.fstat(fd)):
            os.close(fd)
            raise PermissionError("a folder above it is not the run user's, or is the instance's")
    return fd


def remove_folder(name, folder, found, folders):
    held = folders.hold(found)
    if held is not False:
        return "a process stands in it" if held else "nobody knows whether a process stands in it"
    os.rmdir(name, dir_fd=folder)
    return ""


def remove_file(name, folder, found):
    fd = lease(name, folder, found)
    if fd is None:
        return "a process has it open"
    os.unlink(name, dir_fd=folder)
    os.close(fd)
    return ""


def remove_one(row, folders, kept):
    words = row["words"]
    if not words or any(word in ("", ".", "..") or "/" in word for word in words):
        return "its name is no path"
    folder, name = open_parent(row["folder"], words, kept), words[-1]
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not is_ours(found):
            return "it is not the run user's"
        if key_of(found) != row["key"]:
            return "it was read or has changed meanwhile"
        if stat.S_ISDIR(found.st_mode):
            return remove_folder(name, folder, found, folders)
        return remove_file(name, folder, found) if stat.S_ISREG(found.st_mode) else "it is no plain file"
    finally:
        os.close(folder)


def remove(rows, kept):
    """One text for each: "" it is gone, else why not."""
    folders, kept, out = Folders(), Kept(kept), []
    for row in rows:
        try:
            out.append(remove_one(row, folders, kept))
        except Refused as e:
            out.append(str(e))
        except FileNotFoundError:
            out.append("it is gone already")
        except OSError as e:
            out.append(e.strerror or str(e))
    return out
