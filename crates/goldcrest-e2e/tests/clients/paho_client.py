"""A board and an operator on paho-mqtt, in both versions: what they hear and say, one line each on stdout."""

import json
import queue
import sys

from paho.mqtt.client import CallbackAPIVersion, Client, MQTTv5, MQTTv311
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

HOST, PORT, BOARD, ADMIN = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
PATIENCE_S = 20


class Peer:
    """A client with its events in queues."""

    def __init__(self, version, name, user, password, will=None):
        self.messages, self.subscribed, self.published = queue.Queue(), queue.Queue(), queue.Queue()
        connected = queue.Queue()
        self.client = Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=version)
        self.client.username_pw_set(user, password)
        if will:
            self.client.will_set(will, "lost", qos=1)
        self.client.on_connect = lambda c, u, f, code, p: connected.put(str(code))
        self.client.on_subscribe = lambda c, u, mid, codes, p: self.subscribed.put([str(code) for code in codes])
        self.client.on_publish = lambda c, u, mid, code, p: self.published.put(str(code))
        self.client.on_message = lambda c, u, message: self.messages.put(message)
        self.client.connect(HOST, PORT)
        self.client.loop_start()
        self.connected = connected.get(timeout=PATIENCE_S)

    def subscribe(self, topic, qos):
        self.client.subscribe(topic, qos)
        return self.subscribed.get(timeout=PATIENCE_S)

    def publish(self, topic, payload, qos, properties=None):
        self.client.publish(topic, payload, qos, properties=properties)
        return self.published.get(timeout=PATIENCE_S)

    def message(self):
        return self.messages.get(timeout=PATIENCE_S)

    def leave(self):
        self.client.disconnect()
        self.client.loop_stop()


def line(message):
    return f"{message.topic.split('/', 3)[-1]} {message.payload.decode()} q{message.qos}"


for version, name in ((MQTTv311, "3.1.1"), (MQTTv5, "5")):
    ops = Peer(version, "ops", ADMIN, "")
    print(name, "ops", ops.connected, *ops.subscribe("goldcrest/v1/+/app/#", 2))
    board = Peer(version, "umqtt_client", "board", BOARD, will="goldcrest/v1/me/app/will")
    print(name, "board", board.connected, *board.subscribe("goldcrest/v1/me/desired", 1))
    desired = board.message()
    print(name, "desired", json.loads(desired.payload)["version"], "retained" if desired.retain else "live")
    print(name, "refused", *board.subscribe("#", 0))
    properties = None
    if version == MQTTv5:
        properties = Properties(PacketTypes.PUBLISH)
        properties.UserProperty = ("unit", "C")
    for qos in (0, 1, 2):
        board.publish("goldcrest/v1/me/app/temperature", f"2{qos}", qos, properties)
        heard = ops.message()
        told = getattr(heard.properties, "UserProperty", "") if version == MQTTv5 else ""
        print(name, "heard", line(heard), told)
    print(name, "report", board.publish("goldcrest/v1/me/report", json.dumps({"stage": "boot", "facts": {"agent": name}}), 1))
    # A connection that breaks: the socket goes without a DISCONNECT.
    board.client.loop_stop()
    board.client.socket().close()
    print(name, "heard", line(ops.message()))
    ops.leave()
    wrong = Peer(version, "wrong", "board", "gcd_wrong")
    print(name, "wrong token", wrong.connected)
    wrong.leave()
