"""Stands in for sensorclass's main.py, after its README: counts starts, updates when asked to, runs the module that the list names."""

import time

import config

config.set("reboots", config.get("reboots") + 1)
if config.get("update") or not config.data:
    import updater

    time.sleep(1)
    updater.run()
config.importer(config.data["name"])
