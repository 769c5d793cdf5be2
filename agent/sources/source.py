"""What all sources share: the answers to what the agent asks of a Goldcrest server.

The agent talks to a source as it does to its own server (docs/protocol.md): check-in, then the step `update`, reports in between.
"""

import hashlib
import json
import sys
from binascii import hexlify

from goldcrest import Http, Refused, guard


class Source(Http):
    """A place that says which version is wanted. A source of its own has `look`, `install` and, if it can, `said`."""

    package = None  # name of what is wanted
    rest = "delete"  # what becomes of files that a version does not hold (tree.py)

    def __init__(self, server, cfg):
        Http.__init__(self, server or "", cfg)
        self.headers = {}

    def look(self):
        """-> text that is another one for each version, empty when none is wanted. Raises Refused."""
        raise NotImplementedError

    def install(self, etag):
        """Stage the version that `look` found, under the id `etag`. Raises Refused."""
        raise NotImplementedError

    def said(self, report):
        """A report (docs/protocol.md): not all take one."""

    def request(self, path, head="", body=b""):
        """Answer what the agent asks of its server. -> status."""
        if body:
            self.said(json.loads(body))
            return 204
        self.found = version = self.look()
        _, run, _, failed, _ = head.split('"')
        ids = []
        if version:
            # What an owner has not allowed yet is another version than what is allowed.
            text = "%s %s %s" % (self.cfg.get("source"), self.cfg.get("unsigned"), version)
            ids = [hexlify(hashlib.sha256(text.encode()).digest()).decode()]
            was, _, digest = guard.read("source").partition(" ")
            if was == ids[0]:  # this version turned out to be that signed release
                ids.append(digest)
        self.ids = ids
        self.headers["etag"] = ids[0] if ids else run
        return 304 if not ids or run in ids or failed in ids else 200

    def update(self, _, cfg, status, etag, patch):
        """The step of an update, in place of the agent's own."""
        if cfg.get("unsigned") is not True:
            raise Refused("signature", "unsigned")
        try:
            self.install(etag)
        finally:
            forget("tree", "store")

    def settle(self):
        """All is staged: refuse when it is no longer what is wanted, it may be of two versions then."""
        if self.look() != self.found:
            raise Refused("network", "changed")


def forget(*names):
    """Drop modules of sources that were needed for one update."""
    for name in names:
        sys.modules.pop("goldcrest.sources." + name, None)
        sys.modules["goldcrest.sources"].__dict__.pop(name, None)
