"""Pulls from a static export of our server: signed manifests, objects and deltas as files below a folder (docs/adapters.md, "Static export").

It answers what the agent asks of its server from these files; the update itself, signature included, is the native one.
"""

import sys

from goldcrest import Refused
from goldcrest.sources import web


class Export(web.Source):
    """`server` is the folder; the settings name `package` and `channel`."""

    def request(self, path, head="", body=b""):
        if body:
            return 204
        if path[:14] == "/d/v1/checkin?":
            return self._check_in(path, head)
        if path == "/d/v1/keyring":
            return self.get("keyring")
        digest, _, old = path[14:].partition("?from=")  # /d/v1/objects/
        if old and self.get("deltas/%s/%s" % (digest, old)) == 200:
            return 226
        return self.get("objects/%s/%s" % (digest[:2], digest), "GET", head)

    def _check_in(self, path, head):
        _, run, _, failed, _ = head.split('"')
        words = self.text("channels/%s/%s" % (self.cfg["package"], self.cfg["channel"])).split()
        if len(words) < 2 or len(words[0]) != 64:
            raise Refused("format", "channel")
        digest = words[0]
        status = 304
        if digest not in (run, failed):
            status = 200
            if "have=" + digest not in path:
                if run != "-" and path[-7:] == "delta=1" and self.get("deltas/%s/%s" % (digest, run)) == 200:
                    status = 226
                else:
                    self.want("manifests/" + digest)
        self.headers["etag"] = digest
        self.headers["goldcrest-keyring"] = words[2] if len(words) > 2 else "0"
        return status

    def update(self, _, *args):
        sys.modules["goldcrest.update"].update(self, *args)
