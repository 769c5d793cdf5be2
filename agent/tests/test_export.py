"""The source `static` with a `channel`: a static export of our server, verified as in a native update."""

import board as b
import signing

try:
    import pulling as p
    from sites import Export
except ImportError:  # a MicroPython without threads
    p = None


def exported():
    """-> (site, board)."""
    site = Export()
    return site, p.pulling(site)


if p:

    def test_life_of_an_export():
        site, board = exported()
        p.life(board, site.publish, site.fetched)

    def test_deltas_of_manifest_and_objects():
        site, board = exported()
        old = site.publish("1", p.ONE)
        p.installed(board, p.ONE)
        three = dict(p.ONE, **{"app_one.py": p.ONE["app_one.py"] + b"more = 1\n"})
        new = site.publish("2", three)
        site.delta(old, new)
        a, z = signing.sha(p.ONE["app_one.py"]), signing.sha(three["app_one.py"])
        site.pages["/ota/deltas/%s/%s" % (z, a)] = b.patch(p.ONE["app_one.py"], three["app_one.py"])
        site.fetched()
        assert board.check() == "reset"
        got = site.fetched()
        assert got == ["/ota/channels/app/stable", "/ota/deltas/%s/%s" % (new, old), "/ota/deltas/%s/%s" % (z, a)], got
        board.boot()
        assert p.tree(board) == three

    def test_what_is_staged_is_not_fetched_again():
        site, board = exported()
        site.publish("1", p.ONE)
        sha = signing.sha(p.ONE["util.py"])
        path = "/ota/objects/%s/%s" % (sha[:2], sha)
        gone = site.pages.pop(path)
        p.passing(board, "missing", lambda: site.pages.update({path: gone}), p.ONE)
        fetched = [x for x in site.fetched() if "objects" in x]
        assert len(fetched) == 5, fetched  # two files once, the missing one three times

    def test_signatures():
        site, board = exported()
        site.publish("1", p.ONE, keys=(b.stranger,))
        p.refused(board, "unknown-key")
        digest = site.publish("2", p.ONE)
        path = "/ota/manifests/" + digest
        site.pages[path] = site.pages[path].replace(b"version 2", b"version 3")
        p.refused(board, "bad-signature")
        site.publish("3", {"../x": b"1"})
        p.refused(board, "path")

    def test_object_with_another_hash():
        site, board = exported()
        site.publish("1", p.ONE)
        sha = signing.sha(p.ONE["util.py"])
        path = "/ota/objects/%s/%s" % (sha[:2], sha)
        good = site.pages[path]
        site.pages[path] = b.wire(b"# evil\n" * 30)
        p.passing(board, "hash", lambda: site.pages.update({path: good}), p.ONE)

    def test_new_keyring():
        site, board = exported()
        site.ring = 2
        site.pages["/ota/keyring"] = signing.keyring([b.root_a], [b.stranger], version=2)
        site.publish("1", p.ONE, keys=(b.stranger,))
        p.installed(board, p.ONE)

    def test_channels_that_are_none():
        for text in (b"", b"abc 1\n", b"x" * 64, b"y" * 3000, b"\xff\xfe"):
            site, board = exported()
            site.publish("1", p.ONE)
            site.pages["/ota/channels/app/stable"] = text
            p.passing(board, None, lambda: site.publish("1", p.ONE), p.ONE)
