"""The main thread: runs one task after the other, takes aborts and signals, leaves no traces of one task to the next."""
import gc
import importlib
import os
import pwd
import signal
import subprocess
import sys
import threading
import time

import dss
from dss_kernel import desk, outcome
from dss_kernel.server import STOP_SIGNALS

TERM_GRACE_S = 2.0          # a command's processes may tidy up for so long before SIGKILL
RAISE_PAUSE_S = 0.1         # the next request to stop does not raise while the exception of the one before is being caught


class Runner:
    def __init__(self, task_desk, wake_fd):
        self._desk = task_desk
        self._wake_fd = wake_fd
        self._armed = None          # the task whose code runs right now and may be interrupted
        self._raised_at = 0.0
        self._types = {"python": self._run_python, "command": self._run_command}

    def catch_signals(self):
        """Before anyone knows of this kernel: from then on a signal is heard at any moment."""
        sys.unraisablehook = self._on_unraisable
        self._catch_signals()

    def run(self):
        """Runs tasks until the kernel is to end."""
        gc.freeze()                     # what is here now stays: no need to look through it after each task
        while True:
            task = self._desk.next()
            if task is None:
                return
            self._run_one(task)
            del task
            gc.collect()                # a freed result or a cycle of one task is not charged to the next

    def _run_one(self, task):
        surroundings = Surroundings(task.payload.get("path", ()), task.payload.get("cwd") if task.kind == "python" else None)
        dss._task = task
        result = error = None
        try:
            try:
                self._arm(task)
                value = self._types[task.kind](task)
                self._armed = None
                result = outcome.to_json(value)
                value = None
            except outcome.BadResult as e:
                self._armed = None
                error = {"clazz": "BadResult", "message": str(e), "stack": ""}
            except BaseException as e:
                self._armed = None
                error = outcome.to_error(e, hidden_frames=2)
                error["message"] += surroundings.hint(e, task)
        except dss.TaskAborted as e:    # came in the instant between the task's end and disarming
            self._armed = None
            error = outcome.to_error(e)
        dss._task = None
        surroundings.restore()
        # The task may have set its own. Before its end is told: whoever heard of it may send a signal the next moment.
        self._catch_signals()
        self._desk.finish(task, result, error)

    # --- types ---

    def _run_python(self, task):
        payload = task.payload
        module_name, _, names = payload["callable"].partition(":")
        found = importlib.import_module(module_name)
        for name in names.split("."):
            found = getattr(found, name)
        if not callable(found):
            raise TypeError("%s is not callable, it is of type %s" % (payload["callable"], outcome.class_name(type(found))))
        return found(*payload.get("args", ()), **payload.get("kwargs", {}))

    def _run_command(self, task):
        payload = task.payload
        self._armed = None              # an abort between fork and `child =` would lose the child
        child = subprocess.Popen(payload["argv"], env={**os.environ, **payload.get("env", {})}, cwd=payload.get("cwd"),
                                 stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            self._arm(task)
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
            self._armed = None
        except dss.TaskAborted:
            self._armed = None
            stop_gently(child)
            raise
        finally:
            # Not yet reaped, so the group's number is still its own: whatever it left behind ends with it.
            kill_group(child, signal.SIGKILL)
            code = child.wait()
        return {"code": code if code >= 0 else None, "signal": -code if code < 0 else None}

    # --- aborts and signals ---

    def _arm(self, task):
        self._armed = task
        if task.stop_reason is not None:
            self._armed = None
            task.raised = task.asked
            raise dss.TaskAborted(task.stop_reason)

    def _on_abort(self, _signal, _frame):
        task = self._armed
        now = time.monotonic()
        if task is None or task.raised >= task.asked or now - self._raised_at < RAISE_PAUSE_S:
            return
        self._raised_at = now
        task.raised = task.asked
        raise dss.TaskAborted(task.stop_reason)

    def _catch_signals(self):
        signal.signal(desk.ABORT_SIGNAL, self._on_abort)
        # The server thread reads these from the descriptor: the main thread may sit in a system call and not run a handler.
        signal.set_wakeup_fd(self._wake_fd, warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_stop)

    def _on_stop(self, number, _frame):
        """Once more by hand: a task may have put a wake-up descriptor of its own (an event loop does) in the place of ours."""
        try:
            os.write(self._wake_fd, bytes((number,)))
        except OSError:
            pass        # full: it holds the number that Python wrote

    def _on_unraisable(self, what):
        """An abort that hit a destructor or a callback ended there, and the task never saw it: it counts as not raised yet."""
        task = self._armed
        if task is not None and isinstance(what.exc_value, dss.TaskAborted):
            task.raised = min(task.raised, task.asked - 1)
            self._desk.wake()           # to press again
        else:
            sys.__unraisablehook__(what)


class ForkGuard:
    """Keeps a signal to a forked child from being taken for one to the kernel: they share the wake-up pipe until released."""

    def __init__(self):
        self._mask = threading.local()

    def before(self):
        self._mask.old = signal.pthread_sigmask(signal.SIG_BLOCK, (desk.ABORT_SIGNAL, *STOP_SIGNALS))

    def in_parent(self):
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask.old)

    def in_child(self):
        """It is no kernel: a signal to it means what it means elsewhere."""
        signal.set_wakeup_fd(-1)
        signal.signal(desk.ABORT_SIGNAL, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask.old)


def kill_group(child, signal_number):
    try:
        os.killpg(child.pid, signal_number)
    except ProcessLookupError:
        pass


def stop_gently(child):
    kill_group(child, signal.SIGTERM)
    deadline = time.monotonic() + TERM_GRACE_S
    while time.monotonic() < deadline:
        if os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None:
            return
        time.sleep(0.01)


class Surroundings:
    """What a task finds around it, and the next one again: directory, environment, module path, streams.

    Modules that came from the task's own `path` are dropped, so that the next task sees changed code.
    """

    def __init__(self, path, directory=None):
        """`directory`: where the task is to run; where it cannot be entered the task stays, and `hint` tells."""
        self._refusal = None
        try:
            self._directory = os.getcwd()
        except OSError:
            self._directory = "/"
        self._environ = dict(os.environ)
        self._sys_path = list(sys.path)
        self._streams = sys.stdout, sys.stderr
        self._modules = set(sys.modules)
        self._own = [os.path.abspath(p) for p in path]
        sys.path[:0] = self._own
        importlib.invalidate_caches()
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
        for name in [n for n in list(sys.modules) if n not in self._modules and self._is_own(sys.modules[n])]:
            del sys.modules[name]
        for place in [p for p in list(sys.path_importer_cache) if self._is_within(p)]:
            del sys.path_importer_cache[place]
        if dict(os.environ) != self._environ:
            os.environ.clear()
            os.environ.update(self._environ)
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


def innermost(folders, place):
    """The length of the longest of these folders that holds it; 0 = none does."""
    return max((len(f) for f in folders if place == f or place.startswith(f.rstrip("/") + "/")), default=0)


def user_name():
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
