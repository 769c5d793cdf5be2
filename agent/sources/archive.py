"""Installs our own archive of a release: verified as what a server sends. Imported for one update."""

import hashlib
import sys
from binascii import hexlify

from goldcrest import guard
from goldcrest.sources import tar


def install(source, etag, path):
    """The native update, signature included, with the archive in place of the server. Raises Refused."""
    with open(path, "rb") as f:
        archive = Archive(source, f)
        size = archive.find("manifest")
        h = hashlib.sha256()
        while f.tell() < 512 + size:
            line = f.readline()
            if line[:4] == b"sig ":
                break
            h.update(line)
        digest = hexlify(h.digest()).decode()
        # This version is that release: so it is known when it runs, or has failed.
        guard.write("source", etag + " " + digest)
        archive.left = archive.find("manifest")
        sys.modules["goldcrest.update"].update(archive, source.cfg, 200, digest, False)


class Archive(tar.Body):
    """Our archive as the agent's connection to a server: objects are its members."""

    headers = {}

    def __init__(self, source, f):
        tar.Body.__init__(self, f, 0)
        self.agent = source
        self.f = f

    def find(self, name):
        """-> size of the member `name`, and the file stands at it; -1 when there is none."""
        f = self.f
        block = bytearray(512)
        for turn in range(2):  # objects are sorted, and mostly asked for in another order
            if turn or name == "manifest":
                f.seek(0)
            else:
                f.seek(f.tell() + self.left + 511 & ~511)
            self.left = 0
            while f.readinto(block) == 512 and block[0]:
                size, _ = tar.header(block)
                if tar.name_of(block) == name:
                    return size
                f.seek(f.tell() + size + 511 & ~511)
        return -1

    def request(self, path, head="", body=b""):
        if body:
            return self.agent.request(path, head, body)
        size = self.find("objects/" + path[14:78])
        self.left = max(0, size)
        return 404 if size < 0 else 200
