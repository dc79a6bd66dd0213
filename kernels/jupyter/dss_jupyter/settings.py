"""What config/dss.lua says (DSS_JUPYTER), and the token (a pipe that only this process has read)."""
import hashlib
import json
import os


class Settings:
    def __init__(self):
        given = json.loads(os.environ.pop("DSS_JUPYTER"))
        self.projects = given["projects"]
        self.home = given["home"]
        self.door = given["door"]
        self.launcher = given["launcher"]
        self.kernelspecs = given.get("kernelspecs")
        self.hosts = given.get("hosts") or []
        self.address = given["address"]
        self.runtime = os.environ["JUPYTER_RUNTIME_DIR"]
        self.listen_fd = int(os.environ.pop("DSS_LISTEN_JUPYTER_FD"))
        self.ready_fd = int(os.environ.pop("DSS_READY_FD"))
        self.token = read_all(int(os.environ.pop("DSS_KERNEL_SECRETS_FD")))
        for fd in (self.listen_fd, self.ready_fd):
            os.set_inheritable(fd, False)

    def derived(self, use):
        """A secret of our own for that use: the same for each server of this instance, so that logins outlive a restart."""
        return hashlib.sha256(b"dss_jupyter " + use + b"\0" + self.token.encode()).digest()


def read_all(fd):
    with os.fdopen(fd, "rb") as f:
        text = f.read(4097).decode("ascii").strip()
    if not text:
        raise SystemExit("unable to start the Jupyter server: config/jupyter.token is empty")
    return text


_settings = None


def get():
    global _settings
    if _settings is None:
        _settings = Settings()
    return _settings
