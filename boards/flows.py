"""The open flows, a family of parts each: which tools run, with what, and what their reports mean.

Synthesis, place and route, and the bitstream are steps with files in and out, in one folder, with
names relative to it: that is what the tools from PyPI see for certain.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ohmgrid.boards.board_file import Board

__all__ = ["FLOWS", "PHASES", "Flow"]

NETLIST = "top.json"
_ECP5_PARTS = {
    "LFE5U-25F": "--25k",
    "LFE5U-45F": "--45k",
    "LFE5U-85F": "--85k",
    "LFE5UM5G-45F": "--um5g-45k",
    "LFE5UM5G-85F": "--um5g-85k",
}
_ECP5_PACKAGES = {
    "BG256": "CABGA256",
    "MG285": "CSFBGA285",
    "BG381": "CABGA381",
    "BG554": "CABGA554",
    "BG756": "CABGA756",
}

PHASES = (
    ("Executing ABC9", "mapping to LUTs"),
    ("Packing", "packing"),
    ("Creating initial analytic placement", "placing"),
    ("Running simulated annealing", "placing"),
    ("Running main analytical placer", "placing"),
    ("Running router", "routing"),
    ("Routing", "routing"),
    ("Critical path report", "timing"),
)
"""What a tool's line holds -> what it is doing, in words."""


@dataclass(frozen=True)
class Flow:
    """The tools of a family, and what they are told."""

    constraints: str
    """Ending of the file with pins and clocks, as Amaranth writes it."""
    router: str
    """The tool that places and routes."""
    route: Callable[[Board, object, int, float], list[str]]
    """Its arguments, for a board, its platform, a seed and a clock in MHz; the files are
    ``seedN.placed`` and ``seedN.json``."""
    packer: str
    """The tool that makes the bitstream."""
    pack: Callable[[Board, object, str], list[str]]
    """Its arguments, for the best seed's file."""
    bitstream: str
    """The file that it makes."""
    cells: dict[str, dict[str, int]]
    """Cells as the report of place and route counts them -> what they are."""


_ROUTERS = dict.fromkeys(("LFE5U-25F", "LFE5U-85F", "LFE5UM5G-85F"), "router1")
"""The second router is several times faster where there is room; where there is little, as on a
part of which a core takes three quarters of the cells, or all block RAMs, it tears out more and
more and does not end."""


def _ecp5_route(board: Board, platform, seed: int, mhz: float) -> list[str]:
    return [
        *(_ECP5_PARTS[platform.device], "--package", _ECP5_PACKAGES[platform.package]),
        *("--speed", str(platform.speed), "--json", NETLIST, "--lpf", "top.lpf"),
        *("--textcfg", f"seed{seed}.placed", "--report", f"seed{seed}.json"),
        *("--freq", f"{mhz:g}", "--seed", str(seed)),
        *("--router", _ROUTERS.get(platform.device, "router2")),
        # No limit: that of nextpnr 0.11 is a square of the number of cells, and overflows beyond
        # 46,340 of them; then a cell is given up after ten thousand tries.
        *("--placer-heap-cell-placement-timeout", "0"),
        *("--timing-allow-fail", "--lpf-allow-unconstrained"),
    ]


def _ecp5_pack(board: Board, platform, placed: str) -> list[str]:
    return ["--compress", "--freq", "38.8", "--input", placed, "--bit", "top.bit"]


def _gowin_route(board: Board, platform, seed: int, mhz: float) -> list[str]:
    return [
        *("--device", board.part, "--vopt", f"family={platform.family}", "--vopt", "cst=top.cst"),
        *("--json", NETLIST, "--write", f"seed{seed}.placed", "--report", f"seed{seed}.json"),
        *("--freq", f"{mhz:g}", "--seed", str(seed), "--timing-allow-fail"),
    ]


def _gowin_pack(board: Board, platform, placed: str) -> list[str]:
    return ["-d", platform.family, "-o", "top.fs", placed]


FLOWS = {
    "ecp5": Flow(
        constraints="lpf",
        router="nextpnr-ecp5",
        route=_ecp5_route,
        packer="ecppack",
        pack=_ecp5_pack,
        bitstream="top.bit",
        cells={
            "TRELLIS_COMB": {"lut4": 1},
            "TRELLIS_FF": {"ff": 1},
            "MULT18X18D": {"dsp": 1},
            "DP16KD": {"bram": 1},
        },
    ),
    "gowin": Flow(
        constraints="cst",
        router="nextpnr-himbaechel-gowin",
        route=_gowin_route,
        packer="gowin_pack",
        pack=_gowin_pack,
        bitstream="top.fs",
        cells={
            "LUT4": {"lut4": 1},
            "ALU": {"lut4": 1},
            "RAM16SDP4": {"lut4": 8},
            "DFF": {"ff": 1},
            "MULT18X18": {"dsp": 1},
            "MULTADDALU18X18": {"dsp": 1},
            "BSRAM": {"bram": 1},
        },
    ),
}
"""Family -> flow; families that are not here are for the vendor's own tools."""
