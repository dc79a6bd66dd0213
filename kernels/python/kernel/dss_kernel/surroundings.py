"""What a task finds around it, and the next one again: directory, environment, module path, streams, modules of its own."""
import importlib
import os
import pwd
import sys
import time

SETTLED_S = 2.0     # a file changed later than that before it was read may change again without a new time of change


class Shelf:
    """The modules that a task loaded from its own path: the next task with that path gets them as they are, unless a file of theirs or
    one of their folders was changed. They are in `sys.modules` during tasks only."""

    def __init__(self):
        self._path = ()
        self._modules = {}
        self._stamps = {}       # of files and folders; None: not to be kept

    def lend(self, path):
        """Before a task: its modules that are still good, put into `sys.modules`. Returns their names."""
        if self._modules and (path != self._path or self._stamps is None or not all(stamp_of(p) == s for p, s in self._stamps.items())):
            self._modules, self._stamps = {}, {}
        if not self._modules:
            importlib.invalidate_caches()
        sys.modules.update(self._modules)
        return self._modules.keys()

    def take_back(self, path, modules, began_at):
        """After it: these are its own now. They leave `sys.modules`. began_at: time.time() of the task's start."""
        for name in modules:
            sys.modules.pop(name, None)
        if path == self._path and modules.keys() == self._modules.keys() and all(m is self._modules[n] for n, m in modules.items()):
            return
        known = self._stamps or {}      # as they were when what is older was loaded
        self._path, self._modules = path, modules
        self._stamps = {p: known[p] if p in known else stamp_of(p) for p in places_of(path, modules)}
        settled_ns = (began_at - SETTLED_S) * 1e9
        if any(s is not None and (s[0] >= settled_ns or s[1] >= settled_ns) for p, s in self._stamps.items() if p not in known):
            self._stamps = None         # what was loaded may be an older version than what is there


def places_of(path, modules):
    places = set(path)
    for module in modules.values():
        file = getattr(module, "__file__", None)
        if isinstance(file, str):
            places.update((file, os.path.dirname(file)))
        else:
            places.update(p for p in getattr(module, "__path__", ()) if isinstance(p, str))
    return places


def stamp_of(place):
    try:
        s = os.stat(place)
    except OSError:
        return None
    return s.st_mtime_ns, s.st_ctime_ns, s.st_size, s.st_ino


class Surroundings:
    def __init__(self, shelf, path, directory=None):
        """`directory`: where the task is to run; where it cannot be entered the task stays, and `hint` tells."""
        self._refusal = None
        self._shelf = shelf
        self._began_at = time.time()
        try:
            self._directory = os.getcwd()
        except OSError:
            self._directory = "/"
        self._environ = dict(environment())
        self._sys_path = list(sys.path)
        self._streams = sys.stdout, sys.stderr
        self._modules = set(sys.modules)
        self._importers = set(sys.path_importer_cache)
        self._own = [os.path.abspath(p) for p in path]
        sys.path[:0] = self._own
        self._lent = set(shelf.lend(self._own))
        try:
            if directory is not None:
                os.chdir(directory)
        except OSError as e:
            self._refusal = "%s, where it was to run: %s" % (directory, e.strerror)

    def hint(self, e, task):
        """What to add to an error that comes from a wrong place."""
        if task.kind != "python":
            return ""
        if isinstance(e, FileNotFoundError) and self._refusal:
            return " (the user of this kernel, %s, cannot enter %s)" % (user_name(), self._refusal)
        if isinstance(e, PermissionError):
            return " (the user of this kernel is %s)" % user_name()
        if not isinstance(e, ModuleNotFoundError) or e.name != task.payload["callable"].partition(":")[0].partition(".")[0]:
            return ""
        unreadable = [p for p in self._own if not os.access(p, os.R_OK | os.X_OK)]
        return " (looked in %s%s)" % (", ".join(self._own[:5] + ["…"] * (len(self._own) > 5) + ["Python's own folders"]),
                                      "; the user of this kernel, %s, cannot read %s" % (user_name(), ", ".join(unreadable[:5]))
                                      if unreadable else "")

    def restore(self):
        sys.stdout, sys.stderr = self._streams
        for stream in self._streams:
            try:
                stream.flush()
            except (OSError, ValueError):
                pass                    # the logger's death is not the task's failure
        sys.path[:] = self._sys_path
        own = {}
        for name in sys.modules.keys() - self._modules:
            module = sys.modules.get(name)
            if name in self._lent or self._is_own(module):
                own[name] = module
        self._shelf.take_back(self._own, own, self._began_at)
        if sys.path_importer_cache.keys() != self._importers:
            for place in [p for p in list(sys.path_importer_cache) if self._is_within(p)]:
                del sys.path_importer_cache[place]
        if environment() != self._environ:
            os.environ.clear()
            os.environ.update({os.fsdecode(name): os.fsdecode(value) for name, value in self._environ.items()})
        try:
            os.chdir(self._directory)
        except OSError as e:
            print("kernel: unable to go back to %s: %s" % (self._directory, e.strerror), file=sys.stderr)

    def _is_own(self, module):
        try:
            places = [module.__file__] if getattr(module, "__file__", None) else list(getattr(module, "__path__", ()))
        except Exception:               # things in sys.modules need not be modules
            return False
        return any(isinstance(p, str) and self._is_within(os.path.abspath(p)) for p in places)

    def _is_within(self, place):
        """Whether it lies in a folder of the task: the innermost one counts, so that a task in / does not own all of Python."""
        own = innermost(self._own, place)
        return own > 0 and own >= innermost(self._sys_path, place)


def environment():
    """The environment as bytes, which is how Python holds it: a task that changes nothing costs no decoding."""
    return os.environ._data


def innermost(folders, place):
    """The length of the longest of these folders that holds it; 0 = none does."""
    return max((len(f) for f in folders if place == f or place.startswith(f.rstrip("/") + "/")), default=0)


def user_name():
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
