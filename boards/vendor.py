"""Boards that the open tools do not reach: a project for the vendor's, its cells counted.

Nothing here is placed or routed: that is Vivado's, which is not asked for.
"""

import json
import time
from pathlib import Path

from ohmgrid.boards.bitstream import CONFIGURATION, elaborate, write_files
from ohmgrid.boards.board_file import Board
from ohmgrid.boards.build_report import BuildReport, facts, write_report
from ohmgrid.boards.steps import Steps
from ohmgrid.boards.synth_report import count
from ohmgrid.config import Config
from ohmgrid.tools import toolchain

__all__ = ["build_project"]

COUNT = "cells.json"


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
    write_files(folder, {**made.files, CONFIGURATION: configuration})
    family = "xcu" if board.part.startswith("xcku") else "xc7"
    script = (
        f"read_verilog -sv top.v; synth_xilinx -family {family} -top top; "
        f"tee -q -o {COUNT} stat -json"
    )

    def count_cells() -> float:
        start = time.monotonic()
        toolchain.run(yosys, ["-p", script], cwd=folder, log=folder / "synthesis.log")
        return time.monotonic() - start

    steps.take("synthesis", steps.key(["top.v"], str(yosys), script), [COUNT], count_cells)
    counted = json.loads((folder / COUNT).read_text(encoding="utf-8"))
    report = BuildReport(
        **facts(board, config, made.plan, settings, [yosys]),
        used=count(counted["design"]["num_cells_by_type"], "xilinx"),
        available=None,
        placed=False,
        seconds={"synthesis": steps.seconds("synthesis")},
    )
    write_report(folder, report)
    return report
