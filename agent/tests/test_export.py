"""The source `static` with a `channel`: a static export of our server, verified as in a native update."""

import board as b
import signing

try:
    import pulling as p
    from served import Web
except ImportError:  # a MicroPython without threads
    p = None


class Site:
    """A static export of package `app`, made of what the tests' server publishes."""

    def __init__(self, **settings):
        self.web = Web()
        self.server = b.Server()
        self.server.patches = {}
        self.counter = 10
        self.ring = 0
        self.board = p.pulling(unsigned=False, source="static", channel="stable", package="app", server=self.web.url + "/ota", **settings)

    def publish(self, version, files, **k):
        self.counter += 1
        digest = self.server.publish(files, version=version, counter=self.counter, **k)
        pages = self.web.pages
        pages["/ota/manifests/" + digest] = self.server.manifests[digest]
        for plain in files.values():
            sha = signing.sha(plain)
            pages["/ota/objects/%s/%s" % (sha[:2], sha)] = b.wire(plain)
        self.channel(digest, version)
        return digest

    def channel(self, digest, version="1"):
        self.web.pages["/ota/channels/app/stable"] = ("%s\n%s\n%d\n" % (digest, version, self.ring)).encode()

    def delta(self, old, new):
        base = self.server.manifests[old]
        self.web.pages["/ota/deltas/%s/%s" % (new, old)] = b.patch(base[: base.find(b"\nsig ") + 1], self.server.manifests[new])


if p:

    def test_life_of_an_export():
        site = Site()
        p.life(site.board, site.publish, site.web.fetched)

    def test_deltas_of_manifest_and_objects():
        site = Site()
        old = site.publish("1", p.ONE)
        p.installed(site.board, p.ONE)
        three = dict(p.ONE, **{"app_one.py": p.ONE["app_one.py"] + b"more = 1\n"})
        new = site.publish("2", three)
        site.delta(old, new)
        a, z = signing.sha(p.ONE["app_one.py"]), signing.sha(three["app_one.py"])
        site.web.pages["/ota/deltas/%s/%s" % (z, a)] = b.patch(p.ONE["app_one.py"], three["app_one.py"])
        site.web.fetched()
        assert site.board.check() == "reset"
        got = site.web.fetched()
        assert got == ["/ota/channels/app/stable", "/ota/deltas/%s/%s" % (new, old), "/ota/deltas/%s/%s" % (z, a)], got
        site.board.boot()
        assert p.tree(site.board) == three

    def test_what_is_staged_is_not_fetched_again():
        site = Site()
        site.publish("1", p.ONE)
        sha = signing.sha(p.ONE["util.py"])
        path = "/ota/objects/%s/%s" % (sha[:2], sha)
        gone = site.web.pages.pop(path)
        p.passing(site.board, "missing", lambda: site.web.pages.update({path: gone}), p.ONE)
        fetched = [x for x in site.web.fetched() if "objects" in x]
        assert len(fetched) == 5, fetched  # two files once, the missing one three times

    def test_signatures():
        site = Site()
        site.publish("1", p.ONE, keys=(b.stranger,))
        p.refused(site.board, "unknown-key")
        digest = site.publish("2", p.ONE)
        path = "/ota/manifests/" + digest
        site.web.pages[path] = site.web.pages[path].replace(b"version 2", b"version 3")
        p.refused(site.board, "bad-signature")
        site.publish("3", {"../x": b"1"})
        p.refused(site.board, "path")

    def test_object_with_another_hash():
        site = Site()
        site.publish("1", p.ONE)
        sha = signing.sha(p.ONE["util.py"])
        path = "/ota/objects/%s/%s" % (sha[:2], sha)
        good = site.web.pages[path]
        site.web.pages[path] = b.wire(b"# evil\n" * 30)
        p.passing(site.board, "hash", lambda: site.web.pages.update({path: good}), p.ONE)

    def test_new_keyring():
        site = Site()
        site.ring = 2
        site.web.pages["/ota/keyring"] = signing.keyring([b.root_a], [b.stranger], version=2)
        site.publish("1", p.ONE, keys=(b.stranger,))
        p.installed(site.board, p.ONE)

    def test_channels_that_are_none():
        for text in (b"", b"abc 1\n", b"x" * 64, b"y" * 3000, b"\xff\xfe"):
            site = Site()
            site.publish("1", p.ONE)
            site.web.pages["/ota/channels/app/stable"] = text
            p.passing(site.board, None, lambda: site.publish("1", p.ONE), p.ONE)
