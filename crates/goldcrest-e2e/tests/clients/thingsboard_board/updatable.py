"""A board as ThingsBoard's SDK for MicroPython and thingsboard-updatable-devices make it: their packets in their order, on umqtt.simple."""

import json
import os
import time
from binascii import hexlify
from hashlib import sha256

import deflate
import machine
from umqtt.simple import MQTTClient

ME = "v1/devices/me/"
PACKAGE = "new_firmware.tar.gz"
EXPECTED = PACKAGE + ".metadata.json"
METADATA = "FW_METADATA.json"


def read(name):
    with open(name) as f:
        return json.load(f)


class Client:
    """Connects, downloads a package when it hears of one, and resets to install it."""

    def __init__(self):
        config, metadata = read("config.json"), read(METADATA)
        self.chunk_size = config["chunk_size"]
        self.now = {"current_fw_title": metadata["title"], "current_fw_version": metadata["version"]}
        self.request = 0
        self.depth = 0
        self.mqtt = MQTTClient("micropython_client", config["host"], config["port"], config["token"], "pswd", keepalive=120)

    def connect(self):
        self.mqtt.connect()
        self.mqtt.set_callback(self.heard)
        for topic in ("attributes", "attributes/response/+", "rpc/request/+", "rpc/response/+"):
            self.mqtt.subscribe(ME + topic, qos=1)

    def tell(self, values):
        # Text, not bytes: umqtt counts its characters.
        self.mqtt.publish(ME + "telemetry", json.dumps(values))

    def state(self, state):
        self.now["fw_state"] = state
        self.tell(self.now)
        time.sleep_ms(50)

    def heard(self, topic, message):
        # An answer before its acknowledgement would come in the middle of `publish`, one call deeper with each chunk.
        self.depth += 1
        assert self.depth <= 2, "called back from within"
        topic = topic.decode()
        if topic.startswith("v2/fw/response/%d/chunk/" % self.request):
            self.data += message
            self.chunk += 1
            if len(self.data) == self.info["fw_size"]:
                self.finish()
            else:
                self.fetch()
        elif topic.startswith(ME + "attributes"):
            info = json.loads(message)
            self.info = info.get("shared", {}) if "/response/" in topic else info
            self.look()
        elif topic.startswith(ME + "rpc/request/"):
            answer = {"did": json.loads(message)["method"]}
            self.mqtt.publish(topic.replace("request", "response"), json.dumps(answer), qos=1)
        self.depth -= 1

    def look(self):
        wanted = [self.info.get("fw_title"), self.info.get("fw_version")]
        if None in wanted:
            return
        if wanted == [self.now["current_fw_title"], self.now["current_fw_version"]]:
            self.state("UPDATED")
            return
        self.data, self.chunk = b"", 0
        self.state("DOWNLOADING")
        self.request += 1
        self.fetch()

    def fetch(self):
        whole = not self.chunk_size or self.chunk_size > self.info["fw_size"]
        size = "" if whole else str(self.chunk_size)
        self.mqtt.publish("v2/fw/request/%d/chunk/%d" % (self.request, self.chunk), size, qos=1)

    def finish(self):
        self.state("DOWNLOADED")
        assert self.info["fw_checksum_algorithm"] == "SHA256"
        if hexlify(sha256(self.data).digest()).decode() != self.info["fw_checksum"]:
            self.state("FAILED")
            return
        self.state("VERIFIED")
        with open(PACKAGE, "wb") as f:
            f.write(self.data)
        with open(EXPECTED, "w") as f:
            json.dump({"title": self.info["fw_title"], "version": self.info["fw_version"]}, f)
        print("downloaded in", self.chunk)
        machine.reset()


def entries():
    """Name and bytes of what is in the package, as micropython-lib's tarfile reads it: a name that ends in / is a folder."""
    with open(PACKAGE, "rb") as f:
        plain = deflate.DeflateIO(f, deflate.GZIP)

        def take(size):
            got = b""
            while len(got) < size:
                piece = plain.read(size - len(got))
                if not piece:
                    raise ValueError("the package ends too early")
                got += piece
            return got

        while True:
            header = take(512)
            if header[0] == 0:
                return
            name, size = header[:100].decode().rstrip("\0"), int(header[124:135], 8)
            yield name, take(size)
            take(-size % 512)


def install(excluded):
    """Unpacks the package over the board's files, if it is what was announced."""
    inside = None
    for name, content in entries():
        if name == METADATA:
            inside = json.loads(content)
            break
    if inside != read(EXPECTED):
        raise ValueError("Título y versión no coinciden")
    for name, content in entries():
        if name in excluded:
            continue
        if name.endswith("/"):
            try:
                os.mkdir(name[:-1])
            except OSError as e:
                if e.errno != 17:
                    raise
        else:
            with open(name, "wb") as f:
                f.write(content)
    os.remove(PACKAGE)
    os.remove(EXPECTED)
