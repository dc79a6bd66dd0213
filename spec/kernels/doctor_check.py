"""Checks of kernels/python/doctor: a kernel `doctor.server` against a fake backend. Run by doctor_spec.lua; alone: python3 -B … [WORD]."""
import csv
import gzip
import json
import os
import random
import sys
import tempfile

from fake_backend import ROOT, Backend, Kernel, run_checks, wait_for

sys.path[:0] = [os.path.join(ROOT, "kernels/python"), os.path.join(ROOT, "kernels/python/kernel")]
ARGV = ["/usr/bin/python3", "-I", os.path.join(ROOT, "kernels/python/kernel"), "doctor.server"]
COLUMNS = ["id", "age", "plan", "spend", "left"]


class World:
    """A kernel that has met its backend, and a project's folder."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.dir = os.path.join(self.folder.name, "P")
        self.backend = Backend()
        self.kernel = Kernel(self.backend.port, ARGV)
        self.ready = self.kernel.meet(self.backend)
        self.tasks = 0
        self.dataset("people", people(600))

    def dataset(self, name, rows, file="rows.csv", header=None):
        folder = os.path.join(self.dir, "data", name)
        os.makedirs(folder, exist_ok=True)
        opener = gzip.open if file.endswith(".gz") else open
        with opener(os.path.join(folder, file), "wt", newline="", encoding="utf-8") as f:
            out = csv.writer(f)
            out.writerow(COLUMNS if header is None else header)
            out.writerows(rows)

    def text(self, path, text):
        os.makedirs(os.path.dirname(os.path.join(self.dir, path)), exist_ok=True)
        with open(os.path.join(self.dir, path), "w", encoding="utf-8") as f:
            f.write(text)

    def begin(self, **more):
        self.tasks += 1
        payload = {"project": "P", "dir": self.dir, "model": "m", "sessionId": "s%d" % self.tasks, "algorithm": "decision_tree",
                   "input": "people", "target": "left", "task": "classification", **more}
        task_id = "t%d" % self.tasks
        body = {"taskId": task_id, "attempt": 1, "type": "train", "payload": {k: v for k, v in payload.items() if v is not None}}
        status, said = self.kernel.ask("POST", "/task?wait=0", body)
        assert status in (200, 202), said
        return task_id

    def train(self, **more):
        return self.kernel.end_state(self.begin(**more))

    def close(self):
        self.kernel.end()
        self.backend.die()
        self.folder.cleanup()


def people(count, seed=1):
    dice = random.Random(seed)
    rows = []
    for i in range(count):
        age, plan = dice.randint(18, 80), dice.choice(["gold", "tin", "free"])
        spend = age * 2 + (30 if plan == "gold" else 0) + dice.gauss(0, 4)
        rows.append(["u%d" % i, "" if dice.random() < 0.05 else age, plan, "%.2f" % spend, "yes" if spend > 110 else "no"])
    return rows


_shared = {}


def world():
    if not _shared:
        _shared["world"] = World()
    return _shared["world"]


def same(got, wanted):
    assert got == wanted, "got %r, wanted %r" % (got, wanted)


def result_of(state):
    same(state["state"], "done") if state["state"] == "done" else same(state, "done")
    return state["result"]


def refused(state, *words):
    same(state["state"], "failed")
    same(state["error"]["clazz"], "doctor.trouble.CannotTrain")
    for word in words:
        assert word in state["error"]["message"], state["error"]["message"]


def kept(path):
    return os.path.exists(os.path.join(world().dir, path))


# --- what it takes ---

def it_takes_trainings_alone():
    """takes tasks of type train alone, and says what its payload needs"""
    k = world().kernel
    same(world().ready["body"]["types"], ["train"])
    status, said = k.ask("POST", "/task?wait=0", {"taskId": "x", "attempt": 1, "type": "python", "payload": {"callable": "a:b"}})
    same((status, said["error"]["clazz"]), (400, "BadType"))
    status, said = k.ask("POST", "/task?wait=0", {"taskId": "x", "attempt": 1, "type": "train", "payload": {"project": "P"}})
    assert status == 400 and "payload.model" in said["error"]["message"], said
    status, said = k.ask("POST", "/task?wait=0", {"taskId": "x", "attempt": 1, "type": "train", "payload": {"project": "../P"}})
    assert status == 400 and "payload.project" in said["error"]["message"], said


def it_says_what_it_is():
    """says doctor.server in its command line, and not the mark of future kernels"""
    with open("/proc/%d/cmdline" % world().kernel.process.pid, encoding="utf-8") as f:
        words = f.read().split("\0")
    assert "doctor.server" in words and "DSSFutureKernelMain" not in words, words


def it_refuses_a_module_that_is_not_there():
    """does not start with a module that is not there, or with a mark and a module"""
    for words, said in ((["doctor.nurse"], "unable to use the module doctor.nurse"), (["DSSFutureKernelMain", "doctor.server"], "mark"),
                        ([], "mark")):
        k = Kernel(1, ARGV[:3] + words)
        try:
            same(k.exit_code(), 64)
            assert said in k.log(), k.log()
        finally:
            k.end()


# --- what it makes ---

def it_classifies():
    """tells classes apart with each algorithm, better than by guessing, and weighs the columns"""
    for algorithm in ("random_forest", "logistic_regression", "gradient_boosting", "decision_tree"):
        r = result_of(world().train(algorithm=algorithm, params={"random_forest": {"n_estimators": 20}, "gradient_boosting": {"max_iter": 20}}))
        assert r["metrics"]["accuracy"] > 0.85 and r["metrics"]["f1"] > 0.8 and r["metrics"]["auc"] > 0.9, r
        same((r["rows"], r["trainRows"] + r["testRows"], r["algorithm"]), (600, 600, algorithm))
        same(r["leftOut"], {"id": "a word of its own in most rows"})
        same(sorted(r["classes"]), ["no", "yes"])
        same(sum(map(sum, r["confusion"])), r["testRows"])
        same(r["importances"][0]["column"], "spend")
        assert abs(sum(i["importance"] for i in r["importances"]) - 1) < 1e-3, r["importances"]


def it_regresses():
    """predicts numbers with each algorithm"""
    for algorithm in ("random_forest", "ridge", "gradient_boosting", "decision_tree"):
        r = result_of(world().train(algorithm=algorithm, task="regression", target="spend", params={"drop": ["left"], "folds": 3}))
        assert r["metrics"]["r2"] > 0.7 and 0 < r["metrics"]["mae"] < r["metrics"]["rmse"] < 40, r
        same((r["validation"]["score"], len(r["validation"]["folds"])), ("r2", 3))


def it_clusters():
    """finds as many clusters as are asked for"""
    r = result_of(world().train(algorithm="kmeans", task="clustering", target=None, params={"kmeans": {"n_clusters": 3, "n_init": 2}}))
    same((len(r["clusterSizes"]), sum(r["clusterSizes"]), r["testRows"]), (3, 600, 0))
    assert r["metrics"]["inertia"] > 0 and -1 <= r["metrics"]["silhouette"] <= 1, r["metrics"]


def it_repeats():
    """gives the same numbers for the same seed"""
    first, again, other = (result_of(world().train(params={"seed": seed, "drop": ["spend"]}))["metrics"] for seed in (1, 1, 2))
    same(first, again)
    assert first != other, first


def it_keeps_models_that_can_be_used():
    """keeps a model that predicts from plain rows, and a record that says what the result says"""
    r = result_of(world().train(algorithm="random_forest"))
    with open(os.path.join(world().dir, r["file"].replace(".joblib", ".json")), encoding="utf-8") as f:
        same(json.load(f), r)
    from doctor import model
    loaded = model.load(os.path.join(world().dir, r["file"]))
    same(loaded.predict([{"age": "78", "plan": "gold", "spend": "190"}, {"age": "", "plan": "unheard of", "spend": "40"}]), ["yes", "no"])
    same([n for n in os.listdir(os.path.dirname(os.path.join(world().dir, r["file"]))) if n.startswith(".")], [])


def it_reads_parts():
    """reads all files of a dataset, packed or not, and evenly chosen rows where it is to take fewer"""
    world().dataset("parts", people(300, 1), "a.csv")
    world().dataset("parts", people(300, 2), "b.csv.gz")
    r = result_of(world().train(input="parts", params={"rows": 200}))
    same((r["rows"], r["trainRows"] + r["testRows"]), (600, 200))


def it_tells_progress():
    """tells how far it is while it runs, and logs what it does"""
    k, seen = world().kernel, []
    task = world().begin(algorithm="random_forest", params={"random_forest": {"n_estimators": 400}, "folds": 3})
    state = k.state(task)
    while state["state"] == "running":
        seen.append((state.get("progress"), state.get("message")))
        state = k.state(task, state["version"], wait=5)
    result_of(state)
    fractions = [f for f, _ in seen if f is not None]
    assert fractions == sorted(fractions) and any(0 < f < 1 for f in fractions), fractions
    assert any("trees" in (m or "") or "fold" in (m or "") for _, m in seen), seen
    assert "measured on 120 rows: accuracy" in k.log(), k.log()


def it_is_aborted():
    """stops when it is asked to, and leaves no model, half or whole"""
    task = world().begin(algorithm="random_forest", params={"random_forest": {"n_estimators": 10000}, "folds": 20})
    k, session = world().kernel, "s%d" % world().tasks
    state = k.state(task)
    while "fold" not in state.get("message", ""):
        assert state["state"] == "running", state
        state = k.state(task, state["version"], wait=5)
    same(k.ask("DELETE", "/task/" + task)[0], 202)
    same(k.end_state(task)["state"], "aborted")
    same(os.listdir(os.path.join(world().dir, "models/m", session)), [])


# --- what it refuses, with words ---

def it_names_what_is_missing():
    """names the dataset, file, column or rows that are not there"""
    refused(world().train(input="nowhere"), "dataset nowhere is not there", "build it first")
    world().text("data/texts/notes.txt", "x")
    refused(world().train(input="texts"), "no .csv", "notes.txt")
    world().text("data/none/rows.csv", "")
    refused(world().train(input="none"), "dataset none is empty")
    world().dataset("header", [])
    refused(world().train(input="header"), "no rows, only a header")
    refused(world().train(target="lost"), "no column 'lost'", "it has id, age, plan, spend, left")
    refused(world().train(target=None), "has no target")
    refused(world().train(params={"drop": ["agee"]}), "no column 'agee'")
    world().dataset("few", people(5))
    refused(world().train(input="few"), "5 rows with a target; 10 are the fewest")


def it_names_what_is_wrong_with_a_target():
    """says why a target cannot be learned"""
    refused(world().train(task="regression", target="plan"), "'plan' is no number", "regression predicts numbers")
    world().dataset("one", [r[:4] + ["yes"] for r in people(50)])
    refused(world().train(input="one"), "'left' is 'yes' in all rows")
    refused(world().train(target="id"), "different values, 100 classes are the most")
    refused(world().train(target="spend"), 'task = "regression"')
    world().dataset("blank", [r[:4] + [""] for r in people(50)])
    refused(world().train(input="blank"), "'left' is missing in all")
    refused(world().train(task="regression", target="spend", params={"drop": ["age", "plan", "left", "id"]}), "no column to learn from")


def it_names_what_is_wrong_with_the_data():
    """names file and line of rows that do not fit, and columns that become too many features"""
    world().text("data/ragged/a.csv", "a,b\n1,2\n1,2,3\n")
    refused(world().train(input="ragged", target="b"), "a.csv, line 3: 3 values, the header names 2 columns")
    world().text("data/mixed/a.csv", "a,b\n1,2\n")
    world().text("data/mixed/b.csv", "a,c\n1,2\n")
    refused(world().train(input="mixed", target="b"), "b.csv has other columns (a, c)")
    world().text("data/twice/a.csv", "a,a\n1,2\n")
    refused(world().train(input="twice", target="a"), "the column 'a' twice")
    world().text("data/packed/a.csv.gz", "this is no gzip")
    refused(world().train(input="packed"), "a.csv.gz")
    header = ["w%d" % i for i in range(60)] + ["left"]
    world().dataset("wide", [["v%d" % (i % 90)] * 60 + ["yes" if i % 2 else "no"] for i in range(400)], header=header)
    refused(world().train(input="wide"), "becomes 3060 features, 2000 are the most", "params.drop")


def it_names_wrong_parameters():
    """names parameters and algorithms that are wrong, and the nearest that are right"""
    refused(world().train(params={"tset": 0.3}), "unknown parameter 'tset', did you mean 'test'")
    refused(world().train(params={"test": 2}), "params.test has to be")
    refused(world().train(params={"decision_tree": {"max_dept": 3}}), "did you mean 'max_depth'")
    refused(world().train(params={"decision_tree": {"max_depth": -3}}), "params.decision_tree.max_depth")
    refused(world().train(algorithm="ridge"), "ridge is an algorithm of regression")
    refused(world().train(algorithm="decision_three"), "did you mean 'decision_tree'")


def it_says_where_it_cannot_write():
    """says before the work that the model cannot be kept"""
    world().text("models/blocked", "a file in the place of a folder")
    refused(world().train(model="blocked"), "unable to write into", "models/blocked")
    refused(world().train(dir=world().dir + "-gone"), "unable to enter project P")


# --- a script of one's own, a Python of one's own ---

SCRIPT = """
import os
import helper
def train(context):
    n = sum(1 for row in context.rows() if row["left"] == "yes")
    context.progress(0.5, "counted")
    context.save({"yes": n})
    return {"metrics": {"yes": n}, "seen": [context.project, context.model, context.algorithm, context.input, context.target,
                                            context.params, helper.WORD, os.getcwd(), os.environ["DKU_CURRENT_PROJECT_KEY"], os.environ.get("COLOUR")]}
"""


def it_runs_a_script():
    """runs a model's own script in the project's folder, with its rows, its modules and its environment"""
    world().text("lib/own.py", SCRIPT)
    world().text("lib/helper.py", "WORD = 'help'\n")
    r = result_of(world().train(script="lib/own.py", algorithm="mine", params={"depth": 3}, env={"COLOUR": "red", "DKU_CURRENT_PROJECT_KEY": "X"}))
    same(r["seen"], ["P", "m", "mine", "data/people", "left", {"depth": 3}, "help", world().dir, "P", "red"])
    same(r["metrics"]["yes"], sum(1 for row in people(600) if row[4] == "yes"))
    assert kept(r["file"]) and kept(r["file"].replace(".joblib", ".json")), r["file"]


def it_tells_what_a_script_lacks():
    """says what a script lacks, and passes on what it raises"""
    world().text("lib/empty.py", "x = 1\n")
    refused(world().train(script="lib/empty.py"), "no function train(context)")
    refused(world().train(script="lib/gone.py"), "lib/gone.py, the script of model m, is not there")
    world().text("lib/list.py", "def train(context): return [1]\n")
    refused(world().train(script="lib/list.py"), "returned list; a dict is wanted")
    world().text("lib/raises.py", "def train(context): raise KeyError('colour')\n")
    state = world().train(script="lib/raises.py")
    same((state["state"], state["error"]["clazz"]), ("failed", "KeyError"))
    assert "lib/raises.py" in state["error"]["stack"], state["error"]["stack"]


def it_runs_another_python():
    """runs in another Python where the model says so, and tells its progress, its result and its errors as its own"""
    other = os.path.join(world().folder.name, "python")
    os.symlink("/usr/bin/python3", other)
    r = result_of(world().train(bin=other))
    assert r["metrics"]["accuracy"] > 0.85 and kept(r["file"]), r
    refused(world().train(bin=other, target="lost"), "no column 'lost'")
    refused(world().train(bin="/no/such/python"), "unable to run /no/such/python, the bin of model m")
    world().text("lib/exits.py", "import os\ndef train(context): os._exit(7)\n")
    state = world().train(bin=other, script="lib/exits.py")
    same(state["state"], "failed")
    assert "status 7" in state["error"]["message"], state["error"]


def it_ends_another_python():
    """leaves no process of another Python behind when it is aborted"""
    other = os.path.join(world().folder.name, "python")
    world().text("lib/sleeps.py", "import os, time\ndef train(context):\n    context.progress(0.1, str(os.getpid()))\n    time.sleep(3600)\n")
    task = world().begin(bin=other, script="lib/sleeps.py")
    k = world().kernel
    state = k.state(task)
    while not state.get("message", "").isdigit():
        assert state["state"] == "running", state
        state = k.state(task, state["version"], wait=5)
    same(k.ask("DELETE", "/task/" + task)[0], 202)
    same(k.end_state(task)["state"], "aborted")
    wait_for("the child to be gone", lambda: not os.path.exists("/proc/" + state["message"]))


def it_says_what_to_install():
    """says what to install where scikit-learn is not there"""
    blind = os.path.join(world().folder.name, "blind")
    with open(blind, "w", encoding="utf-8") as f:      # -S: without the folders of Debian's packages
        f.write("#!/bin/sh\nexec /usr/bin/python3 -S \"$@\"\n")
    os.chmod(blind, 0o755)
    refused(world().train(bin=blind), "python3-sklearn")


if __name__ == "__main__":
    chosen = sys.argv[1] if len(sys.argv) > 1 else ""
    try:
        run_checks({name: f for name, f in list(globals().items()) if chosen in name}, lambda: _shared["world"].kernel.log()[-3000:] if _shared else "")
    finally:
        if _shared:
            _shared["world"].close()
