"""Checks of the Java client (dss.FutureService) against a fake node. Run by java_client_spec.lua with DSS_BUILD."""
import os
import shutil
import subprocess
import sys
import tempfile

from client_fake_node import FAULTS, KEY, Node
from fake_backend import PATIENCE_S, ROOT, run_checks, wait_for

BUILT = os.path.join(os.path.abspath(os.environ.get("DSS_BUILD", os.path.join(ROOT, "build"))), "java")
GSON = "/usr/share/java/gson.jar"
CLASSES = tempfile.mkdtemp(prefix="java-client-")
JARS = ":".join((os.path.join(BUILT, "dss-client.jar"), os.path.join(BUILT, "dss-demo.jar"), GSON))
RUNNING = []    # those whose output was not read yet


def submit(url, what, key=KEY):
    env = {"PATH": "/usr/bin:/bin", "DSS_KEY": key, "LANG": "C.UTF-8", **({"DSS_URL": url} if url else {})}
    RUNNING.append(subprocess.Popen(["java", "-XX:TieredStopAtLevel=1", "-cp", CLASSES + ":" + JARS, "sample.Submit", what], env=env,
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
    return RUNNING[-1]


def lines(process):
    """What it said, to its end."""
    RUNNING.remove(process)
    try:
        out = process.communicate(timeout=PATIENCE_S)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError("it did not end in %s s, and said %r" % (PATIENCE_S, process.communicate()[0])) from None
    assert KEY not in out, "the key is in: " + out
    return out.splitlines()[1:] if out.startswith("FutureService at ") else out.splitlines()


def end_all():
    """Ends what a failed check left running; tells what it said."""
    said = []
    while RUNNING:
        process = RUNNING.pop()
        process.kill()
        said.append(process.communicate()[0])
    return "".join(said).replace(KEY, "(the key)")


def same(got, wanted):
    assert got == wanted, "got %r, wanted %r" % (got, wanted)


def said(process, text):
    got = lines(process)
    assert text in " ".join(got), "got %r, wanted %r in it" % (got, text)


def it_submits():
    """submits a FutureThread by its class, fields and classpath, with its options, and gives the result"""
    with Node() as n:
        p = submit(n.url + "/", "run")
        body = n.next()
        same(body["payload"], {"class": "sample.Submit$Add", "state": {"a": 41, "b": 1}, "classpath": [CLASSES]})
        same({k: body[k] for k in ("type", "pool", "limits", "timeoutMs", "retries", "title")},
             {"type": "java", "pool": "fek", "limits": {"memory": "4g"}, "timeoutMs": 5000, "retries": 2, "title": "Add"})
        n.end(body["jobId"], 42)
        same(lines(p), ["42 f1%3A%28x%29"])
        same(p.returncode, 0)


def it_submits_many():
    """submits many at once and gives each its own result"""
    with Node(runs=lambda body: body["payload"]["state"]["a"]) as n:
        same(lines(submit(n.url, "many")), [str(sum(range(50)))])


def it_makes_results():
    """makes results of the type that was asked for, and takes another classpath"""
    with Node(runs=lambda body: {"a": [6]} if "Typed" in body["payload"]["class"] else
              {"file": body["payload"]["classpath"][0], "rows": 3, "bytes": 1, "total": 0.5}) as n:
        same(lines(submit(n.url, "types")), ["7", "/srv/demo.jar 3"])
    with Node(runs=lambda body: "text") as n:
        said(submit(n.url, "fail"), "the result is no java.lang.Integer")


def it_tells_failures():
    """tells class, message, stack, cause, the node's reason and its numbers"""
    with Node() as n:
        p = submit(n.url, "fail")
        n.end(n.next()["jobId"], status=422, errorType="java.io.IOException", message="no input", cause="oom_heap",
              detail={"limitBytes": 3, "stack": "at Work", "cause": {"clazz": "X", "message": "gone"}})
        same([line.split("|") for line in lines(p)],
             [["java.io.IOException", "java.io.IOException: no input", "at Work", "oom_heap",
               '{"limitBytes":3,"stack":"at Work","cause":{"clazz":"X","message":"gone"}}', "dss.TaskFailed: X: gone"]])
        p = submit(n.url, "fail")
        n.end(n.next()["jobId"], status=422, errorType="AbortedException", message="aborted by admin", cause="admin")
        same(lines(p), ["cancelled: aborted by admin"])
        same(lines(submit(n.url, "fail", key="wrong-key")), ["java.io.IOException: the node refused it: Unknown API Key (status 401)"])


def it_cancels():
    """aborts a running future"""
    with Node() as n:
        p = submit(n.url, "cancel")
        job_id = n.next()["jobId"]
        same(n.deleted.get(timeout=PATIENCE_S), job_id)
        same(lines(p), ["true true"])


def it_survives_restarts():
    """goes on after the backend was away, and submits nothing twice"""
    with Node() as n:
        n.faults[:] = [("POST", "lost")]
        p = submit(n.url, "run")
        job_id = n.next()["jobId"]
        wait_for("a poll", lambda: n.held == 1)
        n.die()
        with n.back() as other:
            wait_for("a poll of the next one", lambda: other.held == 1)
            other.end(job_id, 42)
            same(lines(p), ["42 f1%3A%28x%29"])
            assert n.submitted.empty(), n.submitted.get()


def it_survives_faults():
    """goes on whatever happens to a request: unread, its answer lost or cut in half, answered by a proxy; and submits nothing twice"""
    with Node(holds=False) as n:
        n.faults[:] = [(method, fault) for method in ("POST", "GET") for fault in FAULTS]
        p = submit(n.url, "run")
        job_id = n.next()["jobId"]
        wait_for("the faults", lambda: not n.faults)
        n.end(job_id, 42)
        same(lines(p), ["42 f1%3A%28x%29"])
        assert n.submitted.empty(), n.submitted.get()


def it_takes_no_page_for_a_job():
    """fails where something else than a node answers a submit, instead of waiting for ever"""
    with Node() as n:
        n.faults[:] = [("POST", 200)]
        same(lines(submit(n.url, "fail")), ["java.io.IOException: unable to submit to %s: the answer names no job: <html>" % n.url])


def it_refuses():
    """refuses a lambda, and names the setting that is missing, never the key"""
    said(submit("http://127.0.0.1:1", "lambda"), "another process cannot find it")
    said(submit(None, "run"), "set DSS_URL")
    said(submit("http://u:%s@h" % KEY, "run"), "must read http://host:port")
    said(submit("http://127.0.0.1:1", "run", key=""), "set DSS_KEY")


if __name__ == "__main__":
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    try:
        work = os.path.join(ROOT, "spec/kernels/java_work/sample/Submit.java")
        subprocess.run(["javac", "-encoding", "UTF-8", "-cp", JARS, "-d", CLASSES, work], check=True)
        run_checks({name: f for name, f in list(globals().items()) if wanted in name}, end_all)
    finally:
        end_all()
        shutil.rmtree(CLASSES)
