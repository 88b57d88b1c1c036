"""``ohmgrid sweep``: many runs of one file, shared by workers."""

import json
import os
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from ohmgrid.commands.options import json_option
from ohmgrid.commands.outputs import print_rows
from ohmgrid.commands.stopping import stop_on_signal
from ohmgrid.commands.types import INTEGER, PATH
from ohmgrid.doors.checks import ConfigError, check_int
from ohmgrid.storage.files import make_folder
from ohmgrid.sweeps.pool import Done, check_dask, run_all, workers
from ohmgrid.sweeps.spec import load_sweep
from ohmgrid.sweeps.table import ResultTable, read_results
from ohmgrid.sweeps.work import FIELDS

__all__ = ["sweep"]

RESULTS, FAILURES, PICTURE = "results.csv", "failures.csv", "sweep.png"


@click.command()
@click.argument("file", type=PATH)
@click.option("--out", type=PATH, metavar="FOLDER", help="[name of FILE without its ending]")
@click.option("--workers", "count", type=INTEGER, default=0, help="Processes [one for each core].")
@click.option("--scheduler", default="", metavar="ADDRESS", help="Of a Dask cluster instead.")
@click.option("--plot", default="", metavar="KEY[,KEY]", help="Draw accuracy over these columns.")
@json_option
def sweep(
    file: Path, out: Path | None, count: int, scheduler: str, plot: str, as_json: bool
) -> None:
    """Train every run of FILE, a configuration with a table [sweep]; docs/sweeps.md shows one.

    Each run that is done is a row of FOLDER/results.csv and is not made again: the same command
    goes on where it was stopped. Those that failed are in FOLDER/failures.csv, and are tried again.
    """
    what = load_sweep(file)
    check_dask()
    check_int("workers", count, 0, 1024)
    if what.boards and scheduler:
        raise ConfigError("scheduler", "expected none in a sweep on boards, which are here")
    keys = [key.strip() for key in plot.split(",")] if plot else []
    if len(keys) > 2:
        raise ConfigError("plot", f"expected one or two columns, got {len(keys)}")
    columns = ["run", "number", *(key for key in what.keys if key not in FIELDS), *FIELDS]
    if strange := [key for key in keys if key not in columns]:
        raise ConfigError("plot", f"expected columns of {', '.join(columns)}, got {strange[0]}")
    folder = make_folder(out or Path(file.stem))
    failed = folder / FAILURES
    console, total = Console(stderr=True), len(what.choices)
    bars = (BarColumn(), MofNCompleteColumn(), TextColumn("runs, left"), TimeRemainingColumn())
    failures = 0
    with (
        ResultTable(folder / RESULTS, columns) as table,
        stop_on_signal() as stop,
        Bar(*bars, console=console, transient=True, disable=not console.is_terminal) as bar,
    ):
        failed.unlink(missing_ok=True)
        task = bar.add_task("", total=total)
        seen: set[str] = set()

        def missing():
            """Yield the runs that the table does not have; what is listed twice is one run."""
            for run in what.runs():
                if run.name in table.known or run.name in seen:
                    bar.update(task, advance=1)
                else:
                    seen.add(run.name)
                    yield run

        def on_done(done: Done) -> None:
            nonlocal failures
            row = {"run": done.run.name, "number": done.run.number, **done.run.values}
            if done.error:
                failures += 1
                with ResultTable(failed, ["run", "number", *what.keys, "error"]) as wrong:
                    wrong.add({**row, "error": done.error})
            else:
                table.add({**row, **done.result})
            bar.update(task, advance=1)

        left = missing()
        first = next(left, None)
        if first is not None:
            processes = len(what.boards) or count or os.cpu_count() or 1
            with workers(processes, scheduler) as client:
                rest = (run for part in ([first], left) for run in part)
                run_all(client, rest, what.engine, on_done, stop.asked, what.boards)
        done = len(table.known)
    if stop.asked():
        click.echo(
            f"interrupted: {done} rows in {folder / RESULTS}; the same command goes on", err=True
        )
        raise SystemExit(stop.status)
    _report(folder, done, failures, keys, file.name, as_json)


def _report(
    folder: Path, done: int, failures: int, keys: list[str], title: str, as_json: bool
) -> None:
    """Print what the sweep came to, and draw it where that is asked for."""
    rows = read_results(folder / RESULTS)
    if keys:
        # matplotlib takes a second to import.
        from ohmgrid.plots.sweeps import plot_sweep

        plot_sweep(folder / PICTURE, rows, keys, title)
    best = max(rows, key=lambda row: float(row["test_accuracy"]), default=None)
    result: dict[str, Any] = {
        "rows": done,
        "failed": failures,
        "best": best,
        "results": str(folder / RESULTS),
        "failures": str(folder / FAILURES) if failures else None,
        "picture": str(folder / PICTURE) if keys else None,
    }
    if as_json:
        print(json.dumps(result))
    else:
        lines = {"runs": f"{done} done, {failures} failed"}
        if best:
            accuracy = float(best["test_accuracy"])
            lines["best"] = f"{accuracy:.2%}: run {best['number']}, {best['run']}"
        lines |= {name: result[name] for name in ("results", "failures", "picture") if result[name]}
        print_rows(Console(), lines)
    if failures:
        raise SystemExit(1)
