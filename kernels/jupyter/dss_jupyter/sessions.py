"""Sessions: which notebook a kernel is for is known before it starts, and told when that changes."""
from jupyter_server.services.sessions.sessionmanager import SessionManager

from dss_jupyter import door, kernels


class Sessions(SessionManager):
    async def start_kernel_for_session(self, session_id, path, *args, **kwargs):
        token = kernels.notebook.set(path or "")
        try:
            return await super().start_kernel_for_session(session_id, path, *args, **kwargs)
        finally:
            kernels.notebook.reset(token)

    async def update_session(self, session_id, **kwargs):
        await super().update_session(session_id, **kwargs)
        if kwargs.get("path"):
            session = await self.get_session(session_id=session_id)
            self.kernel_manager.moved(session["kernel"]["id"], kwargs["path"])
            await door.tell({"kernel": session["kernel"]["id"], "what": "moved", "path": kwargs["path"]})
