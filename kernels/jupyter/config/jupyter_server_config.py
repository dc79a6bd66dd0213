# Configuration of the Jupyter server that dssd runs; read by whatever server config/dss.lua names, because JUPYTER_CONFIG_DIR points here.
# Its settings come from config/dss.lua, its token by a pipe. Not to be written by the user it runs as.
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from dss_jupyter import setup  # noqa: E402

setup.configure(c)  # noqa: F821  Jupyter's own name
