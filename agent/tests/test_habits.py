"""What people rely on in the clients that were there before: boot flags, and an app that is started with a broker, a watchdog and `env`."""

import sys

import board as b

try:
    import pulling as p
    from brokers import Broker
    from served import Mqtt
    from sites import Folder
except ImportError:  # a MicroPython without threads
    p = None


class Memory:
    """An RTC's."""

    kept = b""

    def memory(self, *data):
        if data:
            Memory.kept = data[0]
        return Memory.kept


class Platform:
    """`sys` of an ESP32."""

    platform = "esp32"
    modules = sys.modules


def flagged(rtc):
    """-> (site, board): a project of three files, and flags in RTC memory or in a file."""
    site = Folder()
    site.modules = site.modules + ["bootflags"]
    board = p.pulling(site)
    Memory.kept = b""
    return site, board, lambda: flags(board, rtc)


def flags(board, rtc):
    board.agent()
    module = board.agent("sources.bootflags")
    if rtc:
        module.sys = Platform
        sys.modules["machine"].RTC = Memory
    return module


if p:

    def test_flags_survive_a_reset():
        for rtc in (True, False):
            site, board, boot = flagged(rtc)
            f = boot()
            assert f.get("update") == 0 and f.get("mine") == 0
            f.set("update")
            f.set("mine", "text")
            p.again(board)
            f = boot()
            assert f.get("update") == 1 and f.get("mine") == "text"
            f.set("mine", 0)
            f.set("update", 0)
            assert f.get("mine") == 0
            assert board.get(".ota/flags") is None

    def test_reboots_are_counted_without_writing_to_flash():
        for rtc in (True, False):
            site, board, boot = flagged(rtc)
            ops = board.flash and board.flash.ops
            for n in range(1, 4):
                p.again(board)
                assert boot().booted() == (n if rtc else 0)
            assert not board.flash or board.flash.ops == ops
            assert boot().get("reboots") == (3 if rtc else 0)

    def test_an_update_on_request():
        for rtc in (True, False):
            site, board, boot = flagged(rtc)
            site.publish("1", p.ONE)
            boot().booted()
            assert site.fetched() == []  # nobody asked
            boot().set("update")
            p.again(board)
            try:
                boot().booted()
                raise AssertionError("it did not reset")
            except b.Reset:
                pass
            assert boot().get("update") == 0 and boot().get("reboots") == 0
            board.boot()
            p.again(board)
            assert p.tree(board) == p.ONE

    def test_failures():
        site, board, boot = flagged(False)
        f = boot()
        assert f.check() is False
        assert f.get("server_failed") == 1 and f.get("update_failed") == 0  # there is no version file
        site.publish("1", p.ONE)
        gone = site.pages.pop("/app/1_util.py")
        assert f.check() is False
        assert f.get("server_failed") == 0 and f.get("update_failed") == 1 and not f.alternate()
        site.pages["/app/1_util.py"] = gone
        p.installed(board, p.ONE)
        f = boot()
        f.check()
        assert f.get("update_failed") == 0
        site.publish("bad", p.BAD)
        board.check()
        for _ in range(3):
            p.again(board)
            p.console(board.boot()[1])
        p.again(board)
        board.boot()
        f = boot()
        f.check()
        assert f.get("update_failed") == 1 and f.alternate()

    def test_rtc_memory_of_the_app_is_left_alone():
        site, board, boot = flagged(True)
        Memory.kept = b"the app's"
        boot().set("update")
        assert Memory.kept == b"the app's" and boot().get("update") == 1

    def test_flags_that_are_none():
        for text in (b"[1]", b"x", b"gc1", b"gc1[]", b"gc1\xff\xfe"):
            site, board, boot = flagged(True)
            Memory.kept = text
            assert boot().get("update") == 0
            board.put(".ota/flags", text)
            assert boot().get("update") == 0
        try:
            boot().set("long", "x" * 200)
            raise AssertionError("it took it")
        except ValueError:
            pass

    APP = b"""def start(env):
    env['mqtt_pub']('state', env['site'])
    for _ in range(env['feeds']):
        env['wdt'].feed()
"""
    MAIN = b"from goldcrest.sources import node\nimport settings\nnode.run(settings.settings)\n"

    def node(**more):
        """-> (site, broker, board) with an app in src/."""
        site = Folder()
        site.modules = site.modules + ["mqtt", "node"]
        broker = Broker()
        address = Mqtt(broker).address
        said = dict({"controllerName": "node7", "mqtt": address, "site": "kitchen", "feeds": 3}, **more)
        board = p.pulling(site, {"settings.py": b"settings = %s\n" % repr(said).encode()}, keep=["settings.py"])
        machine = b.Machine
        machine.WDT = Dog
        Dog.armed = []
        return site, broker, board

    class Dog:
        """machine.WDT."""

        def __init__(self, timeout):
            Dog.armed.append(timeout)

        def feed(self):
            pass

    def start(board):
        for name in ("src", "src.main", "settings"):
            sys.modules.pop(name, None)
        return board.boot()

    def test_an_app_with_a_broker_and_a_watchdog():
        site, broker, board = node()
        site.publish("1", {"main.py": MAIN, "src/main.py": APP})
        assert board.check() == "reset"
        assert start(board) == ("repl", None)
        assert broker.said == [("node7/boot", b"OTA_OK"), ("node7/boot/status", b"OTA_OK"), ("node7/state", b"kitchen")]
        assert board.state()[0] == "ok"  # fed three times: good
        assert Dog.armed == [5000, 5000]
        broker.said.clear()
        site.publish("2", {"main.py": MAIN, "src/main.py": APP.replace(b"'state'", b"'two'")})
        assert start(board)[0] == "reset"
        assert broker.said == [("node7/boot", b"OTA_OK"), ("node7/boot/status", b"OTA_OK")]
        start(board)
        assert broker.said[-1] == ("node7/two", b"kitchen")
        broker.said.clear()
        site.pages.clear()
        start(board)
        assert broker.said == [("node7/boot", b"OTA_error"), ("node7/boot/status", b"OTA_error"), ("node7/two", b"kitchen")]

    def test_an_app_that_does_not_feed_is_not_confirmed():
        site, broker, board = node(feeds=2)
        site.publish("1", {"main.py": MAIN, "src/main.py": APP})
        assert board.check() == "reset"
        start(board)
        assert board.state()[0] == "trial"

    def test_nothing_runs_without_the_broker():
        site, broker, board = node(mqtt="127.0.0.1:1")
        site.publish("1", {"main.py": MAIN, "src/main.py": APP})
        assert board.check() == "reset"
        assert start(board)[0] == "reset"
        assert board.state()[0] == "trial"
