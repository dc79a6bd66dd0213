"""Checks of the Java job kernel. Run by java_job_spec.lua with DSS_BUILD; alone: python3 -B spec/kernels/java_job_check.py [WORD]."""
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading

import python_check as both
from fake_backend import ROOT, Kernel, run_checks, wait_for
from java_check import BUILT, OPTIONS
from java_job_backend import House, JobBackend
from python_check import fresh, refused, same

MARK = "DSSJobKernelMain"
LINE = re.compile(r"^\[\d{4}/\d\d/\d\d-\d\d:\d\d:\d\d\.\d{3}\] \[(\S+)\] \[(INFO|WARN|ERROR)\] \[(\S+)\]  - (.*)$")
CLASSES = None


def job_kernel(heap="64m"):
    options = [o.replace("DSSFutureKernelMain", MARK) for o in OPTIONS]
    return ["/usr/bin/java", "-Xmx" + heap, *options, "-cp", os.path.join(BUILT, "dss-kernel.jar") + ":/usr/share/java/gson.jar", MARK]


class JobKernel(Kernel):
    def __init__(self, backend_port=1, argv=None, **extra):
        super().__init__(backend_port, argv or job_kernel(), **{"DSS_KERNEL_KIND": "job", **extra})

    def begin(self, activities, task_id=None, **more):
        """Posts a job and leaves it running. Returns its task's id."""
        task_id = task_id or fresh()
        payload = {"jobId": "Build_x_(NP)_1", "projectKey": "DEMO", "activities": activities, **more.pop("payload", {})}
        status, body = self.ask("POST", "/task", {"taskId": task_id, "attempt": 1, "type": "job", "payload": payload, **more})
        assert status in (200, 202), (status, body)
        return task_id

    def job(self, activities, **more):
        """Runs one to its end."""
        return self.end_state(self.begin(activities, **more))

    def until(self, task_id, what, fact):
        """Follows it until `fact(its activities)`."""
        state = self.state(task_id)
        while not fact(state["activities"]):
            assert state["state"] == "running", (what, state)
            before, state = state, self.state(task_id, state["version"])
            assert state["version"] != before["version"], (what, state)
        return state

    def abort(self, task_id):
        status, _ = self.ask("DELETE", "/task/" + task_id)
        assert status in (200, 202), status
        return self.end_state(task_id) if status == 202 else None

    def lines(self, thread=None):
        found = [LINE.match(line) for line in self.log().splitlines()]
        return [m for m in found if m and thread in (None, m[1])]


both.Kernel = JobKernel
for word in """asks_until_200 waits_for_a_backend announces_again announces_after_close cannot_listen proves_itself ends_without_lease""".split():
    globals()["it_" + word] = getattr(both, "it_" + word)


@contextlib.contextmanager
def world(lie=None, heap="64m", **house):
    """A job kernel and its backend, with a house of processes."""
    backend = JobBackend(House(**house), lie=lie)
    k = JobKernel(backend.port, job_kernel(heap))
    try:
        k.backend, k.house = backend, backend.house
        k.ready = k.meet(backend)
        yield k
    finally:
        k.end()
        k.backend.die()


def process(name, *after, **more):
    return {"activityId": name, "kind": "python", "after": list(after), **more}


def recipe(name, does, /, *after, **state):
    return {"activityId": name, "kind": "java", "after": list(after), "class": "Recipe", "classpath": [CLASSES], "state": {"does": does, **state}}


def states(state):
    return {name: a["state"] for name, a in state["activities"].items()}


def is_state(name, wanted):
    return lambda activities: activities[name]["state"] == wanted


def all_over(state):
    """No activity is left in between, and each that ran has its times in order."""
    for name, a in state["activities"].items():
        assert a["state"] in ("DONE", "FAILED", "ABORTED", "SKIPPED"), (name, a)
        assert 0 < a["endTime"] and a["readyTime"] <= (a["startTime"] or a["endTime"]) <= a["endTime"], (name, a)
    return state


def gone(k):
    """The house knows no process any more."""
    same(k.house.processes, {})


# --- start ---

def it_announces_jobs():
    """announces itself for jobs only; process lists show DSSJobKernelMain"""
    with world() as k:
        same(k.ready["body"]["types"], ["job"])
        with open("/proc/%d/cmdline" % k.process.pid, "rb") as f:
            assert b"\0DSSJobKernelMain\0" in f.read()
        refused(k.ask("POST", "/task", {"taskId": "t", "attempt": 1, "type": "java", "payload": {}}), 400, "tasks of type job", "java")


def it_is_for_jobs():
    """ends with 64 when it is started for futures"""
    k = JobKernel(DSS_KERNEL_KIND="future")
    try:
        same(k.exit_code(), 64)
        assert "DSSJobKernelMain is for kind 'job' only" in k.log(), k.log()
    finally:
        k.end()


def it_refuses_bad_jobs():
    """answers 400 to a job that makes no sense, and says which activity is wrong"""
    with world() as k:
        def take(payload):
            return k.ask("POST", "/task", {"taskId": fresh(), "attempt": 1, "type": "job", "payload": payload})

        good = process("a")
        refused(take({"activities": [good]}), 400, "payload.jobId")
        refused(take({"jobId": "../x", "activities": [good]}), 400, "payload.jobId")
        refused(take({"jobId": "j", "projectKey": 7, "activities": []}), 400, "payload.projectKey")
        for bad in (None, {}, "a"):
            refused(take({"jobId": "j", "activities": bad}), 400, "payload.activities")
        for wrong, text in (({"activityId": "a b"}, "[1].activityId"), ({"activityId": None}, "[1].activityId"), ({"kind": 3}, "[1].kind"),
                            ({"after": "a"}, "[1].after"), ({"after": ["zz"]}, '[1].after names "zz"'), ({"after": [3]}, "[1].after"),
                            ({"title": 3}, "[1].title"), ({"activityId": "a"}, "two activities a"), ({"kind": "java"}, "payload.activities[1].class"),
                            ({"kind": "java", "class": "A", "state": 3}, "[1].state of activity b"),
                            ({"kind": "java", "class": "A", "classpath": 3}, "[1].classpath of activity b"), ({"after": ["b"]}, "wait for each other: b")):
            refused(take({"jobId": "j", "activities": [good, {**process("b"), **wrong}]}), 400, text)
        refused(take({"jobId": "j", "activities": [3]}), 400, "[0] must be an object")
        refused(take({"jobId": "j", "activities": [good, process("b", "a", "d"), process("c", "b"), process("d", "c")]}), 400, "each other: b, c, d")
        refused(take({"jobId": "j", "activities": [process("a%d" % i) for i in range(2001)]}), 400, "2000 at most")
        for bad in (0, 65, "2", 1.5):
            refused(take({"jobId": "j", "activities": [], "javaSlots": bad}), 400, "javaSlots")
        same(k.health()["state"], "idle")


# --- order ---

def it_builds_nothing():
    """is done at once with a job that has nothing to do"""
    with world() as k:
        state = k.job([])
        same((state["state"], state["result"], state["progress"]), ("done", {"activities": {}}, 1))


def it_keeps_the_order():
    """runs each activity after all that it needs, forgets each process, and tells all of it in the result"""
    with world() as k:
        state = all_over(k.job([process("d", "b", "c", title="the last"), process("b", "a"), recipe("c", "nothing", "a", "a"), process("a")]))
        same((state["state"], state["progress"], state["message"]), ("done", 1, "4 of 4 done"))
        same([h for h in k.house.heard if h[0] == "POST"], [("POST", "a"), ("POST", "b"), ("POST", "d")])
        same(sorted(h for h in k.house.heard if h[0] == "DELETE"), [("DELETE", "a"), ("DELETE", "b"), ("DELETE", "d")])
        a = state["activities"]
        same(state["result"]["activities"], a)
        same(set(states(state).values()), {"DONE"})
        for first, then in (("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")):
            assert a[first]["endTime"] <= a[then]["readyTime"], (first, then, a)
        same((a["d"]["title"], a["d"]["kind"], a["c"]["kind"]), ("the last", "python", "java"))
        same(a["a"]["exit"], {"cause": "exited", "code": 0, "signal": None, "peakBytes": 1 << 20})
        same(a["a"]["processId"], "p-1")
        gone(k)


def it_runs_side_by_side():
    """runs what does not need each other at the same time: processes, and recipes in itself"""
    with world(holds=("p", "q")) as k, tempfile.TemporaryDirectory() as folder:
        one, two = os.path.join(folder, "one"), os.path.join(folder, "two")
        task = k.begin([process("p"), process("q"), recipe("r", "meets", name=one, other=two), recipe("s", "meets", name=two, other=one),
                        process("t", "r", "s")], payload={"javaSlots": 2})
        k.until(task, "all but the held", lambda a: a["t"]["state"] == "DONE" and a["p"]["state"] == a["q"]["state"] == "RUNNING")
        k.house.release("q")
        k.until(task, "q", is_state("q", "DONE"))
        k.house.release("p")
        same(all_over(k.end_state(task))["state"], "done")


def it_has_slots_for_recipes():
    """lets recipes wait for one of javaSlots, with their place in the line"""
    with world() as k:
        task = k.begin([recipe("a", "sleeps"), recipe("b", "nothing"), recipe("c", "nothing")], payload={"javaSlots": 1})
        a = k.until(task, "a", lambda a: a["a"].get("message") == "sleeping")["activities"]
        same((a["b"]["state"], a["b"]["waitingReason"], a["b"]["position"]), ("WAITING", "java recipes of this job: 1 of 1 run", 1))
        same(a["c"]["position"], 2)
        same(states(all_over(k.abort(task))), dict.fromkeys("abc", "ABORTED"))


def it_takes_one_job_after_the_other():
    """takes the next job when one ended, and no other before"""
    with world(holds=("x",)) as k:
        for _ in range(5):
            same(k.job([process("a"), recipe("b", "nothing", "a")])["state"], "done")
        task = k.begin([process("x")])
        refused(k.ask("POST", "/task", {"taskId": "other", "attempt": 1, "type": "job", "payload": {"jobId": "j", "activities": []}}), 409, task)
        k.until(task, "x", is_state("x", "RUNNING"))
        k.house.release("x")
        same(k.end_state(task)["state"], "done")


def it_runs_many():
    """runs two hundred activities within the backend's slots, in a heap of 64 MB"""
    with world(slots=10) as k:
        state = all_over(k.job([process("a%d" % i) for i in range(200)]))
        same((state["state"], len(state["activities"]), set(states(state).values())), ("done", 200, {"DONE"}))
        same(len(k.house.by_request), 200)
        gone(k)


def it_runs_chains():
    """runs five hundred activities one after the other, and five hundred recipes that fail, in a heap of 64 MB"""
    with world() as k:
        chain = [process("a%d" % i, *(["a%d" % (i - 1)] if i else [])) for i in range(500)]
        same(k.job(chain)["state"], "done")
        state = all_over(k.job([recipe("r%d" % i, "raises", name="x" * 5000) for i in range(500)]))
        same((state["state"], set(states(state).values())), ("failed", {"FAILED"}))
        same(k.health()["state"], "idle")


def it_follows_crowds():
    """notices each end, and begins what is new, while more processes run than it has long polls"""
    with world(holds="all") as k:
        names = ["a%d" % i for i in range(40)]
        task = k.begin([process(n) for n in names] + [process("z", "a39")])
        k.until(task, "all", lambda a: all(a[n]["state"] == "RUNNING" for n in names))
        k.house.release("a39")
        k.until(task, "the new one", is_state("z", "RUNNING"))
        for n in names[:39] + ["z"]:
            k.house.release(n)
        same(all_over(k.end_state(task))["state"], "done")


# --- what is said ---

def it_tags_lines():
    """tags what recipes print with their activity, line by line, also from threads they start and without an end of line"""
    with world() as k:
        same(k.job([recipe("one", "prints", name="one"), recipe("two", "prints", name="two")])["state"], "done")
        for name in ("one", "two"):
            said = [(m[3], m[4]) for m in k.lines("act." + name) if m[3].startswith("recipe")]
            same(sorted(said), sorted([("recipe.out", "out of " + name), ("recipe.err", "err of " + name + " ü"),
                                       ("recipe.out", "begun by a thread"), ("recipe.out", "no end")]))
            same([m[4] for m in k.lines("act." + name) if m[3] == "dss.job"], ["Activity started", "Activity DONE"])
        same([m[4] for m in k.lines("job")], ["Job Build_x_(NP)_1 begins: 2 activities", "Job Build_x_(NP)_1 ended: 2 of 2 done"])


def it_keeps_lines_whole():
    """keeps the lines of recipes whole that print at the same time, and cuts endless ones"""
    with world() as k:
        same(k.job([recipe(n, "floods", name=n) for n in "ab"], payload={"javaSlots": 2})["state"], "done")
        for n in "ab":
            said = [m[4] for m in k.lines("act." + n) if m[3] == "recipe.out"]
            same(said[:20000], ["%s line %d of many" % (n, i) for i in range(20000)])
            same([len(s) for s in said[20000:]], [16384, 16384, 40000 - 2 * 16384])


def it_tells_progress_of_recipes():
    """tells each recipe's own progress"""
    with world() as k:
        task = k.begin([recipe("a", "reports"), process("b")])
        state = k.until(task, "a quarter", lambda a: a["a"].get("message") == "a quarter" and a["b"]["state"] == "DONE")
        same((state["activities"]["a"]["progress"], state["progress"]), (0.25, 0.5))
        k.abort(task)


# --- failure ---

def it_skips_after_a_failure():
    """skips what needs a failed activity, near and far, runs the rest, and fails with the first failure"""
    with world(ends={"b": {"code": 3}}) as k:
        state = all_over(k.job([process("a"), process("b", "a"), process("c", "b"), process("d", "c", "a"), recipe("e", "nothing", "a"), process("f", "e")]))
        same(states(state), {"a": "DONE", "b": "FAILED", "c": "SKIPPED", "d": "SKIPPED", "e": "DONE", "f": "DONE"})
        same((state["state"], state["error"]["clazz"]), ("failed", "ActivityFailed"))
        same(state["error"]["message"], "activity b failed: its process ended with exit code 3")
        same(state["firstFailure"], {"activityId": "b", "message": "its process ended with exit code 3"})
        same(state["activities"]["d"]["message"], "not run: b, which it needs, failed")
        same(k.ask("GET", "/task/%s/result" % state["taskId"])[0], 404)
        gone(k)


def it_tells_how_processes_end():
    """tells how a process ended: code, signal, cause, the backend's own words; a cause counts also with code 0"""
    ends = {"a": {"code": None, "signal": 9, "cause": "signal"}, "b": {"cause": "oom_limit", "code": 0},
            "c": {"code": 1, "message": "Killed: your recipe used 3.0 GB"}, "d": {"code": 0, "signal": 15}, "e": {"cause": "start_failed", "code": None}}
    with world(ends=ends) as k:
        state = all_over(k.job([process(n) for n in ends]))
        messages = {n: a["message"] for n, a in state["activities"].items()}
        same(messages, {"a": "its process ended by signal 9 (signal)", "b": "its process ended with exit code 0 (oom_limit)",
                        "c": "Killed: your recipe used 3.0 GB", "d": "its process ended by signal 15",
                        "e": "its process ended with exit code unknown (start_failed)"})
        same(set(states(state).values()), {"FAILED"})
        same(state["activities"]["b"]["exit"]["cause"], "oom_limit")
        assert " (4 more failed)" in state["error"]["message"], state["error"]


def it_describes_what_recipes_throw():
    """tells class, message and stack of what a recipe throws, in the state and, line by line, in the log"""
    with world() as k:
        state = all_over(k.job([recipe("a", "raises", name="a"), recipe("b", "errs", "a"), process("c")]))
        same(states(state), {"a": "FAILED", "b": "SKIPPED", "c": "DONE"})
        error = state["activities"]["a"]["error"]
        same((error["clazz"], error["message"]), ("java.lang.IllegalStateException", "no input for a"))
        assert "Recipe.java" in error["stack"] and "dss.kernel" not in error["stack"], error
        same(state["error"]["cause"]["cause"]["clazz"], "java.io.IOException")
        same(state["firstFailure"]["clazz"], "java.lang.IllegalStateException")
        errors = [m[4] for m in k.lines("act.a") if m[2] == "ERROR"]
        assert errors[0].startswith("Activity FAILED: java.lang.IllegalStateException: no input for a"), errors
        assert any("Recipe.java" in e for e in errors), errors
        same(k.job([recipe("a", "errs")])["activities"]["a"]["error"]["clazz"], "java.lang.NoClassDefFoundError")
        state = k.job([{**recipe("a", "nothing"), "class": "Nothing"}, {**recipe("b", "nothing"), "state": {"no": 1}}])
        assert "unable to find class Nothing in" in state["activities"]["a"]["message"], state
        assert 'no field "no"' in state["activities"]["b"]["message"], state


def it_stands_recipes_that_interrupt():
    """goes on when a recipe interrupts every thread it finds"""
    with world(holds=("b",)) as k:
        task = k.begin([recipe("a", "interrupts"), process("b", "a")])
        k.until(task, "b", is_state("b", "RUNNING"))
        k.house.release("b")
        same(k.end_state(task)["state"], "done")


def it_survives_an_exit():
    """reports which recipe called System.exit before the kernel ends"""
    with world(holds=("b",)) as k:
        task = k.begin([process("b")])
        k.until(task, "b", is_state("b", "RUNNING"))
        k.house.release("b")
        k.end_state(task)
        status, state = k.ask("POST", "/task?wait=60", {"taskId": "x", "attempt": 1, "type": "job", "payload": {
            "jobId": "j", "activities": [recipe("a", "exits"), process("b")]}})
        same((status, state["state"], state["error"]["clazz"]), (200, "failed", "SystemExit"))
        same(state["firstFailure"]["activityId"], "a")
        assert "System.exit" in state["activities"]["a"]["message"], state
        all_over(state)
        same(k.exit_code(), 1)


# --- stopping ---

def it_aborts_before_the_first():
    """ends each of many jobs in a clear state that are aborted right at their start, with nothing left at the backend"""
    with world() as k:
        ends = set()
        for _ in range(60):
            task = k.begin([process("a"), recipe("b", "nothing"), process("c", "a", "b")])
            state = k.abort(task)
            if state:
                all_over(state)
                ends.add(state["state"])
            k.ask("DELETE", "/task/" + task)
        assert ends <= {"aborted", "done"} and "aborted" in ends, ends
        gone(k)
        same(k.job([process("a")])["state"], "done")


def it_aborts_while_processes_run():
    """stops each process that runs, starts nothing more, and ends aborted with every activity in a clear state"""
    with world(holds=("b", "c")) as k:
        task = k.begin([process("a"), process("b", "a"), process("c"), process("d", "b"), recipe("e", "nothing", "c")])
        k.until(task, "b and c", lambda a: a["b"]["state"] == a["c"]["state"] == "RUNNING")
        state = all_over(k.abort(task))
        same((state["state"], state["error"]["clazz"]), ("aborted", "TaskAborted"))
        same(states(state), {"a": "DONE", "b": "ABORTED", "c": "ABORTED", "d": "ABORTED", "e": "ABORTED"})
        same(state["activities"]["d"]["message"], "its job was stopped before it began")
        gone(k)


def it_aborts_recipes():
    """interrupts recipes that sleep, and tells those that look"""
    with world() as k:
        task = k.begin([recipe("a", "sleeps"), recipe("b", "looks"), process("c", "a")], payload={"javaSlots": 2})
        k.until(task, "both", lambda a: a["a"].get("message") == "sleeping" and a["b"].get("message") == "looking")
        state = all_over(k.abort(task))
        same((state["state"], states(state)), ("aborted", dict.fromkeys("abc", "ABORTED")))
        same(k.job([recipe("a", "nothing")])["state"], "done")


def it_aborts_while_waiting():
    """leaves the line when it is aborted while an activity waits, in the backend's line or before it"""
    with world(slots=0) as k:
        task = k.begin([process("a")])
        k.until(task, "the line", lambda a: a["a"].get("position") == 1)
        same(states(all_over(k.abort(task))), {"a": "ABORTED"})
        gone(k)
    with world(lie=lambda method, path, body: (429, {"reason": "no slot"}) if method == "POST" else None) as k:
        task = k.begin([process("a")])
        k.until(task, "no slot", lambda a: a["a"].get("waitingReason") == "no slot")
        same(states(all_over(k.abort(task))), {"a": "ABORTED"})


def it_aborts_between():
    """starts no process after the order to stop, also when the order comes between two activities"""
    with world() as k:
        for i in range(40):
            task = k.begin([process("a"), process("b", "a"), process("c", "b"), process("d", "c")])
            k.until(task, "some way", lambda a: a["abcd"[i % 4]]["state"] in ("WAITING", "RUNNING", "DONE"))
            state = k.abort(task)
            if state:
                all_over(state)
                assert "ABORTED" not in states(state).values() or state["state"] == "aborted", state
            gone(k)


def it_aborts_at_the_end():
    """ends each of many jobs that are aborted right when the last process is forgotten"""
    doing = {}

    def lie(method, path, body):
        if method == "DELETE" and doing:    # the order to stop and our answer reach the kernel together
            threading.Thread(target=k.ask, args=("DELETE", "/task/" + doing["task"])).start()

    with world(lie=lie) as k:
        for _ in range(300):
            doing["task"] = fresh()
            k.begin([process(n) for n in "abcd"], task_id=doing["task"])
            wait_for("its end", lambda: k.health()["state"] == "idle")
            gone(k)


def it_waits_for_slow_ends():
    """waits for a process that takes its time to stop, and says so when it does not end"""
    with world(holds=("a",)) as k:
        k.house.is_slow_to_stop = True
        task = k.begin([process("a")])
        k.until(task, "a", is_state("a", "RUNNING"))
        same(k.ask("DELETE", "/task/" + task), (202, {}))
        wait_for("the order", lambda: ("DELETE", "a") in k.house.heard)
        same(k.state(task)["state"], "running")
        k.house.release("a", cause="user", code=None, signal=15)
        state = all_over(k.end_state(task))
        same((states(state), state["activities"]["a"]["exit"]["cause"]), ({"a": "ABORTED"}, "user"))
        gone(k)
        k.house.holds = ("a",)
        task = k.begin([process("a")])
        k.until(task, "a", is_state("a", "RUNNING"))
        state = all_over(k.abort(task))
        assert "has not ended yet, the backend ends process" in state["activities"]["a"]["message"], state


def it_aborts_without_a_backend():
    """ends a job that is to stop while the backend does not answer"""
    with world(holds=("a",), lie=lambda method, path, body: (503, {}) if method == "DELETE" else None) as k:
        task = k.begin([process("a")])
        k.until(task, "a", is_state("a", "RUNNING"))
        state = all_over(k.abort(task))
        same((state["state"], states(state)), ("aborted", {"a": "ABORTED"}))
        assert "503, the backend ends process p-1" in state["activities"]["a"]["message"], state
    with world(holds=("a",), lie=lambda method, path, body: "close" if method == "POST" else None) as k:
        task = k.begin([process("a")])
        k.until(task, "the trouble", lambda a: "does not answer" in a["a"].get("waitingReason", ""))
        state = all_over(k.abort(task))
        assert "whether its process began is not known" in state["activities"]["a"]["message"], state


def it_has_deadlines():
    """stops a job whose time is over, as failed"""
    with world(holds=("a",)) as k:
        state = all_over(k.job([process("a"), process("b", "a")], timeoutMs=200))
        same((state["state"], state["error"]["clazz"], states(state)), ("failed", "Timeout", {"a": "ABORTED", "b": "ABORTED"}))
        gone(k)


def it_shuts_down_with_a_job():
    """stops its job first when it is to end"""
    with world(holds=("a",)) as k:
        task = k.begin([process("a"), recipe("b", "sleeps")])
        k.until(task, "both", lambda a: a["a"]["state"] == "RUNNING" and a["b"].get("message") == "sleeping")
        same(k.ask("POST", "/shutdown"), (202, {}))
        same(k.exit_code(), 0)
        gone(k)


# --- the backend comes and goes ---

def it_outlives_backends():
    """goes on with its processes when the backend was away, and knows how they ended meanwhile"""
    with world(holds=("a", "b")) as k:
        task = k.begin([process("a"), process("b", "a"), recipe("c", "nothing", "b")])
        k.until(task, "a", is_state("a", "RUNNING"))
        for name, then in (("a", "b"), ("b", None)):
            port = k.backend.port
            k.backend.die()
            state = k.until(task, "the loss", lambda a: "the backend does not answer" in a[name].get("message", ""))
            same(state["activities"][name]["state"], "RUNNING")
            k.house.release(name)
            k.backend = JobBackend(k.house, port)
            k.meet(k.backend)
            if then:
                k.until(task, then, is_state(then, "RUNNING"))
        state = all_over(k.end_state(task))
        same((state["state"], len(k.house.by_request)), ("done", 2))
        assert "message" not in state["activities"]["a"], state
        gone(k)


def it_asks_again_for_the_same_process():
    """asks again with the same requestId when the answer was lost, so that nothing runs twice"""
    lost, asked = [], []

    def lie(method, path, body):
        if method != "POST":
            return None
        asked.append(body["requestId"])
        if len(lost) < 3:
            lost.append(house.answer(method, path, body))   # it starts, but nobody hears of it
            return ("close", (503, {}), (500, b"oops"))[len(lost) - 1]

    house = House()
    backend = JobBackend(house, lie=lie)
    k = JobKernel(backend.port)
    try:
        k.meet(backend)
        same(k.job([process("a")], task_id="t-7")["state"], "done")
        same((len(asked), len(set(asked)), len(house.by_request)), (4, 1, 1))
        assert re.fullmatch(r"req-[0-9a-f]{32}", asked[0]), asked
        k.job([process("a")], task_id="t-8")
        same(len(set(asked)), 2)
    finally:
        k.end()
        backend.die()


def it_waits_for_a_late_backend():
    """waits with an activity while the backend is away, and says so"""
    with world() as k:
        port = k.backend.port
        k.backend.die()
        task = k.begin([process("a")])
        a = k.until(task, "the reason", lambda a: a["a"].get("waitingReason"))["activities"]["a"]
        assert a["state"] == "WAITING" and "the backend does not answer" in a["waitingReason"], a
        k.backend = JobBackend(k.house, port)
        same(all_over(k.end_state(task))["state"], "done")


def it_waits_for_slots():
    """keeps an activity WAITING with the backend's reason and place, whichever way the backend says so"""
    with world(slots=1, holds="all") as k:
        task = k.begin([process("a"), process("b"), process("c")])
        a = k.until(task, "the line", lambda a: sorted(x.get("position", 0) for x in a.values()) == [0, 1, 2])["activities"]
        same({x.get("waitingReason") for x in a.values() if x["state"] == "WAITING"}, {"1 of 1 slots are taken"})
        for _ in "abc":     # whoever came first runs
            k.house.release(wait_for("one that runs", k.house.running)[0])
        state = all_over(k.end_state(task))
        same((state["state"], k.house.most), ("done", 1))
        assert not any("waitingReason" in x or "position" in x for x in state["activities"].values()), state
    for status, body in ((409, {"reason": "2nd of 3", "position": 2}), (429, {"error": {"clazz": "Busy", "message": "2nd of 3"}, "position": 2}),
                         (200, {"state": "waiting", "reason": "2nd of 3", "position": 2, "retryAfterMs": 20}), (429, {"message": "2nd of 3", "position": 2})):
        gate = threading.Event()
        with world(lie=lambda method, path, said: (status, body) if method == "POST" and not gate.is_set() else None) as k:
            task = k.begin([process("a")])
            a = k.until(task, "the reason", lambda a: a["a"].get("waitingReason") == "2nd of 3")["activities"]["a"]
            same((a["state"], a["position"], a["startTime"]), ("WAITING", 2, 0))
            gate.set()
            same(k.end_state(task)["state"], "done")


def it_asks_for_places_of_recipes():
    """asks the backend for a place of each java recipe, runs it when there is one, and tells why it waits"""
    with world() as k:
        k.house.crowded, k.house.crowded_s = {"a"}, 0.3
        task = k.begin([recipe("a", "nothing"), recipe("b", "nothing")], payload={"javaSlots": 2})
        a = k.until(task, "the reason", lambda a: a["a"].get("waitingReason") and a["b"]["state"] == "DONE")["activities"]["a"]
        same((a["state"], a["position"], a["startTime"]), ("WAITING", 1, 0))
        assert a["waitingReason"].endswith("recipes are at work"), a
        with k.house.changed:
            k.house.crowded = set()
            k.house.changed.notify_all()
        same(states(all_over(k.end_state(task))), {"a": "DONE", "b": "DONE"})
        same(k.house.processes, {})
    with world() as k:      # one that waits is aborted at once
        k.house.crowded = {"a"}
        task = k.begin([recipe("a", "nothing"), process("b", "a")])
        wait_for("the question", lambda: k.house.asked)
        k.ask("DELETE", "/task/" + task)
        same(states(all_over(k.end_state(task))), {"a": "ABORTED", "b": "ABORTED"})
        same(k.house.held, 1)       # the question is still there, unanswered


def it_stands_in_a_new_line():
    """asks anew for a process that waited when the backend, and its line, went"""
    with world(slots=0) as k:
        task = k.begin([process("a")])
        k.until(task, "the line", is_state("a", "WAITING"))
        wait_for("the question", lambda: ("POST", "a") in k.house.heard)
        with k.house.changed:
            k.house.processes.clear()
            k.house.by_request.clear()
            k.house.slots = 1
            k.house.changed.notify_all()
        same(states(all_over(k.end_state(task))), {"a": "DONE"})
        same([h for h in k.house.heard if h[0] == "POST"], [("POST", "a"), ("POST", "a")])


# --- lies ---

def it_stands_garbage():
    """asks again when the backend's answer makes no sense, and fails the activity when it goes on so"""
    for garbage in (b"", b"[]", b"\xff\0", b'{"processId":"../x"}'):
        with world(lie=lambda method, path, body: (200, garbage) if method == "POST" and "wait" not in body else None) as k:
            state = all_over(k.job([process("a"), process("b", "a"), recipe("c", "nothing")]))
            same((state["state"], states(state)), ("failed", {"a": "FAILED", "b": "SKIPPED", "c": "DONE"}))
            assert "makes no sense" in state["activities"]["a"]["message"], state
    left = [3]

    def sometimes(method, path, body):
        if method == "GET" and left[0] > 0:
            left[0] -= 1
            return 200, (b"<html>", b'{"state":"exited"}', b'{"state":["running"]}')[left[0]]

    with world(lie=sometimes, holds=("a",)) as k:
        task = k.begin([process("a")])
        wait_for("the lies", lambda: left[0] == 0)
        k.house.release("a")
        same(k.end_state(task)["state"], "done")


def it_gives_up_lost_processes():
    """fails an activity whose process the backend does not know any more, instead of running it twice"""
    with world(holds=("a",)) as k:
        task = k.begin([process("a"), recipe("b", "nothing")])
        k.until(task, "a", is_state("a", "RUNNING"))
        with k.house.changed:
            k.house.processes.clear()
            k.house.by_request.clear()
            k.house.changed.notify_all()    # the long poll under way ends, the next one finds nothing
        state = all_over(k.end_state(task))
        same((state["state"], states(state)), ("failed", {"a": "FAILED", "b": "DONE"}))
        assert "does not know its process p-1 any more" in state["activities"]["a"]["message"], state
        same([h for h in k.house.heard if h[0] == "POST"], [("POST", "a")])


def it_keeps_states_small():
    """keeps the state of two thousand activities under what the backend takes, whatever their texts"""
    text = "\u20ac" * 5000
    with world(lie=lambda method, path, body: (403, {"error": {"message": text}}) if method == "POST" else None) as k:
        task = k.begin([process("a" * 120 + str(i), title=text[:900]) for i in range(2000)])
        state = k.end_state(task)
        same((state["state"], set(states(state).values())), ("failed", {"FAILED"}))
        size = len(k.ask_raw("GET", "/task/" + task)[1])
        assert size < 2 << 20, size


def it_tells_refusals():
    """fails an activity that the backend refuses, with the backend's words"""
    for status, text in ((400, "no such activity"), (403, "not yours"), (404, "that kernel does not exist"), (500, "a bug")):
        answer = (status, {"error": {"clazz": "X", "message": text}})
        with world(lie=lambda method, path, body: answer if method == "POST" else None) as k:
            state = all_over(k.job([process("a")]))
            assert state["state"] == "failed" and text in state["activities"]["a"]["message"], state


def it_does_not_hammer():
    """does not ask without pause when long polls come back at once"""
    asked = []

    def lie(method, path, body):
        if method == "GET" and not gate.is_set():
            asked.append(path)
            return 200, {"state": "running"}

    gate = threading.Event()
    with world(lie=lie, holds=("a",)) as k:
        task = k.begin([process("a")])
        wait_for("some of them", lambda: len(asked) >= 6)
        assert asked[0].endswith("?wait=30&seen=running") and asked[-1] == asked[0], asked
        assert len(asked) < 100, len(asked)
        k.house.release("a")
        gate.set()
        same(k.end_state(task)["state"], "done")


def it_cleans_texts():
    """shows the backend's words as one clean line of bounded length"""
    with world(ends={"a": {"code": 1, "message": "a\x1b[31m\nb" + "x" * 5000}}) as k:
        message = k.job([process("a")])["activities"]["a"]["message"]
        assert message.startswith("a [31m b") and len(message) == 300, message


def compile_recipe():
    global CLASSES
    CLASSES = tempfile.mkdtemp(prefix="java-job-work-")
    source = os.path.join(ROOT, "spec/kernels/java_job_work/Recipe.java")
    subprocess.run(["javac", "-encoding", "UTF-8", "-cp", os.path.join(BUILT, "dss-kernel.jar"), "-d", CLASSES, source], check=True)


if __name__ == "__main__":
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    compile_recipe()
    try:
        run_checks({name: f for name, f in list(globals().items()) if wanted in name}, lambda: "")
    finally:
        shutil.rmtree(CLASSES)
        if both._shared:
            both._shared["context"].__exit__(None, None, None)
