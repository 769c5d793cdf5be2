"""The power-cut sweep: `micropython -X heapsize=16M powercut.py FOLDER list [full]` prints its jobs, `… FOLDER run JOB` does one.

FOLDER holds the agent: `boot.py`, `agent/` and `successor/`, the modules of the agent and of the one after it. `cargo xtask power-cut` makes it,
runs the jobs side by side and adds them up. A job is `flash/case/limit`, and ends with a line `figures CUTS BAD`. Before each cut it prints `at CUTS
BAD`: a filesystem in ruins can hang the interpreter itself (its loader of bytecode never ends in a file that is cut short), and whoever kills it then
goes on with `… FOLDER run JOB CUTS BAD`.
"""

import os
import sys

HERE = __file__.rsplit("/", 1)[0] if "/" in __file__ else "."
sys.path.insert(0, HERE)

import board as b  # noqa: E402  it opens what it needs of the host before a board's flash is mounted on /
from cases import CASES  # noqa: E402
from cuts import Life, Wrong  # noqa: E402
from flash import MODES, Nor, RawNor, Sectors  # noqa: E402

_MANY = 5  # cuts of one life in a random job
_SOURCE_CUTS = 100  # of the cases of each source of the agent, in a slice
_SHOWN = 5  # bad cuts of a job that are printed


class Job:
    """A flash, the modes of its cuts, and how many of each case's cuts are made without and with `full`."""

    def __init__(self, name, make, modes, some, full, each=1, tight=False):
        self.name = name
        self.make = make
        self.modes = modes
        self.limits = some, full
        self.each = each  # of how many cases a slice takes one
        self.tight = tight  # each small module takes a block of its own: no room for a source of ten modules beside its package


JOBS = (
    Job("littlefs-32-2M", lambda: Nor(512, 32), MODES, 20, 0),
    Job("littlefs-256-256K", lambda: Nor(64, 256), MODES, 10, 60, 3),
    Job("littlefs-256-2M", lambda: Nor(512, 256), MODES, 0, 40),
    Job("littlefs-32-256K", lambda: Nor(64, 32), MODES, 0, 40, tight=True),
    Job("fat-2M", lambda: Sectors(4096), ("clean",), 10, 0),
    Job("fat-256K", lambda: Sectors(512), ("clean",), 0, 40),
    Job("fat_raw_nor-2M", lambda: RawNor(512), ("clean", "torn"), 4, 40, 5),
)


def sweep(life, boots, modes, limit, judge):
    """Make up to `limit` cuts, spread over the operations of these boots; 0: at each, clean and in one of the other modes in turn.

    `judge(label, cut)` does one. -> how many.
    """
    turns = modes[1:] or modes
    points = []
    for i in range(len(boots)):
        for k in range(1, boots[i][1] + 1):
            points += [(i, k, mode) for mode in (modes if limit else {modes[0], turns[k % len(turns)]})]
    n = min(limit or len(points), len(points))
    for at in range(n):
        i, k, mode = points[at * len(points) // n]
        judge("boot %d, operation %d, %s" % (i + 1, k, mode), lambda: (life.restore(boots[i][0]), life.cut(k, mode, at)))
    return n


class Tally:
    """Counts cuts, and prints the first bad ones. The first `done` were made by an earlier run, with `bad` of them bad."""

    def __init__(self, done=0, bad=0):
        self.cuts = 0
        self.done = done
        self.bad = bad

    def judge(self, label, act):
        """-> what `act` returns, or None when the board did what it must never do."""
        self.cuts += 1
        if self.cuts <= self.done:
            return None
        print("at %d %d" % (self.cuts, self.bad))
        try:
            return act()
        except (Wrong, OSError, UnicodeError) as e:  # the latter two: /.ota/ itself cannot be read
            self.bad += 1
            if self.bad <= _SHOWN:
                print("bad: %s: %r" % (label, e))


def one(life, boots, modes, limit, tally):
    """One cut, anywhere."""
    sweep(life, boots, modes, limit, lambda label, cut: tally.judge(label, lambda: (cut(), life.recover())))


def second(life, boots, modes, limit, tally):
    """A cut, and another one in the first boot after it."""
    outer = max(3, limit // 8) if limit else 24
    inner = max(1, limit // outer) if limit else 16

    def after(label, cut):
        cut()
        start = life.save()
        again = tally.judge(label, life.recover)

        def twice(label2, cut2):
            tally.judge(label + ", then " + label2, lambda: (cut2(), life.recover(2)))

        if again:
            sweep(life, [(start, again[0][1])], modes, inner, twice)

    sweep(life, boots, modes, outer, after)


def many(life, boots, modes, limit, tally):
    """Up to five cuts at places drawn from a fixed seed, the tree judged at each start in between."""
    state = [20261121]

    def draw(n):
        state[0] = (state[0] * 1103515245 + 12345) & 0x7FFFFFFF
        return (state[0] >> 8) % n

    def live():
        life.restore(boots[0][0])
        life.judging = True
        places = []
        n = 0
        try:
            while n < _MANY:
                flash = life.power()
                flash.cut, flash.mode, flash.seed = 1 + draw(200), modes[draw(len(modes))], draw(9999)
                idle = life.boot()
                places.append("%d %s" % (flash.cut, flash.mode))
                n += flash.dead
                if idle and not flash.dead:
                    break
            life.recover(1 + n)
        except Wrong as e:
            raise Wrong("%s: %s" % (", ".join(places), e))

    for i in range((limit or 300) // _MANY + 1):
        tally.judge("life %d" % i, live)
        tally.cuts += _MANY - 1


def load(folder, below="lib/goldcrest/"):
    """-> path on the board -> content."""
    files = {}
    for name in os.listdir(folder):
        with open(folder + "/" + name, "rb") as f:
            files[below + name] = f.read()
    return files


def run(folder, words, done=0, bad=0):
    flash, name, limit = words.split("/")
    job = [j for j in JOBS if j.name == flash][0]
    case = [c for c in CASES if c.name == name][0]
    agent = load(folder + "/agent")
    if case.site:
        agent.update(load(folder + "/sources", "lib/goldcrest/sources/"))
    with open(folder + "/boot.py", "rb") as f:
        agent["boot.py"] = f.read()
    successor = load(folder + "/successor")
    life = Life(case, job.make(), agent, successor)
    boots = life.first()
    tally = Tally(done, bad)
    {"one": one, "second": second, "random": many}[case.cuts](life, boots, job.modes, int(limit), tally)
    b.close()
    print("figures %d %d" % (tally.cuts, tally.bad))


def main():
    folder, verb = sys.argv[1:3]
    if verb == "run":
        return run(folder, sys.argv[3], *map(int, sys.argv[4:6]))
    full = "full" in sys.argv
    for job in JOBS:
        for i in range(len(CASES)):
            case = CASES[i]
            small = job.name.endswith("K")
            # A slice has every case on the two large flashes; setting one up costs as much as twenty cuts.
            limit = job.limits[full]
            if case.site and not full:  # a slice of the sources is on one flash
                if job is JOBS[0]:
                    source = case.name.split(",")[0]
                    print("%s/%s/%d" % (job.name, case.name, -(-_SOURCE_CUTS // len([c for c in CASES if c.name.split(",")[0] == source]))))
            elif job.tight and hasattr(case.site, "broker"):
                continue
            elif (full or limit and (i % job.each == 0 or case.fill)) and (small or not case.fill):
                print("%s/%s/%d" % (job.name, case.name, 0 if full and case.fill else limit))


main()
