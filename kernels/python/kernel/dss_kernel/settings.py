"""What the kernel was told at its start: environment, secrets, command line.

Secrets come by a pipe (or, for remote kernels, by one variable) and leave no trace that a task, a child or a reader of
/proc/PID/environ could find.
"""
import json
import os
import re
import sys
from urllib.parse import urlsplit

MARK = "DSSFutureKernelMain"        # what process lists and the node's tools look for
MODULE = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)+\Z")  # what a kernel with other tasks than the usual ones names instead
EXIT_USAGE = 64                     # EX_USAGE: started wrongly; trying again will not help
SECRETS_BYTES = 64 * 1024           # also what a pipe holds without a reader
ID = re.compile(r"(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9_.:()-]{0,127}\Z")


class Wrong(Exception):
    """A setting is missing or makes no sense; the text says which and why."""


class Settings:
    """kernel_id, pool, kind, backend_host, backend_port, listen_host, listen_port, lease_s, kernel_token, task_token."""

    def __init__(self, environ):
        self.kernel_id = required(environ, "DSS_KERNEL_ID")
        if not ID.match(self.kernel_id):
            raise Wrong("DSS_KERNEL_ID is no id: %r" % self.kernel_id)
        self.pool = environ.get("DSS_KERNEL_POOL", "")
        self.kind = environ.get("DSS_KERNEL_KIND") or "future"
        if self.kind != "future":
            raise Wrong("DSS_KERNEL_KIND is %r; this runtime is for kind 'future' only" % self.kind)
        self.backend_host, self.backend_port = backend_address(required(environ, "DSS_BACKEND_URL"))
        self.listen_host, self.listen_port = listen_address(environ.get("DSS_KERNEL_LISTEN") or "127.0.0.1:0")
        self.lease_s = lease(environ.get("DSS_KERNEL_LEASE_S") or "0")
        self.kernel_token, self.task_token = secrets(environ)


def required(environ, name):
    value = environ.get(name)
    if not value:
        raise Wrong("%s is not set" % name)
    return value


def backend_address(url):
    try:
        parts = urlsplit(url)
        port = parts.port or 80
    except ValueError as e:
        raise Wrong("DSS_BACKEND_URL is no address: %s" % e) from None
    if parts.scheme != "http" or not parts.hostname or parts.path.strip("/") or parts.query or parts.username:
        raise Wrong("DSS_BACKEND_URL must read http://host:port, not %r" % url)
    return parts.hostname, port


def listen_address(text):
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise Wrong("DSS_KERNEL_LISTEN must read host:port, not %r" % text)
    return host.strip("[]"), int(port)


def lease(text):
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e9:
        raise Wrong("DSS_KERNEL_LEASE_S must be seconds, 0 for none, not %r" % text)
    return seconds


def secrets(environ):
    """Returns (kernel token, task token) as bytes. Takes the secrets out of the environment, also when they are wrong."""
    fd = environ.pop("DSS_KERNEL_SECRETS_FD", None)
    if fd is None:
        raise Wrong("neither DSS_KERNEL_SECRETS_FD nor DSS_KERNEL_SECRETS is set")
    if not fd.isdigit():
        raise Wrong("DSS_KERNEL_SECRETS_FD is no file descriptor: %r" % fd)
    try:
        with open(int(fd), "rb") as pipe:
            text = pipe.read(SECRETS_BYTES + 1)
    except OSError as e:
        raise Wrong("unable to read the secrets from file descriptor %s: %s" % (fd, e.strerror)) from None
    try:
        told = json.loads(text.decode("utf-8"))
        tokens = tuple(told[name].encode("ascii") for name in ("kernelToken", "taskToken"))
    except (ValueError, TypeError, KeyError, AttributeError):
        # `from None` and no text of the input: what was read may hold half a token.
        raise Wrong('the secrets must be {"kernelToken","taskToken"} as JSON') from None
    if not all(re.match(rb"[\x21-\x7e]{8,512}\Z", t) for t in tokens):
        raise Wrong("a token must have 8 to 512 printable characters")
    return tokens


def hide_secrets(environ):
    """Secrets in a variable stay readable in /proc/PID/environ for life: move them into a pipe and start over without them."""
    told = environ.pop("DSS_KERNEL_SECRETS", None)
    if told is None:
        return
    if "DSS_KERNEL_SECRETS_FD" in environ:
        return
    data = told.encode("utf-8", "surrogateescape")
    if len(data) > SECRETS_BYTES:
        raise Wrong("DSS_KERNEL_SECRETS is longer than %d bytes" % SECRETS_BYTES)
    readable, writable = os.pipe()
    os.write(writable, data)
    os.close(writable)
    os.set_inheritable(readable, True)
    environ["DSS_KERNEL_SECRETS_FD"] = str(readable)
    os.execv(sys.executable, [sys.executable, "-I", *sys.argv])
