"""``ohmgrid load``: a built bitstream onto a board."""

import json
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console

from ohmgrid.boards.board_file import load_board
from ohmgrid.boards.flows import FLOWS
from ohmgrid.boards.loading import load as load_bitstream
from ohmgrid.commands.options import json_option
from ohmgrid.commands.outputs import print_rows
from ohmgrid.commands.types import FOLDER, PATH
from ohmgrid.doors.checks import ConfigError

__all__ = ["load"]


@click.command
@click.argument("board", metavar="BOARD")
@click.option("--from", "folder", type=FOLDER, help="Folder of the build [build/BOARD].")
@click.option("--bitstream", type=PATH, help="Another file than the one in that folder.")
@click.option("--flash", is_flag=True, help="Write the flash: the board starts from it.")
@json_option
def load(
    board: str, folder: Path | None, bitstream: Path | None, flash: bool, as_json: bool
) -> None:
    """Load the bitstream of a BOARD, as of `build`, with openFPGALoader or dfu-util.

    The part on the board is asked for its id first: if the bitstream is for another one, nothing is
    written. (A board that is loaded over DFU cannot say; there only the bitstream is checked.)
    """
    one = load_board(board)
    if bitstream is None:
        if one.family not in FLOWS:
            raise ConfigError(
                "bitstream", f"expected the file that Vivado made for {one.name}, got none"
            )
        bitstream = (folder or Path("build") / one.name) / FLOWS[one.family].bitstream
        if not bitstream.exists():
            raise ConfigError(
                "bitstream", f"expected {bitstream}, got none: `ohmgrid build {board}` makes it"
            )
    with Console(stderr=True).status(f"loading {bitstream}"):
        done = load_bitstream(one, bitstream, bitstream.parent / "load.log", flash=flash)
    if as_json:
        click.echo(json.dumps(asdict(done)))
        return
    checked = "as the part says of itself" if done.checked else "over DFU a part cannot say its own"
    print_rows(
        Console(),
        {
            "loaded": f"{done.bitstream} into {'flash' if done.flash else 'the FPGA'}",
            "part": f"IDCODE {done.id}, {checked}",
            "next": f"ohmgrid board check PORT; the port is on: {one.link.where}",
        },
    )
