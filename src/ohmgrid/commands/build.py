"""``ohmgrid build``: a board's bitstream from one command, and what it came to."""

import json
import os
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

from ohmgrid.boards.bitstream import build as build_bitstream
from ohmgrid.boards.bitstream import clock_of
from ohmgrid.boards.board_file import Board, board_names, load_board
from ohmgrid.boards.build_report import BuildReport, ClockMissed, write_report
from ohmgrid.boards.flows import FLOWS
from ohmgrid.boards.results import (
    Cycles,
    expected_seconds,
    record_result,
    result_of,
    training_of,
)
from ohmgrid.boards.vendor import build_project
from ohmgrid.commands.estimate import EXAMPLES, POSITIONS, count_cycles, print_estimate
from ohmgrid.commands.options import (
    Chosen,
    Options,
    batch_option,
    choose,
    json_option,
    plan_options,
    tell,
    tile_options,
)
from ohmgrid.commands.outputs import print_rows
from ohmgrid.commands.types import FOLDER, INTEGER, NUMBER
from ohmgrid.doors.checks import ConfigError, OhmgridError, check_int
from ohmgrid.registers.build_check import check_build
from ohmgrid.registers.layout import OF_WORDS, check_words, with_needs, words_of
from ohmgrid.studies.feeding import feeding
from ohmgrid.training.settings import Settings, config_to_toml

__all__ = ["build"]

MOST_SEEDS = 64
POSITION = 30_000
"""Where the cycles of a report are counted, or after an epoch of a smaller data set."""
COUNTED = 40
WAYS = {
    "uart raw": "the link, as values:",
    "uart runs": "zero-run coded:",
    "uart order": "orders for examples that it keeps:",
    "bram": "those, from block RAM:",
    "sdram": "those, from SDRAM:",
}
ESTIMATE = ("positions", "examples")
BUILDING = ("seeds", "first_seed", "jobs", "out", "record")


@click.command
@click.argument("board", metavar="BOARD")
@click.option("--clock", type=NUMBER, metavar="MHZ", help="Clock of the gateware [the board's].")
@click.option("--seeds", type=INTEGER, default=1, help="Seeds of the placer, the best is kept [1].")
@click.option("--first-seed", type=INTEGER, default=1, help="The first of them [1].")
@click.option("--jobs", type=INTEGER, help="Seeds at the same time [as many as there are CPUs].")
@click.option("--out", type=FOLDER, help="Folder of the build [build/BOARD].")
@click.option(
    "--record", type=FOLDER, help="Add the result to a folder of results, and renew its table."
)
@click.option(
    "--estimate", is_flag=True, help="Build nothing: clock cycles of an example, by verb."
)
@click.option(
    "--positions", default=POSITIONS, help=f"For --estimate: examples trained before [{POSITIONS}]."
)
@click.option(
    "--examples",
    type=INTEGER,
    default=EXAMPLES,
    help=f"For --estimate: examples at each position [{EXAMPLES}].",
)
@tile_options
@plan_options
@batch_option
@json_option
@click.pass_context
def build(
    ctx: click.Context,
    board: str,
    clock: float | None,
    seeds: int,
    first_seed: int,
    jobs: int | None,
    out: Path | None,
    record: Path | None,
    estimate: bool,
    positions: str,
    examples: int,
    as_json: bool,
    **given: Any,
) -> None:
    """Build the bitstream of a BOARD with the open tools, place and route included.

    BOARD is one of {boards}; or FILE.toml, for a board of yours (docs/boards.md).

    The gateware is what the board's file says, unless --config, --lanes or --share say something
    else; the net (--data, --layers, ...) is what examples a second are counted for. A clock that is
    not reached is an error, and leaves no bitstream. What was built of the same inputs by the same
    tools is not built again. For a part of Xilinx a project for Vivado is made and its cells are
    counted; it is not placed and routed.

    With --estimate nothing is built: how many clock cycles an example of the net takes, by verb.
    """
    _check_together(ctx, estimate)
    one = load_board(board)
    names = {field.name for field in fields(Options)} & set(given)
    # A file of a user's takes the place of the board's settings.
    base = one.load_settings() if given["config"] is None else Settings()
    if given["data"] is not None:
        # Other data: the net and the cut of the pictures are no longer the board's.
        base = replace(base, tables={k: v for k, v in base.tables.items() if k != "training"})
    chosen = choose(Options(**{name: given[name] for name in names}), base)
    build, words = chosen.config.build, words_of(chosen.config.device)
    fixed = [name for name in OF_WORDS if chosen.settings.gives(f"build.{name}")]
    chosen = replace(chosen, config=chosen.config.replace(build=with_needs(build, words, fixed)))
    plan = clock_of(one, clock)
    if estimate:
        print_estimate(chosen, positions, examples, float(plan.hz) / 1e6, as_json)
        return
    check_int("seeds", seeds, 1, MOST_SEEDS)
    check_int("first-seed", first_seed, 1, 1 << 30)
    check_int("jobs", workers := jobs or os.cpu_count() or 1, 1, MOST_SEEDS)
    check_build(chosen.config)
    check_words(chosen.config.device.kind, chosen.config.build, words)
    tell(chosen.warnings)
    folder = out or Path("build") / one.name
    source = given["config"] or one.settings
    configuration = config_to_toml(chosen.config, asdict(chosen.settings.plan()))
    if one.family not in FLOWS:
        made = build_project(one, chosen.config, folder, configuration, source.stem, clock)
        _print(made, folder, None, as_json)
        return
    chosen_seeds = range(first_seed, first_seed + seeds)
    missed: ClockMissed | None = None
    try:
        made = _build(one, chosen, folder, configuration, source.stem, clock, chosen_seeds, workers)
    except ClockMissed as error:
        missed, made = error, error.report
    cycles = _cycles(chosen, one, made)
    if isinstance(cycles, Cycles):
        made = replace(made, training=training_of(made, cycles))
        write_report(folder, made)
    _print(made, folder, cycles, as_json)
    if record is not None:
        path = record_result(record, result_of(made))
        click.echo(f"recorded in {path}", err=True)
    if missed is not None:
        raise missed


def _check_together(ctx: click.Context, estimate: bool) -> None:
    """Raise `ConfigError` if what was given does not go with --estimate, or needs it."""
    for name in BUILDING if estimate else ESTIMATE:
        if ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE:
            goes = "none with --estimate" if estimate else "with --estimate only"
            raise ConfigError(name.replace("_", "-"), f"expected {goes}, got {ctx.params[name]}")


def _build(
    board: Board,
    chosen: Chosen,
    folder: Path,
    configuration: str,
    settings: str,
    clock: float | None,
    seeds: range,
    workers: int,
) -> BuildReport:
    """Build, and show what the tools are doing."""
    console = Console(stderr=True)
    usual = expected_seconds(board.name, settings)
    about = (
        f"about {usual / 60:.0f} min when it was last measured"
        if usual
        else "no earlier build to go by: minutes for a small part, an hour for a large one"
    )
    console.print(f"building {board.name} in {folder} ({about})", highlight=False)
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        tasks: dict[str, Any] = {}

        def show(step: str, doing: str) -> None:
            if step not in tasks:
                tasks[step] = bar.add_task(step)
            bar.update(tasks[step], description=f"{step}: {doing}")
            if doing in ("done", "kept", "given up"):
                bar.stop_task(tasks[step])

        return build_bitstream(
            board,
            chosen.config,
            folder,
            configuration=configuration,
            settings=settings,
            clock_mhz=clock,
            seeds=seeds,
            workers=workers,
            tell=show,
        )


def _cycles(chosen: Chosen, board: Board, made: BuildReport) -> Cycles | str:
    """Return the cycles of an example of the net that was chosen and what feeds the core, or why
    they are not counted."""
    if chosen.config.build.dynamics:
        return "a dynamics unit trains no net"
    batch = chosen.config.batch
    try:
        counted = count_cycles(chosen, [POSITION // batch * batch], COUNTED, Console(stderr=True))
    except OhmgridError as error:
        return f"not counted: {error}"
    (row,) = counted.rows
    data = counted.data
    hz = round(made.clock_mhz * 1e6)
    ways = feeding(data.train_x, data.train_labels, counted.config.build, board.link.baud, hz)
    return Cycles(
        net=counted.plan.layers,
        data=data.name,
        position=row.position,
        cycles=round(row.total, 1),
        epoch_examples=len(data.train_labels),
        fed={feed.way: feed.examples_per_s for feed in ways if feed.there},
    )


def _print(made: BuildReport, folder: Path, cycles: Cycles | str | None, as_json: bool) -> None:
    """Print a build."""
    if as_json:
        speed = {"examples_per_s": made.training.get("examples_per_s")}
        speed["cycles_per_example"] = made.training.get("cycles")
        click.echo(json.dumps(made.to_dict() | {"folder": str(folder)} | speed))
        return
    rows = made.rows()
    if isinstance(cycles, Cycles):
        rows["training"] = (
            f"{cycles.net} on {cycles.data}: {cycles.cycles:,.0f} cycles an example after "
            f"{cycles.position:,}"
        )
        speed = made.training
        if "epoch_s" in speed:
            rows["training"] += (
                f", {speed['examples_per_s']:,.0f} examples/s, an epoch in "
                f"{speed['epoch_s']:.1f} s, where as many are fed (as --estimate predicts)"
            )
            rows["fed by"] = ", ".join(
                f"{WAYS[way]} {each:,.0f} examples/s" for way, each in speed["fed_per_s"].items()
            )
    elif cycles is not None:
        rows["training"] = cycles
    rows["folder"] = f"{folder} (board.toml: --config of train, compare and `board serve`)"
    print_rows(Console(), rows)


build.help = (build.help or "").format(boards=", ".join(board_names()))
