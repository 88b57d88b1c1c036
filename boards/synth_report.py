"""What a synthesis found: cells by part, clock and critical path, read from the tools' JSON."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import groupby
from typing import Any

__all__ = [
    "CELLS",
    "CriticalPath",
    "Resources",
    "Submodule",
    "SynthReport",
    "count",
    "parts",
    "placed",
]


@dataclass(frozen=True)
class Resources:
    """Cells of one part, as the data sheet counts them."""

    lut4: int = 0
    """4-input LUTs: logic, carry chains (two a cell on ECP5) and memories made of LUTs."""
    ff: int = 0
    """Flip-flops."""
    dsp: int = 0
    """Multipliers: MULT18X18D, SB_MAC16 or MULT18X18."""
    bram: int = 0
    """Block RAMs: 18 kb on ECP5 and Gowin, 4 kb on iCE40."""
    spram: int = 0
    """Single-port RAMs of 256 kb (iCE40 UP)."""
    lutram: int = 0
    """LUTs of `lut4` that are memory."""

    def __add__(self, other: "Resources") -> "Resources":
        return Resources(*(a + b for a, b in zip(self.row(), other.row(), strict=True)))

    def __mul__(self, times: int) -> "Resources":
        return Resources(*(times * a for a in self.row()))

    def row(self) -> tuple[int, ...]:
        """Return the numbers in the order of the fields."""
        return tuple(asdict(self).values())


@dataclass(frozen=True)
class Submodule:
    """A submodule, or several equal ones next to each other.

    Parameters
    ----------
    path : str
        Names from the top: ``lane0.mix``, empty for the component itself.
    instances : int
        How many equal ones there are in the whole component.
    own : Resources
        Of one of them, its submodules not counted.
    all : Resources
        Of one of them with its submodules.
    """

    path: str
    instances: int
    own: Resources
    all: Resources


@dataclass(frozen=True)
class CriticalPath:
    """The slowest path between two registers.

    Parameters
    ----------
    start, end : str
        Cells, named after the signals.
    logic_ns, routing_ns : float
        Delay in cells (clock to output and setup too) and in wires.
    cells : list of str
        What they lead through.
    """

    start: str
    end: str
    logic_ns: float
    routing_ns: float
    cells: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class SynthReport:
    """What `synth` found; `to_json` is for machines, `to_text` for people."""

    name: str
    family: str
    tools: list[str]
    total: Resources
    """Flattened, as in a bitstream."""
    parts: list[Submodule]
    """With the submodules kept apart; the component itself first."""
    seconds: float
    device: str | None = None
    folded: bool | None = None
    """Whether the ports were on a scan chain."""
    used: dict[str, tuple[int, int]] | None = None
    """Cells of the device after place and route: used, available; registers at the pins too."""
    fmax_mhz: float | None = None
    """None also where no register drives another."""
    path: CriticalPath | None = None

    def to_json(self) -> str:
        """Return one JSON object with the fields of the report."""
        return json.dumps(asdict(self), indent=2)

    def to_text(self) -> str:
        """Return a table for people."""
        names = {"lut4": "LUT4", "ff": "FF", "dsp": "DSP", "bram": "BRAM", "spram": "SPRAM"}
        kinds = [k for k in names if k != "spram" or self.family.startswith("ice40")]
        lines = [("part", "times", *(names[k] for k in kinds))]
        lines += [
            (name, str(times), *(str(getattr(each, k)) for k in kinds))
            for name, times, each in self.rows()
        ]
        lines.append(("flattened", "1", *(str(getattr(self.total, k)) for k in kinds)))
        wide = max(len(line[0]) for line in lines)
        text = [f"{line[0]:{wide}}" + "".join(f"{cell:>8}" for cell in line[1:]) for line in lines]
        text.append(f"{self.family}, {', '.join(self.tools)}, {self.seconds:g} s")
        if self.used is not None:
            where = "a scan chain" if self.folded else "registered pins"
            used = ", ".join(f"{cell} {n}/{all_}" for cell, (n, all_) in self.used.items())
            text.append(f"on {self.device}, ports on {where}: {used}")
            clock = "none" if self.fmax_mhz is None else f"{self.fmax_mhz:g} MHz"
            text.append(f"Fmax {clock}")
        if self.path is not None:
            path = self.path
            text.append(
                f"critical path {path.start} -> {path.end}: "
                f"{path.logic_ns:g} ns logic, {path.routing_ns:g} ns routing"
            )
            text.append(f"  through {', '.join(path.cells)}")
        return "\n".join(text)

    def rows(self) -> Iterator[tuple[str, int, Resources]]:
        """Return rows of a table, (name, number of such parts, one of them with all it holds).

        A part with submodules is followed by what it holds itself.
        """
        paths = [part.path for part in self.parts]
        for part in self.parts:
            yield part.path or self.name, part.instances, part.all
            inner = f"{part.path}." if part.path else ""
            if any(path != part.path and path.startswith(inner) for path in paths):
                yield f"{inner}(own)", part.instances, part.own


# cell -> (field, how many). A carry cell of ECP5 takes two LUTs; sixteen words of four bits take
# four LUTs and the two of their write port.
_ECP5 = {
    "LUT4": {"lut4": 1},
    "CCU2C": {"lut4": 2},
    "TRELLIS_DPR16X4": {"lut4": 6, "lutram": 6},
    "TRELLIS_FF": {"ff": 1},
    "MULT18X18D": {"dsp": 1},
    "MULT9X9D": {"dsp": 1},
    "DP16KD": {"bram": 1},
    "PDPW16KD": {"bram": 1},
}
_ICE40 = {
    "SB_LUT4": {"lut4": 1},
    "SB_MAC16": {"dsp": 1},
    "SB_SPRAM256KA": {"spram": 1},
    **{f"SB_RAM40_4K{clock}": {"bram": 1} for clock in ("", "NR", "NW", "NRNW")},
    **{
        f"SB_DFF{edge}{reset}": {"ff": 1}
        for edge in ("", "N")
        for reset in ("", "E", "SR", "R", "SS", "S", "ESR", "ER", "ESS", "ES")
    },
}
# A carry cell of Gowin takes a LUT; memories as of ECP5. A multiplier of 36 bits is a block of two.
_GOWIN = {
    **{f"LUT{inputs}": {"lut4": 1} for inputs in range(1, 5)},
    "ALU": {"lut4": 1},
    **{f"RAM16S{kind}": {"lut4": 6, "lutram": 6} for kind in ("DP1", "DP2", "DP4", "1", "2", "4")},
    **{
        f"DFF{edge}{reset}": {"ff": 1}
        for edge in ("", "N")
        for reset in ("", "E", "S", "SE", "R", "RE", "P", "PE", "C", "CE")
    },
    "MULT9X9": {"dsp": 1},
    "MULT18X18": {"dsp": 1},
    "MULT36X36": {"dsp": 4},
    **{kind: {"bram": 1} for kind in ("SP", "SPX9", "DPB", "DPX9B", "SDPB", "SDPX9B")},
    **{kind: {"bram": 1} for kind in ("pROM", "pROMX9")},
}
# LUTs have up to six inputs; block RAMs are counted as they are, of 18 or of 36 kb.
_XILINX = {
    **{f"LUT{inputs}": {"lut4": 1} for inputs in range(1, 7)},
    **{f"FD{kind}": {"ff": 1} for kind in ("RE", "SE", "CE", "PE")},
    **{f"DSP48E{version}": {"dsp": 1} for version in (1, 2)},
    **{f"RAMB{size}E{version}": {"bram": 1} for size in (18, 36) for version in (1, 2)},
}
CELLS = {
    **{"ecp5": _ECP5, "ice40": _ICE40, "ice40hx": _ICE40, "gowin": _GOWIN},
    "xilinx": _XILINX,
}
"""family -> cells that are counted, and as what."""


def count(cells: dict[str, int], family: str) -> Resources:
    """Return the resources that some cells of a family are."""
    sums: Counter[str] = Counter()
    for cell, number in cells.items():
        for kind, each in CELLS[family].get(cell, {}).items():
            sums[kind] += number * each
    return Resources(**sums)


def parts(stat: dict[str, dict[str, int]], family: str) -> list[Submodule]:
    """Return the parts from the top down; equal submodules of one module are one part.

    Parameters
    ----------
    stat : dict
        Module -> cell type or submodule -> number, the top one called ``top``.
    family : str
    """
    own = {module: count(cells, family) for module, cells in stat.items()}

    def inner(module: str) -> list[tuple[str, int]]:
        return [(cell, number) for cell, number in stat[module].items() if cell in stat]

    def everything(module: str) -> Resources:
        total = own[module]
        for part, number in inner(module):
            total += everything(part) * number
        return total

    def walk(module: str, path: str, instances: int) -> Iterator[Submodule]:
        yield Submodule(path, instances, own[module], everything(module))
        for part, number in sorted(inner(module)):
            # A merged module carries the path of its first instance.
            name = part.rpartition(".")[2]
            yield from walk(part, f"{path}.{name}" if path else name, instances * number)

    return list(walk("top", "", 1))


def placed(report: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of `SynthReport` that nextpnr's report holds."""
    used = {
        cell: (row["used"], row["available"])
        for cell, row in report["utilization"].items()
        if row["used"]
    }
    fmax = [clock["achieved"] for clock in report["fmax"].values()]
    paths = [
        path
        for path in report["critical_paths"]
        if path["from"] == path["to"] and path["from"].startswith(("posedge", "negedge"))
    ]
    return {
        "used": used,
        "fmax_mhz": round(min(fmax), 2) if fmax else None,
        "path": _critical(max(paths, key=_delay)) if paths else None,
    }


def _delay(path: dict) -> float:
    return sum(step["delay"] for step in path["path"])


def _critical(path: dict) -> CriticalPath:
    steps = path["path"]
    cells = [_readable(step["to"]["cell"]) for step in steps if step["type"] == "routing"]
    routing = sum(step["delay"] for step in steps if step["type"] == "routing")
    return CriticalPath(
        start=_readable(steps[0]["from"]["cell"]),
        end=_readable(steps[-1]["to"]["cell"]),
        logic_ns=round(_delay(path) - routing, 3),
        routing_ns=round(routing, 3),
        # The cells of one adder carry one name.
        cells=[cell for cell, _ in groupby(cells)],
    )


def _readable(cell: str) -> str:
    """Return the signal that a cell is named after: yosys and nextpnr append what they made."""
    return re.sub(r"_(TRELLIS_FF|LUT4|CCU2C|PFUMX|L6MUX21|MULT18X18D|SB_)(_?[A-Z].*)?$", "", cell)
