"""Boards that the open tools do not reach: a project for the vendor's, its cells counted.

Nothing here is placed or routed: that is Vivado's, which is not asked for.
"""

import json
import time
from pathlib import Path

from ohmgrid.boards.bitstream import CONFIGURATION, REPORT, elaborate
from ohmgrid.boards.board_file import Board
from ohmgrid.boards.build_report import BuildReport
from ohmgrid.boards.steps import Steps
from ohmgrid.boards.synth_report import Resources
from ohmgrid.config import Config
from ohmgrid.storage.files import write_whole
from ohmgrid.tools import toolchain

__all__ = ["build_project"]

COUNT = "cells.json"
_CELLS = {
    **{f"LUT{inputs}": "lut4" for inputs in range(1, 7)},
    **{f"FD{kind}": "ff" for kind in ("RE", "SE", "CE", "PE")},
    "DSP48E1": "dsp",
    "DSP48E2": "dsp",
    "RAMB18E1": "bram",
    "RAMB18E2": "bram",
    "RAMB36E1": "bram",
    "RAMB36E2": "bram",
}


def build_project(
    board: Board,
    config: Config,
    folder: Path,
    configuration: str,
    settings: str,
    clock_mhz: float | None = None,
) -> BuildReport:
    """Write a project for Vivado, and count its cells with yosys' ``synth_xilinx``.

    Parameters
    ----------
    board : Board
    config : Config
    folder : Path
        Gets Verilog, constraints, ``top.tcl`` and ``build_top.sh``, which runs Vivado.
    configuration : str
        TOML that the host needs.
    settings : str
        What that is called.
    clock_mhz : float, optional
        Instead of the board's.

    Returns
    -------
    BuildReport
        Without a clock and a bitstream. Its LUTs have up to six inputs; block RAMs are counted as
        they are, of 18 or 36 kb.
    """
    yosys = toolchain.find("yosys")
    made = elaborate(board, config, clock_mhz)
    steps = Steps(folder)
    for name, text in {**made.files, CONFIGURATION: configuration}.items():
        write_whole(folder / name, lambda file, text=text: file.write(text.encode()))
    family = "xcu" if board.part.startswith("xcku") else "xc7"
    script = (
        f"read_verilog -sv top.v; synth_xilinx -family {family} -top top; "
        f"tee -q -o {COUNT} stat -json"
    )

    def count() -> float:
        start = time.monotonic()
        toolchain.run(yosys, ["-p", script], cwd=folder, log=folder / "synthesis.log")
        return time.monotonic() - start

    steps.take("synthesis", steps.key(["top.v"], str(yosys), script), [COUNT], count)
    counted = json.loads((folder / COUNT).read_text(encoding="utf-8"))
    cells = counted["design"]["num_cells_by_type"]
    used: dict[str, int] = dict.fromkeys(_CELLS.values(), 0)
    for cell, number in cells.items():
        if cell in _CELLS:
            used[_CELLS[cell]] += number
    build, link = config.build, board.link
    report = BuildReport(
        board=board.name,
        title=board.title,
        part=board.part,
        gateware={name: getattr(build, name) for name in ("lanes", "share", "words")},
        settings=settings,
        link=f"{link.baud:,} baud, {link.where}",
        tools=[str(yosys)],
        native=not yosys.path.name.startswith("yowasp-"),
        clock_mhz=float(made.plan.hz) / 1e6,
        plan=made.plan.to_text(),
        used=Resources(**used),
        available=None,
        placed=False,
        seconds={"synthesis": steps.seconds("synthesis")},
    )
    text = json.dumps(report.to_dict(), indent=2) + "\n"
    write_whole(folder / REPORT, lambda file: file.write(text.encode()))
    return report
