"""Checks of kernels/python/client (import dss) against a fake node. Run by client_spec.lua; alone: python3 -B spec/kernels/client_check.py [WORD]."""
import concurrent.futures
import contextlib
import functools
import importlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time

from client_fake_node import FAULTS, KEY, Node
from fake_backend import PATIENCE_S, ROOT, run_checks, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))
CLIENT = os.path.join(ROOT, "kernels/python/client")
sys.path.insert(0, CLIENT)
import client_tasks as tasks  # noqa: E402
import dss  # noqa: E402


def run_here(body):
    """What a kernel would do."""
    payload = body["payload"]
    module, _, names = payload["callable"].partition(":")
    found = functools.reduce(getattr, names.split("."), importlib.import_module(module))
    return found(*payload["args"], **payload["kwargs"])


@contextlib.contextmanager
def node(**options):
    """A fake node and an executor for it."""
    with Node(**{k: options.pop(k) for k in ("holds", "runs") if k in options}) as n:
        yield n, dss.DssExecutor(n.url, KEY, **options)


def same(got, wanted):
    assert got == wanted, "got %r, wanted %r" % (got, wanted)


def raises(kind, call, *texts):
    try:
        call()
    except kind as e:
        for text in texts:
            assert text in str(e), str(e)
        return e
    raise AssertionError("no %s was raised" % kind)


def it_runs_functions():
    """submits functions by name and gives their results"""
    with node(runs=run_here) as (_, ex):
        same(ex.submit(tasks.add, 40, b=2).result(PATIENCE_S), 42)
        same(ex.submit(tasks.Box.double, "ab").result(PATIENCE_S), "abab")
        same(ex.submit(tasks.Box.name).result(PATIENCE_S), "Box")
        same(ex.submit("client_tasks:add", 1).result(PATIENCE_S), 2)
        same(ex.submit(functools.partial(tasks.add, 1, b=5)).result(PATIENCE_S), 6)
        same(list(ex.map(tasks.add, range(50))), list(range(1, 51)))


def it_tells_where_functions_are():
    """sends module, qualified name and the folder to import from; none for what every Python has"""
    with node(path=["/srv/tasks"]) as (n, ex):
        ex.submit(tasks.add, [1, None], b={"ü": 2.5})
        same(n.next()["payload"], {"callable": "client_tasks:add", "args": [[1, None]], "kwargs": {"b": {"ü": 2.5}}, "path": [HERE, "/srv/tasks"]})
        ex.submit(os.path.join, "a")
        same(n.next()["payload"]["path"], ["/srv/tasks"])
        with tempfile.TemporaryDirectory() as folder:
            os.mkdir(os.path.join(folder, "a_package"))
            for name in ("__init__", "inner"):
                with open(os.path.join(folder, "a_package", name + ".py"), "w", encoding="utf-8") as f:
                    f.write("def f(): pass\n")
            sys.path.insert(0, folder)
            try:
                for name in ("a_package", "a_package.inner"):
                    ex.submit(importlib.import_module(name).f)
                    payload = n.next()["payload"]
                    same((payload["callable"], payload["path"][0]), (name + ":f", folder))
            finally:
                sys.path.remove(folder)


def it_submits_from_scripts():
    """sends functions of the script itself, and refuses those that were typed in"""
    with tempfile.TemporaryDirectory() as folder, Node(runs=lambda body: body["payload"]["callable"] + " " + body["payload"]["path"][0]) as n:
        path = os.path.join(folder, "script.py")
        with open(path, "w", encoding="utf-8") as f:
            f.write("import dss\ndef work(): pass\nif __name__ == '__main__': print(dss.submit(work).result())\n")
        env = {"PATH": "/usr/bin:/bin", "DSS_URL": n.url, "DSS_KEY": KEY, "PYTHONPATH": CLIENT}

        def python(*argv, **more):
            return subprocess.run([sys.executable, "-B", *argv], env=env, capture_output=True, text=True, timeout=PATIENCE_S, **more)
        same(python(path).stdout, "script:work %s\n" % folder)
        same(python("-m", "script", cwd=folder).stdout, "script:work %s\n" % folder)
        said = python("-", input="import dss\ndef work(): pass\ndss.submit(work)\n").stderr
        assert "put it into a file" in said, said
        other = os.path.join(folder, "not-a-name.py")
        os.rename(path, other)
        said = python(other).stderr
        assert "rename it" in said, said


def it_refuses_what_has_no_name():
    """refuses lambdas, inner functions, methods of objects and shadowed names, and says why"""
    with node() as (n, ex):
        raises(TypeError, lambda: ex.submit(lambda: 1), "lambda", "give it a name")
        raises(TypeError, lambda: ex.submit(tasks.anonymous), "lambda")
        raises(TypeError, lambda: ex.submit(tasks.make()), "inside another function")
        raises(TypeError, lambda: ex.submit(tasks.Box().method), "method of one object")
        raises(TypeError, lambda: ex.submit(tasks.first_shadowed), "another object by this name")
        raises(TypeError, lambda: ex.submit(7), "not callable")
        raises(TypeError, lambda: ex.submit(functools.partial(lambda: 1)), "lambda")
        assert n.submitted.empty(), n.submitted.get()


def it_names_bad_arguments():
    """names the argument that JSON cannot hold, and the place in it"""
    with node() as (n, ex):
        cycle = []
        cycle.append(cycle)
        deep = []
        for _ in range(1000):
            deep = [deep]
        for args, kwargs, text in (((float("nan"),), {}, "argument 1 (a) is nan"), (({"x": [1, {2}]},), {}, "argument 1 (a)['x'][1] is of type set"),
                                   ((1, b"x"), {}, "argument 2 (b) is of type bytes"), ((1,), {"b": {1: 2}}, "argument b has the key 1"),
                                   ((cycle,), {}, "argument 1 (a)[0] contains itself"), ((deep,), {}, "nested deeper"),
                                   (("\ud800",), {}, "argument 1 (a) is text with half a character")):
            raises(TypeError, lambda a=args, k=kwargs: ex.submit(tasks.add, *a, **k), text)
        raises(TypeError, lambda: dss.DssExecutor(n.url, KEY, limit={}), "'limit'", "'limits'")
        assert n.submitted.empty(), n.submitted.get()


def it_sends_options():
    """sends pool, limits, timeout and the rest with each submit"""
    with node(pool="big", limits={"memory": "4g"}, timeout_ms=500, retries=2, priority=3, tags=["a"], title="t", project="P") as (n, ex):
        ex.submit(tasks.add, 1)
        body = n.next()
        same({k: body[k] for k in ("type", "pool", "limits", "timeoutMs", "retries", "priority", "tags", "title", "project")},
             {"type": "python", "pool": "big", "limits": {"memory": "4g"}, "timeoutMs": 500, "retries": 2, "priority": 3, "tags": ["a"],
              "title": "t", "project": "P"})
        ex.command(["ls", "-l"], env={"A": "1"}, cwd="/tmp")
        same(n.next()["payload"], {"argv": ["ls", "-l"], "env": {"A": "1"}, "cwd": "/tmp"})


def it_raises_refusals():
    """raises what the node refuses, with its words"""
    with node(pool="nowhere") as (n, ex):
        e = raises(dss.DssRefused, lambda: ex.submit(tasks.add, 1), "there is no pool")
        same((e.status, e.clazz), (400, "IllegalArgumentException"))
        e = raises(dss.DssRefused, lambda: dss.DssExecutor(n.url, "wrong-key").submit(tasks.add, 1), "Unknown API Key")
        same(e.status, 401)
        raises(dss.DssRefused, lambda: ex.attach("never").result(PATIENCE_S), "does not exist")


def it_raises_failures():
    """raises what the task raised: class, message, stack, cause and detail"""
    with node() as (n, ex):
        f = ex.submit(tasks.add, 1)
        n.end(n.next()["jobId"], status=422, errorType="ValueError", message="no input", cause="error",
              detail={"clazz": "ValueError", "stack": "File work.py, line 3", "cause": {"clazz": "OSError", "message": "gone", "stack": "below"}})
        e = raises(dss.TaskFailed, lambda: f.result(PATIENCE_S), "ValueError: no input")
        same((e.clazz, e.message, e.stack, e.cause), ("ValueError", "no input", "File work.py, line 3", "error"))
        same((e.__cause__.clazz, e.__cause__.message), ("OSError", "gone"))
        f = ex.submit(tasks.add, 1)
        n.end(n.next()["jobId"], status=422, errorType="KilledException", message="Killed: your task used 3.0 GB", cause="oom_limit",
              detail={"limitBytes": 3, "peakBytes": 4})
        e = f.exception(PATIENCE_S)
        same((type(e), e.cause, e.detail["limitBytes"], str(e)), (dss.TaskFailed, "oom_limit", 3, "KilledException: Killed: your task used 3.0 GB"))


def it_tells_progress():
    """tells progress and message of a running task"""
    with node(holds=False) as (n, ex):
        f = ex.submit(tasks.add, 1)
        job_id = n.next()["jobId"]
        same((f.progress, f.message, f.running(), f.done()), (None, None, False, False))
        n.say(job_id, progress={"fraction": 0.4, "message": "half way"})
        wait_for("the progress", lambda: f.progress == 0.4)
        same((f.message, f.running()), ("half way", True))
        n.end(job_id, 7)
        same((f.result(PATIENCE_S), f.running(), f.done()), (7, False, True))


def it_cancels():
    """aborts a future, also a running one; one that ended cannot be cancelled"""
    with node() as (n, ex):
        f = ex.submit(tasks.add, 1)
        n.say(n.next()["jobId"])
        called = threading.Event()
        f.add_done_callback(lambda _: called.set())
        same((f.cancel(), f.cancelled(), f.done()), (True, True, True))
        same(n.deleted.get(timeout=PATIENCE_S), f.id)
        assert called.wait(PATIENCE_S)
        raises(concurrent.futures.CancelledError, lambda: f.result(PATIENCE_S))
        same(f.cancel(), True)
        f = ex.submit(tasks.add, 1)
        n.end(n.next()["jobId"], 1)
        same((f.result(PATIENCE_S), f.cancel()), (1, False))


def it_tells_foreign_aborts():
    """raises CancelledError for a task that someone else aborted"""
    with node() as (n, ex):
        f = ex.submit(tasks.add, 1)
        n.end(n.next()["jobId"], status=422, errorType="AbortedException", message="aborted by admin", cause="admin")
        e = raises(concurrent.futures.CancelledError, lambda: f.result(PATIENCE_S), "aborted by admin")
        same((type(e), f.cancelled()), (dss.TaskCancelled, False))


def it_times_out():
    """raises TimeoutError when the waiting, not the task, takes too long"""
    with node() as (n, ex):
        f = ex.submit(tasks.add, 1)
        raises(concurrent.futures.TimeoutError, lambda: f.result(0.02))
        n.end(n.next()["jobId"], 2)
        same(f.result(PATIENCE_S), 2)


def it_needs_few_connections():
    """follows hundreds of futures on a few connections; one that is waited for comes first"""
    with node() as (n, ex):
        futures = [ex.submit(tasks.add, i) for i in range(200)]
        ids = [n.next()["jobId"] for _ in futures]
        n.end(ids[150], "mine")
        same(futures[150].result(PATIENCE_S), "mine")
        asked = {path for method, path in n.requests if method == "GET"}
        assert len(asked) < 100, sorted(asked)          # it did not come in its turn
        for i, job_id in enumerate(ids):
            n.end(job_id, i)
        same({f.result(PATIENCE_S) for f in concurrent.futures.as_completed(futures, PATIENCE_S)}, set(range(200)) - {150} | {"mine"})
        assert n.most_held <= dss.POLLS + dss.POLLS_MORE, n.most_held
        assert len(n.connections) <= 20, len(n.connections)


def it_ends_its_thread():
    """ends its thread when there is nothing to follow, and starts it again"""
    with node(runs=run_here) as (n, ex):
        for _ in range(3):
            same(ex.submit(tasks.add, 1).result(PATIENCE_S), 2)
            wait_for("the thread's end", lambda: not any(t.name == "dss-poller" and t.is_alive() and t is ex._poller._thread
                                                         for t in threading.enumerate()))


def it_does_not_hammer():
    """asks a node that does not hold polls ever less often"""
    with node(holds=False) as (n, ex):
        f = ex.submit(tasks.add, 1)
        job_id = n.next()["jobId"]
        wait_for("a pause over 0.3 s", lambda: f.pause_s > 0.3)
        assert len(n.requests) < 40, len(n.requests)
        n.end(job_id, 1)
        same(f.result(PATIENCE_S), 1)


def it_survives_restarts():
    """goes on after the backend was away, waiting and submitting, and submits nothing twice"""
    with node() as (n, ex):
        f = ex.submit(tasks.add, 1)
        job_id = n.next()["jobId"]
        wait_for("a poll", lambda: n.held == 1)
        n.die()
        answers = []
        late = threading.Thread(target=lambda: answers.append(ex.submit(tasks.add, 2)))
        late.start()
        with n.back() as other:
            late.join(PATIENCE_S)
            other.end(job_id, "first")
            other.end(other.next()["jobId"], "second")
            same((f.result(PATIENCE_S), answers[0].result(PATIENCE_S)), ("first", "second"))
            assert other.submitted.empty(), other.submitted.get()


def it_survives_faults():
    """goes on whatever happens to a request: unread, its answer lost or cut in half, answered by a proxy; and submits nothing twice"""
    for method, fault in itertools.product(("POST", "GET"), FAULTS):
        with node() as (n, ex):
            n.faults[:] = [(method, fault)]
            f = ex.submit(tasks.add, 1)
            same((f.id, method, fault), (n.next()["jobId"], method, fault))
            wait_for("the fault", lambda n=n: not n.faults)
            n.end(f.id, [method, fault])
            same(f.result(PATIENCE_S), [method, fault])
            assert n.submitted.empty(), n.submitted.get()


def it_takes_no_page_for_a_job():
    """raises where something else than a node answers a submit, instead of waiting for ever"""
    with node() as (n, ex):
        n.faults[:] = [("POST", 200)]
        raises(dss.DssError, lambda: ex.submit(tasks.add, 1), "names no job", n.url, "<html>")


def it_gives_up():
    """gives up after its patience and says that the task may go on"""
    patience, dss.PATIENCE_S = dss.PATIENCE_S, 0.2
    try:
        with Node() as n:
            ex = dss.DssExecutor(n.url, KEY)
            f = ex.submit(tasks.add, 1)
            wait_for("a poll", lambda: n.held == 1)
            n.die()
            raises(dss.DssUnreachable, lambda: f.result(PATIENCE_S), "may go on", n.url)
            raises(ConnectionError, lambda: ex.submit(tasks.add, 1), n.url)
    finally:
        dss.PATIENCE_S = patience


def it_finds_instances():
    """finds an instance by its folder, also after it came back on another port"""
    with tempfile.TemporaryDirectory() as home:
        os.mkdir(os.path.join(home, "run"))
        os.mkdir(os.path.join(home, "config"))
        with open(os.path.join(home, "config/admin.key"), "w", encoding="ascii") as f:
            f.write(KEY + "\n")

        def tell(port):
            with open(os.path.join(home, "run/ports.json"), "w", encoding="ascii") as f:
                json.dump({"page": port}, f)
        raises(dss.DssUnreachable, lambda: dss.DssExecutor(home=home), "ports.json", "is the instance running")
        with Node(runs=run_here) as one:
            tell(one.port)
            ex = dss.DssExecutor(home=home)
            same(ex.submit(tasks.add, 1).result(PATIENCE_S), 2)
        with Node(runs=run_here) as two:
            tell(two.port)
            same(ex.submit(tasks.add, 2).result(PATIENCE_S), 3)


def it_says_what_is_missing():
    """says which setting is missing or wrong, and never the key"""
    with Node() as n:
        raises(dss.DssError, lambda: dss.DssExecutor(n.url, ""), "DSS_KEY")
        raises(dss.DssError, lambda: dss.DssExecutor("", KEY), "DSS_URL")
        for url in ("ftp://x", "http://", "http://u:%s@h" % KEY, "http://h:x"):
            e = raises(dss.DssError, lambda u=url: dss.DssExecutor(u, KEY), "http://host:port")
            assert KEY not in str(e)
        e = raises(dss.DssError, lambda: dss.DssExecutor(n.url, KEY + " x"), "blanks")
        assert KEY not in str(e)
        ex = dss.DssExecutor(n.url, KEY)
        assert KEY not in repr(ex) + repr(ex._node) + repr(ex.submit(tasks.add, 1))


def it_shuts_down():
    """waits for its futures at the end of a with block, takes no more, and can cancel them"""
    with Node() as n:
        with dss.DssExecutor(n.url, KEY) as ex:
            f = ex.submit(tasks.add, 1)
            threading.Timer(0.05, lambda: n.end(n.next()["jobId"], 5)).start()
        same((f.done(), f.result(0)), (True, 5))
        raises(RuntimeError, lambda: ex.submit(tasks.add, 1), "shutdown")
        ex = dss.DssExecutor(n.url, KEY)
        f = ex.submit(tasks.add, 1)
        ex.shutdown(cancel_futures=True)
        same(f.cancelled(), True)


def it_is_in_harmony():
    """offers progress, aborted and TaskAborted as the kernel's module does"""
    same((dss.progress(0.5, "x"), dss.progress(), dss.aborted()), (None, None, False))
    raises(ValueError, lambda: dss.progress(float("nan")), "progress")
    path = os.path.join(ROOT, "kernels/python/kernel")
    out = subprocess.run([sys.executable, "-B", "-c", "import dss, json; print(json.dumps(dss.__all__))"], env={"PYTHONPATH": path},
                         capture_output=True, text=True, check=True).stdout
    same(set(json.loads(out)) - set(dss.__all__), set())


def it_survives_forks():
    """works in a forked child, too"""
    with node(runs=run_here) as (_, ex):
        same(ex.submit(tasks.add, 1).result(PATIENCE_S), 2)
        with ex._node._lock:        # as another thread may hold it in that moment
            pid = os.fork()
            if pid == 0:
                os._exit(0 if ex.submit(tasks.add, 2).result(PATIENCE_S) == 3 else 1)
        same(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)
        same(ex.submit(tasks.add, 3).result(PATIENCE_S), 4)


if __name__ == "__main__":
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    begun = time.monotonic()
    run_checks({name: f for name, f in list(globals().items()) if wanted in name}, lambda: "")
