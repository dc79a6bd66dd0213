"""jobs_load.py PORT KEYFILE job PROJECT DATASET COUNT: from the POST of a job until its status is DONE, one after the other.
   jobs_load.py PORT KEYFILE span PROJECT DATASET: seconds from the start of its one activity until the job is DONE, as the status tells them.
   jobs_load.py spawn COUNT: fork, exec and end of `sh -c true`.
Prints "P50 P99 RATE" as futures_load does, microseconds and a second's number; span prints seconds."""
import http.client
import json
import os
import sys
import time


class Node:
    def __init__(self, port, keyfile):
        self.http = http.client.HTTPConnection("127.0.0.1", int(port), timeout=120)
        self.head = {"Authorization": "Bearer " + open(keyfile).read().split()[0], "Content-Type": "application/json"}

    def ask(self, method, path, body=None):
        self.http.request(method, path, body=json.dumps(body) if body else None, headers=self.head)
        answer = self.http.getresponse()
        text = answer.read()
        if answer.status != 200:
            sys.exit("jobs_load: %s %s: %d %s" % (method, path, answer.status, text.decode(errors="replace")))
        return json.loads(text)

    def run(self, project, dataset):
        """The job's status once it has ended."""
        base = "/public/api/projects/%s/jobs/" % project
        job = self.ask("POST", base, {"type": "NON_RECURSIVE_FORCED_BUILD", "outputs": [{"type": "DATASET", "id": dataset}]})["id"]
        while True:
            status = self.ask("GET", base + job + "/")
            state = status["baseStatus"]["state"]
            if state == "DONE":
                return status
            if state in ("FAILED", "ABORTED"):
                sys.exit("jobs_load: job %s: %s" % (job, json.dumps(status)))
            time.sleep(0.001)


def tell(times):
    times.sort()
    n = len(times)
    print("%d %d %.1f" % (times[n // 2] * 1e6, times[min(n - 1, n * 99 // 100)] * 1e6, n / sum(times)))


def spawn():
    child = os.posix_spawn("/bin/sh", ["sh", "-c", "true"], os.environ)
    os.waitpid(child, 0)


def timed(deed, count):
    times = []
    for _ in range(count):
        begun = time.monotonic()
        deed()
        times.append(time.monotonic() - begun)
    return times


def main(argv):
    if argv[0] == "spawn":
        tell(timed(spawn, int(argv[1])))
        return
    node, what, project, dataset = Node(argv[0], argv[1]), argv[2], argv[3], argv[4]
    if what == "span":
        base = node.run(project, dataset)["baseStatus"]
        began = min(a["startTime"] for a in base["activities"].values())
        print("%.3f" % ((base["jobEndTime"] - began) / 1000))
    else:
        tell(timed(lambda: node.run(project, dataset), int(argv[5])))


main(sys.argv[1:])
