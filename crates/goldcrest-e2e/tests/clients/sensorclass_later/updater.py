"""What the updater.py of sensorclass's later form does, in words of our own: `nodename` is the one key that is no module; a module whose
version begins with `!` is written without it; the old list becomes the alternate by a rename.
"""

import json
import os

import config
import httpclient

BASE = "@BASE@"
LIST = "@LIST@"
http = httpclient.HttpClient()


def getjson(file):
    try:
        return http.get(BASE + file).json()
    except Exception:
        return None


def save_file(file, version):
    name = file + version.lstrip("!") + ".py"
    try:
        response = http.get(BASE + name, saveToFile=file + ".py" if version[0] == "!" else name)
        assert response.status_code == 200
        print("Saved", name)
        return True
    except AssertionError:
        print("Http error code", response.status_code, "getting", name)
        return False


def update():
    config.set("update_result", 200)
    desired = getjson(LIST.replace("MAC", config.espMAC))
    latest = getjson("latestversions")
    if desired is None or latest is None:
        print("no answer")
        config.set("update_result", 201)
        config.reboot(graceful=True)
    failed = []
    changed = False
    for file in desired:
        if desired[file] == "latest":
            if file not in latest:
                failed.append(file)
                continue
            desired[file] = latest[file]
        if file != "nodename" and config.current.get(file) != desired[file]:
            changed = True
            if not save_file(file, desired[file]):
                failed.append(file)
    if failed:
        print("File fetch error!", failed)
    if changed and not failed:
        if config.get("config") == 1 and config.espMAC in os.listdir():
            if config.espMAC + ".alt" in os.listdir():
                os.remove(config.espMAC + ".alt")
            os.rename(config.espMAC, config.espMAC + ".alt")
        with open(config.espMAC, "w") as f:
            f.write(json.dumps(desired))
        print("Update success!!")
        config.set("update_result", config.get("update"))
        config.set("config")
        config.clear("reboots")
    else:
        config.set("update_result", config.get("update"))
    config.reboot(graceful=True)
