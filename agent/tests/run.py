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


def tests(words):
    """-> [(label, function)] in the order in which they run."""
    found = []
    for name in sorted(n[:-3] for n in os.listdir(HERE) if n.startswith("test_") and n.endswith(".py")):
        module = __import__(name)
        for f in sorted(n for n in dir(module) if n.startswith("test_")):
            label = name + "." + f
            if not words or any(w in label for w in words):
                found.append((label, getattr(module, f)))
    return found


def passes(label, test):
    """Run one test. -> whether it passed."""
    try:
        test()
        return True
    except BaseException as e:
        print("FAILED", label)
        sys.print_exception(e)
        return False
    finally:
        board.close()


def main():
    found = tests(sys.argv[1:])
    bad = [label for label, test in found if not passes(label, test)]
    for label in bad:
        print("failed:", label)
    print("%d passed, %d failed" % (len(found) - len(bad), len(bad)))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
