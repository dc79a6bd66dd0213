"""Start and end of a kernel, in order."""
import atexit
import importlib
import os
import sys

import dss
from dss_kernel import settings as settings_module
from dss_kernel.announcer import Announcer
from dss_kernel.desk import Desk
from dss_kernel.routes import PAYLOADS, Routes
from dss_kernel.runner import ForkGuard, Runner
from dss_kernel.server import Server
from dss_kernel.settings import EXIT_USAGE, MARK, MODULE, Settings, Wrong

EXIT_UNAVAILABLE = 69
OWN_LOG = ("command", "train")      # types of tasks that the backend gives a log of their own


def main():
    """Never returns. Exits 0 when asked to end, 64 when started wrongly, 69 when it cannot listen."""
    if sys.version_info < (3, 9):
        fail(EXIT_USAGE, "Python 3.9 or newer is needed, this is %s" % sys.version.split()[0])
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    # Tasks' folders belong to their owners: no __pycache__ in them. (It would also hide a change within one second.)
    sys.dont_write_bytecode = True
    try:
        trade = trade_of(sys.argv[1:])
        settings_module.hide_secrets(os.environ)
        settings = Settings(os.environ)
    except Wrong as e:
        fail(EXIT_USAGE, str(e))
    try:
        server = Server(settings.listen_host, settings.listen_port)
    except OSError as e:
        fail(EXIT_UNAVAILABLE, "unable to listen on %s:%d: %s" % (settings.listen_host, settings.listen_port, e.strerror or e))
    serve(settings, server, trade)


def trade_of(words):
    """What tasks this kernel takes: {type: (fields of the payload, function or None)}. The mark names the usual ones, a module beside the kernel
    (`doctor.server`) its own, in its TYPES; then the command line says that and not the mark."""
    modules = [w for w in words if MODULE.match(w)]
    if MARK in words and not modules:
        return {kind: (fields, None) for kind, fields in PAYLOADS.items()}
    if MARK in words or len(modules) != 1:
        raise Wrong("the command line must contain the mark %s, or the name of one module, like doctor.server" % MARK)
    folder = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    sys.path.append(folder)
    try:
        return importlib.import_module(modules[0]).TYPES
    except (ImportError, AttributeError) as e:
        raise Wrong("unable to use the module %s of %s: %s" % (modules[0], folder, e)) from None
    finally:
        sys.path.remove(folder)     # its package is found by now; what else lies there is none of a task's business


def serve(settings, server, trade):
    desk = Desk(server.wake)
    dss._wake = server.wake
    host = "[%s]" % settings.listen_host if ":" in settings.listen_host else settings.listen_host
    announcer = Announcer(settings, "http://%s:%d" % (host, server.port), trade, server.has_backend, lambda: not desk.holds(*OWN_LOG))
    guard = ForkGuard()
    os.register_at_fork(before=guard.before, after_in_parent=guard.in_parent, after_in_child=lambda: become_child(server, announcer, guard))
    runner = Runner(desk, server, {kind: run for kind, (_, run) in trade.items() if run})
    runner.catch_signals()
    server.start(Routes(settings, desk, {kind: fields for kind, (fields, _) in trade.items()}), announcer.lose)
    announcer.start()
    runner.run()
    server.close()
    leave()


def become_child(server, announcer, guard):
    """In a process that a task forked: it must hold nothing of the kernel's."""
    dss._task = None
    server.close_in_child()
    announcer.close_in_child()
    guard.in_child()


def leave():
    """Tidies up what tasks registered, but does not wait for threads that they left behind."""
    try:
        atexit._run_exitfuncs()
    except BaseException as e:
        print("kernel: at exit: %s: %s" % (type(e).__name__, e), file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass
    os._exit(0)


def fail(status, text):
    print("unable to start the kernel: %s" % text, file=sys.stderr)
    sys.exit(status)
