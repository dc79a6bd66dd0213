"""The algorithms by name: what each takes, how it is fitted in steps that can be told, what its features weigh. scikit-learn does the work."""
import numpy

from doctor.trouble import CannotTrain, choose, say

MONITORED = 10      # steps of a fit that are told


def whole(least, most):
    return lambda v: isinstance(v, int) and not isinstance(v, bool) and least <= v <= most, "a whole number from %d to %d" % (least, most)


def real(least, most):
    return lambda v: isinstance(v, (int, float)) and not isinstance(v, bool) and least <= v <= most, "a number from %g to %g" % (least, most)


def maybe(check):
    return lambda v: v is None or check[0](v), check[1]


TREE = {"max_depth": maybe(whole(1, 1000)), "min_samples_leaf": whole(1, 10**6), "random_state": whole(0, 2**31)}
KNOBS = {   # by algorithm: parameter, what it must be
    "random_forest": {**TREE, "n_estimators": whole(1, 10_000), "n_jobs": whole(1, 256),
                      "max_features": (lambda v: v in ("sqrt", "log2") or real(0.001, 1)[0](v), '"sqrt", "log2" or a part of them, to 1')},
    "decision_tree": TREE,
    "gradient_boosting": {**TREE, "max_iter": whole(1, 10_000), "learning_rate": real(1e-6, 10), "max_leaf_nodes": maybe(whole(2, 100_000)),
                          "l2_regularization": real(0, 1e9)},
    "logistic_regression": {"C": real(1e-9, 1e9), "max_iter": whole(1, 100_000)},
    "ridge": {"alpha": real(0, 1e12)},
    "kmeans": {"n_clusters": whole(2, 1000), "n_init": whole(1, 100), "max_iter": whole(1, 10_000), "random_state": whole(0, 2**31)},
}
TASKS = {
    "classification": ("random_forest", "logistic_regression", "gradient_boosting", "decision_tree"),
    "regression": ("random_forest", "ridge", "gradient_boosting", "decision_tree"),
    "clustering": ("kmeans",),
}


def check_params(algorithm, given):
    knobs = KNOBS[algorithm]
    for name, value in given.items():
        is_right, wanted = choose("parameter of %s" % algorithm, name, knobs)
        if not is_right(value):
            raise CannotTrain("params.%s.%s has to be %s, not %r" % (algorithm, name, wanted, value))


def check(task, algorithm):
    if algorithm not in TASKS[task]:
        others = [t for t, names in TASKS.items() if algorithm in names]
        if others:
            raise CannotTrain("%s is an algorithm of %s; for %s there are %s" % (algorithm, " and ".join(others), task, ", ".join(TASKS[task])))
        choose("algorithm", algorithm, dict.fromkeys(TASKS[task]))


def make(task, algorithm, params):
    """An estimator that was not fitted."""
    from sklearn import ensemble, linear_model, tree
    is_class = task == "classification"
    if algorithm == "random_forest":
        cls = ensemble.RandomForestClassifier if is_class else ensemble.RandomForestRegressor
        return cls(**{"n_estimators": 100, "min_samples_leaf": 1 if is_class else 3, "random_state": 0, "n_jobs": 1, **params})
    if algorithm == "decision_tree":
        cls = tree.DecisionTreeClassifier if is_class else tree.DecisionTreeRegressor
        return cls(**{"max_depth": 12, "random_state": 0, **params})
    if algorithm == "gradient_boosting":
        cls = ensemble.HistGradientBoostingClassifier if is_class else ensemble.HistGradientBoostingRegressor
        return cls(**{"max_iter": 100, "random_state": 0, "early_stopping": False, **params})
    if algorithm == "logistic_regression":
        return scaled(linear_model.LogisticRegression(**{"max_iter": 1000, **params}))
    return scaled(linear_model.Ridge(**{"alpha": 1.0, **params}))


def scaled(estimator):
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    return make_pipeline(StandardScaler(), estimator)


STEPS = {"random_forest": "n_estimators", "gradient_boosting": "max_iter"}


def fit(algorithm, estimator, x, y, begin, end):
    """Fits; tells progress from `begin` to `end` as far as the algorithm can be stopped and looked at on its way."""
    knob = STEPS.get(algorithm)
    if knob is None:
        say("fitting %s on %d rows" % (algorithm, len(x)), begin)
        return estimator.fit(x, y)
    whole_count = getattr(estimator, knob)
    estimator.set_params(warm_start=True)
    steps = min(MONITORED, whole_count)
    for i in range(1, steps + 1):
        count = whole_count * i // steps
        estimator.set_params(**{knob: count})
        estimator.fit(x, y)
        say("%s: %d of %d %s" % (algorithm, count, whole_count, "trees" if knob == "n_estimators" else "rounds"),
            begin + (end - begin) * i / steps)
    return estimator.set_params(warm_start=False)


def fit_clusters(params, x, begin, end):
    """The best of n_init runs."""
    from sklearn.cluster import KMeans
    given = {"n_clusters": 8, "max_iter": 300, "random_state": 0, **params}
    runs, seed, best = given.pop("n_init", 5), given.pop("random_state"), None
    if given["n_clusters"] >= len(x):
        raise CannotTrain("kmeans: %d clusters of %d rows; lower params.kmeans.n_clusters" % (given["n_clusters"], len(x)))
    for i in range(runs):
        found = KMeans(n_init=1, random_state=seed + i, **given).fit(x)
        if best is None or found.inertia_ < best.inertia_:
            best = found
        say("kmeans: run %d of %d, inertia %.6g" % (i + 1, runs, found.inertia_), begin + (end - begin) * (i + 1) / runs)
    return best


def weights(estimator, x, y, owners, score):
    """What each column weighs, summing to 1: the model's own word where it has one, else by how much worse it guesses with the column shuffled.
    owners: for each feature the number of its column; score(x) on rows that were not trained with."""
    inner = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    count = max(owners) + 1
    if hasattr(inner, "feature_importances_"):
        by_feature = inner.feature_importances_
    elif hasattr(inner, "coef_"):
        by_feature = numpy.abs(numpy.atleast_2d(inner.coef_)).mean(axis=0)
    else:
        return shuffled_weights(x, owners, count, score)
    found = numpy.zeros(count)
    numpy.add.at(found, owners, by_feature)
    return found / found.sum() if found.sum() > 0 else found


def shuffled_weights(x, owners, count, score):
    random, right, found = numpy.random.default_rng(0), score(x), numpy.zeros(count)
    owners = numpy.asarray(owners)
    for i in range(count):
        other = x.copy()
        other[:, owners == i] = x[random.permutation(len(x))][:, owners == i]
        found[i] = max(0.0, right - score(other))
    return found / found.sum() if found.sum() > 0 else found
