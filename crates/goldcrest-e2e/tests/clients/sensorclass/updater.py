"""What sensorclass's updater.py does, in words of our own: it runs when it is imported, and ends in a restart.

Both lists are fetched each time; a list counts whatever its status, if it is JSON; every key but `name` is a module; the new list is
written when all modules came. A board that gets no list stays in the REPL until its power goes.
"""

import json

import config
import httpclient

BASE = "@BASE@"
http = httpclient.HttpClient()


def getjson(file):
    try:
        return http.get(BASE + file).json()
    except Exception:
        return None


def save_file(file):
    try:
        response = http.get(BASE + file, saveToFile=file)
        assert response.status_code == 200
        print("Received:", file)
        return True
    except AssertionError:
        print("Http error:", response.status_code)
        return False


def save_json(file, data):
    with open(file, "w") as f:
        f.write(json.dumps(data))


config.clear("update")
config.clear("update_failed")
desired = getjson(config.espMAC)
latest = getjson("latestversions")
if desired is None or latest is None:
    config.set("server_failure")  # no flag has this name: the board ends in the REPL
    config.reboot()
failed = []
for file in desired:
    skip = file == "name"
    if desired[file] == "latest":
        if file in latest:
            desired[file] = latest[file]
        else:
            failed.append(file)
            skip = True
    if not skip and config.current.get(file) != desired[file] and not save_file(file + desired[file] + ".py"):
        failed.append(file)
if failed:
    print("update failed", failed)
    config.set("update_failed")
else:
    save_json(config.espMAC + ".alt", config.current)
    save_json(config.espMAC, desired)
config.reboot()
