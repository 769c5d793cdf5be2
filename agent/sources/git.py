"""Pulls the head of a branch from GitHub, Gitea, Forgejo, Gogs or GitLab: its files by raw URL, each checked against its blob's hash.

Settings: `git` (github, gitea, gogs or gitlab; Forgejo is gitea), `server`, `repo`, `branch`, `token`, `src`, `into`.
"""

import hashlib
import os
from binascii import hexlify

from goldcrest import Refused, guard
from goldcrest.sources import walk, web

_PAGE = const(100)
_LFS = b"version https://git-lfs.github.com/spec/"
_seen = ["", ""]  # the branch look-up's ETag, and its commit: a poll without news costs one 304


class Source(web.Source):
    """`server` is the host, for GitHub its API's."""

    def __init__(self, server, cfg):
        self.kind = cfg.get("git", "gitea")
        web.Source.__init__(self, server or "https://api.github.com", cfg)
        self.repo = cfg["repo"].strip("/")
        self.src = cfg.get("src", "").strip("/")
        self.src += self.src and "/"
        if self.kind == "gitlab":
            self.api = "api/v4/projects/%s/repository/" % web.quoted(self.repo).replace("/", "%2F")
        else:
            self.api = ("repos/%s/" if self.kind == "github" else "api/v1/repos/%s/") % web.quoted(self.repo)
        if cfg.get("token"):
            name = {"github": "Authorization: Bearer ", "gitlab": "PRIVATE-TOKEN: "}.get(self.kind, "Authorization: token ")
            self.head = name + cfg["token"] + "\r\n"

    def look(self):
        branch = web.quoted(self.cfg.get("branch", "main"))
        plain = self.kind in ("github", "gogs")
        url = self.api + {"github": "commits/", "gogs": "commits/refs/heads/"}.get(self.kind, "branches/")
        url += branch.replace("/", "%2F") if self.kind == "gitlab" else branch
        head = "Accept: application/vnd.github.sha\r\n" if self.kind == "github" else ""
        if _seen[0]:
            head += "If-None-Match: %s\r\n" % _seen[0]
        status = self.get(url, "GET", head)
        if status == 304 and _seen[1]:
            return _seen[1]
        if status != 200:
            raise Refused("missing" if status == 404 else "network", "%s: %d" % (url, status))
        etag = self.headers.get("etag", "")
        commit = self.body(64) if plain else self._commit()
        if len(commit) not in (40, 64):
            raise Refused("format", "commit")
        int(commit, 16)
        _seen[:] = etag, commit
        return commit

    def _commit(self):
        found = ""
        for name, o in walk.objects(self, ("id", "sha")):
            if name == "commit":
                found = o.get("id", o.get("sha", ""))
        self.drain()
        return found

    def settle(self):
        """A commit stays what it is, also when the branch moves."""

    def install(self, etag):
        from goldcrest.sources import tree

        if not hasattr(hashlib, "sha1"):
            raise Refused("format", "no SHA-1")
        tree.begin(self.cfg, etag)
        tree.write(self.cfg, self._files())
        tree.install(self, etag, self.found, self._fetch, _good)

    def _files(self):
        listing = {"gogs": self._folders, "gitlab": self._pages}.get(self.kind, self._tree)
        for o in listing():
            p = o.get("path")
            sha = o.get("sha", o.get("id"))
            if not isinstance(p, str) or not isinstance(sha, str):
                raise Refused("format", "tree")
            if o.get("type") == "tree" or not p.startswith(self.src):
                continue
            modes = "100644", "100755", "100664", self.kind == "gogs" and "120000"  # Gogs says that of every blob
            if o.get("type") != "blob" or o.get("mode") not in modes:
                raise Refused("format", "%s: %s" % (p, "symlink" if o.get("mode") == "120000" else "submodule"))
            size = o.get("size")
            yield p[len(self.src) :], size if isinstance(size, int) else -1, web.quoted(sha + ":" + p)

    def _entries(self, url):
        # -> entries of a listing, then the object around them
        self.want(url)
        for name, o in walk.objects(self, ("path", "type", "mode", "sha", "id", "size", "truncated")):
            yield name, o
        self.drain()

    def _tree(self):
        page = 1
        while page:
            more = "&per_page=1000&page=%d" % page if self.kind == "gitea" else ""
            cut = False
            for _, o in self._entries(self.api + "git/trees/%s?recursive=1%s" % (self.found, more)):
                if "path" in o:
                    yield o
                else:
                    cut = o.get("truncated")
            if cut and not more:
                raise Refused("format", "tree is too large")
            page = page + 1 if cut and page < _PAGE else 0

    def _pages(self):
        url = self.api + "tree?recursive=true&per_page=100&ref=%s&path=%s&page=" % (self.found, web.quoted(self.src.rstrip("/")))
        page = "1"
        while page:
            if int(page) > _PAGE:
                raise Refused("format", "tree is too large")
            self.want(url + page)
            page = self.headers.get("x-next-page", "")
            # an array: walk() ends with its last bracket
            for _, o in walk.objects(self, ("path", "type", "mode", "id")):
                yield o
            self.drain()

    def _folders(self):
        # Gogs lists one folder at a time
        todo = [("", self.found)]
        while todo:
            before, sha = todo.pop()
            for _, o in self._entries(self.api + "git/trees/" + sha):
                if "path" not in o:
                    continue
                o["path"] = p = before + str(o["path"])
                if o.get("type") != "tree":
                    yield o
                elif (p + "/").startswith(self.src) or self.src.startswith(p + "/"):
                    if len(todo) == _PAGE:
                        raise Refused("format", "tree is too large")
                    todo.append((p + "/", str(o.get("sha"))))

    def _fetch(self, hint, size, path, file):
        sha, _, name = hint.partition("%3A")
        self.save(self._raw(name), file, size, path)
        with open(file, "rb") as f:
            if f.read(len(_LFS)) == _LFS:
                raise Refused("format", path + ": LFS pointer")
        if not _good(hint, file):
            raise Refused("hash", path)

    def _raw(self, name):
        if self.kind == "gitlab":
            return self.api + "files/%s/raw?ref=%s" % (name.replace("/", "%2F"), self.found)
        if self.kind == "gitea":
            return self.api + "raw/%s?ref=%s" % (name, self.found)
        if self.kind == "gogs":
            return self.api + "raw/%s/%s" % (self.found, name)
        raw = self.cfg.get("raw", "https://raw.githubusercontent.com")
        return "%s/%s/%s/%s" % (raw, web.quoted(self.repo), self.found, name)


def _good(hint, file):
    # whether the file is the blob
    if guard.kind(file) != 0x8000:
        return False
    sha = hint.partition("%3A")[0]
    h = (hashlib.sha1 if len(sha) == 40 else hashlib.sha256)(b"blob %d\0" % os.stat(file)[6])
    for b in guard.chunks(file):
        h.update(b)
    return hexlify(h.digest()).decode() == sha
