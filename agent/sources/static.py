"""Pulls from any web server: the folders of micropython_ota, or what `goldcrest export --static` made.

`server` is the project's folder: `{server}/version` names what to run, its files are `{version}_{file}` or `{version}/{file}`.
"""

import json

from goldcrest import Refused, guard
from goldcrest.sources import web

_MANIFEST = const(16384)


def Source(server, cfg):
    """-> the source that the settings ask for: with a `channel` it is a static export."""
    if "channel" in cfg:
        from goldcrest.sources import export

        return export.Export(server, cfg)
    return Folder(server, cfg)


class Folder(web.Source):
    """Both layouts of micropython_ota, and the list of files of its pull request 20."""

    def look(self):
        version = self.text("version")
        if len(version.split()) != 1 or "/" in version:
            raise Refused("format", "version")
        return version

    def install(self, etag):
        from goldcrest.sources import tree

        self.prefix = web.quoted(self.found) + ("/" if self.cfg.get("layout") == "folder" else "_")
        tree.begin(self.cfg, etag)
        tree.write(self.cfg, self._files())
        tree.install(self, etag, self.found, self._fetch, self._good)

    def _files(self):
        for name in self._names():
            sha = ""
            if isinstance(name, dict):
                sha = web.quoted(str(name.get("sha256", "")))
                name = name["file"]
            if not isinstance(name, str):
                raise Refused("format", "manifest")
            if name[-1:] != "/":  # a folder comes with its files
                url = self.prefix + web.quoted(name)
                yield name, self.size(url), sha + ":" + url

    def _names(self):
        # -> the settings' list of files, or the server's
        names = self.cfg.get("files")
        if names is None:
            url = self.prefix + "manifest"
            if self.get(url, "HEAD") == 404:
                url = "manifest"
            text = self.text(url, _MANIFEST)
            # JSON: names, or objects with `file` and `sha256`; else names with white space between them
            names = json.loads(text) if text[:1] == "[" else text.split()
        return names

    def _good(self, hint, file):
        sha = hint.partition(":")[0]
        return sha and guard.sha(file) == sha

    def _fetch(self, hint, size, path, file):
        self.save(hint.partition(":")[2], file, size, path)
        if not self._good(hint, file) and hint[0] != ":":
            raise Refused("hash", path)
