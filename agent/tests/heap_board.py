"""The board's side of heap.py: a littlefs in a host file, and one check-in of the agent on it."""

import os
import sys

import vfs


class Flash:
    """A file of 4 KiB blocks."""

    def __init__(self, path, blocks):
        self.f = open(path, "r+b" if not blocks else "w+b")
        if blocks:
            for _ in range(blocks):
                self.f.write(b"\xff" * 4096)
        self.blocks = self.f.seek(0, 2) // 4096

    def readblocks(self, n, buf, offset=0):
        self.f.seek(n * 4096 + offset)
        self.f.readinto(buf)

    def writeblocks(self, n, buf, offset=0):
        self.f.seek(n * 4096 + offset)
        self.f.write(buf)

    def ioctl(self, op, arg):
        return {4: self.blocks, 5: 4096}.get(op, 0)


class Reset(BaseException):
    """Ends the run: no handler of boot.py takes it."""


class Machine:
    def reset_cause(self):
        return 1

    class Timer:
        ONE_SHOT = 0

        def __init__(self, *a, **settings):
            pass

    def reset(self):
        print("reset")
        raise Reset


def main(step, image, *more):
    files = {}
    if step == "make":
        work, settings, modules = more
        for name in os.listdir(work):
            if name in ("__init__.mpy", "agent.z", "boot.py"):
                with open(work + "/" + name, "rb") as f:
                    files["/boot.py" if name == "boot.py" else "/lib/goldcrest/" + name] = f.read()
        with open(work + "/keyring", "rb") as f:
            files["/.ota/keyring0"] = f.read()
        for name in modules.split():
            with open(work + "/sources/" + name + ".mpy", "rb") as f:
                files["/lib/goldcrest/sources/" + name + ".mpy"] = f.read()
        files["/goldcrest.json"] = settings.encode()
    flash = Flash(image, (768 if modules else 384) if files else 0)  # a package is there besides its files
    if files:
        vfs.VfsLfs2.mkfs(flash)
    vfs.umount("/")
    vfs.mount(vfs.VfsLfs2(flash), "/")
    if files:
        for folder in ("/lib", "/lib/goldcrest", "/lib/goldcrest/sources", "/.ota"):
            os.mkdir(folder)
        for path in files:
            with open(path, "wb") as f:
                f.write(files[path])
        return
    sys.path[:] = ["", ".frozen", "/lib"]
    for name in ("heap_board",):
        del sys.modules[name]
    sys.modules["machine"] = Machine()
    import gc

    gc.collect()
    if step == "boot":
        with open("boot.py") as f:
            exec(compile(f.read(), "boot.py", "exec"), {"__name__": "__main__"})
        gc.collect()
        print("on trial:" if "_goldcrest" in sys.modules else "failed:", gc.mem_alloc())
        return
    print("before the agent:", gc.mem_alloc())
    import goldcrest

    goldcrest.check()
