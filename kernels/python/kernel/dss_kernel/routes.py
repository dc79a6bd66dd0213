"""What the kernel answers: the protocol's requests, in terms of the desk."""
import hmac
import json
import os
import re
import sys
import time

from dss_kernel import desk, http1
from dss_kernel.http1 import Refuse
from dss_kernel.server import Waiting
from dss_kernel.settings import ID

INLINE_BYTES = 64 * 1024        # larger results are fetched from /task/ID/result
WAIT_S = 300.0                  # the longest wait; a longer one is cut
NONCE_CHARS = 256
TIMEOUT_MS = 366 * 86400 * 1000
LEAVE_GRACE_S = 10.0            # after a lease ran out: for the task to end by itself
CALLABLE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*\Z")
TASK_PATH = re.compile(r"/task/([^/]+)(/result)?\Z")


class Routes:
    def __init__(self, settings, task_desk, payloads):
        """`payloads`: by the type of task, the fields of its payload; see PAYLOADS."""
        self._desk = task_desk
        self._payloads = payloads
        self._task_token = settings.task_token
        self._authorization = b"bearer " + settings.task_token
        self._lease_s = settings.lease_s
        self._heard_at = time.monotonic()       # the last request of the backend
        self._left_at = None                    # when the lease ran out

    # --- for the server ---

    def check(self, request):
        """Raises Refuse(401) unless the request carries the task token. False for the one route open to all."""
        if request.path == "/health":
            return False
        scheme, _, token = request.headers.get(b"authorization", b"").partition(b" ")
        if not hmac.compare_digest(scheme.lower() + b" " + token.strip(), self._authorization):
            raise Refuse(401, "the task token is missing or wrong", "Unauthorized")
        self._heard_at = time.monotonic()
        return True

    def answer(self, request):
        """(status, body), bytes of a whole answer, or a Waiting. Raises Refuse."""
        if request.path == "/health":
            return self._only(request, GET=self._health)
        if request.path == "/task":
            return self._only(request, POST=self._take)
        if request.path == "/shutdown":
            return self._only(request, POST=self._shutdown)
        match = TASK_PATH.match(request.path)
        if not match:
            raise Refuse(404, "there is nothing at %s" % request.path[:200], "NotFound")
        task = self._desk.task
        if task is None or task.id != match[1]:
            raise Refuse(404, "task %s is not known here" % match[1][:200], "NotFound")
        if match[2]:
            return self._only(request, GET=lambda _: self._result(task))
        return self._only(request, GET=lambda r: self._follow(task, r), DELETE=lambda _: self._delete(task))

    def tick(self, now):
        """Lets time pass: news, deadline, lease. Returns when to be called again (monotonic seconds), or None."""
        due = self._check_lease(now)
        task = self._desk.task
        if task is not None and task.is_running():
            for at in (self._desk.show_news(now), self._desk.check_deadline(now), self._desk.press(now)):
                due = at if due is None or at is not None and at < due else due
        return due

    def running(self):
        """The task that runs, or None."""
        task = self._desk.task
        return task if task is not None and task.is_running() else None

    def leave(self):
        """The kernel is to end: a running task is aborted first."""
        self._desk.leave()
        task = self._desk.task
        if task is not None:
            self._desk.stop(task, desk.ABORT)

    def leave_once(self):
        """The same for a signal: one may be told twice, and twice asked is twice raised."""
        if not self._desk.is_stopping:
            self.leave()

    # --- routes ---

    @staticmethod
    def _only(request, **methods):
        handle = methods.get(request.method)
        if handle is None:
            raise Refuse(405, "%s takes %s" % (request.path[:200], " and ".join(methods)), "MethodNotAllowed")
        return handle(request)

    def _health(self, request):
        nonce = request.parameters().get("nonce", "")
        if not 0 < len(nonce) <= NONCE_CHARS:
            raise Refuse(400, "health needs a nonce of 1 to %d characters" % NONCE_CHARS)
        body = {"state": "idle", "proof": hmac.new(self._task_token, nonce.encode(), "sha256").hexdigest()}
        task = self._desk.task
        if task is not None and task.is_running():
            body["state"], body["taskId"] = "busy", task.id
        elif task is not None:
            body["lastTaskId"] = task.id
        return 200, body

    def _take(self, request):
        wait_s = seconds(request.parameters().get("wait"))
        said = parse(request.body)
        task_id, attempt = said.get("taskId"), said.get("attempt")
        if not isinstance(task_id, str) or not ID.match(task_id):
            raise Refuse(400, "taskId must be an id")
        if not is_whole(attempt, 0, 10**9):
            raise Refuse(400, "attempt must be a whole number")
        task = self._desk.task
        if task is None or (task.id, task.attempt) != (task_id, attempt):
            task = self._start(task_id, attempt, said)
        if wait_s == 0 and task.is_running():
            return 202, {}
        return self._when(lambda: not task.is_running(), lambda: http1.answer(200, self._state(task)),
                          lambda: http1.answer(202, {}), wait_s)

    def _start(self, task_id, attempt, said):
        busy_with = self._desk.task
        if busy_with is not None and busy_with.is_running():
            raise Refuse(409, "busy with task %s, attempt %d" % (busy_with.id, busy_with.attempt), "Busy")
        if self._desk.has_run(task_id, attempt):
            raise Refuse(409, "task %s, attempt %d ran here before and its outcome was forgotten" % (task_id, attempt), "Forgotten")
        if self._desk.is_stopping:
            raise Refuse(503, "this kernel is about to end", "Stopping")
        kind, payload, timeout_ms = said.get("type"), said.get("payload"), said.get("timeoutMs")
        if not isinstance(kind, str) or kind not in self._payloads:
            raise Refuse(400, "this kernel takes tasks of type %s, not %s" % (" and ".join(self._payloads), json.dumps(kind)[:100]), "BadType")
        if timeout_ms is not None and not is_whole(timeout_ms, 1, TIMEOUT_MS):
            raise Refuse(400, "timeoutMs must be a whole number of milliseconds, 1 or more")
        check_payload(kind, payload, self._payloads[kind])
        task = desk.Task(task_id, attempt, kind, payload, timeout_ms)
        self._desk.take(task)
        return task

    def _follow(self, task, request):
        parameters = request.parameters()
        wait_s, seen = seconds(parameters.get("wait")), parameters.get("seen")
        if seen is not None and not seen.isdecimal():
            raise Refuse(400, "seen must be a version number")
        if seen is None or wait_s == 0:
            return 200, self._state(task)
        return self._when(lambda: str(task.version) != seen, lambda: http1.answer(200, self._state(task)),
                          lambda: http1.answer(200, self._state(task)), wait_s)

    def _result(self, task):
        if task.state != "done":
            raise Refuse(404, "task %s has no result, it is %s" % (task.id, task.state), "NoResult")
        return 200, task.result

    def _delete(self, task):
        if task.is_running():
            self._desk.stop(task, desk.ABORT)
            return 202, {}
        self._desk.forget(task)
        return 200, {}

    def _shutdown(self, _request):
        self.leave()
        return 202, {}

    # --- helpers ---

    def _when(self, is_due, give, give_up, wait_s):
        if is_due():
            return give()
        return Waiting(lambda: give() if is_due() else None, give_up, time.monotonic() + wait_s)

    def _state(self, task):
        self._desk.show_news(time.monotonic(), at_once=True)
        state = {"taskId": task.id, "attempt": task.attempt, "version": task.version, "state": task.state}
        progress, message = task.said
        if progress is not None:
            state["progress"] = progress
        if message is not None:
            state["message"] = message
        if task.error is not None and task.state != "running":
            state["error"] = task.error
        if task.state != "done":
            return state
        state["resultBytes"] = len(task.result)
        if len(task.result) > INLINE_BYTES:
            return state
        # The result is JSON already; it is put in as it is, never read and written again.
        head = http1.ENCODE(state).encode("utf-8", "replace")
        return head[:-1] + b',"result":' + task.result + b"}"

    def _check_lease(self, now):
        if not self._lease_s:
            return None
        if self._left_at is not None:
            if now >= self._left_at + LEAVE_GRACE_S:
                os._exit(75)
            return self._left_at + LEAVE_GRACE_S
        if now < self._heard_at + self._lease_s:
            return self._heard_at + self._lease_s
        print("kernel: no request from the backend for %g s, the lease is over; ending" % self._lease_s, file=sys.stderr)
        self._left_at = now
        self.leave()
        return now + LEAVE_GRACE_S


def seconds(text):
    if text is None:
        return 0.0
    if not re.match(r"\d{1,9}(\.\d{1,6})?\Z", text):
        raise Refuse(400, "wait must be seconds")
    return min(float(text), WAIT_S)


def is_whole(value, least, most):
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def parse(body):
    """A request's JSON object; strict, as the backend's reader is."""
    try:
        said = DECODE(body.decode("utf-8"))
    except (ValueError, RecursionError) as e:
        raise Refuse(400, "the body is no JSON: %s" % str(e)[:200]) from None
    if not isinstance(said, dict):
        raise Refuse(400, "the body must be a JSON object")
    return said


def only_once(pairs):
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def no_constant(name):
    raise ValueError("%s is no JSON number" % name)


DECODE = json.JSONDecoder(object_pairs_hook=only_once, parse_constant=no_constant).decode


def is_list_of_text(value):
    return isinstance(value, list) and all(is_text(v) for v in value)


def is_text(value):
    return isinstance(value, str) and "\0" not in value


def is_dict(value):
    return isinstance(value, dict)


def is_environment(value):
    return is_dict(value) and all(k and "=" not in k and is_text(k) and is_text(v) for k, v in value.items())


PAYLOADS = {    # by type, by field: must it stand, is it right, what it must be
    "python": {
        "callable": (True, lambda v: isinstance(v, str) and len(v) <= 1000 and CALLABLE.match(v), 'text like "package.module:function"'),
        "args": (False, lambda v: isinstance(v, list), "a list"),
        "kwargs": (False, is_dict, "an object"),
        "path": (False, is_list_of_text, "a list of folders"),
        "cwd": (False, is_text, "a folder"),
    },
    "command": {
        "argv": (True, lambda v: is_list_of_text(v) and v and v[0], "a list of texts, the program first"),
        "env": (False, is_environment, "an object of texts"),
        "cwd": (False, is_text, "a folder"),
    },
}


def check_payload(kind, payload, fields):
    if not isinstance(payload, dict):
        raise Refuse(400, "payload must be an object", "BadPayload")
    for field, (is_needed, is_right, wanted) in fields.items():
        if field not in payload:
            if is_needed:
                raise Refuse(400, "a %s task needs payload.%s: %s" % (kind, field, wanted), "BadPayload")
        elif not is_right(payload[field]):
            raise Refuse(400, "payload.%s of a %s task must be %s" % (field, kind, wanted), "BadPayload")
