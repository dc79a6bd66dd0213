"""What was trained, for those who use it: in a recipe, a webapp, a notebook.

    from doctor import model        # with kernels/python on the path
    churn = model.load("models/churn/s1/random_forest.joblib")
    churn.predict([{"age": "41", "plan": "gold"}])

Only load what your own project trained: a pickle runs code.
"""
from doctor.table import fill_row, width_of


class Model:
    def __init__(self, kept):
        if not isinstance(kept, dict) or kept.get("format") != 1:
            raise ValueError("that is no model of this program's trainings")
        self.kept, self.estimator, self.columns = kept, kept["estimator"], kept["columns"]

    def features(self, rows):
        """rows: dicts of texts by column; a column that is not there counts as missing."""
        import numpy
        matrix = numpy.zeros((len(rows), sum(width_of(p) for p in self.columns)), dtype=numpy.float32)
        for row, out in zip(rows, matrix):
            fill_row(self.columns, [str(row.get(p["name"], "")) for p in self.columns], out)
        at = 0
        for plan in self.columns:
            if plan["kind"] == "number":
                column = matrix[:, at]
                column[numpy.isnan(column)] = plan["fill"]
            at += width_of(plan)
        return matrix

    def predict(self, rows):
        return self.estimator.predict(self.features(rows)).tolist()


def load(path):
    import joblib
    return Model(joblib.load(path))
