"""Starts an app as micropython-ota-updater-gogs does: not without its broker, with a watchdog that it must feed, and with its settings as `env`.

main.py is then `from goldcrest.sources import node` and `node.run(settings)`, with the settings of src/nodesettings.py.
"""

import sys
import time

import goldcrest
from goldcrest import Refused, guard
from goldcrest.sources import mqtt

_FEEDS = const(3)  # of the watchdog, after which the app is good


class Watchdog:
    """The board's watchdog. An app on trial that has fed it three times is confirmed."""

    def __init__(self, timeout_ms):
        self.timeout_ms = timeout_ms
        self.fed = 0
        self._arm()

    def _arm(self):
        import machine

        self.wdt = machine.WDT(timeout=self.timeout_ms)

    def feed(self):
        self.wdt.feed()
        if self.fed < _FEEDS:
            self.fed += 1
            if self.fed == _FEEDS and guard.state()[0] == "trial" and goldcrest.confirm():
                self._arm()  # confirming has let it go


def run(settings):
    """Wait for the broker, look for an update, say on `<controllerName>/boot` and `…/boot/status` how that went, then run the app: `src.main.start(env)`.

    settings: `controllerName`, `mqtt` (host:port), and if need be `mqtt_user`, `mqtt_password`, `app` (module, src.main), `watchdog_ms` (5000).
    Without the broker the board resets and tries again: so all boards look for an update when the broker is stopped for a moment.
    """
    name = settings["controllerName"]
    link = mqtt.Link(settings["mqtt"], settings.get("mqtt_user"), settings.get("mqtt_password"), lambda topic, payload: False, name)
    try:
        link.open()
    except Refused as e:
        print("goldcrest: mqtt", repr(e))
        time.sleep(1)
        guard.reset()

    def publish(tag, data):
        if not link.s:
            link.open()
        link.publish(name + "/" + tag, data)

    # The check-in comes before the app: what it says of a trial is nothing yet.
    dog = []
    goldcrest.checks["fed"] = lambda: bool(dog) and dog[0].fed >= _FEEDS
    missed = goldcrest.checkin._missed
    waits = goldcrest.check(False)
    good = goldcrest.checkin._missed <= missed and not goldcrest.checkin._tries[1]
    try:
        for tag in ("boot", "boot/status"):  # as the older and the newer of its clients have it
            publish(tag, "OTA_OK" if good else "OTA_error")
    except Refused as e:
        print("goldcrest: mqtt", repr(e))
    if waits:
        guard.reset()
    dog.append(Watchdog(settings.get("watchdog_ms", 5000)))
    env = dict(settings)
    env.update(mqtt_pub=publish, wdt=dog[0], updater=goldcrest, time=time, log=print)
    app = settings.get("app", "src.main")
    __import__(app)
    sys.modules[app].start(env)
