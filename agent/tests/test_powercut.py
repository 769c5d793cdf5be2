"""The simulated flashes, and the littlefs fault that boot.py's first act is for. The sweep itself: `cargo xtask power-cut`, powercut.py."""

import os

import board as b

if b.LITTLEFS:
    from cases import Case, Release
    from cuts import Life, Wrong
    from flash import MODES, Nor, RawNor, Sectors

FIRST_ACT = b'        os.remove(".ota/-")\n'


def cut_everywhere(boot, flash):
    """Cut an update that adds a file at every operation. -> what was wrong, in words."""
    agent = dict(b.AGENT_FILES, **{"boot.py": boot})
    one = Release(1, {})
    bad = Release(2, {}, main=b"raise ValueError\n")
    # Only additions, after a rollback: the state `commit` is in the file whose name follows that of the last staged file.
    three = Release(3, dict(one.files, **{"app_one.py": b"three = 1\n", "app_two.py": b"three = 2\n"}))
    life = Life(Case("adds two files", [one, bad], three), flash, agent, {})
    wrong = []
    for saved, ops in life.first():
        for k in range(1, ops + 1):
            life.restore(saved)
            life.cut(k, "clean", k)
            try:
                life.recover()
            except Wrong as e:
                wrong.append("%d: %s" % (k, e))
    return wrong


def hides():
    """-> whether this littlefs hides a file after a cut rename between folders, until the first call that would change something."""
    flash = Nor(16)
    flash.format()
    b.vfs.mount(b.vfs.VfsLfs2(flash, progsize=32, readsize=32), "/x")
    os.mkdir("/x/a")
    for name in ("one", "two"):
        with open("/x/a/" + name, "w") as f:
            f.write(name)
    b.vfs.umount("/x")
    for k in range(1, 9):
        cut = flash.again()
        cut.cut = k
        b.vfs.mount(b.vfs.VfsLfs2(cut, progsize=32, readsize=32), "/x")
        try:
            os.rename("/x/a/one", "/x/one")
        except OSError:
            pass
        b.vfs.umount("/x")
        if not cut.dead:
            return False
        b.vfs.mount(b.vfs.VfsLfs2(cut.again(), progsize=32, readsize=32), "/x")
        hidden = "two" not in os.listdir("/x/a")
        try:
            os.remove("/x/a/-")
        except OSError:
            pass
        seen = "two" in os.listdir("/x/a")
        b.vfs.umount("/x")
        assert seen, "hidden for good"
        if hidden:
            return True
    return False


def boot_py():
    assert b.AGENT_FILES["boot.py"].count(FIRST_ACT) == 1
    return b.AGENT_FILES["boot.py"]


if b.LITTLEFS:

    def test_littlefs_that_hides_a_file_after_a_cut_rename():
        wrong = cut_everywhere(boot_py(), Nor(96))
        assert wrong == [], wrong

    def test_without_the_first_act_the_fault_does_harm():
        # Otherwise the test above would prove nothing. MicroPython before 1.26 has an older littlefs, without the fault.
        wrong = cut_everywhere(boot_py().replace(FIRST_ACT, b"        pass\n"), Nor(96))
        assert bool(wrong) == hides(), wrong

    def test_modes_of_a_cut():
        for mode, left in (("clean", 0), ("torn", 55), ("torn1", 1), ("tornlast", 99), ("garbage", 50)):
            flash = Nor(2)
            flash.cut, flash.mode = 2, mode
            assert flash.writeblocks(0, b"\x0f" * 100, 8) == 0
            assert flash.writeblocks(1, b"\x0f" * 100, 8) == -5
            got = flash.cells[1]
            for i in range(left):
                assert got[8 + i] == 0x0F, (mode, i)
            for i in range(left, 100):
                assert got[8 + i] == 0xFF or mode == "garbage" and got[8 + i] & 0x0F == 0x0F, (mode, i)
            assert flash.writeblocks(0, b"\0" * 4, 0) == -5 and flash.readblocks(0, bytearray(4), 0) == -5
            assert flash.cells[0][0] == 0xFF

    def test_a_sector_is_written_or_not():
        for mode in MODES:
            flash = Sectors(4)
            flash.cut, flash.mode = 2, mode
            assert flash.writeblocks(0, b"\1" * 1024) == -5
            assert flash.cells[0] == b"\1" * 512 and flash.cells[1] is None

    def test_a_raw_sector_can_be_lost():
        flash = RawNor(2)
        assert flash.writeblocks(0, b"\1" * 4096) == 0
        flash.cut = flash.ops + 2
        assert flash.writeblocks(0, b"\2" * 4096) == -5
        assert bytes(flash.cells[0] or b"\xff") == b"\xff" * len(flash.cells[0] or b"\xff")

    def test_an_image_is_not_changed_by_who_starts_from_it():
        flash = Nor(2)
        flash.writeblocks(0, b"\1" * 10, 0)
        image = list(flash.cells)
        again = flash.again(image)
        again.writeblocks(0, b"\0" * 10, 0)
        again.ioctl(6, 1)
        assert flash.writeblocks(0, b"\0", 0) == -5
        assert bytes(image[0][:10]) == b"\1" * 10
