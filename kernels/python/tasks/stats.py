"""Tasks to try a node with: `stats:summarise`, `stats:eat`, `stats:sleep_for`, `stats:echo`."""
import csv
import io
import math
import mmap
import os
import time

import dss

DISTINCT = 10_000           # texts counted per column; beyond that the answer says "at least"
DISTINCT_CHARS = 200        # of a text that tell it from another
ROWS_PER_NEWS = 5000
NULLS = frozenset(("", "na", "n/a", "nan", "null", "none"))


class Column:
    """Running numbers of one column, over one pass. Numeric until a value is none."""

    def __init__(self, name):
        self.name = name
        self.count = self.nulls = 0
        self.is_numeric = True
        self.mean = self.squares = 0.0      # Welford: stable where a sum of squares is not
        self.least, self.most = math.inf, -math.inf
        self.texts = set()

    def add(self, text):
        if text is None or text.strip().lower() in NULLS:
            self.nulls += 1
            return
        self.count += 1
        if len(self.texts) < DISTINCT:
            self.texts.add(text[:DISTINCT_CHARS])
        if not self.is_numeric:
            return
        try:
            number = float(text)
        except ValueError:
            number = math.inf
        if not math.isfinite(number):
            self.is_numeric = False
            return
        away = number - self.mean
        self.mean += away / self.count
        self.squares += away * (number - self.mean)
        if number < self.least:
            self.least = number
        if number > self.most:
            self.most = number

    def summary(self):
        told = {"name": self.name, "count": self.count, "nulls": self.nulls}
        if self.count == 0:
            told["type"] = "empty"
        elif self.is_numeric:
            told.update(type="number", min=self.least, max=self.most, mean=self.mean,
                        stddev=math.sqrt(self.squares / (self.count - 1)) if self.count > 1 else 0.0)
        else:
            told.update(type="text", distinct=len(self.texts), distinctIsAtLeast=len(self.texts) >= DISTINCT)
        return told


def summarise(path):
    """Summary of a CSV file with a header: rows, and per column count, nulls and what its numbers or texts are like.

    Reads once, row by row: memory does not grow with the file. `raggedRows` counts rows with too few or too many cells.
    """
    total = os.path.getsize(path) or 1
    with open(path, "rb") as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as text:
        lines = csv.reader(text)
        header = next(lines, None)
        if not header:
            raise ValueError("%s has no header line" % path)
        columns = [Column(name) for name in header]
        rows = ragged = 0
        for row in lines:
            if not row:
                continue                # an empty line
            rows += 1
            if len(row) != len(columns):
                ragged += 1
                row = row[:len(columns)] + [None] * (len(columns) - len(row))
            for column, cell in zip(columns, row):
                column.add(cell)
            if rows % ROWS_PER_NEWS == 0:
                dss.progress(raw.tell() / total, "%d rows" % rows)
    dss.progress(1.0, "%d rows" % rows)
    return {"path": str(path), "rows": rows, "raggedRows": ragged, "columns": [c.summary() for c in columns]}


def eat(bytes_total, step=16 * 1024 * 1024):
    """Takes memory step by step, touching every page, until `bytes_total` is reached or someone ends it. Shows an overrun."""
    if bytes_total < 0 or step < 1:
        raise ValueError("bytes_total must not be negative, step must be 1 or more")
    taken, held = 0, []
    while taken < bytes_total:
        size = min(step, bytes_total - taken)
        block = bytearray(size)
        block[::mmap.PAGESIZE] = b"\1" * len(range(0, size, mmap.PAGESIZE))     # zero pages cost nothing until written
        held.append(block)
        taken += size
        dss.progress(taken / bytes_total, "%.1f MB taken" % (taken / 1048576))
    return {"bytes": taken}


def sleep_for(seconds):
    """Sleeps, in one piece; returns how long it really was."""
    started = time.monotonic()
    time.sleep(seconds)
    return {"seconds": time.monotonic() - started}


def echo(x):
    """Returns what it was given."""
    return x
