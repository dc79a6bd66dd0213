"""The Jupyter server as a service of dssd: its own secrets first, then the server as it is installed."""
import ctypes
import sys

# Kernels run as the same user: from here on none of them can look into this process's memory, environment or descriptors.
if ctypes.CDLL(None, use_errno=True).prctl(4, 0, 0, 0, 0) != 0:  # PR_SET_DUMPABLE
    sys.exit("unable to start the Jupyter server: this process cannot be closed to its kernels")

try:
    from jupyter_server.serverapp import ServerApp
    import ipykernel  # noqa: F401  a server without any kernel says so only to the one who opens a notebook
except ImportError as e:
    sys.exit("unable to start the Jupyter server: %s is not installed for %s: apt-get install jupyter-server python3-ipykernel, or name "
             "another program in config/dss.lua: jupyter { python = … }" % (e.name, sys.executable))

ServerApp.launch_instance(argv=[])
