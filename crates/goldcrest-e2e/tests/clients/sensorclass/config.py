"""Stands in for sensorclass's config.py, after its README: boot flags in RTC memory, primary and alternate list, versioned imports."""

import json

import machine

_rtc = machine.RTC()
primary = alternate = False
data = {}


def _flags():
    try:
        return json.loads(_rtc.memory())
    except ValueError:
        return {}


def get(flag):
    return _flags().get(flag, 0)


def set(flag, value=1):
    flags = _flags()
    flags[flag] = value
    _rtc.memory(json.dumps(flags).encode())


def load():
    global primary, alternate, data
    for name in ("primary", "alternate") if get("reboots") <= 4 else ("alternate", "primary"):
        try:
            with open(name + ".json") as f:
                data = json.load(f)
            primary, alternate = name == "primary", name == "alternate"
            return
        except (OSError, ValueError):
            pass


def importer(name):
    return __import__(name + data[name])


load()
