"""What a kernel of ML training takes: tasks of type `train`, run by the kernel's own protocol (`kernel doctor.server`).

The payload says what to learn: project, dir (the project's folder), model, sessionId, algorithm, input, target, task, params, and script or bin
where the model has its own. What comes out lies in DIR/models/MODEL/SESSION/ALGORITHM.joblib and .json; the result is what the .json says.
"""
import os

from doctor import child, training

TASKS = ("classification", "regression", "clustering")


def is_text(value):
    return isinstance(value, str) and value != "" and "\0" not in value


def is_name(value):
    return is_text(value) and "/" not in value and not value.startswith(".")


def is_texts(value):
    return isinstance(value, dict) and all(k and "=" not in k and isinstance(v, str) and "\0" not in v for k, v in value.items())


NAME = (True, is_name, "a name")
FIELDS = {
    "project": NAME, "model": NAME, "sessionId": NAME, "algorithm": NAME, "input": NAME,
    "dir": (True, lambda v: is_text(v) and v.startswith("/"), "the project's folder"),
    "task": (True, lambda v: v in TASKS, "one of " + ", ".join(TASKS)),
    "target": (False, is_text, "a column"),
    "params": (False, lambda v: isinstance(v, dict), "an object"),
    "script": (False, is_text, "a file of the project"),
    "bin": (False, is_text, "a Python"),
    "env": (False, is_texts, "an object of texts"),
    "analysisId": (False, is_text, "an id"), "mlTaskId": (False, is_text, "an id"), "modelId": (False, is_text, "an id"),
}


def train(payload):
    """Runs one task; its return value is the result. The environment is put back by the kernel."""
    os.environ.update({name: value for name, value in payload.get("env", {}).items() if not name.startswith(("DKU_", "DSS_"))})
    os.environ["DKU_CURRENT_PROJECT_KEY"] = payload["project"]
    os.environ.pop("DSS_BACKEND_URL", None)     # the kernel's own door; code of users goes to the API
    if "DKU_BACKEND_PORT" in os.environ:
        os.environ["DSS_BACKEND_URL"] = "http://%s:%s" % (os.environ.get("DKU_BACKEND_HOST", "127.0.0.1"), os.environ["DKU_BACKEND_PORT"])
    # A node is shared: a training takes one core unless the pool's env or the model's says more.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", os.environ["OMP_NUM_THREADS"])
    if child.is_needed(payload):
        return child.run(payload)
    return training.run(payload)


TYPES = {"train": (FIELDS, train)}
