"""Tells the backend that this kernel is ready: at the start until it says 200, and again whenever the backend was lost.

Lost means: neither the connection on which we announced nor any that the backend opened to us is left. The announcing
connection is kept open for that alone: when the backend dies, the Linux kernel closes it, and we sleep until then.
"""
import json
import os
import socket
import sys
import threading
import time

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 5.0
CONNECT_S = 5.0
ANSWER_S = 30.0         # long: the keeper holds the backend's port open, our request may wait there for the next backend
ANSWER_BYTES = 64 * 1024
PATIENCE_S = 5.0        # a backend that is replaced is away for less: nothing to write about, least of all into a task's log


class Announcer:
    def __init__(self, settings, url, types, has_backend, may_speak):
        """`may_speak`: whether what we print would stand among the kernel's own lines, not in a task's log."""
        self._address = settings.backend_host, settings.backend_port
        self._kernel_id = settings.kernel_id
        body = json.dumps({"kernelId": settings.kernel_id, "url": url, "pid": os.getpid(), "protocol": 1, "types": list(types)}).encode()
        host = "[%s]" % self._address[0] if ":" in self._address[0] else self._address[0]
        self._request = ("POST /kernel/v1/ready HTTP/1.1\r\nHost: %s:%d\r\nAuthorization: Bearer %s\r\n"
                         "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                         % (host, self._address[1], settings.kernel_token.decode(), len(body))).encode() + body
        self._has_backend = has_backend
        self._may_speak = may_speak
        self._lost = threading.Event()
        self._sock = None
        self._complaint = None
        self._thread = threading.Thread(target=self._run, name="kernel-announcer", daemon=True)

    def start(self):
        self._thread.start()

    def lose(self):
        """The backend's last connection to us has gone."""
        self._lost.set()

    def close_in_child(self):
        if self._sock is not None:
            self._sock.close()

    def _run(self):
        pause_s = FIRST_PAUSE_S
        # Before the backend knows: what is printed after its answer may stand in the first task's log.
        self._say("ready")
        while True:
            self._lost.clear()
            is_kept, pause_s = self._announce(pause_s)
            accepted_at = time.monotonic()
            self._wait_for_loss(is_kept)
            if time.monotonic() - accepted_at >= LONGEST_PAUSE_S:
                pause_s = FIRST_PAUSE_S
            else:                       # accepted and dropped at once: do not hammer
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _announce(self, pause_s):
        """Until 200. Returns whether the connection stays open, and the next pause."""
        began_at = time.monotonic()
        while True:
            try:
                status, is_kept = self._ask()
                if status == 200:
                    if self._complaint not in ("ready", "known to the backend again"):
                        self._say("known to the backend again")
                    return is_kept, pause_s
                complaint = "the backend answered %d to ready; asking again" % status
            except (OSError, ValueError) as e:
                complaint = "unable to reach the backend at %s:%d: %s; trying again" % (*self._address, e)
            if time.monotonic() - began_at >= PATIENCE_S:
                self._say(complaint)
            self._hang_up()
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _ask(self):
        self._sock = socket.create_connection(self._address, CONNECT_S)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._sock.settimeout(ANSWER_S)
        self._sock.sendall(self._request)
        return self._read_answer()

    def _read_answer(self):
        """(status, whether the backend keeps the connection). Raises ValueError for what is no HTTP answer."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._more(len(data))
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        if not lines[0].startswith(b"http/1.") or not lines[0][9:12].isdigit():
            raise ValueError("that is no HTTP answer")
        fields = {name.strip(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
        length = fields.get(b"content-length", b"")
        if not length.isdigit():
            return int(lines[0][9:12]), False       # the body ends with the connection
        while len(body) < int(length):
            body += self._more(len(body))
        return int(lines[0][9:12]), b"close" not in fields.get(b"connection", b"") and lines[0].startswith(b"http/1.1")

    def _more(self, so_far):
        if so_far > ANSWER_BYTES:
            raise ValueError("the answer is over %d bytes" % ANSWER_BYTES)
        data = self._sock.recv(16384)
        if not data:
            raise ValueError("the connection was closed before the answer's end")
        return data

    def _wait_for_loss(self, is_kept):
        if is_kept:
            try:
                self._sock.settimeout(None)
                while self._sock.recv(4096):
                    pass
            except OSError:
                pass
            self._hang_up()
            while self._has_backend():      # it only closed what it did not need
                self._lost.wait()
                self._lost.clear()
        else:
            self._hang_up()
            self._lost.wait()

    def _hang_up(self):
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _say(self, text):
        """Once per change: a backend that is away for an hour is one line."""
        if text != self._complaint and self._may_speak():
            self._complaint = text
            print("kernel %s: %s" % (self._kernel_id, text), file=sys.stderr)
