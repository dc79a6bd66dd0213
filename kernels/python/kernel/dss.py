"""What a task can say to, and ask of, the kernel it runs in.

    import dss
    dss.progress(0.4, "read 40,000 of 100,000 rows")
    if dss.aborted(): return None

An abort arrives as the exception `TaskAborted` in the main thread. It is no `Exception`, so that `except Exception` lets it
pass; use `finally` to tidy up, there is a grace of a few seconds. Threads and loops inside C code ask `aborted()` instead.
Outside a kernel, or between tasks, `progress` does nothing and `aborted` is False.
"""
import math

__all__ = ["progress", "aborted", "TaskAborted"]

MESSAGE_CHARS = 1000

_task = None    # the kernel sets and clears it around each task
_wake = None    # tells the kernel's server thread to look; set once


class TaskAborted(BaseException):
    """Raised in the main thread when someone asks the running task to stop, or its time is over."""


def progress(fraction=None, message=None):
    """Tells how far the task is: `fraction` 0..1 or None, `message` a short text or None (keeps the one before).

    Cheap enough for an inner loop: watchers see at most ten changes a second, and always the last one.
    """
    if fraction is not None:
        fraction = float(fraction)
        if not math.isfinite(fraction):
            raise ValueError("progress wants a fraction from 0 to 1, or None; got %r" % fraction)
        fraction = min(1.0, max(0.0, fraction))
    task = _task
    if task is None:
        return
    # No lock: an abort may raise anywhere in here, and one tuple is replaced in one step.
    before = task.said
    task.said = (before[0] if fraction is None else fraction,
                 before[1] if message is None else str(message)[:MESSAGE_CHARS])
    if not task.has_news:
        task.has_news = True
        _wake()


def aborted():
    """True once someone asked the running task to stop, or its time is over."""
    task = _task
    return task is not None and task.stop_reason is not None
