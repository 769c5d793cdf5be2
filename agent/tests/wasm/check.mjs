// Judges the golden cases on another MicroPython: `node check.mjs FOLDER`, where FOLDER holds the npm package
// @micropython/micropython-webassembly-pyscript of any version from 1.22.0-380 (1.23-preview). It is a 32-bit build.
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../..");
const { loadMicroPython } = await import(pathToFileURL(path.resolve(process.argv[2], "micropython.mjs")));
let last = "";
const mp = await loadMicroPython({ heapsize: 8 << 20, stdout: (line) => console.log((last = line)), linebuffer: true });

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
mp.runPython(`
import sys
print(sys.implementation, sys.version)
sys.argv[:] = ["run.py", "vectors.test_manifest", "vectors.test_keyring", "vectors.test_paths", "vectors.test_patterns"]
names = {"__name__": "__main__", "__file__": "/w/agent/tests/run.py"}
try:
    exec(open(names["__file__"]).read(), names)
except SystemExit:
    pass
`);
process.exit(last.endsWith(" 0 failed") ? 0 : 1);
