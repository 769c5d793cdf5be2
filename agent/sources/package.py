"""What sources share that get one file: it is fetched to /.ota/package, unpacked, and gone when it is staged."""

import os

from goldcrest import Refused, guard
from goldcrest.sources import source

PATH = guard.D + "package"


class Source(source.Source):
    """A source of its own has `look`, `fetch` and `said`."""

    metadata = None

    def fetch(self, path):
        """Bring the version that `look` found to the file `path`, or what is missing of it. Raises Refused."""
        raise NotImplementedError

    def request(self, path, head="", body=b""):
        status = source.Source.request(self, path, head, body)
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
            self._install(etag)
        except Refused as e:
            whole = whole or e.args[0] == "hash"  # of the package: nothing of it is known to be good
            raise
        finally:
            if whole:
                self.forget()
            source.forget("web", "store", "tar", "archive", "unpack", "tree")

    def _install(self, etag):
        with open(PATH, "rb") as f:
            head = f.read(524)
        if head[:9] == b"manifest\0" and head[512:] == b"goldcrest 1\n":
            from goldcrest.sources import archive

            archive.install(self, etag, PATH)
        elif self.cfg.get("unsigned") is True:
            from goldcrest.sources import unpack

            unpack.install(self, etag, self.version, PATH, self.metadata)
        else:
            raise Refused("signature", "unsigned")


def free_for(size):
    """Refuse a package before its first byte when it does not fit."""
    room = _free() + (os.stat(PATH)[6] if guard.kind(PATH) else 0)
    if size > room:
        raise Refused("space", "needs %d, free %d" % (size, room))


def _free():
    s = os.statvfs(guard.R)
    return max(0, s[0] * (s[3] - 2))
