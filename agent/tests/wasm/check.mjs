// Runs the agent's tests on another MicroPython: `node check.mjs FOLDER [words]` (`cargo xtask wasm` does it), where FOLDER holds the npm package
// @micropython/micropython-webassembly-pyscript of any version from 1.22.0-380 (1.23-preview). It is a 32-bit build without littlefs:
// the board's root is a folder in memory (LITTLEFS in board.py), and the tests of littlefs are left out.
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../..");
const [folder, ...words] = process.argv.slice(2);
const { loadMicroPython } = await import(pathToFileURL(path.resolve(folder, "micropython.mjs")));
const said = [];
const mp = await loadMicroPython({ heapsize: 8 << 20, stdout: (line) => said.push(line), linebuffer: true });

function copy(from, to) {
  mp.FS.mkdir(to);
  for (const entry of fs.readdirSync(from, { withFileTypes: true })) {
    if (entry.isDirectory()) copy(path.join(from, entry.name), to + "/" + entry.name);
    else mp.FS.writeFile(to + "/" + entry.name, fs.readFileSync(path.join(from, entry.name)));
  }
}

mp.FS.mkdir("/w");
copy(path.join(root, "agent"), "/w/agent");
copy(path.join(root, "vectors"), "/w/vectors");
mp.globals.set("words", words.join(" "));
mp.runPython(`
import sys
sys.path.insert(0, "/w/agent/tests")
import run
slow = "test_network.test_object_cut_at_every_byte"  # a third of the time, and nothing in it depends on the build
found = [test for test in run.tests(words.split()) if test[0] != slow]
bad = 0
count = len(found)
version = sys.version.split("; ")[1]
`);
// A call for each test: these builds collect garbage only when no Python runs.
const count = mp.globals.get("count");
for (let i = 0; i < count; i++) mp.runPython(`bad += not run.passes(*found[${i}])`);
// The agent as boards get it: bytecode, imported from agent.z (`cargo xtask agent` makes it).
mp.FS.mkdir("/p");
mp.FS.mkdir("/p/goldcrest");
for (const name of ["__init__.mpy", "agent.z"])
  mp.FS.writeFile("/p/goldcrest/" + name, fs.readFileSync(path.join(root, "target/agent-mpy", name)));
mp.runPython(`
import board
sys.modules.setdefault("socket", board.SocketModule(None))
sys.path[:] = ["/p"]
for name in list(sys.modules):
    if name.split(".")[0] == "goldcrest":
        del sys.modules[name]
import goldcrest
for name in "confirm", "poll", "check", "Refused", "inflate":
    getattr(goldcrest, name)
packed = goldcrest.PACK == "/.z" and goldcrest.checkin._update("path", "x") is None and "goldcrest.update" not in sys.modules
bad += not packed
count += 1
`);
const bad = mp.globals.get("bad");
if (bad) console.log(said.join("\n"));
console.log(`${mp.globals.get("version")}: ${count + 1 - bad} passed, ${bad} failed`);
process.exit(count && !bad ? 0 : 1);
