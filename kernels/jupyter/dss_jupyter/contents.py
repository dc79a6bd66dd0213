"""Files below projects/ without project.lua: what a project runs is changed where it is checked, not in a notebook's editor."""
import posixpath

from jupyter_server.services.contents.largefilemanager import LargeFileManager
from tornado import web

HIDDEN = "project.lua"


class Contents(LargeFileManager):
    def _get_os_path(self, path):
        if posixpath.basename(path.strip("/")) == HIDDEN:
            raise web.HTTPError(404, "%s is not kept here" % HIDDEN)
        return super()._get_os_path(path)

    def should_list(self, name):
        return name != HIDDEN and super().should_list(name)
