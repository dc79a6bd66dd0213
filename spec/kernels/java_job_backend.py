"""The backend's side of /kernel/v1/processes, as docs/kernel-protocol.md has it, with processes that only exist on paper."""
import json
import threading
import urllib.parse

from fake_backend import KERNEL_TOKEN, Backend

DONE = {"cause": "exited", "code": 0, "signal": None, "peakBytes": 1 << 20}


class House:
    """The processes, which outlive backends. `holds`: activities whose processes end by release() or DELETE only; all others
    end as `ends` says, with 0 if it says nothing. `slots`: at most so many run."""

    def __init__(self, holds=(), slots=10**6, ends=None):
        self.changed = threading.Condition()
        self.holds, self.slots, self.ends = holds, slots, ends or {}
        self.processes, self.by_request = {}, {}
        self.crowded, self.crowded_s = set(), None      # java recipes that get no place, and how long they are let wait
        self.asked = []         # java recipes, each time
        self.held = 0           # of those, the questions that wait for their answer
        self.heard = []         # (method, activity or id)
        self.most = 0           # that ran at the same time
        self.is_slow_to_stop = False

    def find(self, activity):
        return next((p for p in self.processes.values() if p["activity"] == activity), None)

    def is_held(self, activity):
        return self.holds == "all" or activity in self.holds

    def running(self):
        return [p["activity"] for p in self.processes.values() if p["state"] == "running"]

    def _fill(self):
        for p in self.processes.values():
            if p["state"] == "waiting" and len(self.running()) < self.slots:
                p["state"] = "running"
                self.most = max(self.most, len(self.running()))
                if not self.is_held(p["activity"]):
                    self._end(p, self.ends.get(p["activity"], {}))
        self.changed.notify_all()

    def _end(self, p, end):
        p.update(DONE, state="exited", **end)

    def release(self, activity, **end):
        with self.changed:
            self._end(self.find(activity), end)
            self._fill()

    def tell(self, p):
        if p["state"] == "waiting":
            line = [q["activity"] for q in self.processes.values() if q["state"] == "waiting"]
            return {"state": "waiting", "reason": "%d of %d slots are taken" % (len(self.running()), self.slots),
                    "position": line.index(p["activity"]) + 1}
        return {k: v for k, v in p.items() if k not in ("activity", "request", "is_deleted", "told")}

    def post(self, body):
        if "wait" in body: # a java recipe: it asks for a place only
            return self.place(body)
        with self.changed:
            assert sorted(body) == ["activityId", "jobId", "kernelId", "requestId"], body
            self.heard.append(("POST", body["activityId"]))
            p = self.by_request.get(body["requestId"])
            if not p:
                p = {"activity": body["activityId"], "request": body["requestId"], "state": "waiting", "is_deleted": False}
                name = "p-%d" % (len(self.by_request) + 1)
                self.by_request[body["requestId"]] = self.processes[name] = p
                p["processId"] = name
                self._fill()
            assert p["activity"] == body["activityId"], "one requestId for two activities"
            return 200, {"processId": p["processId"], **self.tell(p)}

    def place(self, body):
        with self.changed:
            self.asked.append(body["activityId"])
            self.held += 1
            self.changed.wait_for(lambda: body["activityId"] not in self.crowded, body["wait"] if self.crowded_s is None else self.crowded_s)
            self.held -= 1
            if body["activityId"] in self.crowded:
                return 200, {"state": "waiting", "reason": "%d recipes are at work" % len(self.asked), "position": 1}
            return 200, {"state": "placed"}

    def get(self, name, query):
        with self.changed:
            p = self.processes.get(name)
            if not p:
                return 404, {"error": {"message": "that process does not exist"}}
            seen, before = query.get("seen", "running"), p.get("told")
            self.changed.wait_for(lambda: name not in self.processes or p["state"] != seen or self.tell(p) != before, float(query.get("wait", 0)))
            p["told"] = self.tell(p)
            return 200, p["told"]

    def delete(self, name):
        with self.changed:
            p = self.processes.get(name)
            self.heard.append(("DELETE", p["activity"] if p else name))
            if not p:
                return 404, {"error": {"message": "that process does not exist"}}
            if self.is_slow_to_stop and p["state"] == "running":
                self.holds = tuple(h for h in self.holds if h != p["activity"])
                p["is_deleted"] = True
                return 202, {}
            p["is_deleted"] = True
            del self.processes[name]
            self._fill()
            return 200, {}

    def answer(self, method, path, body):
        """(status, JSON or bytes) of one request; None: the connection is closed instead."""
        url = urllib.parse.urlsplit(path)
        if (method, url.path) == ("POST", "/kernel/v1/processes"):
            return self.post(body)
        name = url.path.rpartition("/")[2]
        if method == "GET":
            return self.get(name, dict(urllib.parse.parse_qsl(url.query)))
        return self.delete(name)


class JobBackend(Backend):
    """`lie(method, path, body)` may answer in the house's place: (status, JSON or bytes), "close", or None for the truth."""

    def __init__(self, house, port=0, lie=None):
        self.house, self.lie = house, lie or (lambda method, path, body: None)
        super().__init__(port)

    def _reply(self, sock, method, path, headers, body):
        answer = self._answer(method, path, headers, body)
        if answer == "close":
            return False
        data = answer[1] if isinstance(answer[1], bytes) else json.dumps(answer[1]).encode()
        sock.sendall(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (answer[0], len(data), data))
        return headers.get("connection") != "close"

    def _answer(self, method, path, headers, body):
        if headers.get("authorization") != "Bearer " + KERNEL_TOKEN:
            return 401, {}
        if path == "/kernel/v1/ready":
            self.ready.put({"method": method, "path": path, "token": headers["authorization"], "body": body, "status": 200})
            return 200, {}
        return self.lie(method, path, body) or self.house.answer(method, path, body)
