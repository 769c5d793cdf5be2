"""The source `macfile`: what sensorclass pulls, and the faults that its files may have."""

try:
    import pulling as p
    from sites import Macs
except ImportError:  # a MicroPython without threads
    p = None

if p:
    A, B = b"a = 1\n" * 60, b"b = 1\n" * 60

    def folder(**k):
        site = Macs()
        return site, p.pulling(site, **k)

    def two(**k):
        """A board that runs `a` 1 and `b` 2, of which `a` is the program."""
        site, board = folder(**k)
        site.module("a1", A)
        site.module("b2", B)
        site.wants({"name": "a", "a": "1", "b": "latest"}, {"b": "2", "c": "9"})
        p.installed(board, {"main.py": b"import a\n", "a.py": A, "b.py": B})
        site.fetched()
        return site, board

    def test_life():
        site, board = folder()
        p.life(board, site.publish, site.fetched)

    def test_only_modules_of_another_version_are_fetched():
        site, board = two()
        site.wants({"name": "b", "a": "1", "b": "latest"}, {"b": "3"})
        site.module("b3", B + b"#3\n")
        assert board.check() == "reset"
        assert [x for x in site.fetched() if x[-3:] == ".py"] == ["/local/b3.py"]
        board.boot()
        assert p.tree(board) == {"main.py": b"import b\n", "a.py": A, "b.py": B + b"#3\n"}

    def test_a_module_that_somebody_edited_is_fetched_again():
        site, board = two()
        board.put("a.py", b"edited = 1\n")
        site.wants({"name": "a", "a": "1", "b": "3"})
        site.module("b3", B + b"#3\n")
        assert board.check() == "reset"
        board.boot()
        assert board.get("a.py") == A

    def test_integer_versions():
        site, board = two()
        site.wants({"name": "a", "a": 1, "b": 2})
        assert board.check() is False
        assert [x for x in site.fetched() if x[-3:] == ".py"] == []

    def test_a_mark_is_not_part_of_a_version():
        site, board = two()
        site.wants({"name": "a", "a": "!1", "b": "latest"}, {"b": "!2", "------ Nodes": ""})
        assert board.check() is False
        assert [x for x in site.fetched() if x[-3:] == ".py"] == []
        site.module("a2", A + b"#2\n")
        site.wants({"name": "a", "a": "!2", "b": "latest"})
        assert board.check() == "reset"
        assert [x for x in site.fetched() if x[-3:] == ".py"] == ["/local/a2.py"]
        board.boot()
        assert board.get("a.py") == A + b"#2\n"

    def test_a_module_that_goes():
        site, board = two()
        site.wants({"name": "a", "a": "1", "nodename": "kitchen"})
        assert board.check() == "reset"
        board.boot()
        assert p.tree(board) == {"main.py": b"import a\n", "a.py": A}

    def test_config_files_of_later_versions():
        site, board = folder()
        site.module("a1", A)
        site.wants({"nodename": "a", "a": "1"}, at=site.mac + ".config")
        p.installed(board, {"main.py": b"import a\n", "a.py": A})

    def test_the_program_may_be_a_file_of_the_board():
        for key in ("name", "nodename"):
            site, board = folder(keep=["mine.py"])
            board.put("mine.py", A)
            site.module("b1", B)
            site.wants({key: "mine", "b": "1"})
            p.installed(board, {"main.py": b"import mine\n", "mine.py": A, "b.py": B})

    def test_a_main_of_its_own_may_be_kept():
        site, board = folder(keep=["main.py"])
        board.put("main.py", b"mine = 1\n")
        site.module("a1", A)
        site.wants({"name": "a", "a": "1"})
        p.installed(board, {"main.py": b"mine = 1\n", "a.py": A})

    def test_files_that_say_nothing():
        for wanted in ({"a": "1"}, {"name": 5, "a": "1"}, {"name": "a b", "a": "1"}, b"[1]", b"", b"\xff\xfe", b"{" * 5000):
            site, board = two()
            site.wants(wanted)
            p.passing(board, None, lambda: site.wants({"name": "b", "a": "1", "b": "2"}))

    def test_a_version_that_nobody_published():
        site, board = two()
        site.wants({"name": "a", "a": "7", "b": "2"})
        p.passing(board, "missing", lambda: site.module("a7", A))

    def test_versions_that_would_stand_in_two_lines():
        for version in ("1\nfiles 1", "1 2", "1\t"):
            site, board = two()
            site.wants({"name": "a", "a": version, "b": "2"})
            p.passing(board, None, lambda: site.wants({"name": "b", "a": "1", "b": "2"}))

    def test_latest_of_nothing():
        site, board = two()
        site.wants({"name": "a", "a": "1", "b": "2", "zz": "latest"})
        p.passing(board, None, lambda: site.wants({"name": "b", "a": "1", "b": "2"}))

    def test_unknown_board():
        site, board = folder()
        p.passing(board, None, lambda: (site.module("a1", A), site.wants({"name": "a", "a": "1"})))

    def test_module_names_that_are_refused():
        for name in ("../boot", "boot", ".ota/s0", "a:b"):
            site, board = folder()
            site.head = False
            site.module(name + "1", A)
            site.wants({"name": "a", name: "1"})
            if name == "boot":
                assert board.check() == "reset"  # as boot_user.py
            else:
                p.refused(board, "path")

    def test_unsigned_is_not_allowed():
        site, board = folder(unsigned=False)
        site.module("a1", A)
        site.wants({"name": "a", "a": "1"})
        p.refused(board, "signature")

    def test_truncated_and_endless():
        for why, fault in (("truncated", lambda r: r[:-5]), ("truncated", lambda r: r.replace(b": 360", b": 350")), ("endless", lambda r: r.replace(b": 360", b": 370"))):
            site, board = folder()
            site.module("a1", A)
            site.wants({"name": "a", "a": "1"})
            site.faults["/local/a1.py"] = fault
            p.passing(board, why, site.faults.clear)
