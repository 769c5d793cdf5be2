"""The servers that the agent's sources pull from, as far as one board sees them: pages by path, without sockets and threads."""

import hashlib
import json
from binascii import hexlify

import board as b
import signing


class Pages:
    """A web server: `pages` has path -> body, `faults` path -> function(whole response) -> bytes, or None to hang up."""

    def __init__(self):
        self.pages = {}
        self.faults = {}
        self.requests = []
        self.user = None  # what Authorization must say
        self.head = True  # it knows HEAD
        self.chunks = False  # bodies are chunked

    def answer(self, method, path, headers, body=b""):
        """-> response or None, and whether it is a faulty one: then the connection ends."""
        self.requests.append((method, path))
        reply = self._answer(method, path, headers)
        faulty = path in self.faults and method != "HEAD"
        return (self.faults[path](reply), True) if faulty else (reply, False)

    def _answer(self, method, path, headers):
        if self.user and headers.get("authorization") != self.user:
            return page(401, b"who?\n")
        if method == "HEAD" and not self.head:
            return page(405, b"")
        if path not in self.pages:
            return page(404, b"" if method == "HEAD" else b"not here\n")
        body = self.pages[path]
        more = ""
        if not isinstance(body, bytes):
            body, more = body.body, body.more
        if method == "HEAD":
            return page(200, body, more)[: -len(body) or None]
        return chunked(body) if self.chunks else page(200, body, more)

    def fetched(self):
        """-> paths of the GETs so far, and forget them."""
        out = [p for m, p in self.requests if m == "GET"]
        self.requests.clear()
        return out


class Native:
    """Our own server, as the tests have it."""

    modules = "mqtt",

    def __init__(self):
        self.server = b.Server()

    def settings(self, url):
        return {"server": url}

    def answer(self, method, path, headers, body=b""):
        return self.server.answer(method, path, headers, body), False


def page(status, body, more=""):
    return ("HTTP/1.1 %d X\r\nContent-Length: %d\r\n%s\r\n" % (status, len(body), more)).encode() + body


def chunked(body, n=700):
    out = b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n"
    for at in range(0, len(body), n):
        part = body[at : at + n]
        out += b"%x;x=y\r\n%s\r\n" % (len(part), part)
    return out + b"0\r\nTrailer: x\r\n\r\n"


class Folder(Pages):
    """A project's folder as micropython_ota wants it. `names`: in which form it lists its files, if it does."""

    modules = "source web store tree static".split(" ")

    def __init__(self, layout=None, names="json"):
        Pages.__init__(self)
        self.layout = layout
        self.names = names

    def settings(self, url):
        more = {"layout": self.layout} if self.layout else {}
        return dict(more, source="static", server=url + "/app")

    def publish(self, version, files):
        self.pages.clear()
        pages = self.pages
        start = "/app/" + version + ("/" if self.layout == "folder" else "_")
        for name in files:
            pages[start + name.replace(" ", "%20")] = files[name]
        if self.names == "json":
            pages[start + "manifest"] = json.dumps(list(files)).encode()
        elif self.names == "text":
            pages["/app/manifest"] = " ".join(list(files)).encode() + b" lib/\n"
        elif self.names == "sha":
            pages[start + "manifest"] = json.dumps([{"file": n, "sha256": signing.sha(files[n])} for n in files]).encode()
        pages["/app/version"] = version.encode() + b"\n"


class Export(Pages):
    """A static export of package `app`, made of what the tests' server publishes."""

    modules = "source web static export".split(" ")

    def __init__(self):
        Pages.__init__(self)
        self.server = b.Server()
        self.server.patches = {}
        self.counter = 10
        self.ring = 0

    def settings(self, url):
        return {"source": "static", "channel": "stable", "package": "app", "server": url + "/ota", "unsigned": False}

    def publish(self, version, files, **k):
        self.counter += 1
        digest = self.server.publish(files, version=version, counter=self.counter, **k)
        pages = self.pages
        pages["/ota/manifests/" + digest] = self.server.manifests[digest]
        for plain in files.values():
            sha = signing.sha(plain)
            pages["/ota/objects/%s/%s" % (sha[:2], sha)] = b.wire(plain)
        self.channel(digest, version)
        return digest

    def channel(self, digest, version="1"):
        self.pages["/ota/channels/app/stable"] = ("%s\n%s\n%d\n" % (digest, version, self.ring)).encode()

    def delta(self, old, new):
        base = self.server.manifests[old]
        self.pages["/ota/deltas/%s/%s" % (new, old)] = b.patch(base[: base.find(b"\nsig ") + 1], self.server.manifests[new])


class Macs(Pages):
    """A folder with a file for each MAC address, such as Home Assistant's /local/."""

    modules = "source web store tree macfile".split(" ")

    mac = "deadbeef1234"

    def settings(self, url):
        return {"source": "macfile", "server": url + "/local", "mac": "DE:AD:BE:EF:12:34"}

    def wants(self, wanted, latest=None, at=mac):
        self.pages["/local/" + at] = wanted if isinstance(wanted, bytes) else json.dumps(wanted).encode()
        if latest is not None:
            self.pages["/local/latestversions"] = json.dumps(latest).encode()

    def module(self, name, data):
        self.pages["/local/%s.py" % name] = data

    def publish(self, version, files):
        """As the other sites have it: main.py is a module like the others."""
        self.pages.clear()
        for path in files:
            self.module(path[:-3] + version, files[path])
        self.wants(dict({path[:-3]: version for path in files}, name="main"))


def sha1(data):
    return hexlify(hashlib.sha1(data).digest()).decode()


def blob(data):
    return sha1(b"blob %d\0" % len(data) + data)


def quoted(path):
    return path.replace(" ", "%20").replace("\u00e9", "%C3%A9")


class Forge(Pages):
    """A host with the repository `me/node`: GitHub, Gitea, Gogs or GitLab."""

    modules = "source web store tree git walk".split(" ")

    def __init__(self, kind):
        Pages.__init__(self)
        self.kind = kind
        self.branch = "main"
        self.per_page = 3  # of GitLab and Gitea, so that there are several
        self.user = {"github": "Bearer t0k", "gitlab": None}.get(kind, "token t0k")

    def settings(self, url):
        return {"source": "git", "git": self.kind, "server": url, "repo": "me/node", "token": "t0k", "raw": url + "/raw"}

    def publish(self, version, files, odd=()):
        """A commit on the branch. `odd`: further entries (mode, type, path)."""
        entries = [("100644", "blob", path, files[path]) for path in files] + [(m, t, path, b"x") for m, t, path in odd]
        entries.sort(key=lambda e: e[2])
        self.commit = commit = sha1((version + str(sorted(files))).encode())
        self.pages.clear()
        pages = self.pages
        api = {"github": "/repos/me/node/", "gitlab": "/api/v4/projects/me%2Fnode/repository/"}.get(self.kind, "/api/v1/repos/me/node/")
        self.head = api + {"github": "commits/", "gogs": "commits/refs/heads/"}.get(self.kind, "branches/") + self.branch
        if self.kind in ("github", "gogs"):
            pages[self.head] = commit.encode()
        else:
            author = {"id": "no", "name": 'a "quote" \u00e9 \\ {'}
            pages[self.head] = json.dumps({"name": "main", "commit": {"id": commit, "author": author}, "user": {"id": 7}}).encode()
        for _, _, path, data in entries:
            name = quoted(path)
            url = {
                "github": "/raw/me/node/%s/%s" % (commit, name),
                "gitea": api + "raw/%s?ref=%s" % (name, commit),
                "gogs": api + "raw/%s/%s" % (commit, name),
                "gitlab": api + "files/%s/raw?ref=%s" % (name.replace("/", "%2F"), commit),
            }[self.kind]
            pages[url] = data
            if path == self.watched:
                self.url = url
        getattr(self, "_" + self.kind)(pages, api, commit, entries)

    watched = "util.py"

    def _rows(self, entries, id="sha", size=True):
        rows = []
        for mode, kind, path, data in entries:
            row = {"path": path, "mode": mode, "type": kind, id: blob(data), "url": "https://x/" + "y" * 400, "none": None, "n": -1.5e3}
            if size and kind == "blob":
                row["size"] = len(data)
            rows.append(row)
        return rows

    def _with_folders(self, entries):
        folders = set()
        for e in entries:
            for i in range(len(e[2])):
                if e[2][i] == "/":
                    folders.add(e[2][:i])
        return entries + [("040000", "tree", f, f.encode()) for f in folders]

    def _github(self, pages, api, commit, entries):
        rows = self._rows(self._with_folders(entries))
        self.listing = api + "git/trees/%s?recursive=1" % commit
        pages[self.listing] = json.dumps({"sha": commit, "tree": rows, "truncated": False}).encode()

    def _gitea(self, pages, api, commit, entries):
        rows = self._rows(entries)
        self.listing = api + "git/trees/%s?recursive=1&per_page=1000&page=1" % commit
        n = 1
        while rows or n == 1:
            part, rows = rows[: self.per_page], rows[self.per_page :]
            url = api + "git/trees/%s?recursive=1&per_page=1000&page=%d" % (commit, n)
            pages[url] = json.dumps({"tree": part, "truncated": bool(rows), "page": n}).encode()
            n += 1

    def _gogs(self, pages, api, commit, entries):
        self.listing = api + "git/trees/" + commit
        folders = {}
        for e in entries:
            at, _, name = ("/" + e[2]).rpartition("/")
            folders.setdefault(at, []).append(e[:2] + (name, e[3]))
            while at:
                at, _, name = at.rpartition("/")
                row = ("040000", "tree", name, ((at + "/" if at else "/") + name).encode())
                if row not in folders.setdefault(at, []):
                    folders[at].append(row)
        folders.setdefault("", [])
        for at in folders:
            sha = blob(("/" + at.strip("/")).encode()) if at else commit
            rows = self._rows(folders[at])
            for row in rows:
                if row["type"] == "blob":  # of links and of files alike: getRepoGitTree of Gogs 0.13
                    row["mode"] = "120000"
            pages[api + "git/trees/" + sha] = json.dumps({"sha": sha, "tree": rows}).encode()

    def _gitlab(self, pages, api, commit, entries):
        rows = self._rows([e for e in self._with_folders(entries) if e[2].startswith(self.src)], "id", False)
        rows.sort(key=lambda r: r["type"] != "tree")  # folders first, and files in no order
        rows = rows[:2] + rows[2:][::-1]
        url = api + "tree?recursive=true&per_page=100&ref=%s&path=%s&page=" % (commit, self.src.rstrip("/"))
        self.listing = url + "1"
        n = 1
        while rows or n == 1:
            part, rows = rows[: self.per_page], rows[self.per_page :]
            pages[url + str(n)] = Paged(json.dumps(part).encode(), str(n + 1) if rows else "")
            n += 1

    src = ""


class Paged:
    """A page that says which one is next."""

    def __init__(self, body, next_page):
        self.body = body
        self.more = "X-Next-Page: %s\r\n" % next_page
