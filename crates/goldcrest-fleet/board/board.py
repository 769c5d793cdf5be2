"""Starts the emulator of a virtual board. Run by the supervisor (`src/supervisor.rs`) as
`micropython -X heapsize=N board.py run IMAGE BLOCKS BLOCK_SIZE PROG_SIZE READ_SIZE CAUSE RTC UNIQUE_ID`.
Control lines go to stderr and the console to stdout; both are one pipe, so that they keep their order.
It is short because it is compiled on the board's heap, even where the modules are bytecode.
"""

import sys

import board_firmware

board_firmware.main(sys.argv[1], sys.argv[2:])
