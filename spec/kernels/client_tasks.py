"""Functions that client_check.py submits."""
import contextlib


def add(a, b=1):
    return a + b


class Box:
    @staticmethod
    def double(x):
        return x * 2

    @classmethod
    def name(cls):
        return cls.__name__

    def method(self):
        return 1


def make():
    def inner():
        return 1
    return inner


anonymous = lambda: 1   # noqa: E731


@contextlib.contextmanager
def decorated():
    yield


taken = add


def shadowed():
    return 1


first_shadowed = shadowed


def shadowed():         # noqa: F811
    return 2
