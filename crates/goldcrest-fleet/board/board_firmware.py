"""The firmware of a virtual board: mounts the flash image at `/`, then boots as a real port does."""

import gc
import sys

import board_console
import board_flash
import board_machine


def main(mode, arguments):
    """Do what board.py was called for."""
    if mode == "run":
        _firmware(arguments)
    else:
        import board_image

        board_image.main(mode, arguments)


def _firmware(arguments):
    """Run boot.py and main.py, then stay at the REPL until the supervisor ends the process."""
    settings = [int(word) for word in arguments[1:5]]
    flash = board_flash.Flash(open(arguments[0], "r+b"), *settings)
    board_flash.mount(flash)
    board_machine.setup(flash, int(arguments[5]), arguments[6], arguments[7])
    real_sys = sys
    real_sys.path[:] = ["", ".frozen", "/lib"]
    real_sys.argv[:] = []
    # Nothing of the emulator may be importable by the application.
    for name in ("board_console", "board_firmware", "board_flash", "board_machine"):
        del real_sys.modules[name]
    # Compiled or not, a traceback names the source.
    board_console.install(__file__.replace(".mpy", ".py"))
    real_sys.modules["machine"] = board_machine
    names = {"__name__": "__main__"}
    gc.collect()
    board_flash.control("boot %d" % gc.mem_free())
    # Since MicroPython 1.22 a boot.py that raised keeps main.py from running.
    if _run("boot.py", names):
        _run("main.py", names)
    _repl()


def _run(path, names):
    """Run one file if it is there; False when it raised. SystemExit is a soft reset."""
    import os

    try:
        os.stat(path)
    except OSError:
        return True
    try:
        execfile(path, names)
        return True
    except SystemExit:
        board_machine.soft_reset()
    except KeyboardInterrupt:
        board_machine.run_due_timers(None)
    except BaseException as error:
        board_console.report(error)
    return False


def _repl():
    board_console.print(board_console.BANNER)
    board_console.print(">>> ", end="")
    board_flash.control("repl")
    while True:
        try:
            board_machine.wait()
        except KeyboardInterrupt:
            board_machine.run_due_timers(None)
