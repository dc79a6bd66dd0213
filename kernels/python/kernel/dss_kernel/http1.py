"""HTTP/1.1 as bytes: takes requests from a buffer, makes answers. No sockets, no meaning.

Strict on purpose, as whoever shares the host may connect: Content-Length only, CRLF only, no folding, no doubled headers
that steer, bounded head and body. Refuse(status) says how the connection ends.
"""
import json
import re
from urllib.parse import parse_qsl, unquote

HEAD_BYTES = 16 * 1024
BODY_BYTES = 16 * 1024 * 1024
KNOWN, KNOWN_BYTES = 64, 1024     # header fields read before: a backend sends the same again and again
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

REQUEST_LINE = re.compile(rb"([A-Z]{1,16}) (/[\x21-\x7e]{0,4095}) HTTP/1\.([01])\Z")
HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\t\x80-\xff]*)\Z")
SINGLE = (b"host", b"content-length", b"authorization", b"transfer-encoding")
REASONS = {200: "OK", 202: "Accepted", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 405: "Method Not Allowed",
           408: "Request Timeout", 409: "Conflict", 411: "Length Required", 413: "Content Too Large",
           431: "Request Header Fields Too Large", 500: "Internal Server Error", 501: "Not Implemented",
           503: "Service Unavailable", 505: "HTTP Version Not Supported"}
ENCODE = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode


_known = {}


class Refuse(Exception):
    """This request is answered with `status` and `message`."""

    def __init__(self, status, message, clazz="BadRequest"):
        super().__init__(message)
        self.status, self.message, self.clazz = status, message, clazz


class Request:
    """method, path, query (text, undecoded), headers (lower case names), body, keeps_alive."""
    __slots__ = ("method", "path", "query", "headers", "body", "body_bytes", "keeps_alive")

    def __init__(self, method, target, headers, minor):
        self.method = method.decode()
        path, _, self.query = target.decode().partition("?")
        self.path = unquote(path, errors="strict") if "%" in path else path
        self.headers = headers
        self.body = b""
        self.body_bytes = length_of(self.method, headers)
        said = headers.get(b"connection", b"").lower()
        self.keeps_alive = minor == b"1" and b"close" not in said

    def parameters(self):
        """Query parameters as a dict; one that stands twice is refused."""
        if "=" not in self.query or "&" not in self.query and "%" not in self.query and "+" not in self.query:
            name, _, value = self.query.partition("=")
            return {name: value} if name else {}
        try:
            pairs = parse_qsl(self.query, keep_blank_values=True, errors="strict", max_num_fields=16) if self.query else []
        except ValueError:
            raise Refuse(400, "the query cannot be read") from None
        found = dict(pairs)
        if len(found) != len(pairs):
            raise Refuse(400, "a query parameter stands twice")
        return found


def length_of(method, headers):
    if b"transfer-encoding" in headers:
        raise Refuse(501, "transfer-encoding is not taken; send Content-Length")
    said = headers.get(b"content-length")
    if said is None:
        if method in ("POST", "PUT", "PATCH"):
            raise Refuse(411, "a %s needs Content-Length" % method)
        return 0
    if not said.isdigit() or len(said) > 15:
        raise Refuse(400, "Content-Length is no number")
    if int(said) > BODY_BYTES:
        raise Refuse(413, "the body is over the limit of %d bytes" % BODY_BYTES)
    return int(said)


def take_head(buffer):
    """Takes one request's head off the front of `buffer` (a bytearray). Returns a Request, or None when more must come."""
    end = buffer.find(b"\r\n\r\n", 0, HEAD_BYTES)
    if end < 0:
        if len(buffer) >= HEAD_BYTES:
            raise Refuse(431, "the head is over the limit of %d bytes" % HEAD_BYTES)
        if buffer and not buffer[:1].isalpha():
            raise Refuse(400, "this is no HTTP request")
        return None
    line, _, fields = bytes(buffer[:end]).partition(b"\r\n")
    del buffer[:end + 4]
    first = REQUEST_LINE.match(line)
    if not first:
        if re.search(rb" HTTP/[02-9]", line):
            raise Refuse(505, "only HTTP/1.1 is spoken here")
        raise Refuse(400, "the request line cannot be read")
    headers = _known.get(fields)
    if headers is None:
        headers = take_fields(fields)
        if len(fields) <= KNOWN_BYTES:
            if len(_known) >= KNOWN:
                _known.clear()
            _known[fields] = headers
    try:
        return Request(first[1], first[2], headers, first[3])
    except UnicodeDecodeError:
        raise Refuse(400, "the path cannot be read") from None


def take_fields(fields):
    """Header lines as a dict that nobody may change."""
    headers = {}
    for line in fields.split(b"\r\n") if fields else ():
        field = HEADER.match(line)
        if not field:
            raise Refuse(400, "a header line cannot be read")
        name = field[1].lower()
        if name in headers and name in SINGLE:
            raise Refuse(400, "header %s stands twice" % name.decode())
        headers[name] = field[2].rstrip(b" \t")
    return headers


def answer(status, body, keeps_alive=True):
    """An answer's head and body. `body` is bytes of JSON, or something to make JSON of."""
    if not isinstance(body, bytes):
        body = ENCODE(body).encode("utf-8", "replace")
    head = "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n" % (
        status, REASONS[status], len(body), "" if keeps_alive else "Connection: close\r\n")
    return head.encode() + body


def error_body(clazz, message):
    return {"error": {"clazz": clazz, "message": message}}
