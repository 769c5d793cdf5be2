"""What sources share that get one file: it is fetched to /.ota/package, unpacked, and gone when it is staged."""

import os
import sys

from goldcrest import Refused, guard
from goldcrest.sources import web

PATH = guard.D + "package"


class Source(web.Source):
    """A source of its own has `look`, `fetch` and `said`."""

    metadata = None

    def fetch(self, path):
        """Bring the version that `look` found to the file `path`, or what is missing of it. Raises Refused."""
        raise NotImplementedError

    def request(self, path, head="", body=b""):
        status = web.Source.request(self, path, head, body)
        if status == 304 and guard.read("fetching"):  # taken back, or a cut came before it was removed
            self.forget()
        return status

    def forget(self):
        guard.remove("package")
        guard.remove("fetching")

    def update(self, _, cfg, status, etag, patch):
        if guard.read("fetching") != etag:
            self.forget()
            guard.write("fetching", etag)
        whole = False
        try:
            self.fetch(PATH)
            whole = True
            from goldcrest.sources import tar

            tar.install(self, etag, self.version, PATH, self.metadata)
        except Refused as e:
            whole = whole or e.args[0] == "hash"  # of the package: nothing of it is known to be good
            raise
        finally:
            if whole:
                self.forget()
            for name in ("tar", "tree"):
                sys.modules.pop("goldcrest.sources." + name, None)
                sys.modules["goldcrest.sources"].__dict__.pop(name, None)


def free_for(size):
    """Refuse a package before its first byte when it does not fit."""
    room = web.free() + (os.stat(PATH)[6] if guard.kind(PATH) else 0)
    if size > room:
        raise Refused("space", "needs %d, free %d" % (size, room))
