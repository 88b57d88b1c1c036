"""What builds came to: a small JSON each, committed, and the table that is made of them.

The logs behind a figure lie in the folder of the build; anyone makes them again with the command
that a row begins with.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from ohmgrid.boards.build_report import BuildReport
from ohmgrid.doors.schema import parse_json, read_bytes
from ohmgrid.storage.files import write_whole

__all__ = [
    "FOLDER",
    "Cycles",
    "Result",
    "expected_seconds",
    "load_results",
    "record_result",
    "result_of",
    "table",
    "training_of",
]

FOLDER = Path(__file__).parent / "results"
"""The results that come with ohmgrid."""
TABLE = "RESULTS.md"
HEAD = (
    "Made of `boards/results/*.json` by `ohmgrid build BOARD --seeds N --record boards/results`;",
    "never edited by hand. Cells and clock are those of place and route; Fmax is median and best",
    "of the seeds. Cycles are those of `ohmgrid build BOARD --estimate` (a model of the schedule;",
    "of weights of two arrays, simulated gateware), examples a second those cycles at the clock",
    "that is built, where as many are fed; beside them, what comes zero-run coded by the link, and",
    "what from examples that the board keeps. No row has run on a board yet. A clock that was",
    "missed leaves no bitstream and no examples a second.",
    "",
)
COLUMNS = (
    *("board", "gateware", "LUT4", "multipliers", "block RAM"),
    *("clock; Fmax median / best (seeds), MHz", "net", "cycles an example", "examples/s"),
    *("epoch, s", "fed by its link / by what it keeps, examples/s", "link"),
)


@dataclass(frozen=True)
class Cycles:
    """Cycles of an example of a net, as the model of the schedule predicts them."""

    net: str
    data: str
    position: int
    """Examples trained before."""
    cycles: float
    epoch_examples: int
    fed: dict[str, float] = field(default_factory=dict)
    """Way of feeding that the build has -> examples a second that come by it
    (`ohmgrid.studies.feeding.Feed.way`)."""


class Result(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Of one build; numbers of cells are used and available."""

    board: str
    title: str
    part: str
    settings: str
    lanes: int
    share: int
    words: int
    dynamics: int = 0
    """Neurons of a dynamics unit in a core's place."""
    link: str
    tools: list[str]
    clock_mhz: float
    seeds: dict[str, float | None]
    """Seed -> Fmax in MHz."""
    unrouted: list[int] = []
    """Seeds that were given up."""
    fmax_mhz: float | None
    fmax_median_mhz: float | None
    met: bool | None
    lut4: tuple[int, int]
    ff: int
    dsp: tuple[int, int]
    bram: tuple[int, int]
    critical_path: str
    seconds: float
    """Of synthesis and one seed, where it was measured."""
    net: str = ""
    data: str = ""
    position: int = 0
    cycles: float | None = None
    examples_per_s: float | None = None
    epoch_s: float | None = None
    fed_per_s: dict[str, float] = {}
    """As `Cycles.fed`, of a clock that was met."""


def training_of(report: BuildReport, cycles: Cycles) -> dict[str, Any]:
    """Return what a build comes to for a net, by names of fields of `Result`; a clock that was
    missed gives no examples a second."""
    told: dict[str, Any] = {
        name: getattr(cycles, name) for name in ("net", "data", "position", "cycles")
    }
    if report.met is False:
        return told
    rate = report.clock_mhz * 1e6 / cycles.cycles
    return told | {
        "examples_per_s": round(rate, 1),
        "epoch_s": round(cycles.epoch_examples / rate, 3),
        "fed_per_s": {way: round(each, 1) for way, each in cycles.fed.items()},
    }


def result_of(report: BuildReport) -> Result:
    """Return the result of a build."""
    all_ = report.available
    assert all_ is not None  # builds with the open tools know their part
    path = report.path
    routed = [s for name, s in report.seconds.items() if name.startswith("seed")]
    return Result(
        board=report.board,
        title=report.title,
        part=report.part,
        settings=report.settings,
        **report.gateware,
        link=report.link,
        tools=report.tools,
        clock_mhz=report.clock_mhz,
        seeds={str(seed): mhz for seed, mhz in report.seeds.items()},
        unrouted=report.unrouted,
        fmax_mhz=report.fmax_mhz,
        fmax_median_mhz=report.fmax_median_mhz,
        met=report.met,
        lut4=(report.used.lut4, all_.lut4),
        ff=report.used.ff,
        dsp=(report.used.dsp, all_.dsp),
        bram=(report.used.bram, all_.bram),
        critical_path=""
        if path is None
        else f"{path.start} -> {path.end}: {path.logic_ns:g} ns logic, {path.routing_ns:g} ns wire",
        seconds=round(report.seconds.get("synthesis", 0) + sum(routed) / max(1, len(routed)), 1),
        **report.training,
    )


def load_results(folder: Path = FOLDER) -> list[Result]:
    """Return the results of a folder, by board and lanes.

    Raises
    ------
    ConfigError
        One of its files is none; the message names it.
    """
    found = [
        parse_json(str(path), read_bytes(path), Result) for path in sorted(folder.glob("*.json"))
    ]
    return sorted(found, key=lambda one: (one.board, one.lanes, one.share))


def record_result(folder: Path, result: Result) -> Path:
    """Write a result into a folder, and the table of all of them beside the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.board}-{result.settings}.json"
    text = msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n"
    write_whole(path, lambda file: file.write(text))
    page = table(load_results(folder)).encode()
    write_whole(folder.parent / TABLE, lambda file: file.write(page))
    return path


def expected_seconds(board: str, settings: str) -> float | None:
    """Return how long a build took when it was measured, None if it never was."""
    for one in load_results():
        if (one.board, one.settings) == (board, settings):
            return one.seconds
    return None


def _share(pair: tuple[int, int]) -> str:
    return f"{pair[0]:,} ({pair[0] / pair[1]:.0%})" if pair[1] else f"{pair[0]:,}"


def _clock(one: Result) -> str:
    if one.fmax_mhz is None:
        return f"{one.clock_mhz:g}; none reported"
    lost = f", {len(one.unrouted)} not routed" if one.unrouted else ""
    seeds = f"{one.fmax_median_mhz:g} / {one.fmax_mhz:g} ({len(one.seeds)}{lost})"
    return f"{one.clock_mhz:g}; {seeds}" + ("" if one.met else ", **missed**")


def _fed(one: Result) -> str:
    """Return what the line brings, values zero-run coded, and what a memory of examples does."""
    fed = one.fed_per_s
    if not fed:
        return ""
    line = f"{fed['uart runs']:,.0f}"
    kept = [f"{fed[way]:,.0f} ({way})" for way in ("bram", "sdram") if way in fed]
    return " / ".join([line, *(kept or ["–"])])


def _parts(one: Result) -> str:
    if one.dynamics:
        return f"dynamics unit, {one.dynamics} neurons, {one.lanes} lanes"
    return f"{one.lanes} lanes, share {one.share}"


def table(results: list[Result]) -> str:
    """Return the Markdown of ``boards/RESULTS.md``."""
    lines = [
        "# What each board was built at",
        "",
        *HEAD,
        f"| {' | '.join(COLUMNS)} |",
        "|---" * len(COLUMNS) + "|",
    ]
    for one in results:
        number = [
            "" if value is None else f"{value:{form}}"
            for value, form in (
                (one.cycles, ",.0f"),
                (one.examples_per_s, ",.0f"),
                (one.epoch_s, ".2f"),
            )
        ]
        net = f"{one.net} ({one.data}, after {one.position:,})" if one.net else ""
        cells = [
            f"`{one.board}`",
            f"{_parts(one)} (`{one.settings}`)",
            *(_share(pair) for pair in (one.lut4, one.dsp, one.bram)),
            _clock(one),
            net,
            *number,
            _fed(one),
            one.link,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    tools = sorted({tool for one in results for tool in one.tools})
    lines += ["", f"Tools: {', '.join(tools)}."] if tools else []
    return "\n".join(lines) + "\n"
