"""The server: one epoll loop over all connections. Sleeps until something happens.

The main thread leads it while it has no task. While it runs one, nobody does, and most tasks end before anybody has to: the answer goes out
without a change of threads. Should the task take longer, the deputy, a thread that looks every few milliseconds, leads until it ends. The
deputy sleeps, too, once there was no task for a while.

A connection reads while nothing is left to answer on it: requests sent ahead wait in the socket, so memory stays bounded.
A route gives an answer at once, or a Waiting that is asked again whenever the task changed.
"""
import errno
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback

from dss_kernel import http1

CONNECTIONS = 64            # at most; the backend needs two or three
FIRST_REQUEST_S = 15.0      # a new connection must say something sensible within
HEAD_S, BODY_S = 10.0, 60.0 # from a request's first byte
SEND_S = 60.0               # an answer must move within
CLOSE_S = 1.0               # at the end: for answers under way
CHUNK = 256 * 1024          # a read within a large body
LITTLE = 16 * 1024          # any other: room for more would be mapped and unmapped each time
BEAT_S = 0.005              # a task that the deputy sees twice makes it lead
BEATS = 100                 # without a task, then it sleeps until there is one
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
READS, WRITES = select.EPOLLIN | select.EPOLLRDHUP, select.EPOLLOUT
MOVED_ON = (errno.ECONNABORTED, errno.EAGAIN, errno.EINTR)


class Waiting:
    """An answer that is not due yet. `look()` gives bytes once it is; `give_up()` gives the answer at the deadline."""
    __slots__ = ("look", "give_up", "deadline")

    def __init__(self, look, give_up, deadline):
        self.look, self.give_up, self.deadline = look, give_up, deadline


class Connection:
    __slots__ = ("sock", "fd", "received", "to_send", "request", "waiting", "deadline", "events", "answered", "has_proved", "is_closing")

    def __init__(self, sock, now):
        self.sock, self.fd = sock, sock.fileno()
        self.received = bytearray()
        self.to_send = None         # memoryview of what could not be sent yet
        self.request = None         # head read, body still coming
        self.waiting = None
        self.deadline = now + FIRST_REQUEST_S
        self.events = READS
        self.answered = 0
        self.has_proved = False     # came with the task token: this is the backend
        self.is_closing = False


class Server:
    def __init__(self, listen_host, listen_port):
        """Raises OSError. Listens at once; answers after start()."""
        family = socket.AF_INET6 if ":" in listen_host else socket.AF_INET
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((listen_host, listen_port))
        self._listener.listen(64)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        self._wake_read, self.wake_fd = os.pipe()     # Python writes the numbers of signals to it, too
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self.wake_fd, False)
        self._epoll = select.epoll()
        self._epoll.register(self._listener.fileno(), READS)
        self._epoll.register(self._wake_read, READS)
        self._connections = {}
        self._due = None            # when to wake without an event, monotonic seconds
        self._routes = self._on_loss = None
        self._close_by = None
        self._lead = threading.Lock()           # who holds it runs the loop
        self._is_polling = False                # the leader waits, or is about to: what changes now it has not seen
        self._alarm = threading.Lock()          # released with each task: the deputy is to look
        self._deputy = threading.Thread(target=self._stand_in, name="kernel-server", daemon=True)

    def start(self, routes, on_loss):
        """`routes` has check(request), answer(request), tick(now), leave_once(), running(); `on_loss()` is called when the backend's last
        connection went."""
        self._routes, self._on_loss = routes, on_loss
        self._alarm.acquire()
        self._deputy.start()

    def wake(self):
        """From any thread. A leader that does not wait will look before it does; without one nobody has to know yet."""
        if not self._is_polling:
            return
        try:
            os.write(self.wake_fd, b"\0")
        except OSError:
            pass        # full: it will wake anyway

    def close(self):
        """Main thread: sends what is due."""
        self._close_by = time.monotonic() + CLOSE_S
        self.wake()
        self._lead_while(self._is_sending)

    def has_backend(self):
        return any(c.has_proved for c in list(self._connections.values()))

    def close_in_child(self):
        """A forked child must not keep the port or a connection open."""
        for connection in list(self._connections.values()):
            connection.sock.close()
        self._listener.close()
        self._epoll.close()
        os.close(self._wake_read)
        os.close(self.wake_fd)

    # --- the loop ---

    def lead(self, has_work):
        """Main thread: serves until has_work()."""
        if not has_work():
            self._lead_while(lambda: not has_work())
        if self._alarm.locked():
            self._alarm.release()

    def answer(self):
        """Main thread, after a task: what waited for its end is told. A deputy that leads was woken by that end."""
        self._lead_while(None)

    def _stand_in(self):
        """The deputy's thread."""
        while True:
            self._alarm.acquire()
            seen, quiet = None, 0
            while quiet < BEATS:
                time.sleep(BEAT_S)
                task = self._routes.running()
                if task is None:
                    quiet = 0 if seen is not None else quiet + 1
                elif task is seen:
                    self._lead_while(lambda: self._close_by is None and self._routes.running() is seen)
                seen = task

    def _lead_while(self, goes_on):
        """None: looks once."""
        try:
            with self._lead:
                self._is_polling = True     # before the look: whoever changes something later wakes us
                self._look()
                while goes_on is not None and goes_on():
                    self._turn()
                    if goes_on():       # whoever leads next looks first
                        self._look()
                self._is_polling = False
        except BaseException:
            # Without its server a kernel is of no use to anyone, and nobody would learn why.
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(70)

    def _turn(self):
        timeout = -1 if self._due is None else max(0.0, self._due - time.monotonic()) + 0.001   # epoll rounds down to milliseconds
        for fd, events in self._epoll.poll(timeout):
            if fd == self._wake_read:
                if any(number in STOP_SIGNALS for number in os.read(fd, 4096)):
                    self._routes.leave_once()
            elif fd == self._listener.fileno():
                self._accept()
            elif fd in self._connections:
                self._serve(self._connections[fd], events)

    def _look(self):
        """What the task's change or the time brings, and when to look again."""
        now = time.monotonic()
        due = self._routes.tick(now)
        watched = [c for c in self._connections.values() if c.waiting is not None or c.deadline is not None]
        if watched:
            for connection in watched:
                self._look_after(connection, now)
            due = self._routes.tick(now)        # again: a request answered just now may have begun a task
        self._due = self._next_deadline(due)

    def _is_sending(self):
        return time.monotonic() < self._close_by and any(c.to_send or c.waiting for c in self._connections.values())

    def _next_deadline(self, due):
        if self._close_by is not None:
            due = self._close_by
        for c in self._connections.values():
            at = c.waiting.deadline if c.waiting is not None else c.deadline
            if at is not None and (due is None or at < due):
                due = at
        return due

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError as e:
                if e.errno not in MOVED_ON:
                    time.sleep(0.05)    # out of descriptors: the socket stays readable, do not spin on it
                return
            if len(self._connections) >= CONNECTIONS and not self._make_room():
                sock.close()
                continue
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(sock, time.monotonic())
            self._connections[connection.fd] = connection
            self._epoll.register(connection.fd, READS)

    def _make_room(self):
        """The oldest stranger goes; whoever proved to be the backend stays."""
        for connection in self._connections.values():
            if not connection.has_proved:
                self._drop(connection)
                return True
        return False

    def _look_after(self, c, now):
        """What the task's change or the time brings to one connection."""
        if c.waiting is not None:
            data = c.waiting.look() or (c.waiting.give_up() if now >= c.waiting.deadline else None)
            if data is not None:
                c.waiting = None
                self._send(c, data)
                self._advance(c)
        elif c.deadline is not None and now >= c.deadline:
            if c.to_send is None and (c.received or c.request):
                self._refuse(c, http1.Refuse(408, "the request did not come to its end in time"))
                self._settle(c)
            else:
                self._drop(c)

    # --- one connection ---

    def _serve(self, c, events):
        if events & select.EPOLLOUT:
            self._send_more(c)
        if events & (select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR) and not self._receive(c):
            return
        self._advance(c)

    def _receive(self, c):
        """Reads once. False: the connection is gone."""
        try:
            data = c.sock.recv(LITTLE if c.request is None else CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        if not data:
            self._drop(c)
            return False
        if c.is_closing:
            return True         # the answer is out; the peer may still be talking
        if not c.received and c.request is None and c.waiting is None:
            c.deadline = time.monotonic() + HEAD_S
        c.received += data
        return True

    def _advance(self, c):
        """Answers as many requests as are there, one after the other."""
        try:
            while c.waiting is None and c.to_send is None and not c.is_closing and self._next_request(c):
                request, c.request = c.request, None
                self._answer(c, request)
        except http1.Refuse as refusal:
            self._refuse(c, refusal)
        self._settle(c)

    def _next_request(self, c):
        """True: c.request is complete."""
        if c.request is None:
            c.request = http1.take_head(c.received)
            if c.request is None:
                return False
            # Before the body is read: a stranger does not get to fill our memory.
            c.has_proved = self._routes.check(c.request) or c.has_proved
            if c.request.body_bytes > len(c.received):
                c.deadline = time.monotonic() + BODY_S
                if c.request.headers.get(b"expect", b"").lower() == b"100-continue":
                    self._send(c, http1.CONTINUE)
        needed = c.request.body_bytes
        if len(c.received) < needed:
            return False
        if needed:
            c.request.body = bytes(c.received[:needed])
            del c.received[:needed]
        return True

    def _answer(self, c, request):
        try:
            status, body = 0, self._routes.answer(request)
            if isinstance(body, Waiting):
                c.waiting, c.is_closing = body, False
                if not request.keeps_alive:
                    c.waiting = closing_after(c, body)
                return
            if isinstance(body, tuple):
                status, body = body
            self._send(c, body if status == 0 else http1.answer(status, body, request.keeps_alive))
            c.is_closing = not request.keeps_alive
        except http1.Refuse as refusal:
            self._send(c, http1.answer(refusal.status, http1.error_body(refusal.clazz, refusal.message), request.keeps_alive))
            c.is_closing = not request.keeps_alive
        except Exception as e:
            traceback.print_exc()
            self._refuse(c, http1.Refuse(500, "the kernel failed to answer: %s" % type(e).__name__, "Internal"))

    def _refuse(self, c, refusal):
        """Where requests begin and end is not known any more: say why, and close."""
        c.received.clear()
        c.request = None
        self._send(c, http1.answer(refusal.status, http1.error_body(refusal.clazz, refusal.message), False))
        c.is_closing = True

    def _send(self, c, data):
        c.answered += 1
        if c.to_send is not None:
            c.to_send = memoryview(bytes(c.to_send) + data)     # after 100 Continue only
        else:
            c.to_send = memoryview(data)
        self._send_more(c)

    def _send_more(self, c):
        try:
            while c.to_send:
                c.to_send = c.to_send[c.sock.send(c.to_send):]
                c.deadline = None
            c.to_send = None
        except BlockingIOError:
            c.deadline = time.monotonic() + SEND_S
        except OSError:
            c.to_send = None
            c.is_closing = True

    def _settle(self, c):
        """After any step: what to wait for on this connection now, and how long."""
        if c.fd not in self._connections:
            return
        if c.is_closing and c.to_send is None:
            self._hang_up(c)
            return
        if c.to_send is None and c.waiting is None and not c.received and c.request is None and c.answered:
            c.deadline = None           # between requests: as long as it likes
        elif c.deadline is None and c.waiting is None:
            c.deadline = time.monotonic() + HEAD_S
        is_blocked = c.waiting is not None or c.to_send is not None
        events = (0 if is_blocked and len(c.received) >= http1.HEAD_BYTES else READS) | (WRITES if c.to_send is not None else 0)
        if events != c.events:
            c.events = events
            self._epoll.modify(c.fd, events)

    def _hang_up(self, c):
        """Closes so that the last answer arrives: a plain close with unread input would reset the connection."""
        try:
            c.sock.shutdown(socket.SHUT_WR)
            while c.sock.recv(CHUNK):
                pass
        except OSError:
            pass
        self._drop(c)

    def _drop(self, c):
        if self._connections.pop(c.fd, None) is None:
            return
        self._epoll.unregister(c.fd)
        c.sock.close()
        if c.answered and self._close_by is None and not self.has_backend():
            self._on_loss()


def closing_after(c, waiting):
    """The same wait for a request that wants its connection closed afterwards."""
    def with_close(give):
        def wrapped():
            data = give()
            c.is_closing = data is not None
            return data
        return wrapped
    return Waiting(with_close(waiting.look), with_close(waiting.give_up), waiting.deadline)
