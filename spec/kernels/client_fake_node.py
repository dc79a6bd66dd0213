"""A node's API as a client sees it, with a story that the checks write. Only for the specs of the client libraries."""
import json
import queue
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from fake_backend import PATIENCE_S

KEY = "key-of-the-checks-0123456789"
# What may happen to a request: nobody reads it; the deed is done but its answer gets lost, or half of it; a proxy answers, or a
# backend that ends.
FAULTS = ("unread", "lost", "half", 502, 503, 504)


class Node:
    """`submitted` is a queue of bodies (with "jobId"); end() says how a future ends; `held` is how many polls are being held.
    `faults`: (method, one of FAULTS) of requests to come, each once, in this order. `before`: a dead one, to go on with its store."""

    def __init__(self, port=0, holds=True, runs=None, before=None):
        self.holds, self.runs = holds, runs         # runs: called with a body, gives the result at once
        self.submitted, self.deleted = queue.Queue(), queue.Queue()
        self.lock = threading.Condition()
        self.states, self.by_client_key, self.requests, self.connections, self.faults = {}, {}, [], [], []
        self.held = self.most_held = 0
        if before:      # all of it before the first request: who asks is there already
            self.submitted, self.deleted, self.lock = before.submitted, before.deleted, before.lock
            self.states, self.by_client_key = before.states, before.by_client_key
        node = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version, disable_nagle_algorithm, wbufsize = "HTTP/1.1", True, -1

            def log_message(self, *_):
                pass

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except OSError:
                    self.close_connection = True

            def do(self):
                node.serve(self)
            do_GET = do_POST = do_DELETE = do

        class Server(ThreadingHTTPServer):
            request_queue_size, daemon_threads = 128, True

            def process_request(self, request, client_address):
                node.connections.append(request)        # by the thread that shutdown() waits for: die() misses none
                super().process_request(request, client_address)

            def handle_error(self, request, client_address):
                pass
        self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.url = "http://127.0.0.1:%d" % self.port
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.die()

    def die(self):
        """As kill -9 does; the states stay, as a store would keep them."""
        self.server.shutdown()
        self.server.server_close()
        for c in self.connections:
            try:
                c.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def back(self):
        """Another one on the same port, with the same store."""
        return Node(self.port, self.holds, self.runs, before=self)

    def next(self):
        try:
            return self.submitted.get(timeout=PATIENCE_S)
        except queue.Empty:
            raise AssertionError("nothing new was submitted in %s s; asked: %r" % (PATIENCE_S, self.requests[-20:])) from None

    def end(self, job_id, result=None, status=200, **body):
        """With a result, or with an error body and its status."""
        with self.lock:
            self.states[job_id] = (status, body if status != 200 or body else
                                   {"jobId": job_id, "hasResult": True, "alive": False, "state": "done", "result": result})
            self.lock.notify_all()

    def say(self, job_id, **state):
        with self.lock:
            self.states[job_id] = (200, {"jobId": job_id, "hasResult": False, "alive": True, "state": "running", **state})
            self.lock.notify_all()

    # --- requests ---

    def serve(self, h):
        parts = urlsplit(h.path)
        raw = h.rfile.read(int(h.headers.get("Content-Length") or 0))
        self.requests.append((h.command, h.path))
        fault = self.faults.pop(0)[1] if self.faults and self.faults[0][0] == h.command else None
        if isinstance(fault, int):
            status, data = fault, b"<html>"
        elif fault == "unread":
            status, data = 0, b""
        else:
            status, body = self.answer(parts, h, raw)
            data = json.dumps(body).encode()
        answer = b"HTTP/1.1 %d X\r\nContent-Type: application/json;charset=utf-8\r\nContent-Length: %d\r\n\r\n%s" % (status, len(data), data)
        if fault in ("unread", "lost", "half"):
            h.wfile.write(answer[:-len(data) // 2] if fault == "half" else b"")
            h.wfile.flush()
            h.close_connection = True
            h.connection.shutdown(socket.SHUT_RDWR)
        else:
            h.wfile.write(answer)

    def answer(self, parts, h, raw):
        if h.headers.get("Authorization") != "Bearer " + KEY:
            return 401, {"errorType": "NotAuthenticatedException", "message": "Unknown API Key"}
        if (h.command, parts.path) == ("POST", "/api/futures"):
            return self.submit(json.loads(raw))
        job_id = unquote(parts.path.rpartition("/")[2])
        if job_id not in self.states:
            return 404, {"errorType": "NotFoundException", "message": "future %s does not exist" % job_id}
        if h.command == "DELETE":
            if self.states[job_id][1].get("alive"):
                self.end(job_id, status=422, errorType="AbortedException", message="aborted by its owner", cause="user")
            self.deleted.put(job_id)
            return 200, {}
        return self.follow(job_id, float(parse_qs(parts.query).get("wait", ["0"])[0]))

    def submit(self, body):
        if body.get("pool") == "nowhere":
            return 400, {"errorType": "IllegalArgumentException", "message": 'there is no pool "nowhere"; there is fek'}
        with self.lock:
            job_id = self.by_client_key.get(body["clientKey"])
            if job_id is None:
                job_id = self.by_client_key[body["clientKey"]] = "f%d:(x)" % (len(self.states) + 1)
                self.states[job_id] = (200, {"jobId": job_id, "hasResult": False, "alive": True, "state": "queued"})
                self.submitted.put({**body, "jobId": job_id})
        if self.runs:
            self.end(job_id, self.runs(body))
        return 200, {"jobId": job_id, "hasResult": False, "alive": True}

    def follow(self, job_id, wait_s):
        with self.lock:
            self.held += 1
            self.most_held = max(self.held, self.most_held)
            if self.holds:
                self.lock.wait_for(lambda: self.states[job_id][0] != 200 or not self.states[job_id][1].get("alive"), wait_s)
            self.held -= 1
            return self.states[job_id]
