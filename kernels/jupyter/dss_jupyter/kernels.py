"""Kernels: each is announced to the backend and launched into its own box; they belong to the node, not to this server: it may end, the next
takes up those that live."""
import asyncio
import contextvars
import functools
import hashlib
import hmac
import json
import os
import signal

from jupyter_client.ioloop import AsyncIOLoopKernelManager
from jupyter_client.ioloop.restarter import AsyncIOLoopKernelRestarter
from jupyter_client.provisioning import LocalProvisioner
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from tornado import web

from dss_jupyter import door, settings as given
from dss_jupyter.activity import Activity
from dss_jupyter.living import Living, start_ticks

notebook = contextvars.ContextVar("notebook", default="")

# Of the server's own environment: what a kernel may have.
KEPT = ("PATH", "LANG", "HOME", "TMPDIR", "PYTHONNOUSERSITE", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
OURS = ("DSS_", "DKU_", "JUPYTER_", "NOTIFY_")
LATER = "DSS_LATER_"  # the launcher takes it off
NUDGES_S = (0.1, 0.3, 1, 5, 20)
IDLE_WITHIN_S = 1.5  # for kernels that are taken up to say that they are idle: a client of one that is held to be busy may miss its first output
BUFFER_BYTES = 16 << 20


def seal_of(kernel_id, facts):
    """The folder is our user's, so kernels can write there: without it one could name any process of our user and have us signal that."""
    text = json.dumps([kernel_id] + [facts.get(k) for k in ("pid", "ticks", "spec", "notebook", "cwd")])
    return hmac.new(given.get().derived(b"kernels"), text.encode(), hashlib.sha256).hexdigest()


class Provisioner(LocalProvisioner):
    async def pre_launch(self, **kwargs):
        given_env = kwargs.pop("env", None) or {}
        env = {k: v for k, v in os.environ.items() if k in KEPT}
        base = dict(os.environ)
        env.update((k, v) for k, v in given_env.items() if base.get(k) != v and not k.startswith(OURS))
        kwargs = await super().pre_launch(env=env, **kwargs)  # adds what the kernelspec says
        kwargs["env"]["JPY_SESSION_NAME"] = os.path.join(given.get().projects, self.parent.notebook)
        kwargs["env"].setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # else each start says five lines about frozen modules
        kwargs["independent"] = True  # no JPY_PARENT_PID: it outlives this server
        return kwargs

    async def launch_kernel(self, cmd, **kwargs):
        s = given.get()
        # What a kernelspec says, LD_PRELOAD among it, is for the kernel in its box: the launcher, which lives in ours until then, only hands it on.
        env = {LATER + k: v for k, v in kwargs["env"].items()}
        env["DSS_NOTEBOOK_DOOR"] = s.door
        env["DSS_NOTEBOOK_NONCE"] = await self.parent.announce()
        kwargs["env"] = env
        info = await super().launch_kernel([s.launcher, "launch"] + cmd, **kwargs)
        self.parent.remember(self.process.pid)
        return info

    def take(self, pid, ticks):
        self.process = Living(pid, ticks)
        self.pid = pid
        self.pgid = None  # the group's number may be somebody else's by now; what the kernel leaves behind goes with its box
        self.connection_info = self.parent.get_connection_info()

    async def send_signal(self, signum):
        if not self.process or self.process.poll() is not None:
            return
        await super().send_signal(signum)

    async def shutdown_requested(self, restart=False):
        await door.tell({"kernel": self.kernel_id, "what": "restart" if restart else "shutdown"})

    async def kill(self, restart=False):
        await door.tell({"kernel": self.kernel_id, "what": "restart" if restart or self.parent.is_restarting else "shutdown"})
        await super().kill(restart)


class Restarter(AsyncIOLoopKernelRestarter):
    async def poll(self):
        if getattr(self, "is_at_work", False):  # a start may wait for its place longer than we look again
            return
        self.is_at_work = True
        try:
            await super().poll()
        except web.HTTPError as e:
            self.log.warning("kernel %s is not started again: %s", self.kernel_manager.kernel_id, e.log_message)
            self._fire_callbacks("dead")
            self.stop()
        finally:
            self.is_at_work = False


class Kernel(AsyncIOLoopKernelManager):
    notebook = ""
    is_restarting = False

    def _restarter_class_default(self):
        return Restarter

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.restarter_class = Restarter
        self.notebook = notebook.get()

    def __del__(self):
        self._close_control_socket()  # and the connection file stays: the kernel may be alive

    @property
    def facts_file(self):
        return os.path.join(given.get().runtime, "dss-%s.json" % self.kernel_id)

    async def announce(self):
        cwd = self._launch_args.get("cwd") or ""
        body = {"kernel": self.kernel_id, "path": self.notebook, "cwd": cwd, "spec": self.kernel_name}
        try:
            return (await door.announce(body))["nonce"]
        except door.Refused as e:
            raise web.HTTPError(503, "The kernel is not started: %s" % e, reason="The kernel is not started") from None

    def remember(self, pid):
        """For the next server."""
        facts = {"pid": pid, "ticks": start_ticks(pid), "spec": self.kernel_name, "notebook": self.notebook,
                 "cwd": self._launch_args.get("cwd")}
        facts["seal"] = seal_of(self.kernel_id, facts)
        fresh = self.facts_file + ".new"
        with open(fresh, "w") as f:
            json.dump(facts, f)
        os.replace(fresh, self.facts_file)

    def forget(self):
        try:
            os.unlink(self.facts_file)
        except OSError:
            pass

    async def pre_start_kernel(self, **kw):
        self.kernel_id = self.kernel_id or kw.get("kernel_id")
        if self.provisioner is None:  # whatever the kernelspec says: without its box none is started
            self.provisioner = Provisioner(kernel_id=self.kernel_id, kernel_spec=self.kernel_spec, parent=self)
        return await self._async_pre_start_kernel(**kw)

    async def restart_kernel(self, *args, **kw):
        self.is_restarting = True
        try:
            await self._async_restart_kernel(*args, **kw)
        finally:
            self.is_restarting = False
        self.parent.restarted(self)

    async def cleanup_resources(self, restart=False):
        await self._async_cleanup_resources(restart=restart)
        if not restart:
            self.forget()

    async def take(self, kernel_id, facts):
        """A living one. Raises OSError, ValueError or KeyError where it is none."""
        self.kernel_id = kernel_id
        self.notebook = str(facts["notebook"] or "")
        self.load_connection_file()
        self.provisioner = Provisioner(kernel_id=kernel_id, kernel_spec=self.kernel_spec, parent=self)
        self.provisioner.take(int(facts["pid"]), int(facts["ticks"]))
        self._launch_args = {"cwd": facts["cwd"], "env": {}}
        self._attempted_start = True
        self.ready.set_result(None)
        await self.post_start_kernel(**self._launch_args)
        if self._restarter:
            self._restarter._initial_startup = False  # its ports are known to clients


class Kernels(Activity, AsyncMappingKernelManager):
    def moved(self, kernel_id, path):
        km = self._kernels.get(kernel_id)
        if km and km.provisioner and km.provisioner.pid:
            km.notebook = path
            km.remember(km.provisioner.pid)

    def start_buffering(self, kernel_id, session_key, channels):
        """What a kernel says while nobody looks is kept for who comes back, up to a size: it must not fill the server."""
        super().start_buffering(kernel_id, session_key, channels)
        buffered, size = self._kernel_buffers[kernel_id]["buffer"], 0

        def keep(channel, parts):
            nonlocal size
            is_status = any(b'"msg_type": "status"' in part for part in parts[:5])
            if size < (2 * BUFFER_BYTES if is_status else BUFFER_BYTES):
                size += sum(len(part) for part in parts) + 100
                buffered.append((channel, parts))

        if self.buffer_offline_messages:
            for channel, stream in channels.items():
                stream.on_recv(functools.partial(keep, channel))

    def restarted(self, km):
        """Jupyter goes on telling what the old process said last, on ports that it may not have any more."""
        if self._kernels.get(km.kernel_id) is not km:
            return
        if self._get_changed_ports(km.kernel_id):
            self.stop_watching_activity(km.kernel_id)
            self.start_watching_activity(km.kernel_id)
        km.execution_state = "starting"
        asyncio.get_running_loop().create_task(self.nudge(km.kernel_id, "starting"))

    async def shutdown_all(self, now=False):
        """The server ends; its kernels do not."""
        for kernel_id in self.list_kernel_ids():
            self.get_kernel(kernel_id).stop_restarter()

    async def take_up(self):
        folder, nudges = given.get().runtime, []
        for name in sorted(os.listdir(folder)):
            if not (name.startswith("dss-") and name.endswith(".json")):
                continue
            kernel_id, path = name[4:-5], os.path.join(folder, name)
            try:
                with open(path) as f:
                    facts = json.loads(f.read(65536))
                await self.take_one(kernel_id, facts)
                nudges.append(asyncio.create_task(self.nudge(kernel_id)))
            except Exception as e:  # one that cannot be taken up holds up none of the others
                self.log.info("kernel %s is not taken up: %s: %s", kernel_id, type(e).__name__, e)
                for left in (path, os.path.join(folder, "kernel-%s.json" % kernel_id)):
                    try:
                        os.unlink(left)
                    except OSError:
                        pass
        if nudges:
            await asyncio.wait(nudges, timeout=IDLE_WITHIN_S)

    async def take_one(self, kernel_id, facts):
        if not hmac.compare_digest(str(facts.get("seal")).encode(), seal_of(kernel_id, facts).encode()):
            raise PermissionError("no server with our token started it")
        if start_ticks(int(facts["pid"])) != facts["ticks"]:
            raise ProcessLookupError("it has ended")
        km, _, kernel_id = self.pre_start_kernel(str(facts["spec"]), {"kernel_id": kernel_id})
        await km.take(kernel_id, facts)
        self._kernels[kernel_id] = km
        self._kernel_connections[kernel_id] = 0
        await self._finish_kernel_start(kernel_id)
        km.execution_state = "busy"  # until it says otherwise: one at work does not answer
        km.reason = ""
        self.log.info("took up kernel %s (pid %s) of %r", kernel_id, facts["pid"], km.notebook)

    async def nudge(self, kernel_id, while_state="busy"):
        """Asks for its state, which it tells when it has answered; one that is at work answers later."""
        stream = None
        try:
            for pause in NUDGES_S:
                for _ in range(int(pause / 0.1)):
                    await asyncio.sleep(0.1)
                    km = self._kernels.get(kernel_id)
                    if km is None or km.execution_state != while_state:
                        return
                if stream is None:
                    stream = km.connect_shell()
                km.session.send(stream.socket if hasattr(stream, "socket") else stream, "kernel_info_request")
        finally:
            if stream is not None:
                stream.close()
