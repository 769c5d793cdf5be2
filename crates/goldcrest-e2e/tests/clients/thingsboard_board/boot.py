"""Installs a package that was downloaded before the reset, and tells how it went."""

import os

import updatable

if updatable.PACKAGE in os.listdir():
    client = updatable.Client()
    client.connect()
    try:
        updatable.install(["config.json"])
        now = updatable.read(updatable.METADATA)
        client.tell({"current_fw_title": now["title"], "current_fw_version": now["version"], "fw_state": "UPDATED"})
        print("installed", now["version"])
    except Exception as e:
        error = "Excepción producida durante la instalación del paquete de OTA: (%s) %s" % (type(e).__name__, e)
        client.tell({"fw_state": "FAILED", "fw_error": error})
        print("not installed", error)
        os.remove(updatable.PACKAGE)
    finally:
        client.mqtt.disconnect()
