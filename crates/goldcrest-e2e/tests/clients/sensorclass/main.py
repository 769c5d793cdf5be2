"""What sensorclass's main.py does, in words of our own: counts starts, updates when asked to, runs the module that the list names."""

import time

import config

config.set("reboots", config.get("reboots") + 1)
if config.get("update"):
    config.importer("updater")
if config.primary or config.alternate:
    config.importer(config.name)
time.sleep(1)
import updater  # noqa: F401  a board without any list
