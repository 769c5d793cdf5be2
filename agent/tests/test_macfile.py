"""The source `macfile`: what sensorclass pulls, and the faults that its files may have."""

import json

try:
    import pulling as p
    from served import Web
except ImportError:  # a MicroPython without threads
    p = None

MAC = "deadbeef1234"


class Site:
    """A folder such as Home Assistant's /local/."""

    def __init__(self, **settings):
        self.web = Web()
        self.versions = {}
        self.board = p.pulling(**dict({"source": "macfile", "server": self.web.url + "/local", "mac": "DE:AD:BE:EF:12:34"}, **settings))

    def wants(self, wanted, latest=None, at=MAC):
        self.web.pages["/local/" + at] = wanted if isinstance(wanted, bytes) else json.dumps(wanted).encode()
        if latest is not None:
            self.web.pages["/local/latestversions"] = json.dumps(latest).encode()

    def module(self, name, data):
        self.web.pages["/local/%s.py" % name] = data

    def publish(self, version, files):
        """As the other sources' tests have it: main.py is a module like the others."""
        self.web.pages.clear()
        for path in files:
            self.module(path[:-3] + version, files[path])
        wanted = {path[:-3]: version for path in files}
        self.wants(dict(wanted, name="main"))


if p:
    A, B = b"a = 1\n" * 60, b"b = 1\n" * 60

    def two(**k):
        """A board that runs `a` 1 and `b` 2, of which `a` is the program."""
        site = Site(**k)
        site.module("a1", A)
        site.module("b2", B)
        site.wants({"name": "a", "a": "1", "b": "latest"}, {"b": "2", "c": "9"})
        p.installed(site.board, {"main.py": b"import a\n", "a.py": A, "b.py": B})
        site.web.fetched()
        return site

    def test_life():
        site = Site()
        p.life(site.board, site.publish, site.web.fetched)

    def test_only_modules_of_another_version_are_fetched():
        site = two()
        site.wants({"name": "b", "a": "1", "b": "latest"}, {"b": "3"})
        site.module("b3", B + b"#3\n")
        assert site.board.check() == "reset"
        assert [x for x in site.web.fetched() if x[-3:] == ".py"] == ["/local/b3.py"]
        site.board.boot()
        assert p.tree(site.board) == {"main.py": b"import b\n", "a.py": A, "b.py": B + b"#3\n"}

    def test_a_module_that_somebody_edited_is_fetched_again():
        site = two()
        site.board.put("a.py", b"edited = 1\n")
        site.wants({"name": "a", "a": "1", "b": "3"})
        site.module("b3", B + b"#3\n")
        assert site.board.check() == "reset"
        site.board.boot()
        assert site.board.get("a.py") == A

    def test_integer_versions():
        site = two()
        site.wants({"name": "a", "a": 1, "b": 2})
        assert site.board.check() is False
        assert [x for x in site.web.fetched() if x[-3:] == ".py"] == []

    def test_a_version_that_is_forced():
        site = two()
        site.wants({"name": "a", "a": "!1", "b": "2"})
        assert site.board.check() == "reset"
        assert [x for x in site.web.fetched() if x[-3:] == ".py"] == ["/local/a1.py"]

    def test_a_module_that_goes():
        site = two()
        site.wants({"name": "a", "a": "1", "!b": "2", "nodename": "kitchen"})
        assert site.board.check() == "reset"
        site.board.boot()
        assert p.tree(site.board) == {"main.py": b"import a\n", "a.py": A}

    def test_config_files_of_later_versions():
        site = Site()
        site.module("a1", A)
        site.wants({"nodename": "a", "a": "1"}, at=MAC + ".config")
        p.installed(site.board, {"main.py": b"import a\n", "a.py": A})

    def test_a_main_of_its_own_may_be_kept():
        site = Site(keep=["main.py"])
        site.board.put("main.py", b"mine = 1\n")
        site.module("a1", A)
        site.wants({"name": "a", "a": "1"})
        p.installed(site.board, {"main.py": b"mine = 1\n", "a.py": A})

    def test_files_that_say_nothing():
        for wanted in ({"a": "1"}, {"name": 5, "a": "1"}, {"name": "a b", "a": "1"}, b"[1]", b"", b"\xff\xfe", b"{" * 5000):
            site = two()
            site.wants(wanted)
            p.passing(site.board, None, lambda: site.wants({"name": "b", "a": "1", "b": "2"}))

    def test_a_version_that_nobody_published():
        site = two()
        site.wants({"name": "a", "a": "7", "b": "2"})
        p.passing(site.board, "missing", lambda: site.module("a7", A))

    def test_latest_of_nothing():
        site = two()
        site.wants({"name": "a", "a": "1", "b": "2", "zz": "latest"})
        p.passing(site.board, None, lambda: site.wants({"name": "b", "a": "1", "b": "2"}))

    def test_unknown_board():
        site = Site()
        p.passing(site.board, None, lambda: (site.module("a1", A), site.wants({"name": "a", "a": "1"})))

    def test_module_names_that_are_refused():
        for name in ("../boot", "boot", ".ota/s0", "a:b"):
            site = Site()
            site.web.head = False
            site.module(name + "1", A)
            site.wants({"name": "a", name: "1"})
            if name == "boot":
                assert site.board.check() == "reset"  # as boot_user.py
            else:
                p.refused(site.board, "path")

    def test_unsigned_is_not_allowed():
        site = Site(unsigned=False)
        site.module("a1", A)
        site.wants({"name": "a", "a": "1"})
        p.refused(site.board, "signature")

    def test_truncated_and_endless():
        for why, fault in (("truncated", lambda r: r[:-5]), ("truncated", lambda r: r.replace(b": 360", b": 350")), ("endless", lambda r: r.replace(b": 360", b": 370"))):
            site = Site()
            site.module("a1", A)
            site.wants({"name": "a", "a": "1"})
            site.web.faults["/local/a1.py"] = fault
            p.passing(site.board, why, site.web.faults.clear)
