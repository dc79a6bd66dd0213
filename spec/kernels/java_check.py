"""Checks of kernels/java against a fake backend. Run by java_spec.lua with DSS_BUILD; alone: python3 -B spec/kernels/java_check.py [WORD].

What both runtimes must do is written once, in python_check.py: here it runs again with a Java kernel, and Java's own follows.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import fake_backend
import python_check as both
from fake_backend import ROOT, Backend, Kernel, alive, proof, read_answers, run_checks, wait_for
from python_check import AUTH, begin, fresh, refused, run, same, shared, stop

BUILT = os.path.join(os.path.abspath(os.environ.get("DSS_BUILD", os.path.join(ROOT, "build"))), "java")
DEMO = os.path.join(BUILT, "dss-demo.jar")
# The words of kernels/java/README.md.
OPTIONS = ["-Xshare:auto", "-XX:SharedArchiveFile=" + os.path.join(BUILT, "dss-kernel.jsa"), "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError",
           "-XX:+DisableAttachMechanism", "-XX:-UsePerfData", "-Dfile.encoding=UTF-8", "-Ddss.kernel=DSSFutureKernelMain"]
MAIN = ["-cp", os.path.join(BUILT, "dss-kernel.jar") + ":/usr/share/java/gson.jar", "DSSFutureKernelMain"]


def java_kernel(heap="256m", *options):
    return ["/usr/bin/java", "-Xmx" + heap, *OPTIONS, *options, *MAIN]


class JavaKernel(Kernel):
    """Runs `work:NAME` of the shared checks as sample.Work."""

    classes = None      # a folder, compiled once

    def __init__(self, backend_port=1, argv=None, **more):
        super().__init__(backend_port, argv or java_kernel("512m"), **more)

    def run(self, callable_name, *args, task_id="t1", attempt=1, path=None, wait=fake_backend.PATIENCE_S, **more):
        name = callable_name.partition(":")[2]
        return self.java("sample.Work", {"name": name, "args": list(args)}, [self.classes], task_id=task_id, attempt=attempt, wait=wait, **more)

    def java(self, name, state=None, classpath=None, task_id=None, attempt=1, wait=fake_backend.PATIENCE_S, **more):
        payload = {"class": name, "state": state or {}, "classpath": [DEMO] if classpath is None else classpath}
        return self.ask("POST", "/task?wait=%s" % wait,
                        {"taskId": task_id or fresh(), "attempt": attempt, "type": "java", "payload": payload, **more})


CLASSES = {"ValueError": "java.lang.IllegalArgumentException", "FileNotFoundError": "java.io.FileNotFoundException"}


def error_of(state, clazz, *texts):
    same(state["state"], "failed")
    same(state["error"]["clazz"], CLASSES.get(clazz, clazz))
    for text in texts:
        assert text in state["error"]["message"], state["error"]["message"]
    return state["error"]


# The shared checks look these up when they run.
both.Kernel, both.error_of = JavaKernel, error_of
SHARED = """asks_until_200 waits_for_a_backend announces_again keeps_quiet_while_linked announces_after_close cannot_listen hides_secrets
    hides_secrets_of_a_variable proves_itself bounds_the_nonce tells_busy wants_the_token knows_its_routes starts_nothing_twice
    takes_one_at_a_time keeps_the_outcome holds_large_results_apart limits_results has_no_result_to_show long_polls gives_up_long_polls
    takes_chatter aborts_sleepers lets_tasks_tidy_up asks_again has_deadlines logs_lines runs_commands ends_a_command_with_its_group
    leaves_nothing_behind_a_command shuts_down ends_on_term ends_without_lease refuses_garbage reads_pipelined_requests closes_when_asked
    survives_leavers lets_no_stranger_lock_out""".split()
for word in SHARED:
    globals()["it_" + word] = getattr(both, "it_" + word)


def take(**body):
    return shared().ask("POST", "/task", {"taskId": fresh(), "attempt": 1, "type": "java", "payload": {"class": "com.example.Echo"}, **body})


# --- start ---

def it_announces():
    """announces itself with its token, address, pid, protocol and types; process lists show what it is"""
    k = shared()
    body = k.ready["body"]
    same((k.ready["path"], k.ready["token"]), ("/kernel/v1/ready", "Bearer " + fake_backend.KERNEL_TOKEN))
    same((body["kernelId"], body["pid"], body["protocol"], body["types"]), ("fek-1", k.process.pid, 1, ["java", "command"]))
    same(body["url"], "http://127.0.0.1:%d" % k.port)
    with open("/proc/%d/cmdline" % k.process.pid, "rb") as f:
        assert b"\0DSSFutureKernelMain\0" in f.read()


def it_names_missing_settings():
    """ends with 64 and names the setting that is missing or wrong"""
    cases = [({"DSS_KERNEL_ID": None}, "DSS_KERNEL_ID is not set"), ({"DSS_KERNEL_ID": "../x"}, "DSS_KERNEL_ID is no id"),
             ({"DSS_BACKEND_URL": None}, "DSS_BACKEND_URL is not set"),
             ({"DSS_KERNEL_SECRETS_FD": None}, "neither DSS_KERNEL_SECRETS_FD nor DSS_KERNEL_SECRETS is set"),
             ({"DSS_KERNEL_SECRETS_FD": "77"}, "unable to read the secrets"), ({"secrets": "{}"}, "the secrets must be"),
             ({"secrets": '{"kernelToken":"short","taskToken":"secret-part'}, "the secrets must be"),
             ({"DSS_BACKEND_URL": "ftp://x"}, "DSS_BACKEND_URL must read"), ({"DSS_KERNEL_LISTEN": "nowhere"}, "DSS_KERNEL_LISTEN must read"),
             ({"DSS_KERNEL_KIND": "job"}, "kind 'future' only"), ({"DSS_KERNEL_LEASE_S": "soon"}, "DSS_KERNEL_LEASE_S")]
    for extra, text in cases:
        k = JavaKernel(**extra)
        try:
            same(k.exit_code(), 64)
            assert text in k.log(), (extra, k.log())
            assert "secret-part" not in k.log() and "\tat " not in k.log(), k.log()
        finally:
            k.end()


def it_needs_no_archive():
    """starts without its class data archive, too"""
    with both.kernel(argv=["/usr/bin/java", "-Xmx64m", *OPTIONS[2:], *MAIN]) as k:
        same(k.run("work:add", 1)[1]["result"], 2)


# --- tasks ---

def it_runs_a_class():
    """makes a class from its fields, runs it in a thread of its own and answers with its value"""
    state = run("add", 40, task_id="a-task")
    same((state["state"], state["result"], state["resultBytes"], state["attempt"]), ("done", 41, 2, 1))
    same(run("which_thread", task_id="b-task")["result"], ["task b-task", True])
    same(run("nothing_at_all")["result"], None)
    same(shared().java("sample.Work$Bare", {"n": 7}, [shared().classes])[1]["result"], 7)
    value = {"a": [None, True, "ü", 1.5, 12345678901234]}
    same(shared().java("com.example.Echo", {"value": value})[1]["result"], {"a": [None, True, "ü", 1.5, 12345678901234]})


def it_refuses_bad_tasks():
    """answers 400 and names the field to a task that it cannot take"""
    refused(take(type="python"), 400, "java and command", "python")
    refused(take(type=None), 400)
    for bad in ("../x", 7, "a\0b", ""):
        refused(take(taskId=bad), 400, "taskId")
    for bad in ("1", True, 1.5, -1, 10**12):
        refused(take(attempt=bad), 400, "attempt")
    for bad in (0, -1, "5", 1.5):
        refused(take(timeoutMs=bad), 400, "timeoutMs")
    refused(take(payload=[]), 400, "payload")
    for name in (None, 7, "", "a..b", ".a", "a.", "a b", "a/b", "[I", "1a", "a\n", "x" * 1001):
        refused(take(payload={"class": name}), 400, "payload.class")
    refused(take(payload={"class": "a.B", "state": []}), 400, "payload.state")
    for bad in ("x", [1], [""], {}):
        refused(take(payload={"class": "a.B", "classpath": bad}), 400, "payload.classpath")
    for payload in ({}, {"argv": []}, {"argv": [1]}, {"argv": [""]}, {"argv": ["a\0b"]}):
        refused(take(type="command", payload=payload), 400, "payload.argv")
    for env in ({"A=B": "1"}, {"": "1"}, {"A": 1}, []):
        refused(take(type="command", payload={"argv": ["true"], "env": env}), 400, "payload.env")
    refused(take(type="command", payload={"argv": ["true"], "cwd": 1}), 400, "payload.cwd")
    for body in (b"", b"[]", b"{", b'{"a":NaN}', b'{"a":1,"a":2}', b"\xff", b"[" * 200000, b"{} {}", b"{'a':1}", b'{"a":1,}', b"{a:1}"):
        refused(shared().ask("POST", "/task", body), 400)
    for query in ("wait=-1", "wait=x", "wait=NaN", "wait=1&wait=2", "wait=.", "wait=1e3"):
        refused(shared().ask("POST", "/task?" + query, {}), 400)
    same(shared().health()["state"], "idle")


def it_says_what_cannot_be_a_task():
    """says why a class cannot be a task, and what is wrong with its state or classpath"""
    k = shared()
    for name, text in (("sample.Nothing", "unable to find class sample.Nothing in [" + k.classes), ("sample.Work$Kind", "is an enum"),
                       ("sample.Work$Half", "is abstract"), ("sample.Work$Inner", "inner class"), ("dss.FutureThread", "is an interface"),
                       ("java.lang.String", "does not implement dss.FutureThread"), ("sample.Work$Odd", "does not implement")):
        error_of(k.java(name, classpath=[k.classes])[1], "BadTask", text)
    error_of(k.java("sample.Work", {"nam": "add"}, [k.classes])[1], "BadTask", 'no field "nam"; its fields are args, name')
    error_of(k.java("com.example.Sleep", {"seconds": "long"})[1], "BadTask", "unable to make com.example.Sleep from its state")
    error_of(k.java("com.example.Echo", classpath=["/no/such.jar"])[1], "BadTask", "/no/such.jar")
    error_of(k.java("com.example.Echo", classpath=[])[1], "BadTask", "com.example.Echo; the task gave no classpath")
    same(k.java("com.example.Echo", classpath=[BUILT + "/*"])[1]["state"], "done")


def it_describes_exceptions():
    """reports an exception with class, message, the task's own stack and its cause"""
    error = error_of(run("raises"), "java.lang.IllegalArgumentException", "no input")
    assert "Work.java" in error["stack"] and "dss.kernel" not in error["stack"], error["stack"]
    same((error["cause"]["clazz"], error["cause"]["message"]), ("java.io.IOException", "/no/such/file"))
    error_of(run("odd"), "sample.Work$Odd", "IllegalStateException")
    assert len(error_of(run("recurses"), "java.lang.StackOverflowError")["stack"]) < 100_000
    error_of(run("direct"), "java.lang.OutOfMemoryError", "direct buffer")
    same(shared().java("com.example.Fail")[1]["error"]["cause"]["clazz"], "java.nio.file.NoSuchFileException")
    same(run("add", 1)["result"], 2)


def it_wants_strict_json():
    """fails a task whose result JSON cannot hold, and says which value and where"""
    error_of(run("not_a_number"), "BadResult", "result.rows[1].mean is NaN")
    error_of(run("cyclic"), "BadResult", "contains itself")
    error_of(run("a_thread"), "BadResult", "result.x[0]")
    error_of(run("half"), "BadResult", "surrogate")
    error_of(run("twice"), "BadResult", 'the key "1" twice')
    error_of(run("deep"), "BadResult", "nested too deeply")


def it_survives_an_exit():
    """reports a task that calls System.exit as failed before the kernel ends"""
    with both.kernel() as k:
        error = error_of(k.run("work:leaves")[1], "SystemExit", "System.exit")
        assert "Work.java" in error["stack"], error
        same(k.exit_code(), 1)


# --- stopping ---

def it_aborts_spinners():
    """aborts a task that only computes and looks at Progress.isAborted()"""
    state = stop("spins", "spinning")
    same((state["state"], state["error"]["clazz"]), ("aborted", "TaskAborted"))


def it_calls_abort():
    """calls abort() of the task, for what an interrupt does not reach"""
    same(stop("hooked", "hooked")["state"], "aborted")
    error_of(run("hooked", timeoutMs=50), "Timeout", "50 ms")


def it_aborts_at_any_moment():
    """ends each of many tasks that are aborted right at their start, and stays of use"""
    k = shared()
    c = k.connect()
    ends = set()
    for _ in range(150):
        body = {"taskId": fresh(), "attempt": 1, "type": "java", "payload": {"class": "com.example.Echo", "classpath": [DEMO]}}
        k.ask("POST", "/task", body, connection=c)
        k.ask("DELETE", "/task/" + body["taskId"], connection=c)
        if k.ask("GET", "/task/" + body["taskId"], connection=c)[0] == 200:
            ends.add(k.end_state(body["taskId"])["state"])
    c.close()
    assert ends <= {"aborted", "done"}, ends
    same(run("add", 1)["result"], 2)


def it_answers_while_an_initialiser_hangs():
    """goes on answering while a class initialiser hangs, past the task's deadline"""
    with both.kernel() as k:
        same(k.java("com.example.HangInit", task_id="h", wait=0, timeoutMs=50), (202, {}))
        wait_for("the initialiser", lambda: k.health()["state"] == "busy")
        same(k.ask("DELETE", "/task/h"), (202, {}))
        state = k.state("h")
        same(state["state"], "running")
        refused(take_busy(k), 409, "h")


def take_busy(k):
    return k.java("com.example.Echo", task_id="other")


# --- one task after the other ---

def it_restores_surroundings():
    """gives the next task the streams, properties and locale that the one before had"""
    before = run("where")["result"]
    same(run("moves")["state"], "done")
    same(run("where")["result"], before)
    run("prints")
    assert shared().log().rstrip().endswith("raw"), shared().log()


def it_reloads_changed_code():
    """runs changed code of the task's classpath"""
    k = shared()
    with tempfile.TemporaryDirectory() as folder:
        for number in (1, 2):
            source = os.path.join(folder, "Changed.java")
            with open(source, "w", encoding="utf-8") as f:
                f.write("public class Changed implements dss.FutureThread<Integer> { static int runs; public Integer run() { return %d + runs++; } }"
                        % (10 * number))
            subprocess.run(["javac", "-cp", os.path.join(BUILT, "dss-kernel.jar"), "-d", folder, source], check=True)
            for _ in range(2):
                same(k.java("Changed", classpath=[folder])[1]["result"], 10 * number)


def it_forgets_classes():
    """keeps nothing of thousands of tasks: their classes, loaders and thread groups go"""
    with both.kernel(argv=java_kernel("64m", "-XX:MaxMetaspaceSize=12m")) as k:
        c = k.connect()
        for i in range(3000):
            payload = {"class": "com.example.Echo", "state": {"value": {"i": i}}, "classpath": [DEMO]}
            status, state = k.ask("POST", "/task?wait=60", {"taskId": "e%d" % i, "attempt": 1, "type": "java", "payload": payload}, connection=c)
            same((status, state["result"]), (200, {"i": i}))
        c.close()


def it_notes_threads():
    """notes in the log which threads a task left behind"""
    task_id = run("leaves_thread")["taskId"]
    assert 'task %s left threads behind: "left one"' % task_id in shared().log(), shared().log()


def it_runs_commands_by_their_bytes():
    """keeps exit code 137 and signal 9 apart, and does not take a command's own words for its end"""
    k = shared()
    same(k.command(["sh", "-c", "exit 137"], task_id=fresh())[1]["result"], {"code": 137, "signal": None})
    same(k.command(["sh", "-c", "kill -9 $$"], task_id=fresh())[1]["result"], {"code": None, "signal": 9})
    same(k.command(["echo", "7 0"], task_id=fresh())[1]["result"], {"code": 0, "signal": None})
    same(k.command(["sh", "-c", "test -z \"$(ls /proc/self/fd | grep -v '[0123]')\""], task_id=fresh())[1]["result"]["code"], 0)


# --- memory ---

def it_ends_with_3_on_a_full_heap():
    """exits with 3 when a task fills the heap, and says so"""
    with both.kernel(argv=java_kernel("32m")) as k:
        k.java("com.example.EatHeap", task_id="e", wait=0)
        same(k.exit_code(), 3)
        assert "java.lang.OutOfMemoryError: Java heap space" in k.log(), k.log()


def it_tells_garbage():
    """tells on /health which part of its time goes into collecting garbage, and answers while it does"""
    with both.kernel(argv=java_kernel("64m")) as k:
        health = k.health()
        same(health["gcFraction"], 0)
        assert 0 < health["heapBytes"] < 64 << 20, health
        k.java("com.example.Churn", {"keep": 0.9}, task_id="c", wait=0)
        wait_for("a fifth of ten seconds in the collector", lambda: k.health()["gcFraction"] > 0.2)
        same(k.ask("DELETE", "/task/c"), (202, {}))
        same(k.end_state("c")["state"], "aborted")
        same(k.health()["gcFraction"], 0)


def it_eats_outside_the_heap():
    """can take memory that is not in its heap (for the box's limit)"""
    with both.kernel(argv=java_kernel("32m")) as k:
        same(k.java("com.example.EatBox", {"megabytes": 160})[1]["result"], 160)
        with open("/proc/%d/status" % k.process.pid, encoding="utf-8") as f:
            peak_kb = int(re.search(r"VmHWM:\s+(\d+)", f.read())[1])
        assert peak_kb > 160 * 1024, peak_kb


# --- the demo ---

def it_exports():
    """writes the demo's export and reports its rows and bytes"""
    k = shared()
    path = os.path.join(k.folder, "orders.csv")
    state = k.java("com.example.Export", {"file": path, "rows": 5000})[1]
    result = state["result"]
    same((result["file"], result["rows"], result["bytes"]), (path, 5000, os.path.getsize(path)))
    same((state["progress"], state["message"]), (1.0, "5000 rows"))
    with open(path, encoding="utf-8") as f:
        same(len(f.readlines()), 5001)
    same(k.java("com.example.Sleep", {"seconds": 0.01})[1]["result"], 0.01)


def compile_work():
    JavaKernel.classes = tempfile.mkdtemp(prefix="java-work-")
    source = os.path.join(ROOT, "spec/kernels/java_work/sample/Work.java")
    subprocess.run(["javac", "-encoding", "UTF-8", "-cp", os.path.join(BUILT, "dss-kernel.jar"), "-d", JavaKernel.classes, source], check=True)


if __name__ == "__main__":
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    compile_work()
    try:
        run_checks({name: f for name, f in list(globals().items()) if wanted in name}, both.shared_end)
    finally:
        shutil.rmtree(JavaKernel.classes)
        if both._shared:
            both._shared["context"].__exit__(None, None, None)
