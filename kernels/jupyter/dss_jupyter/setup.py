"""Sets the server up."""
import ctypes
import os
import socket
import sqlite3

from dss_jupyter import settings as given

PR_SET_DUMPABLE = 4


def close_to_kernels():
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def make_folders(s):
    os.umask(0o027)
    for path in (os.environ["JUPYTER_DATA_DIR"], s.runtime, os.environ["IPYTHONDIR"]):
        os.makedirs(path, 0o700, exist_ok=True)
    os.chmod(s.runtime, 0o700)


def sessions_file(s):
    """Kernels run as the same user: what one of them did to this file must not keep the server from starting."""
    path = os.path.join(s.home, "sessions.sqlite")
    try:
        with sqlite3.connect(path, timeout=5) as db:
            if db.execute("PRAGMA quick_check").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError("it is damaged")
            db.execute("CREATE TABLE IF NOT EXISTS session (session_id, path, name, type, kernel_id)")
            db.execute("SELECT session_id, path, name, type, kernel_id FROM session LIMIT 1")
        db.close()
    except sqlite3.Error as e:
        print("sessions.sqlite is put aside: %s" % e, flush=True)
        os.replace(path, path + ".bad")
    return path


def patch_server(s):
    """The keeper holds the port: nobody else can take it while the server is being restarted. Kernels of the server before are taken up before
    the first request is heard. The files that would tell the token to any process of our user are not written."""
    from jupyter_server.serverapp import ServerApp

    def bind(app):
        import asyncio
        asyncio.get_event_loop().run_until_complete(app.kernel_manager.take_up())
        listening = socket.socket(fileno=s.listen_fd)
        listening.setblocking(False)
        app.http_server.add_sockets([listening])
        app.port = listening.getsockname()[1]
        app.io_loop.add_callback(tell_ready, s)
        return True

    ServerApp._bind_http_server = bind
    for name in ("write_server_info_file", "remove_server_info_file", "write_browser_open_file", "write_browser_open_files",
                 "remove_browser_open_file", "remove_browser_open_files"):
        if hasattr(ServerApp, name):
            setattr(ServerApp, name, lambda app: None)


def tell_ready(s):
    os.write(s.ready_fd, b"\n")
    os.close(s.ready_fd)


def configure(c):
    close_to_kernels()
    s = given.get()
    make_folders(s)
    patch_server(s)
    app = c.ServerApp
    app.token = s.token
    app.password = ""
    app.cookie_secret = s.derived(b"cookies")
    app.ip = s.address
    app.port_retries = 0
    app.open_browser = False
    app.allow_remote_access = False
    app.local_hostnames = ["localhost", s.address] + s.hosts
    app.root_dir = s.projects
    app.terminals_enabled = False
    app.quit_button = False
    app.kernel_manager_class = "dss_jupyter.kernels.Kernels"
    app.session_manager_class = "dss_jupyter.sessions.Sessions"
    app.contents_manager_class = "dss_jupyter.contents.Contents"
    c.SessionManager.database_filepath = sessions_file(s)
    c.MultiKernelManager.kernel_manager_class = "dss_jupyter.kernels.Kernel"
    c.FileContentsManager.delete_to_trash = False
    c.FileContentsManager.root_dir = s.projects
    c.MappingKernelManager.root_dir = s.projects
    c.KernelSpecManager.ensure_native_kernel = True
    if s.kernelspecs:
        c.KernelSpecManager.allowed_kernelspecs = set(s.kernelspecs)
        c.KernelSpecManager.ensure_native_kernel = False
