"""``ohmgrid study``: comparisons that take many runs."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from ohmgrid.commands.options import json_option, tell
from ohmgrid.commands.outputs import print_rows
from ohmgrid.commands.stopping import Stop, stop_on_signal
from ohmgrid.commands.types import INTEGER, NUMBER, PATH
from ohmgrid.config import Config
from ohmgrid.doors.checks import parse_float, parse_int
from ohmgrid.engines import CONTINUOUS, ENGINES
from ohmgrid.imports.chosen import choose_device
from ohmgrid.storage.files import make_folder
from ohmgrid.studies.asymmetry import (
    METHODS,
    STATES,
    Study,
    read_points,
    run_study,
    summaries,
    unit,
    write_points,
)
from ohmgrid.studies.delay_effects import EFFECTS, DelayStudy, run_effects
from ohmgrid.studies.recall import RecallStudy, run_recall
from ohmgrid.training.data import load_data
from ohmgrid.training.plan import Plan

__all__ = ["study"]

TABLE, PICTURE = "asymmetry.csv", "asymmetry.png"


@click.group()
def study() -> None:
    """Comparisons that take many runs; each can be interrupted and goes on where it was."""


def _numbers(name: str, text: str) -> tuple[float, ...]:
    return tuple(parse_float(name, part.strip()) for part in text.split(","))


@study.command()
@click.option("--out", type=PATH, default=Path("asymmetry"), metavar="FOLDER", help="[asymmetry]")
@click.option("--asymmetry", default="0,0.1,0.3,0.5", metavar="N,N,...", help="[0,0.1,0.3,0.5]")
@click.option("--leak", default="0,100000", metavar="N,N,...", help="Updates; 0: none [0,100000].")
@click.option("--states", type=INTEGER, default=STATES, help=f"Steps of a device [{STATES}].")
@click.option("--methods", default=",".join(METHODS), metavar="A,B,...", help="[all]")
@click.option("--seeds", type=INTEGER, default=3, help="Runs of each [3].")
@click.option("--epochs", type=INTEGER, default=10, help="Of each run [10].")
@click.option("--lr", type=NUMBER, default=0.05, help="Learning rate [0.05].")
@click.option("--layers", default="64-32-10", metavar="N-N-...", help="Of digits [64-32-10].")
@click.option("--engine", type=click.Choice(list(ENGINES)), default="compiled", help="[compiled]")
@json_option
def asymmetry(out: Path, as_json: bool, **given: Any) -> None:
    """Compare ways of training on devices whose up and down steps differ, and that leak.

    All methods get the same devices, seeds, examples (digits) and order; docs/study.md has the
    methods. Every run goes to FOLDER/asymmetry.csv when it is done, and is not made again.
    """
    what = Study(
        asymmetries=_numbers("asymmetry", given["asymmetry"]),
        leaks=_numbers("leak", given["leak"]),
        states=given["states"],
        seeds=given["seeds"],
        epochs=given["epochs"],
        lr=given["lr"],
        layers=given["layers"],
        methods=tuple(given["methods"].split(",")),
        engine=given["engine"],
    )
    plan = Plan(layers=what.layers, lr=what.lr, epochs=what.epochs)
    formats = Config(device=unit(0.0, 0.0)).formats
    data = load_data(plan.data, formats.x_frac, formats.edge_bits)
    plan.check_fits(data)
    folder = make_folder(out)
    table = folder / TABLE
    known = read_points(table)
    console, total = Console(stderr=True), len([*what.points()])
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("runs, left"), TimeRemainingColumn())
    with (
        stop_on_signal() as stop,
        Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar,
    ):
        task = bar.add_task("", total=total)

        def on_point(points: Any) -> None:
            write_points(table, points)
            bar.update(task, advance=1)

        bar.update(task, completed=total - len(what.missing(known)))
        done = run_study(what, data, known, on_point, stop.asked)
    if len(done) < total:
        click.echo(
            f"interrupted after {len(done)} of {total} runs; the same command goes on", err=True
        )
        raise SystemExit(stop.status)
    found = summaries(done)
    # matplotlib takes a second to import.
    from ohmgrid.plots.studies import plot_asymmetry

    plot_asymmetry(
        folder / PICTURE,
        found,
        f"digits {what.layers}, {what.states:,} states, {what.epochs} epochs",
    )
    if as_json:
        rows = [
            {"method": key[0], "asymmetry": key[1], "leak": key[2], **one._asdict()}
            for key, one in found.items()
        ]
        click.echo(json.dumps({"study": "asymmetry", "rows": rows, "table": str(table)}))
        return
    console = Console()
    for leak in what.leaks:
        console.print(_table(what, found, leak))
    print_rows(console, {"runs": f"{table}", "picture": f"{folder / PICTURE}"})


def _table(what: Study, found: Any, leak: float) -> Table:
    """Return accuracies at a leak: a row for each method, a column for each asymmetry."""
    title = f"leak in {leak:,.0f} updates" if leak else "no leak"
    table = Table("up/down asymmetry", title=title, title_justify="left")
    for value in what.asymmetries:
        table.add_column(f"{value:g}", justify="right")
    for method in what.methods:
        cells = []
        for value in what.asymmetries:
            mean, error, runs = found[method, value, leak]
            spread = f" ± {100 * error:.1f}" if runs > 1 else ""
            cells.append(f"{100 * mean:.1f}{spread}")
        table.add_row(method, *cells)
    return table


@contextmanager
def _counting(total: int) -> Iterator[tuple[Callable[[Any], None], Stop]]:
    """Show how many rows are done; give what tells it, and who asks to stop."""
    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("rows, left"), TimeRemainingColumn())
    with (
        stop_on_signal() as stop,
        Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar,
    ):
        task = bar.add_task("", total=total)
        yield lambda rows: bar.update(task, completed=len(rows)), stop


def _finish(name: str, rows: Sequence[Any], total: int, stop: Stop) -> None:
    if len(rows) < total:
        click.echo(f"interrupted after {len(rows)} of {total} rows of {name}", err=True)
        raise SystemExit(stop.status)


def _mean(values: Sequence[float | None]) -> str:
    found = [value for value in values if value is not None]
    return f"{fmean(found):.4f} ({len(found)} of {len(values)})" if found else "never"


@study.command()
@click.option("--out", type=PATH, default=Path("delay"), metavar="FOLDER", help="[delay]")
@click.option("--effects", default=",".join(EFFECTS), metavar="A,B,...", help="[all]")
@click.option("--neurons", type=INTEGER, default=8, help="Of an all-inhibitory network [8].")
@click.option("--seeds", type=INTEGER, default=3, help="Of each level [3].")
@click.option("--engine", default="compiled", metavar="|".join(CONTINUOUS), help="[compiled]")
@json_option
def delay(out: Path, effects: str, neurons: int, seeds: int, engine: str, as_json: bool) -> None:
    """Measure what an analog crossbar does to the critical delay and the period of a network.

    Errors of programming, read noise, few bits, leak: docs/dynamics.md has the study.
    """
    what = DelayStudy(tuple(effects.split(",")), neurons, seeds=seeds, engine=engine)
    folder, total = make_folder(out), len([*what.points()])
    with _counting(total) as (on_rows, stop):
        rows = run_effects(what, on_rows, stop.asked)
    _finish("delay", rows, total, stop)
    from ohmgrid.plots.dynamics import plot_effects

    picture = folder / "delay.png"
    title = f"{neurons} neurons, all-inhibitory; gain {what.gain:g}, period at {what.high_gain:g}"
    plot_effects(picture, rows, title)
    if as_json:
        found = [row._asdict() for row in rows]
        click.echo(json.dumps({"study": "delay", "rows": found, "picture": str(picture)}))
        return
    console = Console()
    table = Table("effect", "level", "critical delay, RC", "period, RC")
    for row in rows:
        table.add_row(row.effect, f"{row.level:g}", _mean(row.critical), _mean(row.period))
    console.print(table)
    print_rows(console, {"picture": f"{picture}"})


@study.command()
@click.option("--out", type=PATH, default=Path("recall"), metavar="FOLDER", help="[recall]")
@click.option("--neurons", type=INTEGER, default=64, help="[64]")
@click.option("--patterns", default="2,4,6,8,10,12,16", metavar="N,N,...", help="Loads [2 to 16].")
@click.option("--delays", default="0.1,5", metavar="N,N,...", help="RC [0.1,5].")
@click.option("--gain", type=NUMBER, default=20.0, help="[20]")
@click.option("--turned", type=NUMBER, default=0.1, help="Signs turned at the beginning [0.1].")
@click.option("--device", metavar="NAME|FILE", default="gokmen-vlasov", help="[gokmen-vlasov]")
@click.option("--seeds", type=INTEGER, default=3, help="Sets of patterns [3].")
@click.option("--engine", default="compiled", metavar="|".join(CONTINUOUS), help="[compiled]")
@json_option
def recall(out: Path, device: str, as_json: bool, **given: Any) -> None:
    """Measure how often a Hopfield network finds a pattern back, exactly and on a tile.

    Over the load, with delay and with almost none: docs/dynamics.md has the study.
    """
    what = RecallStudy(
        neurons=given["neurons"],
        patterns=tuple(parse_int("patterns", one.strip()) for one in given["patterns"].split(",")),
        delays=_numbers("delays", given["delays"]),
        gain=given["gain"],
        turned=given["turned"],
        seeds=given["seeds"],
        engine=given["engine"],
    )
    settings, warnings = choose_device(device)
    tell(warnings)
    folder, total = make_folder(out), len([*what.points()])
    with _counting(total) as (on_rows, stop):
        rows = run_recall(what, settings.config().device, on_rows, stop.asked)
    _finish("recall", rows, total, stop)
    from ohmgrid.plots.dynamics import plot_recall

    picture = folder / "recall.png"
    plot_recall(picture, rows, f"{what.neurons} neurons, {100 * what.turned:g} % of signs turned")
    if as_json:
        found = [row._asdict() for row in rows]
        click.echo(json.dumps({"study": "recall", "rows": found, "picture": str(picture)}))
        return
    console = Console()
    table = Table("crossbar", "delay, RC", "patterns", "load", "recalled")
    for row in rows:
        rate = f"{100 * fmean(row.rates):.0f} %"
        table.add_row(row.crossbar, f"{row.delay:g}", f"{row.patterns}", f"{row.load:.3f}", rate)
    console.print(table)
    print_rows(console, {"picture": f"{picture}"})
