"""Cuts the power of a board at any flash operation of an update, and judges every program that it starts from then on (MicroPython only).

A case is lived once without a cut, boot by boot: the real boot.py, the agent as it ships, imported from the flash, and a main.py that checks in.
The image before each boot is kept, so that a cut in that boot starts there: a board has nothing else from the boots before. After the cut it is
switched on; whenever main.py starts, the files must be those of the old or of the new release, byte for byte, and the agent must say which. It then
lives on to the end of the case, and nothing may be left of the cut.
"""

import os
import sys

import board as b
import brokers

_AGAIN = 24576  # bytes that a cut may cost: a large body is kept 16 KiB at a time; the manifest, and what is small
_BOOTS = 16  # by then every case is at its end, cuts included


class Off(BaseException):
    """The board has no power."""


class Wrong(BaseException):
    """What a board must never do."""


def names():
    """-> what is in /.ota/, in order. FAT may have noise among it: a sector of its folder that a cut kept it from clearing."""
    found = []
    listing = os.ilistdir("/.ota")
    while True:
        try:
            name = next(listing)[0]
            if all(c.isalpha() and c.islower() or c.isdigit() for c in name):
                found.append(name)
        except UnicodeError:
            pass
        except StopIteration:
            return sorted(found)


class Life:
    """A board that runs the case's old release and is offered the new one."""

    def __init__(self, case, flash, agent, successor):
        self.case = case
        self.agents = {}, {p: agent[p] for p in agent if p[:4] == "lib/"}, successor
        more = {}
        if case.site:
            more = dict({"unsigned": True}, **case.site.settings("http://board.test"))
            sources = {p: agent[p] for p in agent if "/sources/" in p}
            agent = {p: agent[p] for p in agent if p not in sources or p.split("/")[-1].split(".")[0] in case.site.modules}
            self.agents = {}, {}, {}
        self.board = b.Board(files=case.mine, agent=agent, flash=flash, **dict(case.settings, **more))
        if hasattr(case.site, "broker"):
            fakes = self.board.install_fakes

            def install():
                fakes()
                sys.modules["socket"] = brokers.Sockets(b.SocketModule(self.board.server), case.site.broker, self.powered)

            self.board.install_fakes = install
            install()
        self.server = self.board.server
        self.answer = self.server.answer
        self.server.answer = self.listen
        self.own = self.board.snapshot()
        self.trees = {}
        self.judging = False
        self.late = 0
        self.fetched = {}
        self.old = self.shown = "-"
        self.trees["-"] = self.own
        for release in case.before:
            self.publish(release)
            self.live()
            self.look()
            self.old = self.shown
        if case.fill:
            self.fill()
        self.trees = {self.old: self.trees[self.old]}
        self.publish(case.target)
        self.end = self.new if case.end == "new" else self.old
        self.server.keyring = case.ring
        self.late = case.late
        self.fetched = {}
        self.server.patches = case.patches

    def publish(self, release):
        """Offer a release, and work out what a board has besides /.ota/ when it runs it."""
        files = dict(release.files, **self.agents[release.agent])
        if self.case.site:
            self.case.site.publish(release.options["version"], files)
            digest = "version " + release.options["version"]
        else:
            digest = self.server.publish(files, **release.options)
        tree = {p: self.own[p] for p in self.own if p not in release.options.get("deletions", ())}
        tree.update(files)
        tree.update({p: self.own[p] for p in self.case.kept})
        self.trees[digest] = tree
        self.new = digest

    def powered(self):
        if self.board.flash.dead:
            raise Off()

    def listen(self, method, path, headers, body):
        """The server, as long as the board has power to reach it."""
        self.powered()
        if self.case.site:
            return self.case.site.answer(method, path, headers)[0]
        if path[:14] == "/d/v1/objects/":
            self.fetched[path[14:78]] = self.fetched.get(path[14:78], 0) + 1
        if path[:14] == "/d/v1/checkin?":
            said = dict(w.split("=") for w in path[14:].split("&"))
            self.ring = int(said["k"])
            if self.judging and said["run"] != self.shown:
                raise Wrong("it says that it runs %s, but it is %s" % (said["run"], self.shown))
            if said["state"] == "trial" and self.late:
                self.late -= 1
                return b.response(503, b"busy\n")
        return self.answer(method, path, headers, body)

    def power(self, image=None):
        """Off and on again, with `image` in the flash or with what it holds. -> the flash."""
        for mounted in ("/.z", "/"):  # also what the agent had mounted when the power went
            try:
                b.vfs.umount(mounted)
            except OSError:
                pass
        self.board.flash = self.board.flash.again(image)
        try:
            self.board.mount()
        except OSError as e:
            raise Wrong("does not mount: %r" % e)
        return self.board.flash

    def save(self):
        retained = dict(self.case.site.retained) if hasattr(self.case.site, "broker") else None
        return list(self.board.flash.cells), self.late, dict(self.fetched), self.server.read, retained

    def restore(self, saved):
        self.power(saved[0])
        self.late = saved[1]
        self.fetched = dict(saved[2])
        self.server.read = saved[3]
        if saved[4] is not None:
            self.case.site.retained = dict(saved[4])

    def boot(self):
        """One boot, as long as it lasts. -> whether main.py ended and nothing is left to wait for."""
        flash = self.board.flash
        self.server.reports = []
        self.server.requests = []
        b.fresh()
        self.board.install_fakes()
        try:
            self.board.run("boot.py")
            if flash.dead:
                return False
            if self.judging:
                self.judge()
            try:
                self.board.run("main.py")
            except Exception as e:
                if "_goldcrest" in sys.modules:
                    b.console(e)
                    return False
            if b.Timer.armed:
                b.deadline()
                return False
            return True
        except (b.Reset, Off):
            return False
        except Exception as e:
            if not flash.dead:  # boot.py must not raise, and what is on the flash must be readable
                raise Wrong(repr(e))
            return False

    def judge(self):
        """main.py is about to start: on which release?"""
        files = self.board.snapshot()
        for digest, tree in self.trees.items():
            if files == tree:
                self.shown = digest
                return
        wrong = [p for p in files if not any(t.get(p) == files[p] for t in self.trees.values())]
        wrong += [p for p in self.trees[self.new] if p in self.trees[self.old] and p not in files]
        raise Wrong("neither old nor new: %s" % (", ".join(sorted(wrong)) or "files of both"))

    def look(self):
        """Boot once more, to see what runs."""
        self.judging = True
        self.power()
        self.boot()
        self.judging = False

    def live(self):
        """Boot until nothing more happens: the last boot writes nothing. -> (what was saved before, operations) of each boot."""
        boots = []
        while len(boots) < _BOOTS:
            saved = self.save()
            self.power()
            idle = self.boot()
            if self.board.flash.dead:
                raise Wrong("reads for ever")
            ops = self.board.flash.ops
            if idle and not ops:
                return boots
            boots.append((saved, ops))
        raise Wrong("no end after %d boots" % _BOOTS)

    def cut(self, k, mode, seed):
        """Lose power at the k-th flash operation of the next boot."""
        flash = self.board.flash
        flash.cut, flash.mode, flash.seed = k, mode, seed
        self.boot()
        if not flash.dead:
            raise AssertionError("operation %d never came: this run differs from the first" % k)

    def recover(self, cuts=1):
        """Switch on after a cut, live to the end, and look at what is left. -> (saved, operations) of each boot."""
        self.judging = True
        try:
            boots = self.live()
        finally:
            self.judging = False
        if self.shown != self.end and not (self.shown == self.old and self.excused(cuts)):
            raise Wrong("the end is another release")
        left = names()
        if self.shown == self.end and left != self.left:
            raise Wrong("left behind or lost: %s instead of %s" % (left, self.left))
        if self.case.ring and self.ring != self.case.ring[1]:
            raise Wrong("keyring %d" % self.ring)
        again = sum(self.fetched.values()) - len(self.fetched)
        if again > cuts or self.server.read - self.read > cuts * _AGAIN:
            raise Wrong("%d objects fetched again, %d bytes more" % (again, self.server.read - self.read))
        return boots

    def excused(self, cuts):
        """-> whether a board may stay on the old release, because it says why."""
        failed = self.board.get(".ota/failed")
        # FAT loses the sectors that a cut file had: then an update that only just fitted does not.
        return failed and (cuts > 1 or self.case.fill and self.board.flash.name != "littlefs" and b"\nspace\n" in failed)

    def first(self):
        """Live the case without a cut. -> (saved, operations) of each boot."""
        boots = self.live()
        self.read = self.server.read
        self.look()
        self.left = names()
        if self.shown != self.end:
            raise AssertionError("without a cut the case does not end as it should")
        return boots

    def fill(self):
        """Fill the flash until the update only just fits."""
        image = self.save()
        s = os.statvfs("/")
        tree = self.trees[self.old]
        for spare in range(0, s[3], max(1, 2048 // s[0])):
            self.restore(image)
            tree["filler"] = self.own["filler"] = b"\xff" * ((s[3] - spare) * s[0])
            try:
                self.board.put("filler", tree["filler"])
            except OSError:
                continue
            start = self.save()
            self.publish(self.case.target)
            try:
                self.live()
                self.look()
            except Wrong:  # too full for the agent to remember that it is
                continue
            self.restore(start)
            if self.shown == self.new:
                return
        raise AssertionError("the update does not fit")
