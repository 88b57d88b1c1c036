"""What a build came to: clock, cells, bitstream; one JSON object, and rows for people."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from ohmgrid.boards.board_file import Board
from ohmgrid.boards.clock_plan import ClockPlan
from ohmgrid.boards.synth_report import CriticalPath, Resources
from ohmgrid.config import Config
from ohmgrid.doors.checks import OhmgridError
from ohmgrid.storage.files import write_whole
from ohmgrid.tools.toolchain import Tool

__all__ = ["REPORT", "BuildReport", "ClockMissed", "best_seed", "facts", "write_report"]

REPORT = "report.json"
GATEWARE = ("lanes", "share", "words", "dynamics")
"""Options of a build that its report tells."""


class ClockMissed(OhmgridError, RuntimeError):
    """Place and route did not reach the clock; the message names the path.

    Attributes
    ----------
    report : BuildReport
        Of what was built all the same.
    """

    def __init__(self, report: "BuildReport") -> None:
        super().__init__(report.missed())
        self.report = report


@dataclass(frozen=True)
class BuildReport:
    """Of one build of a board."""

    board: str
    title: str
    part: str
    gateware: dict[str, Any]
    """Lanes, share and words of the build; neurons of a dynamics unit in a core's place, or 0."""
    settings: str
    """Name of the settings that were built."""
    link: str
    """Its rate and where it is."""
    tools: list[str]
    native: bool
    """Whether all tools are native ones, not those of PyPI."""
    clock_mhz: float
    """What the gateware runs at."""
    plan: str
    """How that clock is made."""
    used: Resources
    """Cells after place and route; of a vendor's flow after synthesis."""
    available: Resources | None
    """Cells of the part."""
    placed: bool = True
    """Whether it was placed and routed; a project for a vendor's tools is not."""
    seeds: dict[int, float | None] = field(default_factory=dict)
    """Seed of the placer -> clock that it reached in MHz; None where the tool reports none."""
    unrouted: list[int] = field(default_factory=list)
    """Seeds that were given up."""
    path: CriticalPath | None = None
    """The slowest path of the best seed."""
    bitstream: str | None = None
    """The file in the build's folder; None if there is none."""
    sha256: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    """Step -> how long it took when it was done."""
    training: dict[str, Any] = field(default_factory=dict)
    """What `ohmgrid.boards.results.training_of` says of the net that was chosen."""

    @property
    def reached(self) -> list[float]:
        """Clocks that seeds reached."""
        return [mhz for mhz in self.seeds.values() if mhz is not None]

    @property
    def best(self) -> int | None:
        """As of `best_seed`; None if there are none."""
        return best_seed(self.seeds) if self.seeds else None

    @property
    def fmax_mhz(self) -> float | None:
        """Clock of the best seed."""
        return max(self.reached, default=None)

    @property
    def fmax_median_mhz(self) -> float | None:
        """Median of the seeds' clocks."""
        return round(median(self.reached), 2) if self.reached else None

    @property
    def met(self) -> bool | None:
        """Whether the best seed's clock is what the gateware runs at; None if nobody knows."""
        return None if self.fmax_mhz is None else self.fmax_mhz >= self.clock_mhz

    def to_dict(self) -> dict[str, Any]:
        """Return what is told as JSON."""
        return asdict(self) | {
            "lanes": self.gateware["lanes"],
            "fmax_mhz": self.fmax_mhz,
            "fmax_median_mhz": self.fmax_median_mhz,
            "met": self.met,
        }

    def missed(self) -> str:
        """Return one line on a clock that was not reached."""
        seeds = f"the best of {len(self.seeds)} seeds" if len(self.seeds) > 1 else "with one seed"
        line = (
            f"{self.board}: expected {self.clock_mhz:g} MHz, reached {self.fmax_mhz:g} ({seeds}); "
            "no bitstream"
        )
        if self.path is not None:
            line += (
                f"; critical path {self.path.start} -> {self.path.end}, "
                f"{self.path.logic_ns:g} ns logic and {self.path.routing_ns:g} ns routing"
            )
        return f"{line}; --seeds tries more of them, --clock takes another clock"

    def rows(self) -> dict[str, str]:
        """Return rows for people, name -> text."""
        rows = {
            "board": f"{self.title} ({self.part})",
            "gateware": f"{self._parts()} ({self.settings})",
            "link": self.link,
            "tools": ", ".join(self.tools)
            + ("" if self.native else " (yowasp: from PyPI; native ones are used when on PATH)"),
            "cells": self._cells(),
            "clock": f"{self.clock_mhz:g} MHz ({self.plan})",
        }
        if self.placed:
            rows["Fmax"] = self._fmax()
        else:
            rows["Fmax"] = "not placed and routed here: build_top.sh in the folder runs Vivado"
        if self.path is not None:
            rows["critical path"] = (
                f"{self.path.start} -> {self.path.end}: {self.path.logic_ns:g} ns logic, "
                f"{self.path.routing_ns:g} ns routing"
            )
        spent = ", ".join(f"{name} {s:g} s" for name, s in self.seconds.items())
        if spent:
            rows["spent"] = spent
        if self.bitstream is not None:
            rows["bitstream"] = self.bitstream
        return rows

    def _parts(self) -> str:
        build = self.gateware
        if build.get("dynamics"):
            return f"dynamics unit, {build['dynamics']} neurons, {build['lanes']} lanes"
        return (
            f"{build['lanes']} lanes, {build['share']} to a device unit, "
            f"{build['words']} words a lane"
        )

    def _cells(self) -> str:
        names = {
            "lut4": "LUT4" if self.placed else "LUT",
            "ff": "FF",
            "dsp": "multipliers",
            "bram": "block RAM",
        }
        of = asdict(self.available) if self.available is not None else {}
        parts = []
        for key, name in names.items():
            number, all_ = getattr(self.used, key), of.get(key)
            parts.append(f"{name} {number:,}" + (f" of {all_:,}" if all_ else ""))
        return ", ".join(parts)

    def _fmax(self) -> str:
        if self.fmax_mhz is None:
            return f"no Fmax reported by {self.tools[1]}: whether the clock is met is not known"
        not_routed = f"; not routed: seeds {', '.join(map(str, self.unrouted))}"
        after = not_routed if self.unrouted else ""
        if len(self.seeds) == 1:
            return f"{self.fmax_mhz:g} MHz (one seed){after}"
        return (
            f"{self.fmax_mhz:g} MHz with seed {self.best}, median of {len(self.seeds)} "
            f"{self.fmax_median_mhz:g} MHz{after}"
        )


def best_seed(seeds: Mapping[int, float | None]) -> int:
    """Return the seed with the fastest clock; the first one where no clock is reported."""
    return max(seeds, key=lambda seed: (seeds[seed] or 0.0, -seed))


def facts(
    board: Board, config: Config, plan: ClockPlan, settings: str, tools: Sequence[Tool]
) -> dict[str, Any]:
    """Return the fields of a `BuildReport` that are known before anything is built.

    Parameters
    ----------
    board : Board
    config : Config
    plan : ClockPlan
    settings : str
        What they are called.
    tools : sequence of Tool
        The first two are those that take time: whether they are native ones counts.
    """
    build, link = config.build, board.link
    return {
        **{name: getattr(board, name) for name in ("title", "part")},
        "board": board.name,
        "gateware": {name: getattr(build, name) for name in GATEWARE},
        "settings": settings,
        "link": f"{link.baud:,} baud, {link.where}",
        "tools": [str(tool) for tool in tools],
        "native": not any(tool.path.name.startswith("yowasp-") for tool in tools[:2]),
        "clock_mhz": float(plan.hz) / 1e6,
        "plan": plan.to_text(),
    }


def write_report(folder: Path, report: BuildReport) -> None:
    """Write ``report.json`` into the folder of a build."""
    text = json.dumps(report.to_dict(), indent=2) + "\n"
    write_whole(folder / REPORT, lambda file: file.write(text.encode()))
