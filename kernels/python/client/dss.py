"""Runs functions in the kernels of a DSS node, as concurrent.futures runs them in processes.

    import dss
    dss.submit(stats.summarise, "big.csv").result()         # where DSS_URL and DSS_KEY, or DSS_HOME, say

    with dss.DssExecutor(pool="fek", limits={"memory": "4g"}, timeout_ms=60_000) as node:
        for report in node.map(stats.summarise, files):
            print(report)

A function is sent by its name, with the folder of its module: it must be importable there, so no lambda and no inner function.
Arguments and results are strict JSON. A future that failed raises TaskFailed with clazz, message, stack, cause and detail; one
that was aborted raises a CancelledError. Requests are repeated while the backend restarts, and a submit is never run twice.

In a kernel `import dss` gives the kernel's own module: progress() and aborted() are in both, so that one file runs in both.
Standard library only.
"""
import concurrent.futures
import difflib
import functools
import http.client
import inspect
import json
import math
import os
import secrets
import select
import socket
import sys
import sysconfig
import threading
import time
import weakref
from urllib.parse import quote, urlsplit

__all__ = ["submit", "map", "attach", "DssExecutor", "DssFuture", "DssError", "DssRefused", "DssUnreachable", "TaskFailed", "TaskCancelled",
           "progress", "aborted", "TaskAborted"]

PATIENCE_S = 60.0               # a backend restart takes a second or two; an upgrade longer
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0
CONNECT_S, ANSWER_S = 5.0, 60.0
POLL_S = 20.0                   # how long the node may hold a poll
SHORTEST_POLL_S = 0.1           # where there are more futures than connections
POLLS, POLLS_MORE = 4, 4        # polls at once; and more for futures that someone waits for
IDLE_CONNECTIONS = 4
ANSWER_BYTES = 256 * 1024 * 1024
DEPTH = 200                     # of lists and dicts in an argument
OPTIONS = {"pool": "pool", "limits": "limits", "timeout_ms": "timeoutMs", "retries": "retries", "priority": "priority", "tags": "tags",
           "title": "title", "project": "project", "user": "user"}
LOST = (OSError, http.client.HTTPException)
AWAY = (502, 503, 504)          # a proxy's word for a backend that is away, and the backend's own while it begins or ends


# --- what the kernel's module has, too ---

class TaskAborted(BaseException):
    """In a kernel: raised in a task that is asked to stop."""


def progress(fraction=None, message=None):
    """In a kernel: tells how far the task is. Here: nothing."""
    if fraction is not None and not math.isfinite(float(fraction)):
        raise ValueError("progress wants a fraction from 0 to 1, or None; got %r" % fraction)


def aborted():
    """In a kernel: True once the task is asked to stop. Here: False."""
    return False


# --- errors ---

class DssError(Exception):
    """Any failure of the node or of a task there."""


class DssUnreachable(DssError, ConnectionError):
    """The node did not answer, for as long as we try. What was submitted may go on there."""


class DssRefused(DssError):
    """The node refused a request: `status`, `clazz`, `message`."""

    def __init__(self, status, clazz, message):
        super().__init__("%s (status %d)" % (message, status))
        self.status, self.clazz, self.message = status, clazz, message


class TaskFailed(DssError):
    """A task ended without a result. `clazz` and `message` of what it raised, its `stack`; `cause`: the node's word for why it
    ended (oom_limit, deadline, ...), or None; `detail`: numbers to it, or the exception's own cause."""

    def __init__(self, clazz, message, stack="", cause=None, detail=None, job_id=None):
        super().__init__("%s: %s" % (clazz, message) if clazz else message)
        self.clazz, self.message, self.stack, self.cause, self.detail, self.job_id = clazz, message, stack, cause, detail, job_id


class TaskCancelled(concurrent.futures.CancelledError):
    """A task was aborted there, by someone else than this future's cancel()."""


class RemoteStack(Exception):
    """Where it failed in the kernel; shown above the error, as its cause."""

    def __str__(self):
        return "\n" + self.args[0].rstrip()


def task_error(body, job_id):
    """The exception for a future's 422."""
    detail = body.get("detail")
    error = body.get("error") if isinstance(body.get("error"), dict) else detail if isinstance(detail, dict) else {}
    clazz = str(body.get("errorType") or body.get("clazz") or error.get("clazz") or "")
    message = str(body.get("message") or body.get("detailedMessage") or error.get("message") or "the task ended without a result")
    stack = str(body.get("stack") or body.get("stackTraceStr") or error.get("stack") or "")
    cause = body.get("cause")
    if body.get("aborted") or cause in ("user", "admin", "policy") or "Abort" in clazz:
        return TaskCancelled(message)
    e = TaskFailed(clazz, message, stack, cause, detail, job_id)
    inner = cause if isinstance(cause, dict) else error.get("cause")
    if isinstance(inner, dict):
        e.__cause__ = task_error(inner, job_id)
    elif stack:
        e.__cause__ = RemoteStack(stack)
    return e


def refusal(status, body):
    """The exception for an answer of 400 or more."""
    error = body.get("error") if isinstance(body.get("error"), dict) else body
    message = error.get("message") or error.get("detailedMessage") or "no reason given"
    return DssRefused(status, str(error.get("errorType") or error.get("clazz") or ""), str(message))


# --- naming a function, checking its arguments ---

def name_of(function):
    """(callable "module:qualname", folder to import it from or None). Raises TypeError for what has no such name."""
    shown = getattr(function, "__qualname__", None) or repr(function)
    module_name, qualname = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not callable(function):
        raise TypeError("unable to submit %s: it is not callable" % shown)
    if not module_name or not qualname:
        raise TypeError("unable to submit %s: it has no name of its own; submit a function of a module" % shown)
    if "<lambda>" in qualname:
        raise TypeError("unable to submit a lambda of %s: another process cannot find it; give it a name with def" % module_name)
    if "<locals>" in qualname:
        raise TypeError("unable to submit %s: it is defined inside another function, another process cannot find it; move it to the top of its"
                        " module" % shown)
    owner = getattr(function, "__self__", None)
    if owner is not None and not inspect.isclass(owner) and not inspect.ismodule(owner):
        raise TypeError("unable to submit %s: it is a method of one object, which stays here; submit a function" % shown)
    module = sys.modules.get(module_name)
    found = module
    for name in qualname.split("."):
        found = getattr(found, name, None)
    if found is None or found != function:
        raise TypeError("unable to submit %s: %s has another object by this name" % (shown, module_name))
    real_name, folder = place_of(module, module_name, shown)
    return "%s:%s" % (real_name, qualname), folder


def place_of(module, name, shown):
    path = getattr(module, "__file__", None)
    spec = getattr(module, "__spec__", None)
    if name == "__main__":
        if path is None or path.startswith("<"):
            raise TypeError("unable to submit %s: it was typed in or read from standard input; put it into a file" % shown)
        name = spec.name if spec is not None else os.path.splitext(os.path.basename(path))[0]
        if not path.endswith(".py") or not all(part.isidentifier() for part in name.split(".")):
            raise TypeError("unable to submit %s: %s cannot be imported as a module; rename it like name.py" % (shown, path))
    if path is None:
        return name, None                       # built in: it is in every Python
    ups = name.count(".") + (os.path.basename(path).startswith("__init__."))
    folder = os.path.dirname(os.path.abspath(path))
    for _ in range(ups):
        folder = os.path.dirname(folder)
    standard = {os.path.realpath(sysconfig.get_path(p)) for p in ("stdlib", "platstdlib")}
    if os.path.realpath(folder) in standard or os.path.basename(folder) == "lib-dynload":
        return name, None
    return name, folder


def check_arguments(function, args, kwargs):
    """Raises TypeError that names the argument which JSON cannot hold, and the place in it."""
    names = []
    try:
        names = list(inspect.signature(function).parameters) if callable(function) else []
    except (TypeError, ValueError):
        pass
    for i, value in enumerate(args):
        check_value("argument %d%s" % (i + 1, " (%s)" % names[i] if i < len(names) else ""), value, ())
    for name, value in kwargs.items():
        check_value("argument %s" % name, value, ())


def check_value(place, value, parents):
    if value is None or isinstance(value, (bool, int)):
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            raise TypeError("%s is %r, which JSON cannot hold" % (place, value))
    elif isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise TypeError("%s is text with half a character (a lone surrogate), which JSON cannot hold" % place) from None
    elif isinstance(value, (list, tuple, dict)):
        if any(value is p for p in parents):
            raise TypeError("%s contains itself" % place)
        if len(parents) >= DEPTH:
            raise TypeError("%s is nested deeper than %d levels" % (place[:200], DEPTH))
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            if isinstance(value, dict) and not isinstance(key, str):
                raise TypeError("%s has the key %r; keys of JSON objects are text" % (place, key))
            check_value("%s[%r]" % (place, key), inner, parents + (value,))
    else:
        raise TypeError("%s is of type %s, which JSON cannot hold; send numbers, texts, lists, dicts, or the name of a file"
                        % (place, type(value).__qualname__))


# --- the node ---

class Node:
    """Where it is, who asks, connections. The key is in no text that anyone sees."""

    def __init__(self, url=None, key=None, home=None):
        self._home = home or (None if url or os.environ.get("DSS_URL") else os.environ.get("DSS_HOME"))
        self._url = None if self._home and not url else url or os.environ.get("DSS_URL")
        self._key = key or os.environ.get("DSS_KEY") or self._key_of_home()
        if self._url is None and self._home is None:
            raise DssError("unable to tell which node: set DSS_URL and DSS_KEY, or DSS_HOME to an instance's folder")
        if not self._key:
            raise DssError("unable to tell who asks: set DSS_KEY")
        if not self._key.isascii() or not self._key.isprintable() or " " in self._key:
            raise DssError("unable to use this key: it has blanks or strange characters")
        self.address()          # says what is wrong now, not at the first request
        self._idle, self._lock = [], threading.Lock()
        mine = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: mine() and mine()._begin_anew())

    def _begin_anew(self):
        """In a forked child: the connections are the parent's, and a thread that held the lock did not come along."""
        self._idle, self._lock = [], threading.Lock()

    def __repr__(self):
        return "<DSS node at %s>" % (self._url or self._home)

    def _key_of_home(self):
        if self._home is None:
            return None
        path = os.path.join(self._home, "config/admin.key")
        try:
            with open(path, encoding="ascii") as f:
                return f.readline().strip()
        except (OSError, ValueError) as e:
            raise DssError("unable to read the key of %s: %s" % (self._home, getattr(e, "strerror", None) or "it is no text")) from None

    def address(self):
        """(class of connection, host, port, prefix) of this very moment: an instance may come back on another port."""
        url = self._url
        if url is None:
            path = os.path.join(self._home, "run/ports.json")
            try:
                with open(path, encoding="utf-8") as f:
                    ports = json.load(f)
                    # behind nginx the page's port may want TLS; "local" never does
                    url = "http://127.0.0.1:%d" % ports.get("local", ports["page"])
            except (OSError, ValueError, KeyError, TypeError) as e:
                raise DssUnreachable("unable to read %s: %s; is the instance running?" % (path, getattr(e, "strerror", None) or e)) from None
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
        if parts.scheme not in kinds or not parts.hostname or parts.username or parts.query:
            raise DssError("unable to use this address of a node: it must read http://host:port")
        return kinds[parts.scheme], parts.hostname, port, parts.path.rstrip("/")

    def connection(self):
        """A kept or a new connection; take back with keep()."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
        kind, host, port, prefix = self.address()
        c = kind(host, port, timeout=ANSWER_S)
        c.prefix, c.is_used = prefix, False
        return c

    def keep(self, c):
        with self._lock:
            if c.sock is not None and len(self._idle) < IDLE_CONNECTIONS:
                self._idle.append(c)
                return
        c.close()

    def send(self, c, method, path, body=None):
        headers = {"Authorization": "Bearer " + self._key, "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if c.sock is None:
            c.timeout = CONNECT_S
            c.connect()
            c.sock.settimeout(ANSWER_S)
        c.request(method, c.prefix + path, body, headers)

    @staticmethod
    def receive(c):
        """(status, JSON object of the body)."""
        answer = c.getresponse()
        data = answer.read(ANSWER_BYTES + 1)
        c.is_used = True
        if len(data) > ANSWER_BYTES:
            raise DssError("the answer is over %d bytes" % ANSWER_BYTES)
        if answer.length:           # read(amount) does not tell that the node went in the middle of it
            raise http.client.IncompleteRead(data, answer.length)
        try:
            body = json.loads(data) if data else {}
        except ValueError:
            body = {"message": data[:500].decode("utf-8", "replace")}
        return answer.status, body if isinstance(body, dict) else {"value": body}

    def ask(self, method, path, body=None):
        """One request, repeated while the backend is away. Returns the JSON object; raises DssRefused, DssUnreachable."""
        deadline, pause_s = time.monotonic() + PATIENCE_S, FIRST_PAUSE_S
        while True:
            c, is_old, why = None, False, None
            try:
                c = self.connection()
                is_old = c.is_used
                self.send(c, method, path, body)
                status, said = self.receive(c)
                self.keep(c)
                if status not in AWAY:
                    return self.check(status, said)
                why = said.get("message") or "status %d" % status
            except (*LOST, DssUnreachable) as e:
                if c is not None:
                    c.close()
                if is_old:
                    continue            # it was closed while it lay idle
                why = getattr(e, "strerror", None) or e
            if time.monotonic() >= deadline:
                raise DssUnreachable("unable to reach %r for %d s: %s" % (self, PATIENCE_S, why)) from None
            time.sleep(pause_s)
            pause_s = min(1.5 * pause_s, LONGEST_PAUSE_S)

    @staticmethod
    def check(status, body):
        if status >= 400:
            raise refusal(status, body)
        return body


# --- futures ---

class DssFuture(concurrent.futures.Future):
    """A future in the node: `id`, and besides what every Future has `progress` and `message`."""

    def __init__(self, node, poller, job_id):
        super().__init__()
        self.id = job_id
        self.state = {}                 # the node's last word
        self.is_awaited = False         # someone sits in result()
        self.not_before, self.pause_s = 0.0, 0.0
        self._node, self._poller = node, poller
        self._is_cancelling, self._cancel_lock = False, threading.Lock()

    def __repr__(self):
        return "<DssFuture %s %s>" % (self.id, "ended" if self.done() else self.state.get("state") or "submitted")

    @property
    def progress(self):
        """From 0 to 1, or None while the task said nothing. As of the last poll."""
        said = self.state.get("progress")
        return said.get("fraction") if isinstance(said, dict) else said

    @property
    def message(self):
        """What the task said last, or why it waits; or None."""
        said = self.state.get("progress")
        return (said.get("message") if isinstance(said, dict) else None) or self.state.get("message") or self.state.get("reason")

    def running(self):
        return not self.done() and self.state.get("state") == "running"

    def result(self, timeout=None):
        self._hurry()
        return super().result(timeout)

    def exception(self, timeout=None):
        self._hurry()
        return super().exception(timeout)

    def cancel(self):
        """Aborts it, also while it runs. False: it has ended already."""
        if self.done():
            return self.cancelled()
        self._is_cancelling = True
        try:
            self._node.ask("DELETE", path_of(self.id))
        except DssRefused as e:
            if e.status in (404, 409, 422):
                return False
            raise
        return self._end_cancelled()

    def _end_cancelled(self):
        """Our thread and the poller's may both get to know of it."""
        with self._cancel_lock:
            if not self.done() and super().cancel():
                self.set_running_or_notify_cancel()
        return self.cancelled()

    def _hurry(self):
        if not self.done() and not self.is_awaited:
            self.is_awaited = True
            self._poller.wake()

    def take(self, status, body):
        """One answer about it. True: it ended."""
        try:
            if status == 422:
                self.fail(task_error(body, self.id))
            elif status >= 400:
                self.fail(refusal(status, body))
            elif body.get("hasResult"):
                self.set_result(body.get("result"))
            elif body.get("alive") is False or body.get("aborted"):
                self.fail(task_error(body, self.id))
            else:
                self.state = body
                return False
        except concurrent.futures.InvalidStateError:
            pass                        # cancelled here in the meantime
        return True

    def fail(self, error):
        """Ends it here, unless it has."""
        try:
            if self._is_cancelling and isinstance(error, TaskCancelled):
                self._end_cancelled()
            else:
                self.set_exception(error)
        except concurrent.futures.InvalidStateError:
            pass                        # cancelled here in the meantime


def path_of(job_id, query=""):
    return "/api/futures/%s%s" % (quote(job_id, safe=""), query)


class Poll:
    """A long poll under way."""

    def __init__(self, connection, future, now, wait_s):
        self.connection, self.future, self.begun_at, self.wait_s = connection, future, now, wait_s
        self.deadline = now + wait_s + ANSWER_S


class Poller:
    """One thread that follows all futures of a node by long polls on a few connections. It ends when there is nothing to follow."""

    def __init__(self, node):
        self._node, self._lock = node, threading.Lock()
        self._futures, self._polls = {}, {}         # by id; by file descriptor
        self._thread, self._lost_at = None, None
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)

    def follow(self, future):
        with self._lock:
            self._futures[future.id] = future
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="dss-poller", daemon=True)
                self._thread.start()
        self.wake()

    def wake(self):
        try:
            self._wake_write.send(b"\0")
        except OSError:
            pass                        # full: it will wake anyway

    def futures(self):
        with self._lock:
            return list(self._futures.values())

    # --- the thread ---

    def _run(self):
        try:
            self._follow_all()
        except Exception as e:          # nobody would ever hear of these futures
            with self._lock:
                left, self._futures = list(self._futures.values()), {}
                self._leave()
            for f in left:
                if not f.done():
                    f.fail(DssError("unable to follow %s any more: %s" % (f.id, e)))

    def _leave(self):
        """With the lock held: the next thread may begin right after."""
        for poll in self._polls.values():
            poll.connection.close()
        self._polls, self._thread = {}, None

    def _follow_all(self):
        while True:
            now = time.monotonic()
            with self._lock:
                for job_id in [i for i, f in self._futures.items() if f.done()]:
                    del self._futures[job_id]
                if not self._futures:
                    self._leave()
                    return
            self._begin_polls(now)
            self._wait(now)

    def _begin_polls(self, now):
        polled = {p.future.id for p in self._polls.values()}
        todo = [f for f in self.futures() if f.id not in polled and f.not_before <= now]
        todo.sort(key=lambda f: not f.is_awaited)           # stable: else the oldest first
        for f in todo:
            if len(self._polls) >= POLLS + (POLLS_MORE if f.is_awaited else 0):
                break
            many = len(self._futures)
            wait_s = POLL_S if f.is_awaited or many <= POLLS else max(SHORTEST_POLL_S, POLL_S * POLLS / many)
            c = None
            try:
                c = self._node.connection()
                self._node.send(c, "GET", path_of(f.id, "?peek=False&wait=%g" % wait_s))
            except (*LOST, DssUnreachable) as e:
                self._lose(c, f, now, e)
                return
            self._polls[c.sock.fileno()] = Poll(c, f, now, wait_s)

    def _wait(self, now):
        readable = select.poll()
        for fd in (self._wake_read.fileno(), *self._polls):
            readable.register(fd, select.POLLIN)
        polled = {p.future.id for p in self._polls.values()}
        due = [p.deadline for p in self._polls.values()] + [f.not_before for f in self.futures() if f.id not in polled and f.not_before > now]
        for fd, _ in readable.poll(max(1, (min(due) - now) * 1000 + 1) if due else 1000):
            if fd == self._wake_read.fileno():
                self._wake_read.recv(4096)
            else:
                self._take(self._polls.pop(fd))
        now = time.monotonic()
        for fd in [fd for fd, p in self._polls.items() if p.deadline <= now or p.future.done()]:
            poll = self._polls.pop(fd)
            if poll.future.done():
                poll.connection.close()         # cancelled here
            else:
                self._lose(poll.connection, poll.future, now, "no answer in time")

    def _take(self, poll):
        f, c, now = poll.future, poll.connection, time.monotonic()
        try:
            status, body = self._node.receive(c)
        except (*LOST, DssError) as e:
            self._lose(c, f, now, e)
            return
        self._node.keep(c)
        if status in AWAY:
            self._lose(None, f, now, body.get("message") or "status %d" % status)
            return
        self._lost_at = None
        if f.take(status, body):
            return
        # An answer that came early without an end: a node that does not hold polls is asked ever less often.
        is_early = now - poll.begun_at < poll.wait_s / 2
        f.pause_s = min(max(1.3 * f.pause_s, 0.01), 1.0) if is_early else 0.0
        f.not_before = now + f.pause_s
        with self._lock:
            if self._futures.pop(f.id, None) is not None:
                self._futures[f.id] = f         # behind the others

    def _lose(self, c, f, now, why):
        is_old = c is not None and c.is_used
        if c is not None:
            c.close()
        if is_old and self._lost_at is None:
            f.not_before = now                  # perhaps only this connection was old
        else:
            f.pause_s = min(max(1.5 * f.pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S)
            f.not_before = now + f.pause_s
        if self._lost_at is None:
            self._lost_at = now
        if now - self._lost_at > PATIENCE_S:
            text = "unable to reach %r for %d s: %s; the task may go on there: dss.attach(%r)" % (self._node, PATIENCE_S, why, f.id)
            f.fail(DssUnreachable(text))


# --- the executor ---

class DssExecutor(concurrent.futures.Executor):
    """An Executor whose workers are a node's kernels.

    url, key: where and who; else DSS_URL, DSS_KEY, or `home` (DSS_HOME), the folder of an instance on this machine.
    pool, limits={"memory": "4g"}, timeout_ms, retries, priority, tags, title, project, user: for all that is submitted here.
    path: folders to import functions from that are given as text, "module:function".
    """

    def __init__(self, url=None, key=None, pool=None, home=None, path=(), **options):
        for name in options:
            if name not in OPTIONS:
                near = difflib.get_close_matches(name, OPTIONS, 1)
                raise TypeError("DssExecutor has no option %r%s" % (name, ", did you mean %r?" % near[0] if near else ""))
        self._options = {OPTIONS[k]: v for k, v in {"pool": pool, **options}.items() if v is not None}
        for name, value in self._options.items():
            check_value("option " + name, value, ())
        self._path = [os.path.abspath(p) for p in path]
        self._node = Node(url, key, home)
        self._poller, self._pid = Poller(self._node), os.getpid()
        self._is_shut = False

    def __repr__(self):
        return "<DssExecutor at %r>" % self._node

    def submit(self, fn, /, *args, **kwargs):
        """Hands in fn(*args, **kwargs); `fn` may be text, "module:function". Returns a DssFuture once the node has it on disk."""
        while isinstance(fn, functools.partial):
            fn, args, kwargs = fn.func, fn.args + args, {**fn.keywords, **kwargs}
        name, folder = (fn, None) if isinstance(fn, str) else name_of(fn)
        check_arguments(fn, args, kwargs)
        payload = {"callable": name, "args": args, "kwargs": kwargs}
        path = ([folder] if folder else []) + [p for p in self._path if p != folder]
        if path:
            payload["path"] = path
        return self._hand_in("python", payload, name)

    def command(self, argv, env=None, cwd=None):
        """Hands in a command; its result is {"code","signal"}."""
        payload = {"argv": list(argv), **({"env": env} if env else {}), **({"cwd": os.fspath(cwd)} if cwd else {})}
        check_value("the command", payload, ())
        return self._hand_in("command", payload, argv[0])

    def attach(self, job_id):
        """A future for what was submitted before, by whomever."""
        return self._follow(job_id)

    def _hand_in(self, kind, payload, title):
        if self._is_shut:
            raise RuntimeError("unable to submit after shutdown")
        body = {"type": kind, "payload": payload, "title": title[:200], "clientKey": "py-" + secrets.token_hex(16), **self._options}
        data = json.dumps(body, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
        said = self._node.ask("POST", "/api/futures", data)
        if said.get("jobId"):
            return self._follow(str(said["jobId"]))
        future = DssFuture(self._node, self._poller, None)
        if not future.take(200, said):  # else done at once
            raise DssError("unable to submit to %r: its answer names no job: %.500s" % (self._node, said.get("message") or said))
        return future

    def _follow(self, job_id):
        if self._pid != os.getpid():    # in a forked child our thread did not come along
            self._poller, self._pid = Poller(self._node), os.getpid()
        future = DssFuture(self._node, self._poller, job_id)
        self._poller.follow(future)
        return future

    def shutdown(self, wait=True, *, cancel_futures=False):
        """Takes no more. What was submitted goes on in the node; `wait`: until it ended."""
        self._is_shut = True
        futures = self._poller.futures() if self._pid == os.getpid() else []
        if cancel_futures:
            for f in futures:
                f.cancel()
        if wait:
            concurrent.futures.wait(futures)


_default = None
_default_lock = threading.Lock()


def _executor():
    global _default
    with _default_lock:
        if _default is None:
            _default = DssExecutor()
        return _default


def submit(fn, /, *args, **kwargs):
    """Hands in fn(*args, **kwargs) to the node of the environment; see DssExecutor for more choice."""
    return _executor().submit(fn, *args, **kwargs)


def map(fn, *iterables, timeout=None):
    """The results of fn over the iterables, in order, computed in the node."""
    return _executor().map(fn, *iterables, timeout=timeout)


def attach(job_id):
    """A future for what was submitted before."""
    return _executor().attach(job_id)
