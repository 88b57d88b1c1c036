"""``ohmgrid load``: a bitstream onto a board, after the part has said what it is."""

import re
from dataclasses import dataclass
from pathlib import Path

from ohmgrid.boards.board_file import Board
from ohmgrid.doors.checks import OhmgridError
from ohmgrid.doors.schema import read_bytes
from ohmgrid.tools import toolchain

__all__ = ["LoadError", "Loaded", "bitstream_id", "detected_id", "load"]

_VERSION = 0x0FFFFFFF
"""Bits of an IDCODE but for the silicon's version."""
IDS = {
    "LFE5U-12F": 0x21111043,
    "LFE5U-25F": 0x41111043,
    "LFE5U-45F": 0x41112043,
    "LFE5U-85F": 0x41113043,
    "LFE5UM5G-45F": 0x81112043,
    "LFE5UM5G-85F": 0x81113043,
    "GW2A-LV18PG256C8/I7": 0x0000081B,
    "xc7a100t": 0x03631093,
    "xc7k325t": 0x03651093,
    "xcku040": 0x03822093,
}
"""Part -> its JTAG IDCODE."""
_LATTICE_HEAD = b"\xff\xff\xbd\xb3"
_LATTICE_VERIFY = b"\xe2\x00\x00\x00"
_XILINX_ID = b"\x30\x01\x80\x01"
"""Words of a bitstream before the IDCODE: Lattice's VERIFY_ID, Xilinx' write to IDCODE."""


class LoadError(OhmgridError, RuntimeError):
    """A bitstream that is not for this board; nothing was written."""


@dataclass(frozen=True)
class Loaded:
    """What was loaded."""

    board: str
    bitstream: str
    id: str
    """IDCODE of the bitstream."""
    checked: bool
    """Whether the part was asked for its own; over DFU it cannot say."""
    flash: bool


def bitstream_id(path: Path) -> int:
    """Return the IDCODE that a bitstream is for (``.bit`` of Lattice or Xilinx, Gowin's ``.fs``).

    Raises
    ------
    LoadError
        There is none in it.
    """
    data = read_bytes(path)
    if path.suffix == ".fs":
        for line in data.decode("ascii", errors="replace").splitlines():
            # Command 0x06, and the IDCODE after its zeros.
            if re.fullmatch(r"0000011[01]0{24}[01]{32}|000001100{24}[01]{32}", line.strip()):
                return int(line.strip()[-32:], 2)
    for word in (_LATTICE_VERIFY,) if _LATTICE_HEAD in data else (_XILINX_ID,):
        place = data.find(word)
        if place >= 0:
            return int.from_bytes(data[place + 4 : place + 8], "big")
    raise LoadError(f"{path}: expected a bitstream with the IDCODE of its part, got none")


def detected_id(text: str) -> int:
    """Return the IDCODE that ``openFPGALoader --detect`` printed.

    Raises
    ------
    LoadError
        It found no part.
    """
    found = re.search(r"idcode\s*:?\s*0x([0-9a-fA-F]{1,8})", text)
    if found is None:
        raise LoadError(
            "board: expected a part on its JTAG, got none; is the board connected, and may you use "
            "its USB device (udev rules of openFPGALoader)?"
        )
    return int(found[1], 16)


def load(board: Board, bitstream: Path, log: Path, *, flash: bool = False) -> Loaded:
    """Write a bitstream to a board, if its part is the one that the bitstream is for.

    Parameters
    ----------
    board : Board
    bitstream : Path
    log : Path
        What the program prints.
    flash : bool
        Write the flash, from which the board starts, not the FPGA alone.

    Raises
    ------
    LoadError
        The bitstream is for another part, or the board has another one; nothing was written.
    ToolMissing, ToolFailed
    """
    expected, wanted = IDS[board.part], bitstream_id(bitstream)
    if (expected ^ wanted) & _VERSION:
        raise LoadError(
            f"{bitstream}: expected a bitstream for {board.part} (IDCODE {expected:#010x}), got "
            f"one for {wanted:#010x}"
        )
    if board.load.program == "dfu-util":
        return _load_dfu(board, bitstream, log, wanted)
    tool = toolchain.find("openFPGALoader")
    how = ["-b", board.load.board] if board.load.board else ["-c", board.load.cable]
    came = detected_id(toolchain.run(tool, [*how, "--detect"], cwd=bitstream.parent, log=log))
    if (came ^ wanted) & _VERSION:
        raise LoadError(
            f"{board.name}: expected a part with IDCODE {wanted:#010x} ({board.part}), got "
            f"{came:#010x}; nothing was written"
        )
    arguments = [*how, *(["-f"] if flash else []), bitstream.name]
    toolchain.run(tool, arguments, cwd=bitstream.parent, log=log)
    return Loaded(board.name, str(bitstream), f"{wanted:#010x}", True, flash)


def _load_dfu(board: Board, bitstream: Path, log: Path, wanted: int) -> Loaded:
    """Write over a board's bootloader, which keeps it in flash in any case."""
    tool = toolchain.find("dfu-util")
    arguments = ["-d", board.load.board, "-a", "0", "-D", bitstream.name]
    toolchain.run(tool, arguments, cwd=bitstream.parent, log=log)
    return Loaded(board.name, str(bitstream), f"{wanted:#010x}", False, True)
