"""A model's own script: a file of the project with a function `train(context)`, run with the project as its directory.

What it returns is the result: a dict whose "metrics", a dict of numbers, is shown beside those of others.
"""
import os
import pickle
import runpy
import sys

import dss
from doctor import table
from doctor.trouble import CannotTrain, say


class Context:
    """project, model, session, algorithm, task, target, params; input: the dataset's folder; folder: where files beside the model may go."""

    def __init__(self, payload, keeper):
        self.project, self.model, self.session, self.algorithm = (payload[k] for k in ("project", "model", "sessionId", "algorithm"))
        self.task, self.target, self.params = payload["task"], payload.get("target"), payload.get("params", {})
        self.input, self.folder = os.path.join("data", payload["input"]), keeper.folder
        self._keeper, self._name = keeper, payload["input"]

    def rows(self):
        """The dataset's rows as dicts of texts, one after the other."""
        rows = table.rows_of(table.files_of(self.input, self._name))
        header = next(rows, [])
        for row in rows:
            yield dict(zip(header, row))

    def progress(self, fraction=None, message=None):
        dss.progress(fraction, message)

    def save(self, thing):
        """Keeps a model whole or not at all: by joblib where it is installed, else pickled."""
        try:
            import joblib
            self._keeper.write_model(lambda target: joblib.dump(thing, target, compress=3))
        except ImportError:
            self._keeper.write_model(lambda target: pickle.dump(thing, target, 4))


def run(payload, keeper):
    name = payload["script"]
    if not os.path.isfile(name):
        raise CannotTrain("%s, the script of model %s, is not there" % (name, payload["model"]))
    sys.path.insert(0, os.path.dirname(os.path.abspath(name)))
    say("running %s" % name, 0.0)
    found = runpy.run_path(name, run_name="dss_training").get("train")
    if not callable(found):
        raise CannotTrain("%s has no function train(context)" % name)
    result = found(Context(payload, keeper))
    if result is None:
        result = {}
    if not isinstance(result, dict):
        raise CannotTrain("train() of %s returned %s; a dict is wanted, e.g. {\"metrics\": {\"accuracy\": 0.9}}" % (name, type(result).__name__))
    metrics = result.setdefault("metrics", {})
    if not isinstance(metrics, dict) or not all(isinstance(v, (int, float)) for v in metrics.values()):
        raise CannotTrain("\"metrics\" of what train() of %s returned has to be a dict of numbers" % name)
    return result
