"""The simulated flashes of the power-cut sweep. The sweep itself: `cargo xtask power-cut`, powercut.py."""

import board as b

if b.MICROPYTHON:
    from flash import MODES, Nor, RawNor, Sectors

if b.MICROPYTHON:

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
