"""``ohmgrid build``: from a board's file to its bitstream, in one folder, each step done once."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from ohmgrid.boards.board_file import Board
from ohmgrid.boards.build_report import (
    REPORT,
    BuildReport,
    ClockMissed,
    best_seed,
    facts,
    write_report,
)
from ohmgrid.boards.clock_plan import ClockPlan, plan_clock
from ohmgrid.boards.flows import FLOWS, NETLIST, PHASES, Flow
from ohmgrid.boards.netlist import close_carries_in
from ohmgrid.boards.patience import Unrouted, watch_router
from ohmgrid.boards.steps import Steps
from ohmgrid.boards.synth import dont_care_collisions
from ohmgrid.boards.synth_report import Resources, placed
from ohmgrid.boards.synthesis import synthesis
from ohmgrid.boards.top import Top
from ohmgrid.config import Config
from ohmgrid.storage.files import write_whole
from ohmgrid.tools import toolchain

__all__ = ["CONFIGURATION", "Elaborated", "build", "clock_of", "elaborate", "write_files"]

CONFIGURATION = "board.toml"

Tell = Callable[[str, str], None]
"""Told a step and what its tool is doing."""


@dataclass(frozen=True)
class Elaborated:
    """A board's gateware as the tools read it."""

    platform: object
    plan: ClockPlan
    files: dict[str, str]
    """RTLIL and constraints, or a vendor's project, by name."""


def clock_of(board: Board, clock_mhz: float | None = None) -> ClockPlan:
    """Return the plan of a board's clock, or of another one than its own."""
    own = int(board.make_platform().default_clk_frequency)
    return plan_clock(board.family, own, clock_mhz or board.clock_mhz)


def elaborate(board: Board, config: Config, clock_mhz: float | None = None) -> Elaborated:
    """Make the RTLIL and the constraints of a board; no tool is needed.

    Parameters
    ----------
    board : Board
    config : Config
        Formats and build.
    clock_mhz : float, optional
        Instead of the board's.

    Raises
    ------
    ConfigError
        The clock cannot be made, or not be divided down to the link's rate.
    """
    plan = clock_of(board, clock_mhz)
    platform = board.make_platform()
    made = platform.prepare(Top(board, plan, config), "top", emit_src=False)
    files = {
        name: text if isinstance(text, str) else text.decode() for name, text in made.files.items()
    }
    # Kept for what Amaranth would run, or for debugging it.
    for name in ("build_top.bat", "build_top.json", "top.debug.v", "top.ys"):
        files.pop(name, None)
    if board.family in FLOWS:
        files.pop("build_top.sh", None)
        files["top.il"] = dont_care_collisions(files["top.il"])
    return Elaborated(platform, plan, files)


def build(
    board: Board,
    config: Config,
    folder: Path,
    *,
    configuration: str,
    settings: str,
    clock_mhz: float | None = None,
    seeds: Sequence[int] = (1,),
    workers: int = 1,
    tell: Tell | None = None,
) -> BuildReport:
    """Build a board's bitstream with the open tools.

    Parameters
    ----------
    board : Board
    config : Config
    folder : Path
        Gets RTLIL, netlist, logs, ``report.json``, ``board.toml`` and the bitstream.
    configuration : str
        TOML that the host needs to use this build.
    settings : str
        What that is called, for the report.
    clock_mhz : float, optional
        Instead of the board's.
    seeds : sequence of int
        Of the placer; the fastest one's bitstream is kept.
    workers : int
        Seeds that are placed and routed at the same time.
    tell : callable, optional
        For progress.

    Raises
    ------
    ClockMissed
        No seed reached the clock: then there is a report, and no bitstream.
    ConfigError, ToolMissing, ToolFailed
    """
    flow = FLOWS[board.family]
    tools = [toolchain.find(name) for name in ("yosys", flow.router, flow.packer)]
    tell = tell or (lambda step, doing: None)
    tell("elaborate", "elaborating")
    made = elaborate(board, config, clock_mhz)
    steps = Steps(folder)
    # A report of something else does not lie beside this build's files.
    (folder / REPORT).unlink(missing_ok=True)
    write_files(folder, {**made.files, CONFIGURATION: configuration})
    run = _Run(board, flow, made, steps, tell)
    mhz = float(made.plan.hz) / 1e6
    try:
        run.synthesise(tools[0])
        with ThreadPoolExecutor(max(1, min(workers, len(seeds)))) as pool:
            jobs = {seed: pool.submit(run.place, tools[1], seed, mhz) for seed in seeds}
            reports = _routed({seed: job.result() for seed, job in jobs.items()})
    except BaseException:
        # Nor does a bitstream of something else.
        steps.forget(["pack"])
        raise
    report = run.report(config, tools, reports, settings, seeds)
    if report.met is False:
        steps.forget(["pack"])
    else:
        report = run.pack(tools[2], report)
    write_report(folder, report)
    if report.met is False:
        raise ClockMissed(report)
    return report


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write texts into the folder of a build, by their names."""
    for name, text in files.items():
        write_whole(folder / name, lambda file, text=text: file.write(text.encode()))


@dataclass(frozen=True)
class _Run:
    """The steps of one build."""

    board: Board
    flow: Flow
    made: Elaborated
    steps: Steps
    tell: Tell

    def synthesise(self, tool: toolchain.Tool) -> None:
        """Make the netlist."""
        script = f"read_rtlil top.il; {synthesis(self.board.family, f'-json {NETLIST}')}"
        after = close_carries_in if self.board.family == "ecp5" else None
        self._take("synthesis", tool, ["top.il"], [NETLIST], ["-p", script], after)

    def place(self, tool: toolchain.Tool, seed: int, mhz: float) -> dict | Unrouted:
        """Place and route with a seed; return the tool's report, or why it was given up."""
        arguments = self.flow.route(self.board, self.made.platform, seed, mhz)
        made = [f"seed{seed}.placed", f"seed{seed}.json"]
        given = [NETLIST, f"top.{self.flow.constraints}"]
        try:
            self._take(f"seed {seed}", tool, given, made, arguments)
        except Unrouted as error:
            self.tell(f"seed {seed}", "given up")
            return error
        return json.loads((self.steps.folder / made[1]).read_text(encoding="utf-8"))

    def pack(self, tool: toolchain.Tool, report: BuildReport) -> BuildReport:
        """Make the bitstream of the best seed; return the report with it."""
        file, given = self.flow.bitstream, f"seed{report.best}.placed"
        arguments = self.flow.pack(self.board, self.made.platform, given)
        self._take("pack", tool, [given], [file], arguments)
        return replace(
            report,
            bitstream=file,
            sha256=self.steps.file_digest(file),
            seconds=report.seconds | {"pack": self.steps.seconds("pack")},
        )

    def _take(
        self,
        name: str,
        tool: toolchain.Tool,
        given: Sequence[str],
        makes: Sequence[str],
        arguments: Sequence[str],
        after: Callable[[Path], object] | None = None,
    ) -> None:
        """Run a tool, unless that is done; ``after`` changes the first file that it has made."""

        def do() -> float:
            start = time.monotonic()
            self.tell(name, "starting")
            toolchain.run(
                tool,
                arguments,
                cwd=self.steps.folder,
                log=self.steps.folder / f"{name.replace(' ', '')}.log",
                on_line=self._listen(name),
            )
            if after is not None:
                after(self.steps.folder / makes[0])
            return time.monotonic() - start

        key = self.steps.key(given, str(tool), *arguments)
        self.tell(name, "done" if self.steps.take(name, key, makes, do) else "kept")

    def _listen(self, name: str) -> Callable[[str], None]:
        look = watch_router()

        def hear(line: str) -> None:
            look(line)
            for sign, phase in PHASES:
                if sign in line:
                    self.tell(name, phase)

        return hear

    def report(self, config, tools, reports, settings, wanted) -> BuildReport:
        """Return what place and route came to, before there is a bitstream."""
        found = {seed: placed(report) for seed, report in reports.items()}
        seeds = {seed: one["fmax_mhz"] for seed, one in found.items()}
        unrouted = [seed for seed in wanted if seed not in seeds]
        best = best_seed(seeds)
        used, available = _cells(self.flow, reports[best]["utilization"])
        names = ["synthesis", *(f"seed {seed}" for seed in seeds)]
        return BuildReport(
            **facts(self.board, config, self.made.plan, settings, tools),
            used=used,
            available=available,
            seeds=seeds,
            unrouted=unrouted,
            path=found[best]["path"],
            seconds={name: self.steps.seconds(name) for name in names},
        )


def _routed(found: Mapping[int, dict | Unrouted]) -> dict[int, dict]:
    """Return the reports of the seeds that were routed; raise if there are none."""
    reports = {seed: one for seed, one in found.items() if isinstance(one, dict)}
    if not reports:
        reasons = [f"seed {seed}: {one}" for seed, one in found.items()]
        raise Unrouted("no seed was routed; " + "; ".join(reasons))
    return reports


def _cells(flow: Flow, counted: dict) -> tuple[Resources, Resources]:
    """Return used and available cells of a report of place and route."""
    used: dict[str, int] = {}
    available: dict[str, int] = {}
    for cell, kinds in flow.cells.items():
        row = counted.get(cell, {"used": 0, "available": 0})
        for kind, each in kinds.items():
            used[kind] = used.get(kind, 0) + each * row["used"]
            # The first cell of a kind is what the part is said to have.
            available.setdefault(kind, row["available"])
    return Resources(**used), Resources(**available)
