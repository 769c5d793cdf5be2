"""The source `insighio`: packages named by a retained message, fetched over HTTP, and what is said of them."""

import json

import board as b

try:
    import archives
    import pulling as p
    from brokers import Console
    from test_mqtt import polled
except ImportError:  # a MicroPython without threads
    p = None


def device(pack=None, **settings):
    """-> (console, board)."""
    site = Console(pack)
    return site, p.pulling(site, **settings)


if p:

    def test_life_with_whole_packages():
        for form in (lambda files, version: archives.tar(files), lambda files, version: archives.microfreezer(archives.tar(files, "pax"))):
            site, board = device(form, rest="delete")
            p.life(board, site.publish, site.fetched)

    def test_life_with_signed_packages():
        site, board = device(unsigned=False)

        def pack(files, version):
            site.counter += 1
            return archives.ours(files, version=version, counter=site.counter)[0]

        site.pack = pack
        p.life(board, site.publish, site.fetched)

    def test_a_package_of_what_changes():
        site, board = device()
        site.publish("1", p.ONE)
        p.installed(board, p.ONE)
        site.publish("2", {"util.py": b"# two\n"})
        two = dict(p.ONE, **{"util.py": b"# two\n"})
        p.installed(board, two)
        p.settings(board, rest="delete")
        p.again(board)
        site.publish("3", p.TWO)
        p.installed(board, p.TWO)  # what came with the first package was not forgotten

    def test_outcomes():
        site, board = device()
        site.publish("1", p.ONE)
        p.installed(board, p.ONE)
        assert site.outcome() == [(1, "f1", None)]
        assert site.topic not in site.retained
        site.publish("2", p.BAD)
        assert board.check() == "reset"
        for _ in range(3):
            p.again(board)
            p.console(board.boot()[1])
        p.again(board)
        board.boot()
        assert board.check() is False
        assert site.outcome() == [(2, "f2", "can not apply: crash")]
        assert site.topic not in site.retained
        before = len(site.fetched())
        p.again(board)
        assert board.check() is False and site.outcome() == [] and not site.fetched() and before

    def test_an_outcome_that_was_lost_is_said_again():
        site, board = device()
        site.publish("1", p.ONE)
        assert board.check() == "reset"
        board.boot()
        p.again(board)
        assert board.agent().confirm()  # by the app: nothing was said
        assert site.outcome() == []
        p.again(board)
        assert board.check() is False
        assert site.outcome() == [(1, "f1", None)] and site.topic not in site.retained

    def test_a_request_that_comes_while_it_runs():
        site, board = device(poll_s=600)
        assert board.agent().poll() is False
        site.publish("1", p.ONE)
        assert polled(board, lambda: False, "insighio") == "reset"

    def test_a_request_that_is_taken_back():
        site, board = device()
        assert board.check() is False
        site.publish("1", p.ONE)
        site.tell(site.topic, b'[{"n":"e","v":3},{"n":"i","vs":"f1"}]')
        board.agent("checkin")._due = 0
        assert board.check() in (False, "reset")  # which of the two comes first is the broker's
        site, board = device()
        site.publish("1", p.ONE)
        site.tell(site.topic, b"", True)
        assert board.check() is False and site.fetched() == []

    def test_downloads_that_fail():
        for why, fault in (
            ("truncated", lambda r: r[:-5]),
            ("network", lambda r: None),
            ("network", lambda r: r.replace(b"200 X", b"403 X")),
            ("missing", lambda r: r.replace(b"200 X", b"404 X")),
        ):
            site, board = device()
            site.publish("1", p.ONE)
            site.faults[site.path] = fault
            p.passing(board, why, site.faults.clear, p.ONE)

    def test_given_up_after_eight_tries():
        site, board = device()
        site.publish("1", p.ONE)
        site.pages.clear()
        for _ in range(8):
            assert board.check() is False
        assert site.outcome() == [(2, "f1", "can not download")] and site.topic not in site.retained

    def test_unsigned_is_not_allowed():
        site, board = device(unsigned=False)
        site.publish("1", p.ONE)
        p.refused(board, "signature")
        assert site.outcome() == [(2, "f1", "can not apply: signature")]

    def test_packages_that_are_refused():
        for why, data in (("path", archives.tar({"../x.py": b"1\n"})), ("format", b"no archive" * 90), ("format", b"")):
            site, board = device()
            site.offer(data, "1")
            p.refused(board, why)
            assert site.outcome() == [(2, "f1", "can not apply: " + why)]

    def test_messages_that_are_none():
        site, board = device()
        for text in (b"x", b"5", b"{}", b"[]", b"[5]", b'[{"n":"e","v":0}]', b'[{"n":"e","v":0},{"n":"i","vs":7}]', b'[{"n":"e","v":9},{"n":"i","vs":"a"}]', b"y" * 3000, b"\xff\xfe"):
            site.retained[site.topic] = text
            p.again(board)
            assert board.check() is False
            assert site.fetched() == []
        site.publish("1", p.ONE)
        p.again(board)
        p.installed(board, p.ONE)

    if b.LITTLEFS:

        def test_no_space():
            site, board = device()
            site.publish("1", p.ONE)
            site.retained[site.topic] = json.dumps([{"n": "e", "v": 0}, {"n": "i", "vs": "f1"}, {"n": "s", "v": 10**6}]).encode()
            p.refused(board, "space")
            assert site.outcome() == [(2, "f1", "not enough space")] and site.fetched() == []

