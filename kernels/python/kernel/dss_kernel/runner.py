"""The main thread: runs one task after the other, takes aborts and signals, leaves no traces of one task to the next."""
import _signal
import gc
import importlib
import os
import signal
import subprocess
import sys
import threading
import time

import dss
from dss_kernel import desk, outcome
from dss_kernel.server import STOP_SIGNALS
from dss_kernel.surroundings import Shelf, Surroundings

TERM_GRACE_S = 2.0          # a command's processes may tidy up for so long before SIGKILL
GARBAGE_S = 0.002           # what shorter tasks leave behind may wait
GARBAGE_TASKS = 16          # for so many of them
RAISE_PAUSE_S = 0.1         # the next request to stop does not raise while the exception of the one before is being caught


class Runner:
    def __init__(self, task_desk, server, more):
        """`more`: functions of a payload, by the type of task, beside the usual ones."""
        self._desk = task_desk
        self._server = server
        self._shelf = Shelf()
        self._uncollected = 0       # tasks since garbage was looked for
        self._armed = None          # the task whose code runs right now and may be interrupted
        self._raised_at = 0.0
        self._handlers = ((desk.ABORT_SIGNAL, self._on_abort), *((number, self._on_stop) for number in STOP_SIGNALS))
        self._types = {"python": self._run_python, "command": self._run_command,
                       **{kind: lambda task, run=run: run(task.payload) for kind, run in more.items()}}

    def catch_signals(self):
        """Before anyone knows of this kernel: from then on a signal is heard at any moment."""
        sys.unraisablehook = self._on_unraisable
        self._catch_signals()

    def run(self):
        """Runs tasks until the kernel is to end."""
        gc.freeze()                     # what is here now stays: no need to look through it after each task
        while True:
            self._server.lead(self._desk.has_work)
            task = self._desk.next()
            if task is None:
                return
            began_at = time.monotonic()
            self._run_one(task)
            del task
            self._server.answer()
            self._collect(time.monotonic() - began_at)

    def _collect(self, took_s):
        """A freed result or a cycle of one task is not charged to the next; a few of tasks that had no time to make much are."""
        self._uncollected += 1
        if took_s >= GARBAGE_S or self._uncollected >= GARBAGE_TASKS:
            self._uncollected = 0
            gc.collect()

    def _run_one(self, task):
        surroundings = Surroundings(self._shelf, task.payload.get("path", ()), task.payload.get("cwd") if task.kind == "python" else None)
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
        # The server reads these from the descriptor: the main thread may sit in a system call and not run a handler.
        signal.set_wakeup_fd(self._server.wake_fd, warn_on_full_buffer=False)
        for number, handler in self._handlers:
            if _signal.getsignal(number) is not handler:
                signal.signal(number, handler)

    def _on_stop(self, number, _frame):
        """Once more by hand: a task may have put a wake-up descriptor of its own (an event loop does) in the place of ours."""
        try:
            os.write(self._server.wake_fd, bytes((number,)))
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
