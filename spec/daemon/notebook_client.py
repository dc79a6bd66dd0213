"""For the specs of notebooks: talks to a Jupyter server as a browser does. usage: notebook_client.py URL TOKEN-FILE VERB ARGS…; prints JSON.

    start PATH [SPEC]            a session → {"session","kernel"}        cell KERNEL CODE [SECONDS]   runs it → {"text","error"}
    send KERNEL CODE             does not wait for its end               get PATH · post PATH [JSON] · delete PATH   of the REST API
"""
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from datetime import timedelta

from tornado import gen, ioloop
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

url, token = sys.argv[1], open(sys.argv[2]).read().strip()


def rest(method, path, body=None):
    request = urllib.request.Request(url + path, method=method, data=None if body is None else json.dumps(body).encode(),
                                     headers={"Authorization": "token " + token, "Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=90) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text else None
    except urllib.error.HTTPError as e:
        text = e.read()
        try:
            return e.code, json.loads(text)
        except ValueError:
            return e.code, {"message": text.decode("utf-8", "replace")[:2000]}


def message(code):
    return json.dumps({"header": {"msg_id": uuid.uuid4().hex, "username": "u", "session": uuid.uuid4().hex, "msg_type": "execute_request",
                                  "version": "5.3", "date": ""}, "parent_header": {}, "metadata": {}, "channel": "shell",
                       "content": {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False,
                                   "stop_on_error": True}, "buffers": []})


async def cell(kernel, code, seconds, waits):
    where = url.replace("http", "ws", 1) + "/api/kernels/%s/channels" % kernel
    connection = await websocket_connect(HTTPRequest(where, headers={"Authorization": "token " + token}))
    text = message(code)
    mine = json.loads(text)["header"]["msg_id"]
    await connection.write_message(text)
    out, error, until = [], None, time.monotonic() + seconds
    while True:
        answer = await gen.with_timeout(timedelta(seconds=max(0.1, until - time.monotonic())), connection.read_message())
        if answer is None:
            return {"text": "".join(out), "error": "the connection was closed"}
        m = json.loads(answer)
        if m["parent_header"].get("msg_id") != mine:
            continue
        kind, content = m["header"]["msg_type"], m["content"]
        if kind == "stream":
            out.append(content["text"])
        elif kind == "execute_result":
            out.append(content["data"]["text/plain"])
        elif kind == "error":
            error = "%s: %s" % (content["ename"], content["evalue"])
        elif kind == "status" and content["execution_state"] == "busy" and not waits:
            connection.close()
            return {}
        elif kind == "status" and content["execution_state"] == "idle":
            connection.close()
            return {"text": "".join(out), "error": error}


def run(kernel, code, seconds, waits):
    try:
        return ioloop.IOLoop.current().run_sync(lambda: cell(kernel, code, seconds, waits))
    except gen.TimeoutError:
        return {"text": "", "error": "no end within %s s" % seconds}


def start(path, spec="python3"):
    status, answer = rest("POST", "/api/sessions", {"path": path, "name": path, "type": "notebook", "kernel": {"name": spec}})
    return {"session": answer["id"], "kernel": answer["kernel"]["id"]} if status == 201 else {"status": status, "message": answer.get("message")}


verb, args = sys.argv[3], sys.argv[4:]
if verb == "start":
    result = start(*args)
elif verb in ("cell", "send"):
    result = run(args[0], args[1], float(args[2]) if len(args) > 2 else 30, verb == "cell")
else:
    status, answer = rest(verb.upper(), args[0], json.loads(args[1]) if len(args) > 1 else None)
    result = {"status": status, "answer": answer}
print(json.dumps({k: v for k, v in result.items() if v is not None}))
