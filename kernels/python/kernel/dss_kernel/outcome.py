"""What comes out of a task: a value as strict JSON, or an exception as a plain dict.

Each error names what was wrong and where: `result["rows"][3]["mean"] is NaN, which JSON cannot hold`.
"""
import json
import math
import traceback

RESULT_BYTES = 64 * 1024 * 1024     # DSS default; larger results belong into a dataset or a file
MESSAGE_CHARS = 16 * 1024
STACK_CHARS = 64 * 1024
CAUSES = 8                          # of a chain of exceptions; the rest is cut
SEARCHED = 200_000                  # values looked at to find which one was wrong


class BadResult(Exception):
    """The task's return value cannot be a result."""


ENCODE = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode


def to_json(value):
    """A task's return value as JSON bytes. Raises BadResult."""
    try:
        text = ENCODE(value)
        data = text.encode("utf-8")
    except RecursionError:
        raise BadResult("the result is nested too deeply for JSON, or contains itself") from None
    except (TypeError, ValueError, OverflowError) as e:
        raise BadResult(find_wrong(value) or "the result cannot be JSON: %s" % e) from None
    if len(data) > RESULT_BYTES:
        raise BadResult("the result is %d bytes of JSON, the limit is %d (64 MB); write it to a file and return its name"
                        % (len(data), RESULT_BYTES))
    if "{" in text:     # 1 and "1" are two keys of a dict, and one of a JSON object
        json.loads(text, object_pairs_hook=refuse_doubles)
    return data


def refuse_doubles(pairs):
    if len(dict(pairs)) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadResult("the result has the key %s twice in one object (JSON keys are texts: 1 and \"1\" are the same)"
                        % json.dumps(twice))
    return None


def find_wrong(value):
    """Where the value is that JSON cannot hold, as a sentence; None when not found within a bounded search."""
    todo = [("result", value, ())]
    looked_at = 0
    while todo and looked_at < SEARCHED:
        looked_at += 1
        place, v, parents = todo.pop()
        if isinstance(v, float) and not math.isfinite(v):
            return "%s is %s, which JSON cannot hold" % (place, "NaN" if v != v else "Infinity" if v > 0 else "-Infinity")
        if isinstance(v, str) and has_surrogate(v):
            return "%s is text with half a character (a lone surrogate), which JSON cannot hold" % place
        if v is None or isinstance(v, (str, int, float)):
            continue
        if not isinstance(v, (dict, list, tuple)):
            return "%s is of type %s, which JSON cannot hold" % (place, class_name(type(v)))
        if id(v) in parents:
            return "%s contains itself (a cycle)" % place
        parents = parents + (id(v),)
        if isinstance(v, dict):
            for key, inner in v.items():
                if not (key is None or isinstance(key, (str, int, float))) or has_surrogate(str(key)):
                    return "%s has a key of type %s, which JSON cannot hold" % (place, class_name(type(key)))
                todo.append(("%s[%r]" % (place, key), inner, parents))
        else:
            todo.extend(("%s[%d]" % (place, i), inner, parents) for i, inner in enumerate(v))
    return None


def has_surrogate(text):
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def class_name(cls):
    module = getattr(cls, "__module__", None)
    return cls.__qualname__ if module in (None, "builtins", "__main__") else "%s.%s" % (module, cls.__qualname__)


def to_error(e, hidden_frames=0):
    """An exception as {"clazz","message","stack","cause"?}. Takes the first `hidden_frames` frames (the kernel's own) away."""
    if isinstance(e, MemoryError):
        traceback.clear_frames(e.__traceback__)     # their locals are what filled the memory; there must be room to tell it
    try:
        return describe(e, hidden_frames, CAUSES, set())
    except (MemoryError, RecursionError):
        return {"clazz": type(e).__name__, "message": "out of memory while the error was described", "stack": ""}


def describe(e, hidden_frames, causes_left, seen):
    seen.add(id(e))
    frames = e.__traceback__
    for _ in range(hidden_frames):
        frames = frames.tb_next if frames is not None else None
    error = {"clazz": class_name(type(e)), "message": clean(message_of(e), MESSAGE_CHARS), "stack": clean(stack_of(e, frames), STACK_CHARS)}
    cause = e.__cause__ if e.__cause__ is not None or e.__suppress_context__ else e.__context__
    if cause is not None and causes_left and id(cause) not in seen:
        error["cause"] = describe(cause, 0, causes_left - 1, seen)
    return error


def message_of(e):
    if isinstance(e, SystemExit):
        return "the task called exit(%s)" % ("" if e.code is None else repr(e.code))
    try:
        text = str(e)
    except Exception as broken:     # a class of the task may do anything in __str__
        return "(its text cannot be made: %s)" % type(broken).__name__
    return text or {MemoryError: "no memory left", KeyboardInterrupt: "interrupted"}.get(type(e), "")


def stack_of(e, frames):
    try:
        return "".join(traceback.format_exception(type(e), e, frames, chain=False))
    except Exception as broken:
        return "(its stack cannot be shown: %s)" % type(broken).__name__


def clean(text, limit):
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    if len(text) <= limit:
        return text
    # The end of a stack tells where, its start how one got there: keep both.
    return "%s\n… %d characters left out …\n%s" % (text[:limit // 2], len(text) - limit, text[-(limit // 2):])
