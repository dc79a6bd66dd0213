"""For the specs of notebooks: a page that is open. usage: notebook_hold.py URL TOKEN-FILE KERNEL SECONDS; asks for kernel_info, as every page does, and then
stays connected for so long. Prints "open" once that is answered."""
import json
import sys
import time
import uuid
from datetime import timedelta

from tornado import gen, ioloop
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

url, token_file, kernel, seconds = sys.argv[1:5]


async def hold():
    token = open(token_file).read().strip()
    where = url.replace("http", "ws", 1) + "/api/kernels/%s/channels" % kernel
    page = await websocket_connect(HTTPRequest(where, headers={"Authorization": "token " + token}))
    header = {"msg_id": uuid.uuid4().hex, "username": "u", "session": uuid.uuid4().hex, "msg_type": "kernel_info_request", "version": "5.3", "date": ""}
    await page.write_message(json.dumps({"header": header, "parent_header": {}, "metadata": {}, "channel": "shell", "content": {}, "buffers": []}))
    until, is_open = time.monotonic() + float(seconds), False
    while time.monotonic() < until:
        try:
            m = await gen.with_timeout(timedelta(seconds=max(0.05, until - time.monotonic())), page.read_message())
        except gen.TimeoutError:
            break
        if m is None:
            sys.exit("closed by the server")
        if not is_open and json.loads(m)["header"]["msg_type"] == "kernel_info_reply":
            is_open = True
            print("open", flush=True)
    page.close()


ioloop.IOLoop.current().run_sync(hold)
