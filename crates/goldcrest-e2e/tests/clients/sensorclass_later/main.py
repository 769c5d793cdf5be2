"""What the main.py of sensorclass's later form does, in words of our own."""

import time

import config

config.set("reboots", config.get("reboots") + 1)
if config.get("update") == 1 and config.get("update_result") == 0:
    updater = config.importer("updater")
    updater.update()
    config.reboot()
if config.nodename != "" and config.get("update") != 3:
    config.importer(config.nodename)
    config.reboot()
print("Unrecoverable error ...")
while True:  # REPL
    time.sleep(1)
