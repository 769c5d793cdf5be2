"""Pulls what sensorclass pulls: a file named like the board's MAC address says which modules it runs, in which versions.

`server` is the folder: `{server}/{mac}`, `{server}/latestversions`, `{server}/{module}{version}.py`. Settings: `mac`, if it is not the first interface's.
"""

import json
from binascii import hexlify

from goldcrest import Refused, guard
from goldcrest.sources import web

_FILE = const(4096)


class Source(web.Source):
    """Modules become files of the same name; `name`, or `nodename` in its later form, is what main.py imports."""

    def look(self):
        mac = self.cfg.get("mac") or _mac()
        mac = "".join(c for c in mac.lower() if c not in ":-. ")
        wanted = self._json(mac if self.get(mac, "HEAD") != 404 else mac + ".config")
        latest = None
        modules = {}
        for module in wanted:
            if module in ("name", "nodename"):
                continue
            version = str(wanted[module])
            if version == "latest":
                latest = latest or self._json("latestversions")
                version = str(latest.get(module, ""))
            version = version.lstrip("!")  # written without its version: here, all are
            if not version:
                raise Refused("missing", module)
            if version != "".join(version.split()):  # they stand in lines, between spaces
                raise Refused("format", module)
            modules[module] = version
        self.modules = modules
        self.program = wanted.get("name", wanted.get("nodename"))
        if not isinstance(self.program, str) or not _is_module(self.program):
            raise Refused("format", "name")
        return " ".join([self.program] + ["%s=%s" % (m, modules[m]) for m in sorted(modules)])

    def _json(self, url):
        found = json.loads(self.text(url, _FILE))
        if not isinstance(found, dict):
            raise Refused("format", url)
        return found

    def install(self, etag):
        from goldcrest.sources import tree

        self._before()
        tree.begin(self.cfg, etag)
        tree.write(self.cfg, self._files())
        record = "".join("module %s %s\n" % (m, self.modules[m]) for m in sorted(self.modules))
        tree.install(self, etag, self.program, self._fetch, self._good, record)

    def _before(self):
        # What the running manifest records: module -> version, path -> digest
        self.had = {}
        self.was = {}
        if guard.kind(guard.D + guard.manifest(guard.state()[1])):
            with open(guard.D + guard.manifest(guard.state()[1])) as f:
                for line in f:
                    words = line[:-1].split(" ")
                    if words[0] == "module":
                        self.had[words[1]] = words[-1]
                    elif len(words[0]) == 64:
                        self.was[words[-1]] = words[0]

    def _files(self):
        for module in self.modules:
            version = self.modules[module]
            url = web.quoted(module + version) + ".py"
            same = self.had.get(module) == version
            yield module + ".py", -1 if same else self.size(url), ("=" if same else ":") + url
        if "main" not in self.modules:
            yield "main.py", 40, "main"

    def _good(self, hint, file):
        path = file[len(guard.R) :]
        return hint[0] == "=" and path in self.was and guard.sha(file) == self.was[path]

    def _fetch(self, hint, size, path, file):
        if hint == "main":
            with open(file, "w") as f:
                f.write("import %s\n" % self.program)
        else:
            self.save(hint[1:], file, size, path)


def _is_module(name):
    for c in name:
        if not (c.isalpha() or c.isdigit() or c in "._"):
            return False
    return bool(name) and not name[0].isdigit()


def _mac():
    try:
        import network

        return hexlify(network.WLAN(network.STA_IF).config("mac")).decode()
    except (ImportError, AttributeError, OSError, ValueError):  # no WLAN: the chip's own number
        import machine

        return hexlify(machine.unique_id()).decode()
