"""Runs the agent's tests on CPython or MicroPython: `python3 agent/tests/run.py [words]`, `micropython agent/tests/run.py [words]`.

A test is a function `test_*` in a file `test_*.py`. With words, only tests whose name holds one of them run.
"""

import os
import sys

MICROPYTHON = sys.implementation.name == "micropython"
HERE = __file__.rsplit("/", 1)[0] if "/" in __file__ else "."
sys.path.insert(0, HERE)

import shims  # noqa: E402,F401  first: it gives CPython what the agent needs of MicroPython
import board  # noqa: E402  opens what it needs of the host before a test mounts a board's flash on /


def main():
    words = sys.argv[1:]
    names = sorted(n[:-3] for n in os.listdir(HERE) if n.startswith("test_") and n.endswith(".py"))
    modules = [__import__(n) for n in names]
    good, bad = 0, []
    for m in modules:
        for name in sorted(n for n in dir(m) if n.startswith("test_")):
            label = m.__name__ + "." + name
            if words and not any(w in label for w in words):
                continue
            try:
                getattr(m, name)()
                good += 1
            except BaseException as e:
                bad.append(label)
                print("FAILED", label)
                sys.print_exception(e)
            finally:
                board.close()
    for label in bad:
        print("failed:", label)
    print("%d passed, %d failed" % (good, len(bad)))
    sys.exit(1 if bad else 0)


main()
