"""The demo's page: revenue by month and channel as the last job built it, and how good the trained models are; read anew for each request.
A Flask app; where Flask is not installed the standard library serves the same page."""
import csv
import html
import json
import os
import pathlib

TABLE = pathlib.Path("data/revenue/revenue.csv")  # a webapp's working directory is its project
MODELS = pathlib.Path("models")


def revenue():
    if not TABLE.exists():
        return [["nothing is built yet: dssctl job run DEMO revenue"]]
    with TABLE.open(newline="") as f:
        return list(csv.reader(f))


def trained():
    """A row for each model that was trained: a record is written last, so what has one is whole."""
    rows = [["model", "session", "algorithm", "rows", "metrics"]]
    for path in sorted(MODELS.glob("*/s*/*.json")):
        said = json.loads(path.read_text())
        metrics = ", ".join(f"{name} {value:.4g}" for name, value in said["metrics"].items())
        rows.append([said["model"], said["sessionId"], said["algorithm"], str(said.get("rows", "")), metrics])
    return rows if len(rows) > 1 else [["nothing is trained yet: dssctl train DEMO order_amount --wait"]]


def as_table(rows):
    return "<table>" + "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows) + "</table>"


def page():
    return f"<!doctype html><title>Revenue</title><h1>Revenue</h1>{as_table(revenue())}<h1>Models</h1>{as_table(trained())}"


try:
    import flask
except ImportError:
    flask = None
if flask:
    app = flask.Flask(__name__)
    app.add_url_rule("/", view_func=page)


def serve():
    import http.server

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = page().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["DSS_WEBAPP_PORT"])), Page).serve_forever()


if __name__ == "__main__":
    serve()
