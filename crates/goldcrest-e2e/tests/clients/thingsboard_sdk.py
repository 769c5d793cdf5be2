"""ThingsBoard's SDK for Python as a board: `thingsboard_sdk.py mqtt|http|data|provision …`, what it hears one line each on stdout."""

import hashlib
import os
import queue
import sys
import time

from tb_device_http import TBHTTPDevice
from tb_device_mqtt import TBDeviceMqttClient

PATIENCE_S = 60


def until(what, ask):
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        answer = ask()
        if answer:
            return answer
        time.sleep(0.02)
    sys.exit("waited for " + what)


def package(title):
    with open(title, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def connected(host, port, token, chunk_size=0):
    client = TBDeviceMqttClient(host, int(port), token, chunk_size=int(chunk_size))
    client.connect()
    until("a connection", client.is_connected)
    # It asks the server for its limits.
    until("the limits", lambda: client.rate_limits_received)
    return client


def mqtt(host, port, token, chunk_size):
    """A whole update, until the SDK says that it is done."""
    client = connected(host, port, token, chunk_size)
    client.get_firmware_update()
    until("the update", lambda: client.current_firmware_info.get("fw_state") == "UPDATED")
    info = client.current_firmware_info
    print("updated", info["current_fw_title"], info["current_fw_version"], info["fw_error"] or "without an error")
    print("package", package(info["current_fw_title"]))
    # The last state is on its way.
    client.send_telemetry({"done": True}, quality_of_service=1).get()
    client.disconnect()


def http(url, token, chunk_size):
    """The same over HTTP."""
    client = TBHTTPDevice(url, token, chunk_size=int(chunk_size))
    print("connected", client.connect())
    client.get_firmware_update()
    until("the last telemetry", lambda: client._TBHTTPDevice__worker["publish"]["queue"].unfinished_tasks == 0)
    print("package", package("demo"))
    print("limits", client.send_rpc("getSessionLimits")["maxPayloadSize"])


def data(host, port, token):
    """Attributes, telemetry and calls, in both directions."""
    client, heard = connected(host, port, token), queue.Queue()
    client.subscribe_to_attribute("period", lambda content, error: heard.put(("told", content)))
    client.send_attributes({"serial": "A1"}).get()
    client.send_telemetry([{"ts": 1700000000000, "values": {"t": 1}}, {"ts": 1700000000001, "values": {"t": 2}}]).get()
    client.request_attributes(["serial"], ["period"], lambda content, error: heard.put(("asked", content)))
    print(*heard.get(timeout=PATIENCE_S))

    def called(request_id, body):
        client.send_rpc_reply(request_id, {"was": body["method"]})
        heard.put(("called", body))

    client.set_server_side_rpc_request_handler(called)
    client.send_rpc_call("getCurrentTime", {}, lambda request_id, answer, error: heard.put(("time", "time" in answer)))
    print(*heard.get(timeout=PATIENCE_S))
    # Whoever reads this sets an attribute, then calls.
    print("ready", flush=True)
    for _ in range(2):
        print(*heard.get(timeout=PATIENCE_S), flush=True)
    client.claim("secret", 60000).get()
    client.disconnect()


def provision(host, port, key, secret, name):
    """A device of its own over MQTT, and another one over HTTP."""
    made = TBDeviceMqttClient.provision(host, key, secret, port=int(port), device_name=name)
    print(made["status"], made["credentialsType"])
    connected(host, port, made["credentialsValue"]).disconnect()
    print("refused", TBDeviceMqttClient.provision(host, key, "wrong", port=int(port)))


def provision_http(url, key, secret, name):
    print("connected", TBHTTPDevice.provision(url, name, key, secret).connect())


if __name__ == "__main__":
    {"mqtt": mqtt, "http": http, "data": data, "provision": provision, "provision_http": provision_http}[sys.argv[1]](*sys.argv[2:])
    sys.stdout.flush()
    # Its threads have no end of their own.
    os._exit(0)
