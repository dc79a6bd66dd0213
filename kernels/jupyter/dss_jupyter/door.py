"""The backend's socket for this server: announces a kernel that is about to start, tells what is to become of one."""
import asyncio
import http.client
import json
import os
import socket
import time

from dss_jupyter import settings as given

WAIT_S = 60  # for a backend that is just being replaced, and for a place


class Refused(Exception):
    """The backend's answer: no, and why."""


class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(WAIT_S)
        path = given.get().door
        if len(os.fsencode(path)) < 108:
            self.sock.connect(path)
            return
        folder = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY)
        try:
            self.sock.connect("/proc/self/fd/%d/%s" % (folder, os.path.basename(path)))
        finally:
            os.close(folder)


def post(path, body, wait_s):
    """The answer's object. Nobody there: tried again until the time is over."""
    until = time.monotonic() + wait_s
    while True:
        connection = Connection("localhost", timeout=WAIT_S)
        try:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", "Connection": "close"})
            answer = connection.getresponse()
            text = answer.read(1 << 20)
            if answer.status == 200:
                return json.loads(text)
            message = json.loads(text).get("message", "")
            if answer.status != 503 or time.monotonic() > until:
                raise Refused(message)
        except (OSError, ValueError, http.client.HTTPException) as e:
            if time.monotonic() > until:
                raise Refused("the backend does not answer (%s); try again once it is back" % e)
        finally:
            connection.close()
        time.sleep(0.2)


async def announce(body):
    return await asyncio.get_running_loop().run_in_executor(None, post, "/announce", body, WAIT_S)


async def tell(body):
    """A backend that is away learns it later from the keeper: nothing waits for it."""
    try:
        await asyncio.get_running_loop().run_in_executor(None, post, "/note", body, 2)
    except Refused:
        pass
