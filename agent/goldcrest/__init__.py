"""Goldcrest agent, the interface for the app: confirm(), poll(), task(), check(). Everything else is imported only when needed."""

import time

__version__ = "0.1.0"

_due = None  # ticks of the next check-in


class Refused(Exception):
    """Why an update is not taken: args are a name of docs/release-format.md "Refusals" and a detail."""


def confirm():
    """This release is good: end its trial. -> False when there is no trial to end."""
    from goldcrest import guard

    return guard.confirm()


def poll():
    """Check in when it is due, else return at once. Call it in the app's loop."""
    return (_due is None or time.ticks_diff(time.ticks_ms(), _due) >= 0) and check()


def check(reset=True):
    """Check in now, and install what the server wants. -> True when an update waits for the reset (with `reset`, it resets).

    Never raises: a board that cannot reach its server goes on with its work.
    """
    global _due
    wait = 60
    ready = False
    try:
        from goldcrest import native

        ready, wait = native.run()
    except Exception as e:
        print("goldcrest:", repr(e))
    _due = time.ticks_add(time.ticks_ms(), wait * 1000)
    if ready and reset:
        import machine

        machine.reset()
    return ready


async def task():
    """poll() for apps on asyncio."""
    try:
        import asyncio
    except ImportError:
        import uasyncio as asyncio
    while True:
        poll()
        await asyncio.sleep(1)
