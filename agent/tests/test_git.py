"""The source `git`: GitHub, Gitea, Gogs and GitLab, as their APIs answer."""

try:
    import pulling as p
    from sites import Forge, page
except ImportError:  # a MicroPython without threads
    p = None

KINDS = "github", "gitea", "gogs", "gitlab"


def forged(kind, **settings):
    """-> (site, board)."""
    forge = Forge(kind)
    return forge, p.pulling(forge, **settings)


if p:

    def test_life():
        for kind in KINDS:
            forge, board = forged(kind)
            p.life(board, forge.publish, forge.fetched)

    def test_only_what_differs_is_fetched():
        for kind in KINDS:
            forge, board = forged(kind)
            board.put("util.py", p.ONE["util.py"])
            forge.publish("1", p.ONE)
            assert board.check() == "reset"
            assert forge.url not in forge.fetched()
            board.boot()
            assert p.tree(board) == p.ONE

    def test_a_folder_of_the_repository():
        files = {"src/main.py": b"1\n", "src/a b/c\u00e9.py": b"2\n", "srcx/no.py": b"3\n", "README.md": b"4\n", "src/boot.py": b"five = 5\n"}
        for kind in KINDS:
            forge, board = forged(kind, src="src/")
            forge.src = "src/"
            forge.publish("1", files)
            p.installed(board, {"main.py": b"1\n", "a b/c\u00e9.py": b"2\n", "boot_user.py": b"five = 5\n"})
            assert not [x for x in forge.fetched() if "README" in x or "srcx" in x]

    def test_into_a_folder_of_the_board():
        forge, board = forged("gogs", src="src", into="src")
        forge.publish("1", {"src/main.py": b"1\n", "src/boot.py": b"2\n"})
        p.installed(board, {"src/main.py": b"1\n", "src/boot.py": b"2\n"})

    def test_wrong_blob():
        for kind in KINDS:
            forge, board = forged(kind)
            forge.publish("1", p.ONE)
            url, good = forge.url, forge.pages[forge.url]
            forge.pages[url] = b"x" * len(good)
            p.passing(board, "hash", lambda: forge.pages.update({url: good}), p.ONE)

    def test_what_is_staged_is_not_fetched_again():
        forge, board = forged("gitea")
        forge.publish("1", p.ONE)
        gone = forge.pages.pop(forge.url)
        p.passing(board, "missing", lambda: forge.pages.update({forge.url: gone}), p.ONE)
        raw = [x for x in forge.fetched() if "/raw/" in x]
        assert len(raw) == 5, raw

    def test_branch_that_moves_and_a_commit_that_is_gone():
        forge, board = forged("gitea")
        forge.publish("1", p.ONE)

        def push(reply):
            kept = forge.pages
            forge.pages = {}
            forge.publish("2", p.TWO)
            forge.pages.update({u: kept[u] for u in kept if u not in forge.pages})
            return reply

        forge.faults[forge.url] = push
        assert board.check() == "reset"  # the commit that was looked up, whole
        board.boot()
        assert p.tree(board) == p.ONE
        p.again(board)
        board.check()
        p.installed(board, p.TWO)
        forge.publish("3", p.ONE)
        gone = [u for u in forge.pages if "/raw/main.py" in u]
        forge.faults[gone[0]] = lambda r: forge.publish("4", dict(p.ONE, extra=b"4")) or page(404, b"")
        assert board.check() is False  # a forced push: nothing of the commit is there any more
        assert p.tree(board) == p.TWO
        p.again(board)
        p.installed(board, dict(p.ONE, extra=b"4"))

    def test_empty_repository():
        forge, board = forged("gitea")
        forge.publish("1", {})
        p.refused(board, "format")

    def test_names_and_kinds_that_are_refused():
        for kind in KINDS:
            for why, odd in (
                ("path", ("100644", "blob", "a/../../x.py")),
                ("path", ("100644", "blob", ".ota/s0")),
                ("format", ("160000", "commit", "lib/module")),
                ("format", ("120000", "blob", "link")),
            ):
                if kind == "gogs" and odd[2] == "link":
                    continue  # it does not tell links from files
                forge, board = forged(kind)
                forge.publish("1", p.ONE, [odd])
                p.refused(board, why)
                assert odd[2].split("/")[0] in board.get(".ota/failed").decode(), odd

    def test_lfs_pointer():
        forge, board = forged("gitea")
        forge.publish("1", dict(p.ONE, **{"logo.png": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"}))
        p.refused(board, "format")
        assert b"logo.png: LFS pointer" in board.get(".ota/failed")

    def test_chunked_answers():
        for kind in ("github", "gogs", "gitlab"):
            forge, board = forged(kind)
            forge.per_page = 100
            forge.publish("1", p.ONE)
            forge.chunks = True
            p.installed(board, p.ONE)

    def test_listings_that_are_none():
        for text in (b"", b"[", b'{"tree":[{"path":"a.py","mode":"100644","type":"blob","sha":5}]}', b"{]}", b'{"a" "b"}', b"{" * 40, b'"', b"<html>"):
            forge, board = forged("github")
            forge.publish("1", p.ONE)
            forge.pages[forge.listing] = text
            before = board.snapshot()
            assert board.check() is False
            assert board.snapshot() == before
            assert not board.state()[0] == "commit"

    def test_tree_that_is_too_large():
        forge, board = forged("github")
        forge.publish("1", p.ONE)
        forge.pages[forge.listing] = forge.pages[forge.listing].replace(b'"truncated": false', b'"truncated": true')
        p.refused(board, "format")

    def test_truncated_listing():
        forge, board = forged("github")
        forge.publish("1", p.ONE)
        forge.faults[forge.listing] = lambda r: r[:-40]
        p.passing(board, "truncated", forge.faults.clear, p.ONE)

    def test_heads_that_are_none():
        for kind in KINDS:
            for text in (b"", b"main", b"z" * 40, b"a" * 300, b'{"commit":{"id":"../../x"}}', b"{"):
                forge, board = forged(kind)
                forge.publish("1", p.ONE)
                forge.pages[forge.head] = text
                p.passing(board, None, lambda: forge.publish("1", p.ONE), p.ONE)

    def test_wrong_token():
        forge, board = forged("gogs")
        forge.publish("1", p.ONE)
        forge.user = "token other"
        p.passing(board, None, lambda: setattr(forge, "user", None), p.ONE)

    def test_a_poll_without_news_is_one_304():
        forge, board = forged("gitea")
        forge.publish("1", p.ONE)
        p.installed(board, p.ONE)
        forge.faults[forge.head] = lambda r: page(200, forge.pages[forge.head], 'ETag: "%s"\r\n' % forge.commit)
        board.check()
        forge.faults[forge.head] = lambda r: page(304, b"")
        assert board.check() is False
        assert board.state()[0] == "ok"

