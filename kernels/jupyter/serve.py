"""The Jupyter server as a service of dssd: its own secrets first, then the server as it is installed."""
import ctypes
# Kernels run as the same user. From here on none of them can look into this process's memory, environment or descriptors: before all else, the token is
# not read yet. Until here Landlock keeps them off (docs/security.md).
is_closed = ctypes.CDLL(None).prctl(4, 0, 0, 0, 0) == 0  # PR_SET_DUMPABLE
import errno  # noqa: E402
import os  # noqa: E402
import struct  # noqa: E402
import sys  # noqa: E402

START_FD = int(os.environ.pop("DSS_START_FD", "-1"))


def give_up(text):
    """The keeper shows it as the reason of a failed start."""
    if START_FD >= 0:
        os.write(START_FD, struct.pack("i", errno.ENOPKG) + text.encode()[:500])
    sys.exit("unable to start the Jupyter server: " + text)


if not is_closed:
    give_up("this process cannot be closed to its kernels")

try:
    from jupyter_server.serverapp import ServerApp
    import ipykernel  # noqa: F401  a server without any kernel says so only to the one who opens a notebook
except ImportError as e:
    give_up("%s is not installed for %s: apt-get install jupyter-server python3-ipykernel, or name another program in config/dss.lua: "
            "jupyter { python = … }" % (e.name, sys.executable))

if START_FD >= 0:
    os.close(START_FD)
ServerApp.launch_instance(argv=[])
