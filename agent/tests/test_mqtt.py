"""News from our own server over MQTT: a board that has it, and one that polls, get the same deployments."""

import json
import select
import sys

import board as b

try:
    import pulling as p
    from brokers import Broker, length
    from served import Mqtt
    from sites import Native
except ImportError:  # a MicroPython without threads
    p = None

DESIRED = "goldcrest/v1/me/desired"


def native():
    """-> (server, broker, board) with the setting `mqtt`."""
    site = Native()
    broker = Broker()
    broker.user = ("board", "secret")
    return site.server, broker, p.pulling(site, mqtt=Mqtt(broker).address, poll_s=600)


def said(digest, version="1"):
    return json.dumps({"release": digest, "version": version, "keyring": 1}).encode()


def link(name="mqtt"):
    return sys.modules["goldcrest.sources." + name]._link


def polled(board, until, name="mqtt"):
    """poll() whenever something has come, until something holds. -> "reset" or True."""
    agent = board.agent()
    for _ in range(50):
        waiting = select.poll()
        waiting.register(link(name).raw, select.POLLIN)
        assert waiting.poll(5000), "nothing came"
        try:
            agent.poll()
        except b.Reset:
            return "reset"
        if until():
            return True
    raise AssertionError("it did not happen")


if p:

    def test_a_release_is_installed_as_soon_as_it_is_said():
        server, broker, board = native()
        agent = board.agent()
        assert agent.poll() is False and len(broker.peers) == 1
        n = len(server.requests)
        for _ in range(20):
            assert agent.poll() is False
        assert len(server.requests) == n  # it is not due for ten minutes
        digest = server.publish(p.ONE)
        broker.tell(DESIRED, said(digest), True)
        assert polled(board, lambda: False) == "reset"
        board.boot()
        p.again(board)
        assert p.tree(board) == p.ONE and board.state()[0] == "trial"
        board.agent().poll()
        assert board.state()[0] == "ok"
        assert server.stages()[-1] == "confirmed"

    def test_what_runs_already_is_no_news():
        server, broker, board = native()
        digest = server.publish(p.ONE)
        broker.retain(DESIRED, said(digest))
        p.installed(board, p.ONE)
        p.again(board)
        agent = board.agent()
        agent.poll()
        n = len(server.requests)
        link().barrier()
        for _ in range(20):
            agent.poll()
        assert len(server.requests) == n
        broker.tell(DESIRED, said(digest, "2"))  # it is something new
        polled(board, lambda: len(server.requests) > n)

    def test_without_a_broker_it_polls():
        server, broker, board = native()
        for settings in ({"mqtt": "127.0.0.1:1"}, {"mqtt": "no.such.host.test:1883"}, {"mqtt": 5}):
            p.settings(board, **settings)
            p.again(board)
            digest = server.publish(p.ONE)
            assert board.check() == "reset", settings
            board.put_state("ok", "-")
            assert digest

    def test_a_broker_that_does_not_want_us():
        server, broker, board = native()
        broker.user = ("board", "other")
        server.publish(p.ONE)
        p.installed(board, p.ONE)

    def test_a_connection_that_is_lost_is_made_again():
        server, broker, board = native()
        agent = board.agent()
        agent.poll()
        line = link()
        broker.peers[0].gone = True
        broker.tell("goldcrest/v1/me/desired", b"not json")
        polled(board, lambda: line.s is None)
        assert agent.poll() is False
        assert agent.check() is False
        assert line.s and broker.connects == 2

    def test_packets_that_are_none():
        for raw in (
            b"\x30\xff\xff\xff\xff\xff",
            b"\x30\x80\x80\x80\x80\x01",
            b"\x32\x02\x00\x09",
            b"\x30\x04\xff\xff" + b"xx",
            b"\x30" + length(5 + 9000) + b"\x00\x03abc" + b"x" * 9000,
            b"\x30\x05\x00\x02\xff\xfe\x00",
            b"\x40\x01\x00",
            b"\x90\x03\x00\x01\x80",
        ):
            server, broker, board = native()
            agent = board.agent()
            agent.poll()
            line = link()
            peer = broker.peers[0]
            peer.out += raw
            peer.flush()
            polled(board, lambda: line.s is None or raw[0] == 0x30 and len(raw) > 9000)
            server.publish(p.ONE)
            assert board.check() == "reset"

    def test_a_message_in_pieces_and_others_in_between():
        server, broker, board = native()
        agent = board.agent()
        agent.poll()
        peer = broker.peers[0]
        digest = server.publish(p.ONE)
        peer.say("something/else", b"x" * 5000)
        peer.say(DESIRED, said(digest))
        data = peer.take()
        for at in range(0, len(data), 700):
            peer.out = data[at : at + 700]
            peer.flush()
        assert polled(board, lambda: False) == "reset"
