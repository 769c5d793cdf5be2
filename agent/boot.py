"""Goldcrest boot file: finishes or undoes an update, then runs the project's own boot_user.py.

It is never part of a release, so it knows as little as possible: where the state is, and where the guards are.
Nothing here may raise: since MicroPython 1.22 an exception in boot.py keeps main.py from running.
Paths are relative because the working directory is the filesystem's root here, on every port ("/" or "/flash").
"""

import gc
import os
import sys


def _settled():
    try:
        # littlefs of MicroPython >= 1.26 hides a file after a cut rename until the first mutating call, even one that fails.
        os.remove(".ota/-")
    except OSError:
        pass
    for name in (".ota/s0", ".ota/s1"):
        try:
            with open(name) as f:
                if f.read(3) != "ok ":
                    return False
        except OSError:
            pass  # a board that was never updated
        except ValueError:  # not even text
            return False
    return True


def _guard():
    # The golden copy first: the installed guard may be what the update broke. Without its package, which may be broken too.
    for path in (".ota/golden", "lib/goldcrest", ".frozen/goldcrest", "/.z"):
        try:
            if path == "/.z":
                import goldcrest  # whose modules are there from now on
            sys.path.insert(0, path)
            try:
                import guard
            finally:
                sys.path.pop(0)
                sys.modules.pop("guard", None)  # the name belongs to the app
            return guard.boot()
        except (Exception, SystemExit, KeyboardInterrupt) as e:
            sys.print_exception(e)


def _user():
    for name in ("boot_user.py", "boot_user.mpy"):
        try:
            os.stat(name)
        except OSError:
            continue
        try:
            __import__("boot_user")
        except BaseException as e:
            sys.print_exception(e)
            trial = sys.modules.get("_goldcrest")  # what the guard left, if this is a trial
            if trial:
                trial.fail("crash", e)
        return


_safe = False
if not _settled():
    # What stays is packed: otherwise an update of many files needs a third more heap than the download did.
    _threshold = getattr(gc, "threshold", int)
    _before = _threshold()
    _threshold(1024)
    _safe = _guard()
    _threshold(_before)
    gc.collect()
    del _threshold, _before
_user()
if _safe:  # too many rollbacks: no main.py until a release arrives
    print("goldcrest: safe mode: waiting for a release")
    import goldcrest

    goldcrest.safe()
del _settled, _guard, _user, _safe
