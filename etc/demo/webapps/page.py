"""The demo's page: revenue by month and channel as the last job built it, read anew for each request. Standard library only."""
import csv
import html
import http.server
import os
import pathlib

TABLE = pathlib.Path("data/revenue/revenue.csv")  # a webapp's working directory is its project


def rows():
    if not TABLE.exists():
        return [["nothing is built yet: dssctl job run DEMO revenue"]]
    with TABLE.open(newline="") as f:
        return list(csv.reader(f))


def page():
    lines = ["<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows()]
    return "<!doctype html><title>Revenue</title><h1>Revenue</h1><table>" + "".join(lines) + "</table>"


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = page().encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["DSS_WEBAPP_PORT"])), Page).serve_forever()
