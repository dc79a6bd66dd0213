"""A backend as a kernel sees it, and a plain client that may misbehave. Only for the specs of the kernel runtimes."""
import hashlib
import hmac
import http.client
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PYTHON_KERNEL = ["/usr/bin/python3", "-I", os.path.join(ROOT, "kernels/python/kernel"), "DSSFutureKernelMain"]
KERNEL_TOKEN, TASK_TOKEN = "kernel-token-0123456789", "task-token-9876543210"
PATIENCE_S = 60.0       # ends a hang, no more: what takes a second is let take many on a busy machine
CHECK_S = 240           # one whole check, the same


def wait_for(what, fact, patience_s=PATIENCE_S):
    """Calls `fact` until it gives something true. For facts only; raises with what was waited for."""
    deadline = time.monotonic() + patience_s
    while True:
        found = fact()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError("waited %s s in vain for: %s" % (patience_s, what))
        time.sleep(0.01)


class Backend:
    """Answers POST /kernel/v1/ready with `statuses` in turn (the last one for ever); `ready` is a queue of what came."""

    def __init__(self, port=0, statuses=(200,), keeps=True):
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = self.listener.getsockname()[1]
        self.ready = queue.Queue()
        self.statuses, self.keeps = list(statuses), keeps
        self.connections, self.is_dead, self.lock = [], False, threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                if self.is_dead:        # accepted in the moment of die()
                    sock.close()
                    return
                self.connections.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            with sock.makefile("rb") as lines:
                while self._serve_one(sock, lines):
                    pass
        except (OSError, ValueError):
            pass
        finally:
            sock.close()

    def _serve_one(self, sock, lines):
        """One request; true where another may come on this connection."""
        first = lines.readline().decode().split()
        if not first:
            return False
        headers = {}
        for line in iter(lines.readline, b"\r\n"):
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length", 0))
        body = json.loads(lines.read(length)) if length else None
        return self._reply(sock, first[0], first[1], headers, body)

    def _reply(self, sock, method, path, headers, body):
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        close = "" if self.keeps else "Connection: close\r\n"
        sock.sendall(("HTTP/1.1 %d X\r\n%sContent-Length: 2\r\n\r\n{}" % (status, close)).encode())
        self.ready.put({"method": method, "path": path, "token": headers.get("authorization"), "body": body, "status": status})
        return self.keeps

    def die(self):
        """As kill -9 does: listener and connections are gone."""
        try:
            self.listener.shutdown(socket.SHUT_RDWR)    # wakes accept(); a close alone would not
        except OSError:
            pass        # died before
        self.listener.close()
        with self.lock:
            self.is_dead = True
        for sock in self.connections:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()


class Kernel:
    """A real kernel process, started as the keeper does. `output` is the file of its stdout and stderr."""

    def __init__(self, backend_port=1, argv=PYTHON_KERNEL, secrets=None, by_variable=False, **extra):
        self.output = tempfile.NamedTemporaryFile(prefix="kernel-", suffix=".log")
        told = json.dumps({"kernelToken": KERNEL_TOKEN, "taskToken": TASK_TOKEN}) if secrets is None else secrets
        env = {"PATH": "/usr/bin:/bin", "DSS_KERNEL_ID": "fek-1", "DSS_BACKEND_URL": "http://127.0.0.1:%d" % backend_port,
               "DSS_KERNEL_POOL": "fek", "DSS_KERNEL_KIND": "future", "DSS_KERNEL_LEASE_S": "0"}
        fds = ()
        if by_variable:
            env["DSS_KERNEL_SECRETS"] = told
        else:
            readable, writable = os.pipe()
            os.write(writable, told.encode())
            os.close(writable)
            env["DSS_KERNEL_SECRETS_FD"] = str(readable)
            fds = (readable,)
        env.update(extra)
        env = {k: v for k, v in env.items() if v is not None}
        self.process = subprocess.Popen(argv, env=env, pass_fds=fds, stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.output)
        for fd in fds:
            os.close(fd)
        self.port = None

    def meet(self, backend):
        """Waits for its ready and learns where it listens."""
        try:
            ready = backend.ready.get(timeout=PATIENCE_S)
        except queue.Empty:
            raise AssertionError("the kernel (exit %s) did not announce itself in %s s: %s"
                                 % (self.process.poll(), PATIENCE_S, self.log()[-1500:])) from None
        self.port = int(ready["body"]["url"].rpartition(":")[2])
        return ready

    def log(self):
        with open(self.output.name, encoding="utf-8") as f:
            return f.read()

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.output.close()

    def exit_code(self):
        return self.process.wait(PATIENCE_S)

    # --- requests ---

    def ask(self, method, target, body=None, token=TASK_TOKEN, connection=None):
        """(status, JSON) of one request."""
        status, data = self.ask_raw(method, target, body, token, connection)
        return status, json.loads(data)

    def ask_raw(self, method, target, body=None, token=TASK_TOKEN, connection=None):
        c = connection or self.connect()
        try:
            headers = {"Authorization": "Bearer " + token} if token else {}
            data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
            c.request(method, target, data, headers)
            answer = c.getresponse()
            return answer.status, answer.read()
        finally:
            if connection is None:
                c.close()

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=2 * PATIENCE_S)

    def run(self, callable_name, *args, task_id="t1", attempt=1, path=None, wait=PATIENCE_S, **more):
        """Posts a python task and returns (status, state)."""
        payload = {"callable": callable_name, "args": list(args), "path": path or []}
        return self.ask("POST", "/task?wait=%s" % wait, {"taskId": task_id, "attempt": attempt, "type": "python", "payload": payload, **more})

    def command(self, argv, task_id="c1", attempt=1, wait=PATIENCE_S, timeoutMs=None, **payload):
        body = {"taskId": task_id, "attempt": attempt, "type": "command", "payload": {"argv": argv, **payload}}
        if timeoutMs:
            body["timeoutMs"] = timeoutMs
        return self.ask("POST", "/task?wait=%s" % wait, body)

    def state(self, task_id="t1", seen=None, wait=PATIENCE_S):
        """The next state after version `seen`."""
        target = "/task/%s" % task_id if seen is None else "/task/%s?wait=%s&seen=%d" % (task_id, wait, seen)
        return self.ask("GET", target)[1]

    def end_state(self, task_id="t1"):
        """Follows a task by long polls until it ended; its patience is for the time in which nothing changes."""
        state = self.state(task_id)
        while state["state"] == "running":
            before, state = state, self.state(task_id, state["version"])
            assert state["version"] != before["version"], "task %s did not end in %s s: %r" % (task_id, PATIENCE_S, state)
        return state

    def health(self, nonce="n"):
        return self.ask("GET", "/health?nonce=" + nonce, token=None)[1]

    def talk(self, *pieces, closes=False):
        """Sends raw bytes piece by piece, each in a segment of its own; returns all that came until the kernel closed or fell silent."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE_S) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in pieces:
                s.sendall(piece)
                wait_for("the kernel to read the piece", lambda: unread(s) == 0)
            if closes:
                s.shutdown(socket.SHUT_WR)
            return s, read_until_close(s)


def unread(sock):
    """Bytes sent that the peer's TCP has not acknowledged."""
    import fcntl
    import struct
    return struct.unpack("i", fcntl.ioctl(sock, 0x5411, b"\0\0\0\0"))[0]    # SIOCOUTQ


def read_until_close(sock):
    data = b""
    while True:
        more = sock.recv(65536)
        if not more:
            return data
        data += more


def read_answers(sock, count):
    """`count` answers of one connection, as (status, body)."""
    found = []
    with sock.makefile("rb") as lines:
        while len(found) < count:
            status = int(lines.readline().split()[1])
            length = 0
            for line in iter(lines.readline, b"\r\n"):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            body = lines.read(length)
            if status != 100:
                found.append((status, json.loads(body)))
    return found


def proof(nonce):
    return hmac.new(TASK_TOKEN.encode(), nonce.encode(), hashlib.sha256).hexdigest()


def alive(pid):
    """Whether a process runs (a zombie does not)."""
    try:
        with open("/proc/%d/stat" % pid, encoding="utf-8") as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def run_checks(checks, explain):
    """Runs the functions whose names begin with `it_`; prints TAP; a check's title is its docstring. `explain()`: more on a failure."""
    named = [f for name, f in checks.items() if name.startswith("it_")]
    print("1..%d" % len(named), flush=True)

    def hangs(*_):
        raise AssertionError("it did not end in %d s" % CHECK_S)
    signal.signal(signal.SIGALRM, hangs)
    for number, check in enumerate(named, 1):
        title = " ".join(check.__doc__.split())
        signal.alarm(CHECK_S)
        try:
            check()
            print("ok %d %s" % (number, title), flush=True)
        except BaseException as e:
            signal.alarm(0)
            import traceback
            detail = (traceback.format_exc() + explain()).replace("\n", "\\n")
            print("not ok %d %s\t%s" % (number, title, detail), flush=True)
            if isinstance(e, KeyboardInterrupt):
                sys.exit(1)
        signal.alarm(0)
