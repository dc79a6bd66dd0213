"""For the specs of notebooks: stands in for a Jupyter server (jupyter { command = … }), and does at the backend's door what it is told:

    POST /do {"post": "/announce", "body": {…}, "seconds"?} → {"status", "answer"}; status 0: it has gone, none came within so many seconds
             {"launch": [PROGRAM, …], "nonce": N} → {"pid"}: a launcher, as its child
             {"tell": {PATH: […]}} → {}: what GET PATH answers from then on; before, []
"""
import http.client
import http.server
import json
import os
import signal
import socket
import subprocess

told = {}
given = json.loads(os.environ["DSS_JUPYTER"])
signal.signal(signal.SIGCHLD, signal.SIG_IGN)


def post(path, body, seconds=120):
    connection = http.client.HTTPConnection("localhost", timeout=seconds)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(seconds)
    connection.sock.connect(given["door"])
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", "Connection": "close"})
    try:
        answer = connection.getresponse()
        return {"status": answer.status, "answer": json.loads(answer.read() or b"null")}
    except socket.timeout:
        return {"status": 0}
    finally:
        connection.close()


def launch(argv, nonce):
    env = {"DSS_NOTEBOOK_DOOR": given["door"], "DSS_NOTEBOOK_NONCE": nonce, "PATH": "/usr/bin:/bin"}
    return {"pid": subprocess.Popen([given["launcher"], "launch"] + argv, env=env, start_new_session=True).pid}


class Handler(http.server.BaseHTTPRequestHandler):
    def reply(self, value):
        text = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        self.reply(told.get(self.path, []))

    def do_POST(self):
        what = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "tell" in what:
            told.update(what["tell"])
            self.reply({})
        else:
            self.reply(post(what["post"], what["body"], what.get("seconds", 120)) if "post" in what else launch(what["launch"], what["nonce"]))

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    def __init__(self, fd):
        super().__init__(("127.0.0.1", 0), Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = socket.socket(fileno=fd)


server = Server(int(os.environ["DSS_LISTEN_JUPYTER_FD"]))
os.write(int(os.environ["DSS_READY_FD"]), b"\n")
os.close(int(os.environ["DSS_READY_FD"]))
server.serve_forever()
