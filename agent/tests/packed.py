"""Makes agent.z of a folder with the agent's bytecode, as `goldcrest` does for boards: every module but the package itself. Called by xtask."""

import os
import sys
import zlib

_BLOCK = 64


def pack(folder):
    """Replace all .mpy files of the folder but `__init__.mpy` by agent.z."""
    data = b""
    for name in sorted(os.listdir(folder)):
        if name.endswith(".mpy") and name != "__init__.mpy":
            path = os.path.join(folder, name)
            with open(path, "rb") as f:
                module = f.read()
            os.remove(path)
            blocks = -(-len(module) // _BLOCK)
            data += b"/%s %d\n" % (name.encode(), blocks) + module.ljust(blocks * _BLOCK, b"\0")
    z = zlib.compressobj(9, zlib.DEFLATED, -12)
    with open(os.path.join(folder, "agent.z"), "wb") as f:
        f.write(z.compress(data) + z.flush())


if __name__ == "__main__":
    pack(sys.argv[1])
