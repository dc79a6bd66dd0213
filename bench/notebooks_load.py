"""notebooks_load.py NODE COUNT SECONDS: starts so many kernels, then measures; see notebooks.sh."""
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
import urllib.request

node, count, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
ports = json.load(open(node + "/run/ports.json"))
page, jupyter = "http://127.0.0.1:%d" % ports["page"], "http://127.0.0.1:%d" % ports["jupyter"]
key, token = open(node + "/config/admin.key").read().strip(), open(node + "/config/jupyter.token").read().strip()
HZ = os.sysconf("SC_CLK_TCK")


def ask(url, auth, method="GET", body=None, timeout=120):
    request = urllib.request.Request(url, method=method, data=None if body is None else json.dumps(body).encode(), headers={"Authorization": auth})
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        text = answer.read()
        return json.loads(text) if text else None


def ours(path, method="GET"):
    return ask(page + path, "Bearer " + key, method)


def cpu(pid):
    fields = open("/proc/%d/stat" % pid).read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / HZ


def start():
    for i in range(count):
        ask(jupyter + "/api/sessions", "token " + token, "POST", {"path": "BENCH/n%d.ipynb" % i, "name": "n", "type": "notebook", "kernel": {"name": "sleeper"}})


def rounds(n):
    """Seconds from the question to all rows of a look that was made for it; and what others waited meanwhile."""
    took, others, over = [], [], threading.Event()

    def ping():
        while not over.is_set():
            began = time.monotonic()
            urllib.request.urlopen(page + "/health").read()
            others.append(time.monotonic() - began)
            time.sleep(0.002)

    thread = threading.Thread(target=ping)
    thread.start()
    for _ in range(n):
        time.sleep(1.5)
        began = time.monotonic()
        rows = ours("/api/notebooks")
        took.append(time.monotonic() - began)
        assert len(rows) == count, len(rows)
    over.set()
    thread.join()
    return took, others


began = time.monotonic()
start()
print("%d kernels started in %.1f s" % (count, time.monotonic() - began))
while len(ours("/api/notebooks")) < count:
    time.sleep(0.5)
took, others = rounds(20)
print("one round (server, boxes, rows): %.0f ms at the median, %.0f ms at most" % (statistics.median(took) * 1000, max(took) * 1000))
others.sort()
print("others' requests meanwhile: %.1f ms at the median, %.1f ms at 99 %%, %.1f ms at most" % (
    statistics.median(others) * 1000, others[int(len(others) * 0.99)] * 1000, others[-1] * 1000))
pids = {p["id"]: int(p["pid"]) for p in ours("/api/processes") if p.get("pid")}


def shares(names):
    """Percent of a core that each uses for a while."""
    before, began = {n: cpu(pids[n]) for n in names}, time.monotonic()
    time.sleep(seconds)
    return {n: (cpu(pids[n]) - was) / (time.monotonic() - began) * 100 for n, was in before.items()}


watched = shares(("backend", "keeper", "jupyter"))
for n, share in watched.items():
    print("%s while nobody asks: %.2f %% of a core" % (n, share))
os.kill(pids["backend"], signal.SIGSTOP)  # who does not run does not look
try:
    alone = shares(("jupyter",))["jupyter"]
finally:
    os.kill(pids["backend"], signal.SIGCONT)
print("jupyter without our looks: %.2f %% of a core; ours are %.2f" % (alone, watched["jupyter"] - alone))
held = sum(r.get("memoryBytes", 0) for r in ours("/api/notebooks"))
began = time.monotonic()
out = subprocess.run([node + "/bin/dssctl", "unload", "--where", "project = BENCH", "--yes"], capture_output=True, text=True)
left = ours("/api/notebooks")
print("unloaded %d in %.1f s; the boxes held %.0f MB, now %.0f MB" % (
    out.stdout.count("unloaded"), time.monotonic() - began, held / 2**20, sum(r.get("memoryBytes", 0) for r in left) / 2**20))
