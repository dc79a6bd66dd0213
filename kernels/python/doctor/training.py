"""One training from the payload to the result: read, prepare, split, fit, measure, keep."""
import os
import sys
import time

from doctor import keep, table
from doctor.trouble import CannotTrain, choose, say, shown

CLASSES_MOST = 100
LISTED_MOST = 50            # columns whose weight is told, and classes
CONFUSION_MOST = 20
SHUFFLED_ROWS = 2000        # rows on which a column's weight is measured, and a silhouette
OPTIONS = {                 # params that are no algorithm's: default, is it right, what it must be
    "test": (0.2, lambda v: isinstance(v, (int, float)) and 0.01 <= v <= 0.9, "a part from 0.01 to 0.9"),
    "seed": (0, lambda v: isinstance(v, int) and 0 <= v < 2**31, "a whole number"),
    "folds": (0, lambda v: isinstance(v, int) and (v == 0 or 2 <= v <= 20), "0 for none, or 2 to 20"),
    "rows": (1_000_000, lambda v: isinstance(v, int) and 10 <= v <= 100_000_000, "a whole number from 10"),
    "words": (50, lambda v: isinstance(v, int) and 1 <= v <= 1000, "a whole number from 1 to 1000"),
    "features": ([], lambda v: isinstance(v, list) and all(isinstance(c, str) for c in v), "a list of columns"),
    "drop": ([], lambda v: isinstance(v, list) and all(isinstance(c, str) for c in v), "a list of columns"),
}


def run(payload):
    began = time.monotonic()
    folder = payload["dir"]
    try:
        os.chdir(folder)
    except OSError as e:
        raise CannotTrain("unable to enter project %s (%s): %s" % (payload["project"], folder, e.strerror)) from None
    keeper = keep.Keeper(payload)
    say("training %s of model %s, session %s: %s of %s from %s"
        % (payload["algorithm"], payload["model"], payload["sessionId"], payload["task"], payload.get("target") or "rows", payload["input"]), 0.0)
    if payload.get("script"):
        from doctor import script
        result = script.run(payload, keeper)
    else:
        result = Training(payload, keeper).run()
    result["seconds"] = round(time.monotonic() - began, 3)
    keeper.finish(result)
    say("kept in %s after %.1f s" % (result.get("file") or keeper.json_path, result["seconds"]), 1.0)
    return result


class Training:
    def __init__(self, payload, keeper):
        try:
            import numpy, sklearn, joblib  # noqa: F401, E401
        except ImportError as e:
            raise CannotTrain("%s is not there for %s: install the Debian package python3-sklearn, or say bin = of a Python that has scikit-learn "
                              "in the model" % (e.name, sys.executable)) from None
        from doctor import algorithms
        self.algorithms = algorithms
        self.payload, self.keeper = payload, keeper
        self.task, self.algorithm = payload["task"], payload["algorithm"]
        algorithms.check(self.task, self.algorithm)
        self._read_params(payload.get("params", {}))
        if self.task != "clustering" and not payload.get("target"):
            raise CannotTrain("model %s has no target: say which column it predicts" % payload["model"])

    def _read_params(self, given):
        self.options = {name: default for name, (default, _, _) in OPTIONS.items()}
        self.knobs = {}
        for name, value in given.items():
            if name in self.algorithms.KNOBS and isinstance(value, (dict, list)):
                if name == self.algorithm:
                    self.knobs = value if isinstance(value, dict) else {}
                continue
            _, is_right, wanted = choose("parameter", name, OPTIONS)
            if isinstance(value, dict) and not value:
                value = []          # an empty table is both
            if isinstance(value, bool) or not is_right(value):
                raise CannotTrain("params.%s has to be %s, not %r" % (name, wanted, value))
            self.options[name] = value
        self.algorithms.check_params(self.algorithm, self.knobs)

    def run(self):
        target = self.payload.get("target") if self.task != "clustering" else None
        self.table = table.Table(os.path.join("data", self.payload["input"]), self.payload["input"], target, self.options)
        t = self.table
        say("%d rows, %d columns become %d features%s" % (
            t.rows_read, len(t.plans), t.width,
            "; left out: " + shown("%s (%s)" % c for c in t.left_out.items()) if t.left_out else ""), 0.03)
        if self.task == "clustering":
            return self._cluster()
        return self._predict()

    # --- classification and regression ---

    def _check_target(self):
        column = self.table.target_column()
        name = column.name
        if column.seen == 0:
            raise CannotTrain("the target %r is missing in all of the %d rows of dataset %s" % (name, self.table.rows_read, self.table.name))
        if self.task == "regression":
            if not column.is_numeric:
                raise CannotTrain("the target %r is no number (it is %r in a row): regression predicts numbers, classification predicts words"
                                  % (name, column.no_number))
            return float
        if column.is_crowded or len(column.words) > CLASSES_MOST:
            raise CannotTrain("the target %r has %s%d different values, %d classes are the most%s"
                              % (name, "more than " if column.is_crowded else "", len(column.words), CLASSES_MOST,
                                 '; for numbers say task = "regression"' if column.is_numeric else ""))
        if len(column.words) < 2:
            raise CannotTrain("the target %r is %r in all rows: there is nothing to tell apart" % (name, next(iter(column.words))))
        return str

    def _predict(self):
        import numpy
        target_of = self._check_target()
        x, y = self.table.load(target_of)
        y = numpy.array(y)
        if len(x) < 10:
            raise CannotTrain("dataset %s has %d rows with a target; 10 are the fewest" % (self.table.name, len(x)))
        is_training = self._split(y)
        if self.table.rows_without_target:
            say("%d rows without a target are left out" % self.table.rows_without_target)
        self.table.fill_missing(x, is_training)
        estimator = self.algorithms.make(self.task, self.algorithm, self.knobs)
        validation = self._validate(estimator, x[is_training], y[is_training])
        estimator = self.algorithms.fit(self.algorithm, estimator, x[is_training], y[is_training], 0.4 if validation else 0.1, 0.9)
        test_x, test_y = x[~is_training], y[~is_training]
        metrics, more = self._measure(estimator, test_x, test_y)
        say("measured on %d rows: %s" % (len(test_x), ", ".join("%s %.4f" % m for m in metrics.items())), 0.93)
        some_x, some_y = test_x[:SHUFFLED_ROWS], test_y[:SHUFFLED_ROWS]
        weights = self.algorithms.weights(estimator, some_x, some_y, self.table.owners(), lambda a: estimator.score(a, some_y))
        self._keep(estimator)
        result = self._result(metrics, int(is_training.sum()), len(test_x), more)
        result["importances"] = self._weighed(weights)
        if validation:
            result["validation"] = validation
        return result

    def _split(self, y):
        """A mask of the rows to train with: of each class its part, so that a rare one is in both."""
        import numpy
        random = numpy.random.default_rng(self.options["seed"])
        is_training = numpy.ones(len(y), dtype=bool)
        groups = [numpy.flatnonzero(y == c) for c in numpy.unique(y)] if self.task == "classification" else [numpy.arange(len(y))]
        for rows in groups:
            is_training[random.permutation(rows)[:int(round(len(rows) * self.options["test"]))]] = False
        if is_training.all():
            is_training[random.integers(len(y))] = False
        classes = len(numpy.unique(y[is_training])) if self.task == "classification" else 2
        if classes < 2:
            raise CannotTrain("the target %r has one class left in the rows to train with; give more rows of the others" % self.table.target_name)
        return is_training

    def _validate(self, estimator, x, y):
        folds = self.options["folds"]
        if not folds:
            return None
        import numpy
        from sklearn.base import clone
        from sklearn.model_selection import KFold, StratifiedKFold
        rarest = numpy.unique(y, return_counts=True)[1].min() if self.task == "classification" else len(y)
        if folds > min(rarest, len(y)):
            raise CannotTrain("params.folds is %d, but the rarest class has %d rows to train with" % (folds, rarest))
        kind = StratifiedKFold if self.task == "classification" else KFold
        scores = []
        for i, (a, b) in enumerate(kind(folds, shuffle=True, random_state=self.options["seed"]).split(x, y)):
            scores.append(float(clone(estimator).fit(x[a], y[a]).score(x[b], y[b])))
            say("fold %d of %d: %.4f" % (i + 1, folds, scores[-1]), 0.1 + 0.3 * (i + 1) / folds)
        return {"score": "accuracy" if self.task == "classification" else "r2", "folds": scores,
                "mean": float(numpy.mean(scores)), "std": float(numpy.std(scores))}

    def _measure(self, estimator, x, y):
        import numpy
        from sklearn import metrics
        said = estimator.predict(x)
        if self.task == "regression":
            found = {"r2": metrics.r2_score(y, said) if len(y) > 1 else None, "mae": metrics.mean_absolute_error(y, said),
                     "rmse": metrics.mean_squared_error(y, said) ** 0.5}
            return finite(found), {}
        found = {"accuracy": metrics.accuracy_score(y, said),
                 "f1": metrics.f1_score(y, said, average="macro", zero_division=0)}
        classes = list(estimator.classes_)
        if set(y) == set(classes):      # else one of them was in no row to measure with
            chance = estimator.predict_proba(x)
            found["auc"] = metrics.roc_auc_score(y, chance[:, 1]) if len(classes) == 2 else \
                metrics.roc_auc_score(y, chance, multi_class="ovr", labels=classes)
        more = {"classes": [str(c) for c in classes[:LISTED_MOST]], "classCount": len(classes)}
        if len(classes) <= CONFUSION_MOST:
            more["confusion"] = numpy.asarray(metrics.confusion_matrix(y, said, labels=classes)).tolist()
        return finite(found), more

    # --- clustering ---

    def _cluster(self):
        import numpy
        from sklearn import metrics
        x, _ = self.table.load(None)
        if len(x) < 10:
            raise CannotTrain("dataset %s has %d rows; 10 are the fewest" % (self.table.name, len(x)))
        self.table.fill_missing(x, numpy.ones(len(x), dtype=bool))
        from sklearn.preprocessing import StandardScaler
        scaler = StandardScaler(copy=False).fit(x)
        x = scaler.transform(x)
        found = self.algorithms.fit_clusters(self.knobs, x, 0.1, 0.9)
        some = numpy.random.default_rng(self.options["seed"]).permutation(len(x))[:SHUFFLED_ROWS]
        is_one = len(numpy.unique(found.labels_[some])) < 2
        values = finite({"inertia": found.inertia_, "silhouette": None if is_one else metrics.silhouette_score(x[some], found.labels_[some])})
        from sklearn.pipeline import make_pipeline
        self._keep(make_pipeline(scaler, found))
        return self._result(values, len(x), 0, {"clusterSizes": numpy.bincount(found.labels_, minlength=found.n_clusters).tolist()})

    # --- what comes out ---

    def _keep(self, estimator):
        import joblib
        plans = [{k: v for k, v in p.items() if k != "index"} for p in self.table.plans]
        kept = {"format": 1, "estimator": estimator, "columns": plans, "features": self.table.feature_names(), "task": self.task,
                "algorithm": self.algorithm, "target": self.table.target_name, "project": self.payload["project"], "model": self.payload["model"]}
        say("writing the model", 0.96)
        self.keeper.write_model(lambda target: joblib.dump(kept, target, compress=3))

    def _weighed(self, weights):
        pairs = sorted(zip((p["name"] for p in self.table.plans), (float(w) for w in weights)), key=lambda p: -p[1])
        return [{"column": name, "importance": round(w, 6)} for name, w in pairs[:LISTED_MOST]]

    def _result(self, metrics, train_rows, test_rows, more):
        t = self.table
        return {"metrics": metrics, "rows": t.rows_read, "trainRows": train_rows, "testRows": test_rows, "columns": len(t.plans),
                "features": t.width, "leftOut": dict(list(t.left_out.items())[:LISTED_MOST]), "params": {**self.options, **self.knobs},
                "file": self.keeper.model_path, **more}


def finite(values):
    """As plain numbers; those that are none are left out."""
    return {k: float(v) for k, v in values.items() if v is not None and float(v) - float(v) == 0}
