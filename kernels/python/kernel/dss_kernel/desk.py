"""The desk: the one task of this kernel, shared by the server thread (takes, shows, stops it) and the main thread (runs it).

    state x event      take        progress    stop                 finish              forget
    (nothing)          running     -           -                    -                   -
    running            refused     running     running, asked       done/failed/aborted refused
    ended              running     -           -                    -                   (nothing)

A task once asked to stop ends `aborted` (or `failed` with Timeout), also when it returns a value all the same: the first
word counts. Versions only grow, over all tasks of this kernel, so that a number seen earlier never hides something new.
"""
import collections
import queue
import signal
import threading
import time

ABORT_SIGNAL = signal.SIGRTMIN + 7      # raises TaskAborted in the main thread; USR1 and USR2 belong to tasks and libraries
PRESS_FIRST_S, PRESS_LONGEST_S = 0.02, 1.0
NEWS_PAUSE_S = 0.1                      # progress is shown at most ten times a second
REMEMBERED_ATTEMPTS = 4096              # an attempt runs at most once, also after its outcome was forgotten

ABORT, TIMEOUT = "abort", "timeout"     # reasons to stop


class Task:
    """One attempt. `said` and `has_news` are the running task's; all else changes under the desk's lock."""

    def __init__(self, task_id, attempt, kind, payload, timeout_ms):
        self.id, self.attempt, self.kind, self.payload, self.timeout_ms = task_id, attempt, kind, payload, timeout_ms
        self.version = 0
        self.state = "running"
        self.said = (None, None)        # progress, message
        self.has_news = False           # said something that `version` does not tell yet
        self.news_at = 0.0              # when version last grew by progress, monotonic seconds
        self.deadline = None            # monotonic seconds
        self.stop_reason = None
        self.asked = self.raised = 0    # how often it was asked to stop, and how many of these were raised in it
        self.press_at = self.press_pause_s = 0.0
        self.error = None
        self.result = None              # JSON, bytes

    def is_running(self):
        return self.state == "running"


class Desk:
    def __init__(self, wake):
        """`wake` tells the server thread that something changed; it may be called from any thread."""
        self.wake = wake
        self.task = None
        self.is_stopping = False
        self._lock = threading.Lock()
        self._version = 0
        self._seen = collections.OrderedDict()
        self._waiting = queue.SimpleQueue()
        self._main_thread = threading.main_thread().ident

    def holds(self, *kinds):
        """A task of one of these kinds, running or ended and not yet forgotten."""
        task = self.task
        return task is not None and task.kind in kinds

    # --- server thread ---

    def has_run(self, task_id, attempt):
        return (task_id, attempt) in self._seen

    def take(self, task):
        """Puts a task before the main thread; the one before it must have ended."""
        with self._lock:
            assert self.task is None or not self.task.is_running()
            self._seen[task.id, task.attempt] = True
            while len(self._seen) > REMEMBERED_ATTEMPTS:
                self._seen.popitem(last=False)
            self._version += 1
            task.version = self._version
            if task.timeout_ms:
                task.deadline = time.monotonic() + task.timeout_ms / 1000
            self.task = task
        self._waiting.put(task)

    def stop(self, task, reason):
        """Asks a running task to stop; asks again when it was asked before. The first reason counts."""
        with self._lock:
            if not task.is_running():
                return
            task.stop_reason = task.stop_reason or reason
            task.asked += 1
            task.press_pause_s = PRESS_FIRST_S
            task.press_at = time.monotonic() + PRESS_FIRST_S
        signal.pthread_kill(self._main_thread, ABORT_SIGNAL)

    def press(self, now):
        """Signals again until the request to stop was raised: a signal that comes just before a system call would be slept
        through. Returns when to look again, or None."""
        task = self.task
        if task is None or not task.is_running() or task.raised >= task.asked:
            return None
        if now >= task.press_at:
            task.press_pause_s = min(2 * task.press_pause_s, PRESS_LONGEST_S)
            task.press_at = now + task.press_pause_s
            signal.pthread_kill(self._main_thread, ABORT_SIGNAL)
        return task.press_at

    def forget(self, task):
        with self._lock:
            if self.task is task and not task.is_running():
                self.task = None

    def show_news(self, now, at_once=False):
        """Lets the version tell what the task said. Returns when to look again (monotonic seconds), or None."""
        task = self.task
        if task is None or not task.has_news:
            return None
        if not at_once and now < task.news_at + NEWS_PAUSE_S:
            return task.news_at + NEWS_PAUSE_S
        with self._lock:
            task.has_news = False       # before `said` is read by anyone: what comes later is news again
            if task.is_running():
                self._version += 1
                task.version = self._version
                task.news_at = now
        return None

    def check_deadline(self, now):
        """Stops a task whose time is over. Returns when to look again, or None."""
        task = self.task
        if task is None or not task.is_running() or task.deadline is None or task.stop_reason:
            return None
        if now < task.deadline:
            return task.deadline
        self.stop(task, TIMEOUT)
        return None

    # --- main thread ---

    def has_work(self):
        return self.is_stopping or not self._waiting.empty()

    def next(self):
        """The task that waits. None: the kernel is to end."""
        return None if self.is_stopping else self._waiting.get()

    def finish(self, task, result, error):
        """Ends a task with `result` (JSON bytes) or `error` (a dict). No abort may raise in here: disarm first."""
        with self._lock:
            if task.stop_reason == ABORT:
                task.state, task.error = "aborted", error or {"clazz": "TaskAborted", "message": "aborted on request", "stack": ""}
            elif task.stop_reason == TIMEOUT:
                task.state, task.error = "failed", timeout_error(task, error)
            elif error is not None:
                task.state, task.error = "failed", error
            else:
                task.state, task.result = "done", result
            task.payload = None
            self._version += 1
            task.version = self._version
        self.wake()

    # --- any thread ---

    def leave(self):
        """The kernel is to end, once its task did."""
        self.is_stopping = True
        self._waiting.put(None)


def timeout_error(task, error):
    return {"clazz": "Timeout", "message": "the task ran longer than its timeout of %d ms" % task.timeout_ms,
            "stack": (error or {}).get("stack", "")}
