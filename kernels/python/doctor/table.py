"""The dataset of a training: CSV files of a folder as one matrix of numbers.

Read twice, row by row: first to learn what the columns are, then into a matrix of the size that is known by then. Never held as text.
A column whose values are all numbers is one feature (and one more where some are missing); a column of words becomes one feature for each of its
most frequent words; one with a word of its own in nearly every row (an id, a time) tells nothing and is left out.
"""
import collections
import csv
import gzip
import math
import os

from doctor.trouble import CannotTrain, say, shown

COLUMNS_MOST = 5000
FEATURES_MOST = 2000        # columns of the matrix
CELLS_MOST = 400_000_000    # of the matrix: 1.6 GB
DISTINCT_MOST = 10_000      # words of a column that are told apart
FIELD_BYTES = 1 << 20
MISSING = frozenset(("", "na", "n/a", "nan", "null", "none"))
NO_WORD = "(missing)"
OTHER = "(other)"


def files_of(folder, name):
    """Paths of the dataset's files. CannotTrain: it is not there, or nothing in it can be read."""
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        raise CannotTrain("dataset %s is not there: %s does not exist; build it first" % (name, folder)) from None
    except OSError as e:
        raise CannotTrain("unable to read dataset %s (%s): %s" % (name, folder, e.strerror)) from None
    found = [os.path.join(folder, n) for n in names if n.lower().endswith((".csv", ".csv.gz")) and not n.startswith((".", "_"))]
    if not found:
        raise CannotTrain("dataset %s has no .csv or .csv.gz file; %s holds %s" % (name, folder, shown(names) or "nothing"))
    return found


def rows_of(files, header=None):
    """Yields the header once, then each row with as many values. CannotTrain names file and line."""
    csv.field_size_limit(FIELD_BYTES)
    for path in files:
        opener = gzip.open if path.endswith(".gz") else open
        line = 0
        try:
            with opener(path, "rt", encoding="utf-8-sig", errors="replace", newline="") as source:
                reader = csv.reader(source)
                first = next(reader, None)
                if first is None:
                    continue
                if header is None:
                    header = first
                    yield header
                elif first != header:
                    raise CannotTrain("%s has other columns (%s) than the file before it (%s)" % (path, shown(first), shown(header)))
                width = len(header)
                for row in reader:
                    if len(row) == width:
                        yield row
                    elif row:
                        line = reader.line_num
                        raise CannotTrain("%s, line %d: %d values, the header names %d columns" % (path, line, len(row), width))
        except (csv.Error, EOFError, gzip.BadGzipFile) as e:
            raise CannotTrain("%s is no good CSV: %s" % (path, e)) from None
        except OSError as e:
            raise CannotTrain("unable to read %s: %s" % (path, e.strerror or e)) from None


def number(text):
    """As a finite float, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


class Column:
    """What the first reading learns of one column."""

    def __init__(self, name):
        self.name = name
        self.words = collections.Counter()
        self.is_numeric, self.is_crowded = True, False  # crowded: more words than are told apart
        self.missing, self.seen = 0, 0
        self.no_number = None                           # the first value that is none

    def note(self, text):
        if text.strip().lower() in MISSING:
            self.missing += 1
            return
        self.seen += 1
        if self.is_numeric and number(text) is None:
            self.is_numeric, self.no_number = False, text
        if text in self.words:
            self.words[text] += 1
        elif len(self.words) < DISTINCT_MOST:
            self.words[text] = 1
        else:
            self.is_crowded = True

    def is_an_id(self):
        return not self.is_numeric and (self.is_crowded or (len(self.words) > 100 and len(self.words) > self.seen / 2))

    def plan(self, words_most):
        """How it becomes features, as plain data: {"name", "kind": "number" | "words", …}, kept with the model; None: it is left out."""
        if self.seen == 0 or len(self.words) + (self.missing > 0) < 2 or self.is_an_id():
            return None
        if self.is_numeric:
            return {"name": self.name, "kind": "number", "has_missing": self.missing > 0, "fill": 0.0}
        words = [w for w, _ in self.words.most_common(words_most)]
        if self.missing:
            words.append(NO_WORD)
        if len(self.words) > words_most:
            words.append(OTHER)
        return {"name": self.name, "kind": "words", "words": words}

    def why_left_out(self):
        if self.seen == 0:
            return "empty"
        return "a word of its own in most rows" if self.is_an_id() else "the same everywhere"


def width_of(plan):
    return len(plan["words"]) if plan["kind"] == "words" else 2 if plan["has_missing"] else 1


def names_of(plan):
    """Names of its features."""
    if plan["kind"] == "words":
        return ["%s = %s" % (plan["name"], w) for w in plan["words"]]
    return [plan["name"], plan["name"] + " is missing"][:width_of(plan)]


def fill_row(plans, texts, out):
    """Writes one row's features into `out` (zeros before). texts: a value for each plan. A missing number is NaN, to be filled later."""
    at = 0
    for plan, text in zip(plans, texts):
        is_missing = text.strip().lower() in MISSING
        if plan["kind"] == "words":
            words = plan.get("index") or plan.setdefault("index", {w: i for i, w in enumerate(plan["words"])})
            i = words.get(NO_WORD if is_missing else text)
            if i is None:
                i = words.get(OTHER)
            if i is not None:
                out[at + i] = 1.0
        else:
            value = None if is_missing else number(text)
            out[at] = math.nan if value is None else value
            if plan["has_missing"] and value is None:
                out[at + 1] = 1.0
        at += width_of(plan)


class Table:
    """matrix (rows x features, float32, NaN where a number is missing), target (list of texts or floats, or None), plans, counts."""

    def __init__(self, folder, name, target, options):
        self.folder, self.name, self.target_name, self.options = folder, name, target, options
        self.files = files_of(folder, name)
        self.rows_read = self.rows_without_target = 0
        self._learn()

    def _learn(self):
        rows = rows_of(self.files)
        header = next(rows, None)
        if header is None:
            raise CannotTrain("dataset %s is empty: %s" % (self.name, shown(self.files)))
        if len(set(header)) != len(header):
            raise CannotTrain("dataset %s has the column %r twice" % (self.name, next(c for c in header if header.count(c) > 1)))
        if len(header) > COLUMNS_MOST:
            raise CannotTrain("dataset %s has %d columns; %d can be learned from" % (self.name, len(header), COLUMNS_MOST))
        self.header = header
        self.columns = [Column(c) for c in header]
        self._check_names()
        for row in rows:
            self.rows_read += 1
            for column, text in zip(self.columns, row):
                column.note(text)
            if self.rows_read % 100_000 == 0:
                say("looked at %d rows" % self.rows_read, 0.02)
        if self.rows_read == 0:
            raise CannotTrain("dataset %s has no rows, only a header (%s)" % (self.name, shown(header)))
        self._make_plans()

    def _check_names(self):
        wanted = ([self.target_name] if self.target_name else []) + self.options["features"] + self.options["drop"]
        for name in wanted:
            if name not in self.header:
                what = "target" if name == self.target_name else "params: features or drop"
                raise CannotTrain("%s: dataset %s has no column %r; it has %s" % (what, self.name, name, shown(self.header, 20)))

    def _make_plans(self):
        self.plans, self.left_out = [], {}
        features, drop = self.options["features"], self.options["drop"]
        for column in self.columns:
            if column.name == self.target_name or column.name in drop or (features and column.name not in features):
                continue
            plan = column.plan(self.options["words"])
            if plan:
                self.plans.append(plan)
            else:
                self.left_out[column.name] = column.why_left_out()
        if not self.plans:
            raise CannotTrain("dataset %s has no column to learn from: %s" % (self.name, shown("%s (%s)" % c for c in self.left_out.items()) or
                                                                              "all are left out by params"))
        self.width = sum(width_of(p) for p in self.plans)
        if self.width > FEATURES_MOST:
            widest = sorted(self.plans, key=width_of, reverse=True)
            raise CannotTrain("dataset %s becomes %d features, %d are the most: %s; leave columns out with params.drop, or lower params.words"
                              % (self.name, self.width, FEATURES_MOST, shown("%s has %d" % (p["name"], width_of(p)) for p in widest)))

    def target_column(self):
        return self.columns[self.header.index(self.target_name)]

    def load(self, target_of):
        """Reads again. target_of: text → value, or None where there is no target. Returns (matrix, targets)."""
        import numpy
        at = self.header.index(self.target_name) if self.target_name else None
        usable = self.rows_read - (self.target_column().missing if at is not None else 0)
        if usable == 0:
            raise CannotTrain("dataset %s: the target %r is missing in all of its %d rows" % (self.name, self.target_name, self.rows_read))
        most = min(usable, self.options["rows"], max(1, CELLS_MOST // self.width))
        matrix = numpy.zeros((most, self.width), dtype=numpy.float32)
        targets, places = [], [self.header.index(p["name"]) for p in self.plans]
        rows = rows_of(self.files)
        next(rows)
        kept = counted = 0
        for row in rows:
            if at is not None and row[at].strip().lower() in MISSING:
                self.rows_without_target += 1
                continue
            counted += 1
            # Evenly over all of them, where not all are taken.
            if counted * most // usable == (counted - 1) * most // usable or kept >= most:
                continue
            fill_row(self.plans, [row[i] for i in places], matrix[kept])
            if at is not None:
                targets.append(target_of(row[at]))
            kept += 1
            if kept % 20_000 == 0:
                say("read %d of %d rows" % (kept, most), 0.02 + 0.08 * kept / most)
        if kept < most:
            raise CannotTrain("dataset %s changed while it was read; train again" % self.name)
        return matrix, targets

    def fill_missing(self, matrix, training):
        """Missing numbers become the median of the rows that are trained with (a mask)."""
        import numpy
        at = 0
        for plan in self.plans:
            if plan["kind"] == "number" and plan["has_missing"]:
                column = matrix[:, at]
                known = column[training]
                known = known[~numpy.isnan(known)]
                plan["fill"] = float(numpy.median(known)) if len(known) else 0.0
                column[numpy.isnan(column)] = plan["fill"]
            at += width_of(plan)

    def feature_names(self):
        return [n for p in self.plans for n in names_of(p)]

    def owners(self):
        """For each feature, which plan it is of."""
        return [i for i, p in enumerate(self.plans) for _ in range(width_of(p))]
