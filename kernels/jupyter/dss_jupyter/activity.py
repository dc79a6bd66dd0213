"""What a kernel does, and when it was last asked for something by somebody, as the node judges it.

Jupyter's own last_activity moves with every message: a page that is opened again, or a laptop that wakes, asks each kernel what it is, and would keep it from
ever being idle. Its execution_state is the last status of any request: a page that asks over the control channel makes a kernel idle whose cell goes on,
and what a kernel said before we listened is lost. So requests are told apart here, and a kernel counts as idle once it has answered on the channel of the cells."""
import asyncio

from jupyter_server._tz import isoformat, utcnow

# What pages and servers ask on their own; all else is about code: execute, complete, inspect, comm_msg of a widget …
BY_ITSELF = frozenset((None, "", "kernel_info_request", "comm_info_request", "history_request", "connect_request", "interrupt_request", "shutdown_request"))
GREET_S = (0.5, 2, 5, 20)
GREET_AGAIN_S = 600
OPEN_MOST = 1000


class Watch:
    """Of one kernel process."""

    def __init__(self, pid, work=None):
        self.pid = pid
        self.work = work       # when it was last asked for something
        self.open = set()      # requests about code that it works on
        self.greetings = set()
        self.is_proven = False  # it has answered on the channel of the cells: what was asked there before is over

    def take(self, message):
        parent = message.get("parent_header") or {}
        kind, request = parent.get("msg_type"), parent.get("msg_id")
        if kind not in BY_ITSELF:
            self.work = utcnow()
        if message["header"]["msg_type"] != "status":
            return
        state = message["content"].get("execution_state")
        if kind not in BY_ITSELF and state == "busy" and len(self.open) < OPEN_MOST:
            self.open.add(request)
        elif kind not in BY_ITSELF and state == "idle":
            self.open.discard(request)
            self.is_proven = True
        elif request in self.greetings and state == "idle":
            self.open.clear()
            self.is_proven = True

    def state(self, said):
        if self.open:
            return "busy"
        if not self.is_proven:
            return "busy" if said == "busy" else "starting"
        return "idle" if said in ("idle", "busy", "starting") else said


class Activity:
    """Of a MappingKernelManager: in each kernel's model dss_state, and dss_work, null before the first request since this server was started."""

    def watch_of(self, kernel_id):
        kernel = self._kernels[kernel_id]
        pid = getattr(kernel.provisioner, "pid", None)
        watch = getattr(kernel, "dss_watch", None)
        if watch is None or watch.pid != pid:
            kernel.dss_watch = watch = Watch(pid, watch.work if watch else None)
            asyncio.get_event_loop().create_task(self.greet(kernel_id, watch))
        return watch

    def start_watching_activity(self, kernel_id):
        super().start_watching_activity(kernel_id)
        kernel = self._kernels[kernel_id]
        stream, session = kernel._activity_stream, kernel.session.clone()
        record = stream._recv_callback

        def look(parts):
            try:
                self.watch_of(kernel_id).take(session.deserialize(session.feed_identities(parts)[1]))
            except Exception as e:  # what a kernel sends is its user's
                self.log.debug("kernel %s sent what is no message: %s", kernel_id, e)
            record(parts)

        self.watch_of(kernel_id)
        stream.on_recv(look)

    async def greet(self, kernel_id, watch):
        """Asks on the channel of the cells what it is, until it answers: one at work answers when it is done."""
        shell, pauses = None, iter(GREET_S)
        try:
            while True:
                await asyncio.sleep(next(pauses, GREET_AGAIN_S))
                kernel = self._kernels.get(kernel_id)
                if kernel is None or getattr(kernel, "dss_watch", None) is not watch or watch.is_proven:
                    return
                if shell is None:
                    shell = kernel.connect_shell()
                message = kernel.session.send(getattr(shell, "socket", shell), "kernel_info_request")
                watch.greetings.add(message["header"]["msg_id"])
        except Exception as e:
            self.log.info("kernel %s cannot be asked what it is: %s", kernel_id, e)
        finally:
            if shell is not None:
                shell.close()

    def kernel_model(self, kernel_id):
        model = super().kernel_model(kernel_id)
        watch = self.watch_of(kernel_id)
        model["dss_state"] = watch.state(model["execution_state"])
        model["dss_work"] = isoformat(watch.work) if watch.work else None
        return model
