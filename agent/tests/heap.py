"""Measures the agent: its size as .mpy, and the smallest heap that takes an update over a real socket. `python3 agent/tests/heap.py [sources [words]]`

With `sources`: of each source of the agent, in place of our server, or of those whose label holds a word.

Needs `micropython` (unix, 64 bit: a microcontroller's pointers are half as large) and `mpy-cross` in PATH, or in MICROPYTHON and MPY_CROSS.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import shims  # noqa: E402,F401
import archives  # noqa: E402
import board  # noqa: E402
import brokers  # noqa: E402
import packed  # noqa: E402
import served  # noqa: E402
import signing  # noqa: E402
import sites  # noqa: E402

MICROPYTHON = os.environ.get("MICROPYTHON", "micropython")
MPY_CROSS = os.environ.get("MPY_CROSS", "mpy-cross")
STEP = 512
RUN = 8
LIMIT = 512 * 1024


def compiled(work):
    """-> name -> .mpy of the agent, without line numbers, and of the board's script."""
    out = {}
    for path in sorted(os.listdir(HERE + "/../goldcrest")):
        if path.endswith(".py"):
            name = path[:-3] + ".mpy"
            subprocess.check_call([MPY_CROSS, "-O3", "-s", path, "-o", work + "/" + name, HERE + "/../goldcrest/" + path])
    packed.pack(work)
    shutil.copy(HERE + "/../boot.py", work)
    for name in ("__init__.mpy", "agent.z"):
        with open(work + "/" + name, "rb") as f:
            out[name] = f.read()
    subprocess.check_call([MPY_CROSS, "-O3", "-o", work + "/heap_board.mpy", HERE + "/heap_board.py"])
    return out


def listen(server):
    """Serve `server` on a real socket. -> port."""
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    s.listen(8)

    def serve(c):
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                try:
                    more = c.recv(4096)
                except ConnectionResetError:  # a board without memory
                    more = b""
                if not more:
                    return c.close()
                data += more
            head, _, data = data.partition(b"\r\n\r\n")
            lines = head.decode().split("\r\n")
            headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:])}
            n = int(headers.get("content-length", 0))
            while len(data) < n:
                data += c.recv(4096)
            method, path, _ = lines[0].split(" ")
            reply = server.answer(method, path, headers, data[:n])
            data = data[n:]
            c.sendall(reply)

    def accept():
        while True:
            threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return s.getsockname()[1]


def run(work, heap, *args):
    """-> what the board printed."""
    code = "import sys; sys.path.insert(0, %r); import heap_board; heap_board.main(%s)" % (work, ", ".join(repr(a) for a in args))
    done = subprocess.run([MICROPYTHON, "-X", "heapsize=%d" % heap, "-c", code], capture_output=True, text=True, timeout=120)
    return done.stdout + done.stderr


def smallest(work, image, step, good):
    """-> smallest heap in bytes from which on the board does the step with RUN sizes in a row. `good` stands in what it prints then.

    Where the collector happens to run decides whether a hole is large enough: a size may work by luck while a larger one fails.
    """

    def works(heap):
        shutil.copy(image, image + ".run")
        return good in run(work, heap, step, image + ".run")

    low, high = 0, LIMIT
    if not works(high):
        raise SystemExit("%s does not even work with %d bytes of heap:\n%s" % (step, high, run(work, high, step, image + ".run")))
    while high - low > STEP:
        heap = (low + high) // 2 // STEP * STEP
        low, high = (low, heap) if works(heap) else (heap, high)
    above = high + STEP
    while above < min(high + RUN * STEP, LIMIT):
        if not works(above):
            high = above + STEP
        above += STEP
    return high


TEXT = "".join("%d: a line of a program that does something\n" % i for i in range(9000)).encode()
UPDATES = (
    ("one file of 60 KB", {"main.py": TEXT[:61440]}),
    ("92 files, 632 KB", {"app/m%02d.py" % i: TEXT[i * 100 : i * 100 + 6870] for i in range(92)}),
)


def native(work, key, image):
    server = board.Server()
    settings = json.dumps({"server": "http://127.0.0.1:%d" % listen(server), "token": "secret"})
    print(run(work, 4 << 20, "make", image, work, settings, "").strip())
    for label, files in UPDATES:
        server.publish(files, keys=(key,))
        print("smallest heap, %s: %d" % (label, smallest(work, image, "update", "reset")))
        shutil.copy(image, image + ".boot")
        run(work, LIMIT, "update", image + ".boot")
        print("smallest heap of its trial boot: %d" % smallest(work, image + ".boot", "boot", "on trial"))


def sources(work, key, image):
    os.mkdir(work + "/sources")
    for path in sorted(os.listdir(HERE + "/../sources")):
        if path.endswith(".py"):
            output = work + "/sources/" + path[:-3] + ".mpy"
            subprocess.check_call([MPY_CROSS, "-O3", "-s", path, "-o", output, HERE + "/../sources/" + path])
            print("%-14s %6d" % (path, os.path.getsize(output)))

    def signed(files, version):
        return archives.ours(files, keys=(key,), counter=11)[0]

    def packed(files, version):
        z = zlib.compressobj(9, zlib.DEFLATED, -15)
        data = archives.tar(files)
        return b"\x1f\x8b\x08\0\0\0\0\0\2\3" + z.compress(data) + z.flush() + archives.tail(data)

    words = sys.argv[2:]
    for label, site in (
        ("static, by prefix", sites.Folder()),
        ("static, export", sites.Export()),
        ("macfile", sites.Macs()),
        ("git, github", sites.Forge("github")),
        ("git, gogs", sites.Forge("gogs")),
        ("thingsboard, signed tar", brokers.ThingsBoard(signed)),
        ("thingsboard, foreign tar", brokers.ThingsBoard(lambda files, version: archives.tar(files))),
        ("thingsboard, foreign tar.gz", brokers.ThingsBoard(packed)),
        ("insighio, foreign tar", brokers.Console(lambda files, version: archives.tar(files))),
    ):
        if words and not any(word in label for word in words):
            continue
        url = served.Web(site).url
        if hasattr(site, "broker"):
            site.address = served.Mqtt(site.broker).address
        settings = json.dumps(dict({"unsigned": True}, **dict(site.settings(url), chunk_size=4096)))
        run(work, 4 << 20, "make", image, work, settings, " ".join(site.modules))
        for name, files in UPDATES:
            if isinstance(site, sites.Export):
                site.publish("1", files, keys=(key,))
            else:
                site.publish("1", files)
            print("smallest heap, %s, %s: %d" % (label, name, smallest(work, image, "update", "reset")))


def main():
    work = tempfile.mkdtemp()
    agent = compiled(work)
    for name in agent:
        print("%-14s %6d" % (name, len(agent[name])))
    print("%-14s %6d\n%-14s %6d" % ("all .mpy", sum(len(d) for d in agent.values()), "boot.py", os.path.getsize(HERE + "/../boot.py")))
    with open(work + "/keyring", "wb") as f:
        key = signing.Key(board.KEYS + "release-3072.pem")  # what `goldcrest keygen` makes
        f.write(signing.keyring([board.root_a], [key]))
    (sources if "sources" in sys.argv else native)(work, key, work + "/image")
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
