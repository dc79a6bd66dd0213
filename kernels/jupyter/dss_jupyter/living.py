"""A kernel that an earlier server started and that is still alive, held by its pidfd: as much of subprocess.Popen as Jupyter uses."""
import os
import select
import signal


def start_ticks(pid):
    """When it was born; with the pid its identity. None: there is no such process, or it has ended."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as f:
            fields = f.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


class Living:
    stdin = stdout = stderr = None
    returncode = None

    def __init__(self, pid, ticks):
        self.pid = pid
        self.fd = os.pidfd_open(pid)
        if start_ticks(pid) != ticks:
            os.close(self.fd)
            raise ProcessLookupError(pid)

    def poll(self):
        if self.returncode is None and select.select([self.fd], [], [], 0)[0]:
            self.returncode = 1  # whose child it is has its status
            os.close(self.fd)
        return self.returncode

    def wait(self, timeout=None):
        if self.returncode is None:
            select.select([self.fd], [], [], timeout)
        return self.poll()

    def send_signal(self, signum):
        if self.poll() is None:
            signal.pidfd_send_signal(self.fd, signum)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def terminate(self):
        self.send_signal(signal.SIGTERM)
