"""What the config.py of sensorclass's later form does, in words of our own: other flags, `nodename`, no alternate without an order."""

import json
from binascii import hexlify

import machine

NAMES = ("checksum", "magic", "update", "update_result", "config", "network", "reboots")
rtc = machine.RTC()
espMAC = hexlify(machine.unique_id()).decode()


def reboot(graceful=False):
    if graceful:
        clear("reboots")
    machine.soft_reset()
    while True:
        pass


def set(flag, value=1):
    if flag in NAMES:
        boot_flags[NAMES.index(flag)] = value
        boot_flags[0] = sum(boot_flags[1:]) & 255
        rtc.memory(bytes(boot_flags))


def clear(flag):
    set(flag, 0)


def get(flag):
    if flag in NAMES:
        return boot_flags[NAMES.index(flag)]


def _flags():
    flags = list(rtc.memory())
    if len(flags) > 1 and sum(flags[1:]) % 255 == flags[0]:
        return flags
    return [42, 42, 0, 0, 0, 0, 0]


def _load(name):
    try:
        with open(name) as f:
            return json.load(f)
    except Exception:
        return {}


def importer(module, use_version=True):
    try:
        return __import__(module + current[module] if use_version and module in current else module)
    except Exception as e:
        print("Error importing", module, repr(e))
        reboot()


boot_flags = _flags()
if get("update") and get("update_result") and get("reboots") > 1:
    set("config", 2)
current = _load(espMAC + (".alt" if get("config") == 2 else ""))
nodename = current.get("nodename", "")
