"""Sessions: which notebook a kernel is for is known before it starts, and told when that changes."""
import os

from jupyter_server.services.sessions.sessionmanager import SessionManager

from dss_jupyter import door, kernels, settings as given


class Sessions(SessionManager):
    async def start_kernel_for_session(self, session_id, path, *args, **kwargs):
        token = kernels.notebook.set(path or "")
        try:
            return await super().start_kernel_for_session(session_id, path, *args, **kwargs)
        finally:
            kernels.notebook.reset(token)

    async def row_to_model(self, row, *args, **kwargs):
        """Who saved nothing, or whose notebook was removed while it ran, has a kernel and no file."""
        model = await super().row_to_model(row, *args, **kwargs)
        if model and model.get("type") == "notebook":
            model["dss_gone"] = not os.path.exists(os.path.join(given.get().projects, model["path"].lstrip("/")))
        return model

    async def update_session(self, session_id, **kwargs):
        await super().update_session(session_id, **kwargs)
        if kwargs.get("path"):
            session = await self.get_session(session_id=session_id)
            self.kernel_manager.moved(session["kernel"]["id"], kwargs["path"])
            await door.tell({"kernel": session["kernel"]["id"], "what": "moved", "path": kwargs["path"]})
