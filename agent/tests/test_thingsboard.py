"""The source `thingsboard`: firmware announced by attributes, in chunks, signed or not; and the files of the client that was there before."""

import json

import board as b
import signing

try:
    import archives
    import pulling as p
    from brokers import ThingsBoard
    from test_mqtt import polled
except ImportError:  # a MicroPython without threads
    p = None


def device(pack=None, **settings):
    """-> (platform, board)."""
    site = ThingsBoard(pack)
    return site, p.pulling(site, **settings)


def signed(site):
    def pack(files, version):
        site.counter += 1
        return archives.ours(files, version=version, counter=site.counter)[0]

    site.pack = pack


if p:

    def test_life_with_foreign_packages():
        forms = (
            lambda files, version: archives.tar(files),
            lambda files, version: archives.gz(archives.tar(files, "gnu")),
            lambda files, version: archives.gz(archives.tar(files, "pax"), b"\2\xff"),
        )
        for form in forms:
            site, board = device(form)
            p.life(board, site.publish, site.fetched)

    def test_life_with_signed_packages():
        site, board = device(unsigned=False)
        signed(site)
        p.life(board, site.publish, site.fetched)

    def test_states():
        site, board = device()
        site.publish("1", p.ONE)
        p.installed(board, p.ONE)
        assert board.check() is False
        got = site.states()
        assert got == ["DOWNLOADING -", "DOWNLOADED -", "VERIFIED -", "UPDATING -", "- 1", "UPDATED 1"], got
        site.publish("2", p.BAD)
        assert board.check() == "reset"
        for _ in range(3):
            p.again(board)
            p.console(board.boot()[1])
        p.again(board)
        board.boot()
        assert board.check() is False
        got = site.states()
        assert got[4].startswith("FAILED!crash: ") and got[4].endswith(" 1"), got
        assert got[:4] == ["DOWNLOADING 1", "DOWNLOADED 1", "VERIFIED 1", "UPDATING 1"], got

    def test_a_push_is_looked_at_at_once():
        site, board = device(poll_s=600)
        agent = board.agent()
        assert agent.poll() is False
        site.publish("1", p.ONE)
        site.push()
        assert polled(board, lambda: False, "thingsboard") == "reset"

    def test_chunk_sizes():
        for size in (1, 499, 4096, "", None, 0, "x", 10**9):
            files = p.ONE if size != 1 else {"main.py": b"x = 1\n"}
            site, board = device(lambda files, version: archives.tar(files, end=1) if len(files) > 1 else archives.gz(archives.tar(files, end=0)), chunk_size=size)
            site.publish("1", files)
            p.installed(board, files)
            asked = site.fetched()
            whole = not isinstance(size, int) or not 0 < size < len(site.data)
            assert len(asked) == (1 if whole else -(-len(site.data) // size)), (size, asked)
            assert asked[0][1] == (b"" if whole else str(size).encode())

    def test_files_of_the_client_before():
        mine = {
            "config/thingsboard_config.json": b"",
            "config/ota_config.json": json.dumps({"chunk_size": 700, "excluded_files": ["lib/keep.py", "data/"], "clear_filesystem": True}).encode(),
            "lib/keep.py": b"mine\n",
            "data/log": b"mine\n",
            "old/x.py": b"gone\n",
        }
        site = ThingsBoard()
        board = p.pulling(site, mine, chunk_size=1)
        host, _, port = site.address.partition(":")
        said = json.dumps({"server_host": host, "server_port": int(port), "device_access_token": "t0k"}).encode()
        board.put("config/thingsboard_config.json", said)
        cfg = {"source": "thingsboard", "unsigned": True}
        board.put("goldcrest.json", json.dumps(cfg).encode())
        theirs = {"config/thingsboard_config.json": b"theirs", "data/log": b"theirs", "lib/keep.py": b"theirs"}
        site.publish("1", dict(p.ONE, **theirs))
        kept = {x: mine[x] for x in ("lib/keep.py", "data/log")}
        kept["config/thingsboard_config.json"] = said
        p.installed(board, dict(p.ONE, **kept))  # ota_config.json was not excluded
        assert site.fetched()[0][1] == b"700"

    def test_rest_is_kept_without_clear_filesystem():
        site, board = device(rest="keep")
        board.put("other.py", b"1\n")
        site.publish("1", p.ONE)
        p.installed(board, dict(p.ONE, **{"other.py": b"1\n"}))
        site.publish("2", p.TWO)
        p.installed(board, dict(p.ONE, **dict(p.TWO, **{"other.py": b"1\n"})))

    def test_metadata_of_the_package():
        for said, good in (({"title": "node", "version": "1"}, True), ({"title": "node", "version": "2"}, False), ([], False)):
            site, board = device()
            files = dict(p.ONE, **{"FW_METADATA.json": json.dumps(said).encode()})
            site.publish("1", files)
            if good:
                p.installed(board, files)
            elif isinstance(said, dict):
                p.refused(board, "format")
            else:
                assert board.check() is False and board.state()[0] == "ok"

    def test_what_came_already_is_not_fetched_again():
        site, board = device(lambda files, version: archives.tar(files))
        site.publish("1", p.ONE)

        def lost(n, data):
            if n == 5:
                site.chunk = None
                site.peers[0].gone = True
                return data[:-3]
            return data

        site.chunk = lost
        assert board.check() is False
        site.fetched()
        p.again(board)
        p.installed(board, p.ONE)
        assert site.fetched()[0][0] == 5

    def test_chunks_that_are_wrong():
        good = archives.tar(p.ONE)
        for why, chunk in (
            ("truncated", lambda n, data: data[:-1] if n == 2 else data),
            ("truncated", lambda n, data: b""),
            ("endless", lambda n, data: data + b"x" if n == 2 else data),
            ("hash", lambda n, data: b"x" * len(data) if n == 2 else data),
        ):
            site, board = device(lambda files, version: good)
            site.publish("1", p.ONE)
            site.chunk = chunk
            p.passing(board, why, lambda: setattr(site, "chunk", None), p.ONE)

    def test_package_that_changes_while_it_comes():
        site, board = device(lambda files, version: archives.tar(files))
        site.publish("1", p.ONE)

        def change(n, data):
            if n == 2:
                site.publish("2", p.TWO)
            return data

        site.chunk = change
        assert board.check() is False
        assert board.state()[0] == "ok" and board.get("util.py") is None
        site.chunk = None
        p.again(board)
        p.installed(board, p.TWO)

    def test_checksums():
        from binascii import crc32

        site, board = device()
        site.publish("1", p.ONE)
        site.attributes.update(fw_checksum="%08x" % crc32(site.data), fw_checksum_algorithm="CRC32")
        p.installed(board, p.ONE)
        for algorithm in ("MURMUR3_128", None, "update", "sha1"):
            site, board = device()
            site.publish("1", p.ONE)
            site.attributes["fw_checksum_algorithm"] = algorithm
            p.refused(board, "format")
            assert site.states()[-1].startswith("FAILED!format: "), site.states()

    def test_attributes_that_say_nothing():
        for attributes in ({}, {"fw_title": "x"}, {"fw_title": None, "fw_version": None}, {"fw_title": "x", "fw_version": "1", "fw_size": "12"}):
            site, board = device()
            before = board.snapshot()
            site.attributes = attributes
            assert board.check() is False
            assert board.snapshot() == before and board.work_files() == []

    def test_messages_that_are_none():
        site, board = device()
        site.publish("1", p.ONE)
        good = site.attributes
        for bad in ("text", [1], None, {"x": "y" * 5000}):
            site.attributes = bad
            assert board.check() is False
        site.attributes = good
        p.again(board)
        p.installed(board, p.ONE)

    def test_unsigned_is_not_allowed():
        site, board = device(unsigned=False)
        site.publish("1", p.ONE)
        p.refused(board, "signature")
        assert site.states()[-1] == "FAILED!signature: unsigned -"

    def test_signatures():
        for why, data in (
            ("unknown-key", archives.ours(p.ONE, keys=(b.stranger,))[0]),
            ("bad-signature", archives.ours(p.ONE)[0].replace(b"version 1\n", b"version 2\n")),
            ("path", archives.ours({"../x": b"1"})[0]),
            ("board", archives.ours(p.ONE, extra="boards pyboard")[0]),
        ):
            site, board = device()  # also when unsigned ones are allowed
            site.offer(data, "1")
            p.refused(board, why)
        data = archives.ours(p.ONE)[0]
        at = data.index(p.ONE["app_one.py"][:5]) if p.ONE["app_one.py"][:5] in data else data.index(b.wire(p.ONE["app_one.py"]))
        site, board = device(unsigned=False)
        site.offer(data[: at + 9] + bytes((data[at + 9] ^ 255,)) + data[at + 10 :], "1")
        p.passing(board, "hash", lambda: site.offer(data, "1"), p.ONE)
        site, board = device(unsigned=False)
        sha = signing.sha(p.ONE["util.py"]).encode()
        site.offer(data.replace(b"objects/" + sha, b"objects/" + b"f" * 64), "1")
        assert board.check() is False and board.state()[0] == "ok"

    def test_packages_that_are_refused():
        files = archives.tar(p.ONE, end=0)
        for why, data in (
            ("path", archives.tar({"../x.py": b"1\n"})),
            ("path", archives.tar({"/etc/x": b"1\n"}, "flat")),
            ("path", archives.tar({"goldcrest.json": b"{}"})),
            ("path", archives.tar({"a/../../b": b"1"}, "pax")),
            ("path-long", archives.tar({"x/" * 70 + "y": b"1\n"}, "gnu")),
            ("path-long", files + archives.member("././@LongLink", b"x" * 2000, b"L")),
            ("format", files + archives.member("link", b"", b"2", "main.py") + bytes(1024)),
            ("format", files + archives.member("device", b"", b"3") + bytes(1024)),
            ("format", b"x" * 2048),
            ("format", archives.tar({"a": b"1"}).replace(b"0000644", b"0000645")),
            ("format", bytes(1024)),
            ("format", archives.header("bomb", 1 << 30) + bytes(1024)),
            ("duplicate", archives.tar({"a": b"1"}, end=0) + archives.tar({"a": b"2"})),
        ):
            site, board = device()
            site.offer(data, "1")
            p.refused(board, why)
            assert board.get(".ota/package") is None
        for data in (files[:-700], archives.gz(files + bytes(1024))[:-300]):
            site, board = device()
            site.offer(data, "1")
            p.passing(board, "truncated", lambda: site.publish("1", p.ONE), p.ONE)

    def test_wrong_token():
        site, board = device()
        site.publish("1", p.ONE)
        site.user = ("other", "")
        p.passing(board, "network", lambda: setattr(site, "user", ("t0k", "")), p.ONE)

    if b.LITTLEFS:

        def test_no_space():
            site, board = device()
            site.offer(bytes(1000), "1", fw_size=10**6)
            p.refused(board, "space")
            assert site.fetched() == []
