"""Checks of kernels/python against a fake backend. Run by python_spec.lua; alone: python3 -B spec/kernels/python_check.py [WORD]."""
import contextlib
import csv
import json
import os
import signal
import socket
import sys
import tempfile
import threading
import time

from fake_backend import (KERNEL_TOKEN, PATIENCE_S, PYTHON_KERNEL, ROOT, TASK_TOKEN, Backend, Kernel, alive, proof, read_answers,
                          read_until_close, run_checks, wait_for)

STATS = os.path.join(ROOT, "kernels/python/tasks")
AUTH = b"Authorization: Bearer " + TASK_TOKEN.encode() + b"\r\n"
CODE = '''
import os, signal, subprocess, sys, threading, time
import dss

class Odd(Exception):
    def __str__(self): raise RuntimeError("no text")

def add(a, b=1): return a + b
def environ(): return dict(os.environ)
def big(n): return "x" * n
def not_a_number(): return {"rows": [1.0, {"mean": float("nan")}]}
def cyclic():
    a = {"b": []}; a["b"].append(a); return a
def a_set(): return {"x": [set()]}
def half(): return ["\\ud800"]
def twice(): return {1: "a", "1": "b"}
def deep():
    a = []
    for _ in range(100000): a = [a]
    return a
def raises():
    try:
        open("/no/such/file")
    except OSError as e:
        raise ValueError("no input") from e
def odd(): raise Odd()
def leaves(): sys.exit(3)
def interrupts(): raise KeyboardInterrupt
def no_memory(): raise MemoryError
def real_no_memory(): return bytearray(1 << 62)
def recurses(): return recurses()
def spins():
    dss.progress(0.1, "spinning")
    n = 0
    while True: n += 1
def sleeps():
    dss.progress(0.1, "sleeping")
    time.sleep(3600)
def stubborn():
    dss.progress(0.1, "first")
    while True:
        try:
            time.sleep(3600)
        except BaseException:
            dss.progress(0.2, "swallowed one")
            break
    time.sleep(3600)
def polite():
    dss.progress(0.1, "polite")
    t = threading.Thread(target=watch); t.start(); 
    while t.is_alive():
        try: t.join()
        except BaseException: pass
    return "left early"
def watch():
    while not dss.aborted(): time.sleep(0.005)
def tidies(path):
    try:
        dss.progress(0.1, "in")
        time.sleep(3600)
    finally:
        open(path, "w").write("tidied")
def counts(path):
    with open(path, "a") as f: f.write("x")
    return os.path.getsize(path)
def steps(gate):
    for i in range(3):
        dss.progress(i / 4, "step %d" % i)
        while not os.path.exists(gate + str(i)): time.sleep(0.005)
    return "end"
def chatters():
    for i in range(300000): dss.progress(i / 300000, str(i))
    return "end"
def bad_progress(): dss.progress(float("nan"))
def which_thread(): return threading.current_thread() is threading.main_thread()
def moves(): 
    os.chdir("/"); os.environ["MOVED"] = "1"; sys.path.insert(0, "/tmp/moved"); sys.stdout = None
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
def module_of(name): return __import__(name).__name__
def is_loaded(name): return name in sys.modules
def where(): return [os.getcwd(), os.environ.get("MOVED"), "/tmp/moved" in sys.path, sys.stdout is not None]
def prints(): print("a line of ünïcode"); os.write(1, b"raw\\n")
def forks():
    pid = os.fork()
    if pid == 0:
        fds = [os.readlink("/proc/self/fd/" + f) for f in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + f) or True
               if os.path.islink("/proc/self/fd/" + f)]
        os._exit(len([f for f in fds if f.startswith("socket:")]))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
def forks_and_sleeps():
    codes = set()
    for _ in range(50):
        pid = os.fork()
        if pid == 0:
            time.sleep(3600); os._exit(0)
        os.kill(pid, signal.SIGTERM)
        codes.add(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    return list(codes)
class Deaf:
    def __del__(self):
        dss.progress(0.1, "in a destructor")
        time.sleep(3600)
def drops():
    d = Deaf(); del d
    time.sleep(3600)
def takes_wakeup_fd():
    signal.set_wakeup_fd(-1)
    dss.progress(0.1, "deaf")
    time.sleep(3600)
def leaves_thread():
    threading.Thread(target=time.sleep, args=(3600,)).start()
class Box:
    class Inner:
        @staticmethod
        def call(x): return x * 2
'''


@contextlib.contextmanager
def kernel(statuses=(200,), **more):
    """A kernel that has met its backend; `k.backend`, `k.tasks` (a folder with module work)."""
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "work.py"), "w", encoding="utf-8") as f:
            f.write(CODE)
        backend = Backend(statuses=statuses)
        k = Kernel(backend.port, **more)
        try:
            k.backend, k.folder = backend, folder
            k.ready = k.meet(backend)
            yield k
        finally:
            k.end()
            backend.die()


_shared = {}


def shared():
    """One kernel for all checks that leave it as they found it."""
    if not _shared:
        _shared["context"] = kernel()
        _shared["kernel"] = _shared["context"].__enter__()
    return _shared["kernel"]


_count = [0]


def fresh():
    _count[0] += 1
    return "t%d" % _count[0]


def run(name, *args, k=None, **more):
    """One task of module work on the shared kernel, to its end."""
    k = k or shared()
    more.setdefault("task_id", fresh())
    status, state = k.run("work:" + name, *args, path=[k.folder], **more)
    assert status == 200, (status, state)
    return state


def begin(name, *args, k=None, message=None):
    """Starts one and waits until it said something. Returns its id."""
    k = k or shared()
    task_id = fresh()
    status, body = k.run("work:" + name, *args, path=[k.folder], task_id=task_id, wait=0)
    assert (status, body) == (202, {}), (status, body)
    if message:
        state = k.state(task_id)
        while state.get("message") != message:
            assert state["state"] == "running", state
            state = k.state(task_id, state["version"])
    return task_id


def same(got, wanted):
    assert got == wanted, "got %r, wanted %r" % (got, wanted)


def error_of(state, clazz, *texts):
    same(state["state"], "failed")
    same(state["error"]["clazz"], clazz)
    for text in texts:
        assert text in state["error"]["message"], state["error"]["message"]
    return state["error"]


def refused(answer, status, *texts):
    same(answer[0], status)
    for text in texts:
        assert text in answer[1]["error"]["message"], answer[1]
    return answer


def take(k=None, **body):
    k = k or shared()
    return k.ask("POST", "/task", {"taskId": fresh(), "attempt": 1, "type": "python", "payload": {"callable": "work:add"}, **body})


# --- start ---

def it_announces():
    """announces itself with its token, address, pid, protocol and types"""
    k = shared()
    same((k.ready["method"], k.ready["path"], k.ready["token"]), ("POST", "/kernel/v1/ready", "Bearer " + KERNEL_TOKEN))
    body = k.ready["body"]
    same((body["kernelId"], body["pid"], body["protocol"], body["types"]), ("fek-1", k.process.pid, 1, ["python", "command"]))
    same(body["url"], "http://127.0.0.1:%d" % k.port)
    assert k.port > 1023


def it_asks_until_200():
    """announces itself again until the backend answers 200"""
    with kernel(statuses=(503, 401, 500, 200)) as k:
        same([k.backend.ready.get(timeout=PATIENCE_S)["status"] for _ in range(3)], [401, 500, 200])
        same(k.health()["state"], "idle")
        assert k.backend.ready.empty(), k.backend.ready.get()


def it_waits_for_a_backend():
    """waits for a backend that is not there yet"""
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    k = Kernel(port)
    try:
        wait_for("the complaint", lambda: "unable to reach the backend" in k.log())
        backend = Backend(port)
        k.meet(backend)
        same(k.health()["state"], "idle")
        backend.die()
    finally:
        k.end()


def it_announces_again():
    """announces itself again after the backend was away"""
    with kernel() as k:
        k.backend.die()
        wait_for("the complaint", lambda: "unable to reach the backend" in k.log())
        k.backend = Backend(k.backend.port)
        same(k.meet(k.backend)["body"]["kernelId"], "fek-1")


def it_keeps_quiet_while_linked():
    """stays quiet while a connection of the backend is open, and announces itself when that one goes too"""
    with kernel() as k:
        mine = k.connect()
        k.ask("GET", "/task/none", connection=mine)
        for c in k.backend.connections:
            c.shutdown(socket.SHUT_RDWR)
        run("add", 1, k=k)      # by its end an announcement would long be there
        assert k.backend.ready.empty(), k.backend.ready.get()
        mine.close()
        k.meet(k.backend)


def it_announces_after_close():
    """announces itself after the loss of a backend that keeps no connection of its own"""
    backend = Backend(keeps=False)
    k = Kernel(backend.port)
    try:
        k.meet(backend)
        mine = k.connect()
        same(k.ask("GET", "/task/none", connection=mine)[0], 404)
        mine.close()
        k.meet(backend)
    finally:
        k.end()
        backend.die()


def it_names_missing_settings():
    """ends with 64 and names the setting that is missing or wrong"""
    cases = [({"DSS_KERNEL_ID": None}, "DSS_KERNEL_ID is not set"), ({"DSS_BACKEND_URL": None}, "DSS_BACKEND_URL is not set"),
             ({"DSS_KERNEL_SECRETS_FD": None}, "neither DSS_KERNEL_SECRETS_FD nor DSS_KERNEL_SECRETS is set"),
             ({"DSS_KERNEL_SECRETS_FD": "77"}, "unable to read the secrets"), ({"secrets": "{}"}, "the secrets must be"),
             ({"secrets": '{"kernelToken":"short","taskToken":"secret-part'}, "the secrets must be"),
             ({"DSS_BACKEND_URL": "ftp://x"}, "DSS_BACKEND_URL must read"), ({"DSS_KERNEL_LISTEN": "nowhere"}, "DSS_KERNEL_LISTEN must read"),
             ({"DSS_KERNEL_KIND": "job"}, "kind 'future' only"), ({"DSS_KERNEL_LEASE_S": "soon"}, "DSS_KERNEL_LEASE_S"),
             ({"argv": PYTHON_KERNEL[:-1]}, "DSSFutureKernelMain")]
    for extra, text in cases:
        k = Kernel(**extra)
        try:
            same(k.exit_code(), 64)
            assert text in k.log(), (extra, k.log())
            assert "secret-part" not in k.log() and "Traceback" not in k.log(), k.log()
        finally:
            k.end()


def it_cannot_listen():
    """ends with 69 and names the address when it cannot listen"""
    with socket.create_server(("127.0.0.1", 0)) as s:
        k = Kernel(DSS_KERNEL_LISTEN="127.0.0.1:%d" % s.getsockname()[1])
        try:
            same(k.exit_code(), 69)
            assert "unable to listen on 127.0.0.1:%d" % s.getsockname()[1] in k.log(), k.log()
        finally:
            k.end()


def look_for_secrets(k):
    seen = run("environ", k=k)["result"]
    with open("/proc/%d/environ" % k.process.pid, "rb") as f:
        seen["/proc environ"] = f.read().decode()
    with open("/proc/%d/cmdline" % k.process.pid, "rb") as f:
        seen["/proc cmdline"] = f.read().decode()
    assert "DSSFutureKernelMain" in seen["/proc cmdline"], seen
    for token in (TASK_TOKEN, KERNEL_TOKEN):
        assert token not in json.dumps(seen), seen
    assert "DSS_KERNEL_SECRETS" not in json.dumps(list(seen)), list(seen)
    same(seen["DSS_KERNEL_ID"], "fek-1")


def it_hides_secrets():
    """leaves its secrets neither in the environment of tasks nor in /proc"""
    look_for_secrets(shared())


def it_hides_secrets_of_a_variable():
    """leaves secrets that came by DSS_KERNEL_SECRETS neither in the environment of tasks nor in /proc"""
    with kernel(by_variable=True, DSS_KERNEL_SECRETS_FD=None) as k:
        look_for_secrets(k)


# --- health ---

def it_proves_itself():
    """proves on /health that it knows the task token, without being shown it"""
    health = shared().health("nonce-1%20%2B")
    same((health["state"], health["proof"]), ("idle", proof("nonce-1 +")))


def it_bounds_the_nonce():
    """refuses a nonce that is missing, empty, doubled or too long"""
    for query in ("", "?nonce=", "?nonce=" + "n" * 257, "?nonce=a&nonce=b", "?nonce=%ff"):
        refused(shared().ask("GET", "/health" + query, token=None), 400)


def it_tells_busy():
    """tells on /health which task runs, and which one ended last"""
    k = shared()
    task_id = begin("sleeps", message="sleeping")
    health = k.health()
    same((health["state"], health["taskId"]), ("busy", task_id))
    k.ask("DELETE", "/task/" + task_id)
    same(k.end_state(task_id)["state"], "aborted")
    health = k.health()
    same((health["state"], health["lastTaskId"], "taskId" in health), ("idle", task_id, False))


def it_wants_the_token():
    """answers 401 without the task token, to every route but /health, before it reads the body"""
    k = shared()
    for token in (None, "wrong", TASK_TOKEN + "x", KERNEL_TOKEN, TASK_TOKEN[:-1]):
        for method, target in (("POST", "/task"), ("GET", "/task/x"), ("GET", "/task/x/result"), ("DELETE", "/task/x"), ("POST", "/shutdown"),
                               ("GET", "/nothing")):
            refused(k.ask(method, target, {} if method == "POST" else None, token=token), 401)
    _, data = k.talk(b"POST /task HTTP/1.1\r\nHost: k\r\nContent-Length: 1000000\r\n\r\n")
    assert data.startswith(b"HTTP/1.1 401 "), data


def it_knows_its_routes():
    """answers 404 to an unknown path or task and 405 to a wrong method"""
    k = shared()
    for method, target in (("GET", "/"), ("GET", "/tasks"), ("GET", "/task/never"), ("DELETE", "/task/never"), ("GET", "/task/never/result"),
                           ("GET", "/task/a/b"), ("GET", "/task/../health")):
        refused(k.ask(method, target), 404)
    for method, target in (("GET", "/task"), ("POST", "/health?nonce=1"), ("GET", "/shutdown"), ("DELETE", "/health?nonce=1")):
        refused(k.ask(method, target, {} if method == "POST" else None), 405)


# --- tasks ---

def it_runs_a_function():
    """runs a function in the main thread and answers with its result"""
    state = run("add", 40, task_id=fresh())
    same((state["state"], state["result"], state["resultBytes"], state["attempt"]), ("done", 41, 2, 1))
    same(run("which_thread")["result"], True)
    same(run("Box.Inner.call", "ab")["result"], "abab")
    status, state = shared().ask("POST", "/task?wait=60", {"taskId": fresh(), "attempt": 1, "type": "python", "later": "field", "payload": {
        "callable": "work:add", "args": [1], "kwargs": {"b": 2}, "path": [shared().folder], "unknown": 1}})
    same((status, state["result"]), (200, 3))


def it_starts_nothing_twice():
    """starts nothing when the same task and attempt come again: running, ended or forgotten"""
    k = shared()
    task_id = begin("sleeps", message="sleeping")
    same(k.run("work:add", task_id=task_id, wait=0), (202, {}))
    k.ask("DELETE", "/task/" + task_id)
    same(k.end_state(task_id)["state"], "aborted")
    path = os.path.join(k.folder, "count")
    first = run("counts", path, task_id="again")
    same((first["result"], run("counts", path, task_id="again")), (1, first))
    same(k.ask("DELETE", "/task/again"), (200, {}))
    refused(k.ask("GET", "/task/again"), 404)
    refused(k.run("work:counts", path, task_id="again", path=[k.folder]), 409, "ran here before")
    same(os.path.getsize(path), 1)
    same(run("counts", path, task_id="again", attempt=2)["result"], 2)


def it_takes_one_at_a_time():
    """answers 409 while it is busy with another task or attempt"""
    k = shared()
    task_id = begin("sleeps", message="sleeping")
    refused(k.run("work:add", 1, task_id="other"), 409, task_id)
    refused(k.run("work:add", 1, task_id=task_id, attempt=2), 409, task_id)
    k.ask("DELETE", "/task/" + task_id)
    k.end_state(task_id)


def it_keeps_the_outcome():
    """keeps the last outcome until it is deleted or the next task comes"""
    k = shared()
    one = run("add", 1)["taskId"]
    same(k.state(one)["result"], 2)
    two = run("add", 2)["taskId"]
    refused(k.ask("GET", "/task/" + one), 404)
    same(k.state(two)["result"], 3)
    same(k.ask("DELETE", "/task/" + two), (200, {}))
    refused(k.ask("DELETE", "/task/" + two), 404)


def it_refuses_bad_tasks():
    """answers 400 and names the field to a task that it cannot take"""
    refused(take(type="java"), 400, "python and command", "java")
    refused(take(type=None), 400)
    refused(take(taskId="../x"), 400, "taskId")
    refused(take(taskId=7), 400, "taskId")
    refused(take(attempt="1"), 400, "attempt")
    refused(take(attempt=True), 400, "attempt")
    refused(take(timeoutMs=0), 400, "timeoutMs")
    refused(take(payload=[]), 400, "payload")
    refused(take(payload={}), 400, "payload.callable")
    for name in ("no_colon", "a:", ":b", "a.:b", "a b:c", "a:b:c", "os:1", 7, "a:b\n"):
        refused(take(payload={"callable": name}), 400, "payload.callable")
    for field, value in (("args", {}), ("kwargs", []), ("path", "x"), ("path", [1]), ("cwd", 1), ("cwd", "a\0b")):
        refused(take(payload={"callable": "a:b", field: value}), 400, "payload." + field)
    for payload in ({}, {"argv": []}, {"argv": [1]}, {"argv": [""]}, {"argv": ["a\0b"]}):
        refused(take(type="command", payload=payload), 400, "payload.argv")
    refused(take(type="command", payload={"argv": ["true"], "env": {"A=B": "1"}}), 400, "payload.env")
    refused(take(type="command", payload={"argv": ["true"], "cwd": 1}), 400, "payload.cwd")
    for body in (b"", b"[]", b"{", b'{"a":NaN}', b'{"a":1,"a":2}', b"\xff", b"[" * 200000):
        refused(shared().ask("POST", "/task", body), 400)
    for query in ("wait=-1", "wait=x", "wait=nan", "wait=1&wait=2"):
        refused(shared().ask("POST", "/task?" + query, {}), 400)
    same(shared().health()["state"], "idle")


def it_describes_exceptions():
    """reports an exception with class, message, the task's own stack and its cause"""
    error = error_of(run("raises"), "ValueError", "no input")
    assert "work.py" in error["stack"] and "dss_kernel" not in error["stack"], error["stack"]
    same(error["cause"]["clazz"], "FileNotFoundError")
    assert "/no/such/file" in error["cause"]["message"], error
    error_of(run("odd"), "work.Odd", "RuntimeError")
    error_of(run("recurses"), "RecursionError")


def it_survives_exits():
    """survives SystemExit, KeyboardInterrupt and MemoryError of a task"""
    error_of(run("leaves"), "SystemExit", "exit(3)")
    error_of(run("interrupts"), "KeyboardInterrupt")
    error_of(run("no_memory"), "MemoryError")
    error_of(run("real_no_memory"), "MemoryError")
    same(run("add", 1)["result"], 2)


def it_names_what_it_cannot_import():
    """names the module or attribute that it cannot find"""
    k = shared()
    error_of(k.run("no_such.module:f", task_id=fresh())[1], "ModuleNotFoundError", "no_such")
    error_of(run("nothing"), "AttributeError", "work", "nothing")
    error_of(run("Box.Inner.call.x"), "AttributeError", "x")
    error_of(k.run("os:sep", task_id=fresh())[1], "TypeError", "os:sep", "not callable")


def it_wants_strict_json():
    """fails a task whose result JSON cannot hold, and says which value and where"""
    error_of(run("not_a_number"), "BadResult", "result['rows'][1]['mean'] is NaN")
    error_of(run("cyclic"), "BadResult", "contains itself")
    error_of(run("a_set"), "BadResult", "result['x'][0] is of type set")
    error_of(run("half"), "BadResult", "surrogate")
    error_of(run("twice"), "BadResult", 'the key "1" twice')
    error_of(run("deep"), "BadResult", "nested too deeply")


def it_holds_large_results_apart():
    """puts a result over 64 KB not into the state but under /result, as it is"""
    k = shared()
    state = run("big", 65534)
    same((len(state["result"]), state["resultBytes"]), (65534, 65536))
    state = run("big", 65535)
    same(("result" in state, state["resultBytes"]), (False, 65537))
    same(k.ask("GET", "/task/%s/result" % state["taskId"]), (200, "x" * 65535))
    state = run("big", 20_000_000)
    same(k.ask_raw("GET", "/task/%s/result" % state["taskId"]), (200, b'"' + b"x" * 20_000_000 + b'"'))


def it_limits_results():
    """fails a task whose result is over 64 MB and names the limit"""
    error_of(run("big", 64 * 1024 * 1024), "BadResult", "67108864", "64 MB")


def it_has_no_result_to_show():
    """answers 404 on /result while there is none"""
    k = shared()
    refused(k.ask("GET", "/task/%s/result" % run("raises")["taskId"]), 404, "failed")
    task_id = begin("sleeps", message="sleeping")
    refused(k.ask("GET", "/task/%s/result" % task_id), 404, "running")
    k.ask("DELETE", "/task/" + task_id)
    k.end_state(task_id)


def it_long_polls():
    """answers a long poll when the task says something new or ends, with growing versions"""
    k = shared()
    gate = os.path.join(k.folder, "gate")
    task_id = begin("steps", gate, message="step 0")
    seen = k.state(task_id)
    same((seen["progress"], seen["state"]), (0.0, "running"))
    told = []
    for i in range(3):
        answers = []
        poll = threading.Thread(target=lambda: answers.append(k.state(task_id, seen["version"])))
        poll.start()
        open(gate + str(i), "w").close()
        poll.join(PATIENCE_S)
        assert answers and answers[0]["version"] > seen["version"], answers
        seen = answers[0]
        told.append((seen.get("message"), seen["state"]))
    same(told, [("step 1", "running"), ("step 2", "running"), ("step 2", "done")])
    same(k.state(task_id, seen["version"] - 1), seen)


def it_gives_up_long_polls():
    """answers a long poll unchanged when its time is over"""
    k = shared()
    task_id = begin("sleeps", message="sleeping")
    seen = k.state(task_id)
    same(k.state(task_id, seen["version"], wait="0.05"), seen)
    same(k.run("work:sleeps", task_id=task_id, wait="0.05"), (202, {}))
    k.ask("DELETE", "/task/" + task_id)
    k.end_state(task_id)
    refused(k.ask("GET", "/task/%s?seen=x" % task_id), 400, "seen")


def it_takes_chatter():
    """takes progress from an inner loop without a version for each word"""
    before = run("add", 1)["version"]
    state = run("chatters")
    same((state["state"], state["message"]), ("done", "299999"))
    assert state["version"] - before < 3000, state["version"] - before      # ten a second, and a slow machine takes many seconds
    error_of(run("bad_progress"), "ValueError", "progress")


# --- stopping ---

def stop(name, message, k=None):
    k = k or shared()
    task_id = begin(name, message=message, k=k)
    same(k.ask("DELETE", "/task/" + task_id), (202, {}))
    return k.end_state(task_id)


def it_aborts_sleepers():
    """aborts a task that sleeps"""
    same(stop("sleeps", "sleeping")["state"], "aborted")
    same(run("add", 1)["state"], "done")


def it_aborts_spinners():
    """aborts a task that only computes"""
    state = stop("spins", "spinning")
    same((state["state"], state["error"]["clazz"]), ("aborted", "dss.TaskAborted"))


def it_lets_tasks_tidy_up():
    """lets an aborted task tidy up, and lets it leave by dss.aborted()"""
    k = shared()
    path = os.path.join(k.folder, "tidied")
    task_id = begin("tidies", path, message="in")
    k.ask("DELETE", "/task/" + task_id)
    same(k.end_state(task_id)["state"], "aborted")
    assert os.path.exists(path)
    same(stop("polite", "polite")["state"], "aborted")


def it_asks_again():
    """asks a task that swallowed one abort again"""
    k = shared()
    task_id = begin("stubborn", message="first")
    k.ask("DELETE", "/task/" + task_id)
    state = k.state(task_id)
    while state.get("message") != "swallowed one":
        state = k.state(task_id, state["version"])
    wait_for("the second abort to end it", lambda: k.ask("DELETE", "/task/" + task_id)[0] and k.ask("GET", "/task/" + task_id)[0] == 404
             or k.state(task_id)["state"] == "aborted")


def it_aborts_past_destructors():
    """aborts a task whose destructor swallowed the abort, as Python lets nothing out of one"""
    same(stop("drops", "in a destructor")["state"], "aborted")


def it_aborts_at_any_moment():
    """ends each of many tasks that are aborted right at their start, and stays of use"""
    k = shared()
    c = k.connect()
    ends = set()
    for _ in range(150):
        task_id = fresh()
        body = {"taskId": task_id, "attempt": 1, "type": "python", "payload": {"callable": "work:add", "args": [1], "path": [k.folder]}}
        k.ask("POST", "/task", body, connection=c)
        k.ask("DELETE", "/task/" + task_id, connection=c)
        if k.ask("GET", "/task/" + task_id, connection=c)[0] == 200:
            ends.add(k.end_state(task_id)["state"])
    c.close()
    assert ends <= {"aborted", "done"}, ends
    same(run("add", 1)["result"], 2)


def it_has_deadlines():
    """fails a task with Timeout when its timeoutMs is over, and not before"""
    error_of(run("sleeps", timeoutMs=50), "Timeout", "50 ms")
    error_of(run("spins", timeoutMs=50), "Timeout", "50 ms")
    same(run("add", 1, timeoutMs=60000)["state"], "done")
    status, state = shared().command(["sleep", "3600"], task_id=fresh(), timeoutMs=50)
    error_of(state, "Timeout", "50 ms")


# --- one task after the other ---

def it_restores_surroundings():
    """gives the next task the directory, environment, path and signals that the one before had"""
    before = run("where")["result"]
    same(run("moves")["state"], "done")
    same(run("where")["result"], before)
    with kernel() as k:
        same(run("moves", k=k)["state"], "done")
        k.process.send_signal(signal.SIGTERM)
        same(k.exit_code(), 0)


def it_reloads_changed_code():
    """runs changed code of the task's path, and writes no cache beside it"""
    k = shared()
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, "pack"))
        for version in ("1", "2"):
            for name in ("helper.py", "pack/inner.py"):
                with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
                    f.write("VALUE = %s\ndef get():\n    import pack.inner\n    return [VALUE, pack.inner.VALUE]\n" % version)
            same(k.run("helper:get", path=[folder], task_id=fresh())[1]["result"], [int(version)] * 2)
        same(sorted(os.listdir(folder)), ["helper.py", "pack"])
    error_of(k.run("helper:get", task_id=fresh())[1], "ModuleNotFoundError", "helper")


def it_keeps_unchanged_modules():
    """keeps a task's modules loaded while no file of theirs changes, out of sight of tasks with another path, and drops them then"""
    k = shared()
    with tempfile.TemporaryDirectory() as folder:
        def write(version):
            with open(os.path.join(folder, "inner.py"), "w", encoding="utf-8") as f:
                f.write("VALUE = %d\n" % version)
        with open(os.path.join(folder, "outer.py"), "w", encoding="utf-8") as f:
            f.write("import inner\nCALLS = [0]\ndef count():\n    CALLS[0] += 1\n    return [inner.VALUE, CALLS[0]]\n")
        write(1)

        def count():
            return k.run("outer:count", path=[folder], task_id=fresh())[1]["result"]
        same(count(), [1, 1])
        wait_for("a module that stays", lambda: count()[1] > 2)     # files as new as ours are read again for a moment
        same(run("is_loaded", "outer")["result"], False)
        same(count(), [1, 1])                                       # another path came between
        wait_for("a module that stays", lambda: count()[1] > 2)
        write(2)
        same(count(), [2, 1])


def it_runs_in_its_folder():
    """runs a task in the folder it names, and the next one where it was before"""
    k = shared()

    def run_in(folder, function, *args):
        payload = {"callable": function, "args": list(args), "path": [k.folder], "cwd": folder}
        return k.ask("POST", "/task?wait=60", {"taskId": fresh(), "attempt": 1, "type": "python", "payload": payload})[1]

    before = run("where")["result"]
    with tempfile.TemporaryDirectory() as folder:
        folder = os.path.realpath(folder)
        same(run_in(folder, "work:where")["result"][0], folder)
        same(run("where")["result"], before)
    error_of(run_in(folder, "builtins:open", "big.csv"), "FileNotFoundError", "cannot enter " + folder)
    same(run_in(folder, "work:where")["result"], before)


def it_tells_where_it_looked():
    """says in which folders it looked for a module that is not there"""
    error_of(shared().run("nosuch:f", path=["/nosuch/folder"], task_id=fresh())[1], "ModuleNotFoundError", "looked in /nosuch/folder")


def it_owns_the_innermost():
    """keeps Python's own modules loaded after a task whose path is the root folder"""
    same(run("is_loaded", "wave")["result"], False)
    shared().run("work:module_of", "wave", path=[shared().folder, "/"], task_id=fresh())
    same(run("is_loaded", "wave")["result"], True)


def it_hides_no_module():
    """leaves its own module names to tasks"""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("server", "runner", "desk", "routes", "main", "settings", "outcome"):
            with open(os.path.join(folder, name + ".py"), "w", encoding="utf-8") as f:
                f.write("def who(): return __file__\n")
            same(shared().run(name + ":who", path=[folder], task_id=fresh())[1]["result"], os.path.join(folder, name + ".py"))


def it_logs_lines():
    """writes what a task prints to its log before the task ends"""
    run("prints")
    assert "a line of ünïcode\nraw\n" in shared().log(), shared().log()


def it_keeps_nothing_open_in_children():
    """leaves its sockets and signal handlers to no forked child"""
    same(run("forks")["result"], 0)
    same(run("forks_and_sleeps")["result"], [-signal.SIGTERM])


# --- commands ---

def it_runs_commands():
    """runs a command with its arguments, environment and directory, and tells code or signal"""
    k = shared()
    script = 'echo "said $1 $WORD $(pwd)"; exit 7'
    status, state = k.command(["sh", "-c", script, "sh", "one two"], task_id=fresh(), env={"WORD": "three"}, cwd="/usr")
    same((status, state["state"], state["result"]), (200, "done", {"code": 7, "signal": None}))
    assert "said one two three /usr\n" in k.log(), k.log()
    same(k.command(["sh", "-c", "kill -9 $$"], task_id=fresh())[1]["result"], {"code": None, "signal": 9})
    error_of(k.command(["/no/such/program"], task_id=fresh())[1], "FileNotFoundError", "/no/such/program")
    error_of(k.command(["true"], task_id=fresh(), cwd="/no/such/folder")[1], "FileNotFoundError", "/no/such/folder")


def it_ends_a_command_with_its_group():
    """ends an aborted command with all of its process group, also one that ignores TERM"""
    k = shared()
    pids = os.path.join(k.folder, "pids")
    for first in ("", "trap '' TERM; "):
        task_id = fresh()
        if os.path.exists(pids):
            os.remove(pids)
        script = first + "sleep 3600 & echo $! $$ > %s.new; mv %s.new %s; while :; do sleep 3600; done" % (pids, pids, pids)
        k.command(["sh", "-c", script], task_id=task_id, wait=0)
        wait_for("the command's pids", lambda: os.path.exists(pids))
        with open(pids, encoding="utf-8") as f:
            inner, outer = map(int, f.read().split())
        assert alive(inner) and alive(outer)
        same(k.ask("DELETE", "/task/" + task_id), (202, {}))
        same(k.end_state(task_id)["state"], "aborted")
        wait_for("the group to be gone", lambda: not alive(inner) and not alive(outer))


def it_leaves_nothing_behind_a_command():
    """ends what a command left running in its group"""
    k = shared()
    pids = os.path.join(k.folder, "left")
    same(k.command(["sh", "-c", "sleep 3600 & echo $! > " + pids], task_id=fresh())[1]["result"], {"code": 0, "signal": None})
    with open(pids, encoding="utf-8") as f:
        left = int(f.read())
    wait_for("the rest to be gone", lambda: not alive(left))


# --- ends ---

def it_shuts_down():
    """answers /shutdown and exits 0, also while a task runs or left a thread behind"""
    with kernel() as k:
        same(k.ask("POST", "/shutdown", b""), (202, {}))
        same(k.exit_code(), 0)
    with kernel() as k:
        run("leaves_thread", k=k)
        task_id = begin("sleeps", k=k, message="sleeping")
        seen = k.state(task_id)
        poll = k.connect()
        # Sent before the next connection begins, so it is read before: a thread of its own might come too late.
        poll.request("GET", "/task/%s?wait=60&seen=%d" % (task_id, seen["version"]), headers={"Authorization": "Bearer " + TASK_TOKEN})
        same(k.ask("POST", "/shutdown", b""), (202, {}))
        same(json.loads(poll.getresponse().read())["state"], "aborted")
        same(k.exit_code(), 0)
        poll.close()


def it_ends_on_term():
    """exits 0 on SIGTERM, idle or busy"""
    for name, message in ((None, None), ("sleeps", "sleeping"), ("spins", "spinning")):
        with kernel() as k:
            if name:
                begin(name, k=k, message=message)
            k.process.send_signal(signal.SIGTERM)
            same(k.exit_code(), 0)


def it_ends_on_term_of_an_event_loop():
    """exits 0 on SIGTERM while a task has taken the wake-up descriptor, as event loops do"""
    with kernel() as k:
        begin("takes_wakeup_fd", k=k, message="deaf")
        k.process.send_signal(signal.SIGTERM)
        same(k.exit_code(), 0)


def it_ends_without_lease():
    """ends itself when a lease is given and the backend says nothing for that long"""
    backend = Backend()
    k = Kernel(backend.port, DSS_KERNEL_LEASE_S="0.3")      # over before it announces itself, on a slow machine
    try:
        same(k.exit_code(), 0)
        assert "the lease is over" in k.log(), k.log()
    finally:
        k.end()
        backend.die()


# --- peers that lie ---

def it_refuses_garbage():
    """refuses what is no good HTTP, says why and closes"""
    k = shared()
    head = b"GET /task/x HTTP/1.1\r\nHost: k\r\n" + AUTH
    post = b"POST /task HTTP/1.1\r\nHost: k\r\n" + AUTH
    for data, status in (
            (b"\x16\x03\x01\x02\x00 hello\r\n\r\n", 400), (b"GARBAGE\r\n\r\n", 400), (b"GET  / HTTP/1.1\r\n\r\n", 400),
            (b"GET http://k/health HTTP/1.1\r\n\r\n", 400), (b"GET / HTTP/2.0\r\n\r\n", 505), (b"GET /\r\n\r\n", 400),
            (head + b"Folded: a\r\n b\r\n\r\n", 400), (head + b"Space : a\r\n\r\n", 400), (head + b"Bare\nLF: a\r\n\r\n", 400),
            (head + b"Host: other\r\n\r\n", 400), (head + AUTH + b"\r\n", 400), (head + b"X: \x00\r\n\r\n", 400),
            (head + b"X: " + b"x" * 20000 + b"\r\n\r\n", 431), (b"GET /" + b"x" * 20000, 431), (b"x" * 20000, 431),
            (post + b"\r\n", 411), (post + b"Transfer-Encoding: chunked\r\n\r\n", 501),
            (post + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", 501),
            (post + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400), (post + b"Content-Length: -1\r\n\r\n", 400),
            (post + b"Content-Length: 0x2\r\n\r\n{}", 400), (post + b"Content-Length: 16777217\r\n\r\n", 413),
            (post + b"Content-Length: 99999999999999999999\r\n\r\n", 400)):
        with socket.create_connection(("127.0.0.1", k.port), PATIENCE_S) as s:
            s.sendall(data)
            got = read_until_close(s)
        assert got.startswith(b"HTTP/1.1 %d " % status), (data[:80], got)
        assert b"Connection: close" in got and b'{"error":{' in got, got
    same(k.health()["state"], "idle")


def it_reads_pipelined_requests():
    """answers two requests in one segment, in order, also behind a long poll"""
    k = shared()
    task_id = begin("sleeps", message="sleeping")
    version = k.state(task_id)["version"]
    with socket.create_connection(("127.0.0.1", k.port), PATIENCE_S) as s:
        one = b"GET /health?nonce=%d HTTP/1.1\r\nHost: k\r\n\r\n"
        s.sendall(one % 1 + one % 2)
        same([a[1]["proof"] for a in read_answers(s, 2)], [proof("1"), proof("2")])
        poll = b"GET /task/%s?wait=60&seen=%d HTTP/1.1\r\nHost: k\r\n%s\r\n" % (task_id.encode(), version, AUTH)
        s.sendall(poll + one % 3)
        k.ask("DELETE", "/task/" + task_id)
        answers = read_answers(s, 2)
        same((answers[0][1]["state"], answers[1][1]["proof"]), ("aborted", proof("3")))


def it_reads_split_requests():
    """understands a request that comes byte by byte, and a body apart from its head"""
    k = shared()
    body = json.dumps({"taskId": fresh(), "attempt": 1, "type": "python", "payload": {"callable": "work:add", "args": [1], "path": [k.folder]}}).encode()
    head = b"POST /task?wait=60 HTTP/1.1\r\nHost: k\r\n%sContent-Length: %d\r\n" % (AUTH, len(body))
    with socket.create_connection(("127.0.0.1", k.port), PATIENCE_S) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in head + b"\r\n" + body:
            s.sendall(bytes((byte,)))
        same(read_answers(s, 1)[0][1]["result"], 2)
        body = body.replace(b'"attempt": 1', b'"attempt": 2')
        s.sendall(head + b"Expect: 100-continue\r\n\r\n")
        same(s.recv(25), b"HTTP/1.1 100 Continue\r\n\r\n")
        s.sendall(body[:7])
        s.sendall(body[7:])
        same(read_answers(s, 1)[0][1]["result"], 2)


def it_closes_when_asked():
    """closes after the answer when the peer asks for it, also after a long poll"""
    k = shared()
    task_id = run("add", 1)["taskId"]
    for target in (b"/health?nonce=1", b"/task/%s?wait=0.05&seen=%d" % (task_id.encode(), k.state(task_id)["version"])):
        with socket.create_connection(("127.0.0.1", k.port), PATIENCE_S) as s:
            s.sendall(b"GET %s HTTP/1.1\r\nHost: k\r\n%sConnection: close\r\n\r\n" % (target, AUTH))
            answer = read_until_close(s)
            assert answer.startswith(b"HTTP/1.1 200 "), answer


def it_survives_leavers():
    """survives peers that leave in the middle of a request, of a long poll or of a large answer"""
    k = shared()
    with socket.create_connection(("127.0.0.1", k.port), PATIENCE_S) as s:
        s.sendall(b"POST /task HTTP/1.1\r\nHost: k\r\n" + AUTH + b"Content-Length: 100\r\n\r\n{")
    task_id = run("big", 20_000_000)["taskId"]
    for target in (b"/result", b"?wait=60&seen=%d" % k.state(task_id)["version"]):
        with socket.create_connection(("127.0.0.1", k.port), PATIENCE_S) as s:
            s.sendall(b"GET /task/%s%s HTTP/1.1\r\nHost: k\r\n%s\r\n" % (task_id.encode(), target, AUTH))
    same(run("add", 1)["result"], 2)


def it_lets_no_stranger_lock_out():
    """keeps room for the backend when strangers hold all connections"""
    with kernel() as k:
        mine = k.connect()
        k.ask("GET", "/task/none", connection=mine)
        strangers = [socket.create_connection(("127.0.0.1", k.port), PATIENCE_S) for _ in range(80)]
        same(k.ask("GET", "/task/none")[0], 404)
        same(k.ask("GET", "/task/none", connection=mine)[0], 404)
        for s in strangers:
            s.close()


def it_does_not_wake_when_idle():
    """sleeps when nothing happens: no context switch while a second passes"""
    with kernel() as k:
        run("add", 1, k=k)

        def switches():
            total = 0
            for thread in os.listdir("/proc/%d/task" % k.process.pid):
                with open("/proc/%d/task/%s/status" % (k.process.pid, thread), encoding="utf-8") as f:
                    total += sum(int(line.split()[1]) for line in f if "ctxt_switches" in line)
            return total

        def quiet_second():
            before = switches()
            time.sleep(1.0)     # the span that is measured, not a wait
            return switches() == before
        wait_for("a second without a wake-up", quiet_second)


# --- the demo's tasks ---

def it_summarises():
    """summarises a CSV: rows, nulls, numbers and texts of each column"""
    k = shared()
    path = os.path.join(k.folder, "data.csv")
    with open(path, "w", encoding="utf-8", newline="") as f:
        out = csv.writer(f)
        out.writerow(["n", "word", "gap", "none"])
        for i in range(20000):
            out.writerow([i, "w%d" % (i % 7), "" if i % 2 else 1.5, ""])
        f.write("1,short\n")
    state = k.run("stats:summarise", path, path=[STATS], task_id=fresh())[1]
    same(state["state"], "done")
    result = state["result"]
    same((result["rows"], result["raggedRows"], [c["type"] for c in result["columns"]]), (20001, 1, ["number", "text", "number", "empty"]))
    n, word, gap, none = result["columns"]
    same((n["min"], n["max"], n["count"], round(n["mean"], 3), round(n["stddev"])), (0, 19999, 20001, 9999.0, 5774))
    same((word["distinct"], word["distinctIsAtLeast"]), (8, False))
    same((gap["nulls"], gap["mean"], gap["stddev"], none["nulls"]), (10001, 1.5, 0.0, 20001))
    same((state["progress"], state["message"]), (1.0, "20001 rows"))
    error_of(k.run("stats:summarise", "/dev/null", path=[STATS], task_id=fresh())[1], "ValueError", "header")


def it_eats():
    """takes memory step by step and says how far it is"""
    state = shared().run("stats:eat", 3_000_001, 1_000_000, path=[STATS], task_id=fresh())[1]
    same((state["result"], state["progress"]), ({"bytes": 3_000_001}, 1.0))
    same(shared().run("stats:echo", {"a": [None, "ü"]}, path=[STATS], task_id=fresh())[1]["result"], {"a": [None, "ü"]})
    assert shared().run("stats:sleep_for", 0.01, path=[STATS], task_id=fresh())[1]["result"]["seconds"] >= 0.01


def shared_end():
    """What the shared kernel said last, and whether it lives: for the report of a failed check."""
    if not _shared:
        return ""
    return "shared kernel: exit %s, log ends: %s" % (_shared["kernel"].process.poll(), _shared["kernel"].log()[-1500:])


if __name__ == "__main__":
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    try:
        run_checks({name: f for name, f in list(globals().items()) if word in name}, shared_end)
    finally:
        if _shared:
            _shared["context"].__exit__(None, None, None)
