"""The source `static`: both layouts of micropython_ota, and a static export of our server."""

import board as b

try:
    import pulling as p
    from served import Web
    from sites import Folder, Native, chunked, page
except ImportError:  # a MicroPython without threads
    p = None


def site(layout=None, names=None, **settings):
    """-> (site, its publish, board)."""
    web = Folder(layout, names)
    return web, web.publish, p.pulling(web, **settings)


if p:

    def test_life_by_prefix():
        web, publish, board = site(names="json")
        p.life(board, publish, web.fetched)

    def test_life_by_folder():
        web, publish, board = site("folder", names="text", user="me", password="secret")
        web.user = "Basic bWU6c2VjcmV0"
        p.life(board, publish, web.fetched)

    def test_files_of_the_settings():
        web, publish, board = site(files=["main.py", "boot.py", "dir/x y.bin"])
        web.chunks = True
        files = {"main.py": b"1\n", "boot.py": b"booted = 1\n", "dir/x y.bin": bytes(range(256)) * 9}
        publish("v1", files)
        p.installed(board, {"main.py": b"1\n", "boot_user.py": b"booted = 1\n", "dir/x y.bin": files["dir/x y.bin"]})

    def test_one_connection_and_no_head():
        web, publish, board = site(names="json")
        web.head = False
        publish("1", p.ONE)
        p.installed(board, p.ONE)
        assert board.web.connections <= 4, board.web.connections

    def test_missing_version_file():
        web, publish, board = site(names="json")
        publish("1", p.ONE)
        version = web.pages.pop("/app/version")
        p.passing(board, None, lambda: web.pages.update({"/app/version": version}), p.ONE)

    def test_a_version_that_is_none():
        for version in (b"", b"two words\n", b"../../etc\n", b"x" * 2000, b"\xff\xfe\n"):
            web, publish, board = site(names="json")
            publish("1", p.ONE)
            web.pages["/app/version"] = version
            p.passing(board, None, lambda: publish("1", p.ONE), p.ONE)

    def test_file_that_is_missing():
        for head in (True, False):
            web, publish, board = site(names="json")
            web.head = head
            publish("1", p.ONE)
            gone = web.pages.pop("/app/1_util.py")
            p.passing(board, "missing", lambda: web.pages.update({"/app/1_util.py": gone}), p.ONE)

    def test_truncated_and_endless():
        for why, fault in (
            ("truncated", lambda r: r[:-5]),
            ("truncated", lambda r: chunked(p.ONE["util.py"])[:-60]),
            ("endless", lambda r: chunked(p.ONE["util.py"] + b"x")),
            ("endless", lambda r: page(200, p.ONE["util.py"] + b"x")),
            ("truncated", lambda r: page(200, p.ONE["util.py"][:-1])),
            ("network", lambda r: page(500, b"oops")),
            ("network", lambda r: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
            ("network", lambda r: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 300),
            ("network", lambda r: None),
        ):
            web, publish, board = site(names="json")
            publish("1", p.ONE)
            web.faults["/app/1_util.py"] = fault
            p.passing(board, why, web.faults.clear, p.ONE)

    def test_body_without_an_end():
        # Neither HEAD nor a length says how large it is: it must end when the flash has no room for more.
        web, publish, board = site(names="json", flash=b.Nor(64) if b.LITTLEFS else None)
        web.head = False
        publish("1", p.ONE)
        web.faults["/app/1_util.py"] = lambda r: chunked(b"x" * 300000, 4000) if b.LITTLEFS else r[:-1]
        p.passing(board, "endless" if b.LITTLEFS else "truncated", web.faults.clear, p.ONE)

    def test_wrong_password():
        web, publish, board = site(names="json")
        publish("1", p.ONE)
        web.user = "Basic bWU6c2VjcmV0"

        def mend():
            web.user = None

        p.passing(board, None, mend, p.ONE)

    def test_version_that_changes_during_the_download():
        for at in ("app_one.py", "util.py"):  # the first file, the last one
            web, publish, board = site(names="json")
            publish("1", p.ONE)

            def push(reply):
                old = dict(web.pages)
                publish("2", p.TWO)
                web.pages.update({path: old[path] for path in old if "1_" in path})
                return reply

            web.faults["/app/1_" + at] = push
            assert board.check() is False
            assert board.state()[0] == "ok" and board.get("util.py") is None
            p.again(board)
            p.installed(board, p.TWO)

    def test_names_that_are_refused():
        for name in ("../x.py", ".ota/s0", "goldcrest.json", "a//b", "a\\b", "c:d", "x/" * 70 + "y"):
            web, publish, board = site(names="json")
            web.head = False
            publish("1", {"main.py": b"1\n", name: b"2\n"})
            p.refused(board, "path-long" if len(name) > 99 else "path")

    def test_lists_that_are_none():
        for text in (b"[1, 2]", b'["a.py", "a.py"]', b'[{"name": "x"}]', b'[{"file": "../x", "sha256": "a b\\nc"}]', b"[", b"\xff\xfe"):
            web, publish, board = site(names="json")
            web.head = False
            publish("1", p.ONE)
            web.pages["/app/1_manifest"] = text
            p.refused(board, "duplicate" if b"a.py" in text else "path" if b".." in text else "format")

    def test_unsorted_and_twice():
        web, publish, board = site(names="json")
        web.head = False
        publish("1", p.ONE)
        web.pages["/app/1_manifest"] = b'["util.py", "main.py", "app_one.py"]'
        p.installed(board, p.ONE)
        publish("2", p.ONE)
        web.pages["/app/2_manifest"] = b'["util.py", "main.py", "util.py"]'
        p.refused(board, "duplicate")

    def test_sha256_of_the_list():
        web, publish, board = site(names="sha")
        publish("1", p.ONE)
        good = web.pages["/app/1_util.py"]
        web.pages["/app/1_util.py"] = b"x" * len(good)
        p.passing(board, "hash", lambda: web.pages.update({"/app/1_util.py": good}), p.ONE)
        board.check()
        publish("2", p.TWO)
        web.fetched()
        assert board.check() == "reset"
        assert "/app/2_util.py" not in web.fetched()  # the board has it

    def test_unsigned_is_not_allowed():
        for unsigned in (False, "yes", None):
            web, publish, board = site(names="json", unsigned=unsigned)
            publish("1", p.ONE)
            p.refused(board, "signature")
            assert web.fetched() == ["/app/version"] * 2
            p.settings(board, unsigned=True)
            p.again(board)
            p.installed(board, p.ONE)

    def test_kept_files_are_the_boards():
        mine = {"util.py": b"mine\n", "data/log": b"1\n"}
        web, publish, board = site(names="json", keep=["util.py", "data/**"])
        for path in mine:
            board.put(path, mine[path])
        publish("1", dict(p.ONE, **{"data/log": b"theirs"}))
        p.installed(board, dict(p.ONE, **mine))
        publish("2", {"main.py": b"2\n"})
        p.installed(board, dict({"main.py": b"2\n"}, **mine))

    def test_the_agent_stays_when_the_tree_has_none():
        web, publish, board = site(names="json")
        guard = board.get("lib/goldcrest/guard.py")
        publish("1", dict(p.ONE, **{"lib/goldcrest/guard.py": guard}))
        p.installed(board, p.ONE)
        publish("2", p.TWO)
        p.installed(board, p.TWO)
        assert board.get("lib/goldcrest/guard.py") == guard

    if b.LITTLEFS:

        def test_no_space():
            web, publish, board = site(names="json", flash=b.Nor(48))
            publish("1", dict(p.ONE, big=b"x" * 150000))
            before = board.flash.erases
            p.refused(board, "space")
            assert [x for x in web.fetched() if "_main" in x or "_big" in x] == []
            assert before is not None

    def test_from_a_tree_to_our_server_and_back():
        web, publish, board = site(names="json")
        publish("1", p.ONE)
        p.installed(board, p.ONE)
        native = Native()
        native.server.publish(p.TWO)
        p.settings(board, source=None, server=Web(native).url)
        p.again(board)
        p.installed(board, p.TWO)  # app_one.py is gone
        native.server.publish(p.ONE, version="2", counter=11, floor=11)
        p.installed(board, p.ONE)
        p.settings(board, source="static", server=board.web.url + "/app")
        publish("1", p.TWO)
        p.again(board)
        p.installed(board, p.TWO)
        assert board.state()[2] == "11"  # no way around the floor
        native.server.publish(p.ONE, version="0", counter=10)
        p.settings(board, source=None, server=Web(native).url)
        p.again(board)
        p.refused(board, "floor")

    def test_the_second_server():
        web, publish, board = site(names="json")
        publish("1", p.ONE)
        p.settings(board, server="http://127.0.0.1:1/x", recovery=[board.web.url + "/app"])
        for _ in range(3):
            assert board.check() is False
        assert board.check() == "reset"
