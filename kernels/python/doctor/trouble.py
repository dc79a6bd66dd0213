"""Why a model cannot be trained, and the words that are said on the way."""
import difflib
import time

import dss


class CannotTrain(Exception):
    """The text names what is wrong (file, column, parameter) and what to do."""


def say(text, fraction=None):
    """A line of the training's log, and what its progress says."""
    print("%s %s" % (time.strftime("[%Y/%m/%d-%H:%M:%S]"), text), flush=True)
    dss.progress(fraction, text)


def choose(what, name, known):
    """known[name]; CannotTrain names the nearest one."""
    if name in known:
        return known[name]
    near = difflib.get_close_matches(str(name), list(known), 1)
    raise CannotTrain("unknown %s %r%s" % (what, name, ", did you mean %r?" % near[0] if near else "; there are " + ", ".join(sorted(known))))


def shown(values, most=5):
    values = list(values)
    return ", ".join("%s" % (v,) for v in values[:most]) + (" and %d more" % (len(values) - most) if len(values) > most else "")
