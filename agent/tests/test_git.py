"""The source `git`: GitHub, Gitea, Gogs and GitLab, as their APIs answer."""

import hashlib
import json
from binascii import hexlify

try:
    import pulling as p
    from served import Web, page
except ImportError:  # a MicroPython without threads
    p = None

KINDS = "github", "gitea", "gogs", "gitlab"


def sha1(data):
    return hexlify(hashlib.sha1(data).digest()).decode()


def blob(data):
    return sha1(b"blob %d\0" % len(data) + data)


def quoted(path):
    return path.replace(" ", "%20").replace("\u00e9", "%C3%A9")


class Forge:
    """A host with the repository `me/node`."""

    def __init__(self, kind, **settings):
        self.kind = kind
        self.web = Web()
        self.branch = "main"
        self.per_page = 3  # of GitLab and Gitea, so that there are several
        settings.update(source="git", git=kind, server=self.web.url, repo="me/node", token="t0k", raw=self.web.url + "/raw")
        self.board = p.pulling(**settings)
        self.web.user = {"github": "Bearer t0k", "gitlab": None}.get(kind, "token t0k")

    def publish(self, version, files, odd=()):
        """A commit on the branch. `odd`: further entries (mode, type, path)."""
        entries = [("100644", "blob", path, files[path]) for path in files] + [(m, t, path, b"x") for m, t, path in odd]
        entries.sort(key=lambda e: e[2])
        self.commit = commit = sha1((version + str(sorted(files))).encode())
        self.web.pages.clear()
        pages = self.web.pages
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
            pages[api + "git/trees/" + sha] = json.dumps({"sha": sha, "tree": self._rows(folders[at])}).encode()

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


if p:

    def test_life():
        for kind in KINDS:
            forge = Forge(kind)
            p.life(forge.board, forge.publish, forge.web.fetched)

    def test_only_what_differs_is_fetched():
        for kind in KINDS:
            forge = Forge(kind)
            forge.board.put("util.py", p.ONE["util.py"])
            forge.publish("1", p.ONE)
            assert forge.board.check() == "reset"
            assert forge.url not in forge.web.fetched()
            forge.board.boot()
            assert p.tree(forge.board) == p.ONE

    def test_a_folder_of_the_repository():
        files = {"src/main.py": b"1\n", "src/a b/c\u00e9.py": b"2\n", "srcx/no.py": b"3\n", "README.md": b"4\n", "src/boot.py": b"five = 5\n"}
        for kind in KINDS:
            forge = Forge(kind, src="src/")
            forge.src = "src/"
            forge.publish("1", files)
            p.installed(forge.board, {"main.py": b"1\n", "a b/c\u00e9.py": b"2\n", "boot_user.py": b"five = 5\n"})
            assert not [x for x in forge.web.fetched() if "README" in x or "srcx" in x]

    def test_into_a_folder_of_the_board():
        forge = Forge("gogs", src="src", into="src")
        forge.publish("1", {"src/main.py": b"1\n", "src/boot.py": b"2\n"})
        p.installed(forge.board, {"src/main.py": b"1\n", "src/boot.py": b"2\n"})

    def test_wrong_blob():
        for kind in KINDS:
            forge = Forge(kind)
            forge.publish("1", p.ONE)
            url, good = forge.url, forge.web.pages[forge.url]
            forge.web.pages[url] = b"x" * len(good)
            p.passing(forge.board, "hash", lambda: forge.web.pages.update({url: good}), p.ONE)

    def test_what_is_staged_is_not_fetched_again():
        forge = Forge("gitea")
        forge.publish("1", p.ONE)
        gone = forge.web.pages.pop(forge.url)
        p.passing(forge.board, "missing", lambda: forge.web.pages.update({forge.url: gone}), p.ONE)
        raw = [x for x in forge.web.fetched() if "/raw/" in x]
        assert len(raw) == 5, raw

    def test_branch_that_moves_and_a_commit_that_is_gone():
        forge = Forge("gitea")
        forge.publish("1", p.ONE)

        def push(reply):
            kept = forge.web.pages
            forge.web.pages = {}
            forge.publish("2", p.TWO)
            forge.web.pages.update({u: kept[u] for u in kept if u not in forge.web.pages})
            return reply

        forge.web.faults[forge.url] = push
        assert forge.board.check() == "reset"  # the commit that was looked up, whole
        forge.board.boot()
        assert p.tree(forge.board) == p.ONE
        p.again(forge.board)
        forge.board.check()
        p.installed(forge.board, p.TWO)
        forge.publish("3", p.ONE)
        gone = [u for u in forge.web.pages if "/raw/main.py" in u]
        forge.web.faults[gone[0]] = lambda r: forge.publish("4", dict(p.ONE, extra=b"4")) or page(404, b"")
        assert forge.board.check() is False  # a forced push: nothing of the commit is there any more
        assert p.tree(forge.board) == p.TWO
        p.again(forge.board)
        p.installed(forge.board, dict(p.ONE, extra=b"4"))

    def test_empty_repository():
        forge = Forge("gitea")
        forge.publish("1", {})
        p.refused(forge.board, "format")

    def test_names_and_kinds_that_are_refused():
        for kind in KINDS:
            for why, odd in (
                ("path", ("100644", "blob", "a/../../x.py")),
                ("path", ("100644", "blob", ".ota/s0")),
                ("format", ("160000", "commit", "lib/module")),
                ("format", ("120000", "blob", "link")),
            ):
                forge = Forge(kind)
                forge.publish("1", p.ONE, [odd])
                p.refused(forge.board, why)
                assert odd[2].split("/")[0] in forge.board.get(".ota/failed").decode(), odd

    def test_lfs_pointer():
        forge = Forge("gitea")
        forge.publish("1", dict(p.ONE, **{"logo.png": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"}))
        p.refused(forge.board, "format")
        assert b"logo.png: LFS pointer" in forge.board.get(".ota/failed")

    def test_chunked_answers():
        for kind in ("github", "gogs", "gitlab"):
            forge = Forge(kind)
            forge.per_page = 100
            forge.publish("1", p.ONE)
            forge.web.chunks = True
            p.installed(forge.board, p.ONE)

    def test_listings_that_are_none():
        for text in (b"", b"[", b'{"tree":[{"path":"a.py","mode":"100644","type":"blob","sha":5}]}', b"{]}", b'{"a" "b"}', b"{" * 40, b'"', b"<html>"):
            forge = Forge("github")
            forge.publish("1", p.ONE)
            forge.web.pages[forge.listing] = text
            before = forge.board.snapshot()
            assert forge.board.check() is False
            assert forge.board.snapshot() == before
            assert not forge.board.state()[0] == "commit"

    def test_tree_that_is_too_large():
        forge = Forge("github")
        forge.publish("1", p.ONE)
        forge.web.pages[forge.listing] = forge.web.pages[forge.listing].replace(b'"truncated": false', b'"truncated": true')
        p.refused(forge.board, "format")

    def test_truncated_listing():
        forge = Forge("github")
        forge.publish("1", p.ONE)
        forge.web.faults[forge.listing] = lambda r: r[:-40]
        p.passing(forge.board, "truncated", forge.web.faults.clear, p.ONE)

    def test_heads_that_are_none():
        for kind in KINDS:
            for text in (b"", b"main", b"z" * 40, b"a" * 300, b'{"commit":{"id":"../../x"}}', b"{"):
                forge = Forge(kind)
                forge.publish("1", p.ONE)
                forge.web.pages[forge.head] = text
                p.passing(forge.board, None, lambda: forge.publish("1", p.ONE), p.ONE)

    def test_wrong_token():
        forge = Forge("gogs")
        forge.publish("1", p.ONE)
        forge.web.user = "token other"
        p.passing(forge.board, None, lambda: setattr(forge.web, "user", None), p.ONE)

    def test_a_poll_without_news_is_one_304():
        forge = Forge("gitea")
        forge.publish("1", p.ONE)
        p.installed(forge.board, p.ONE)
        forge.web.faults[forge.head] = lambda r: page(200, forge.web.pages[forge.head], 'ETag: "%s"\r\n' % forge.commit)
        forge.board.check()
        forge.web.faults[forge.head] = lambda r: page(304, b"")
        assert forge.board.check() is False
        assert forge.board.state()[0] == "ok"

