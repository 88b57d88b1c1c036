"""``ohmgrid fit``: measured pulses become a device, or one line says why not."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from ohmgrid.commands.options import json_option, tell
from ohmgrid.commands.outputs import check_new, force_option, print_rows
from ohmgrid.commands.types import INTEGER, NUMBER, PATH
from ohmgrid.config import Config
from ohmgrid.devices.base import StepDevice
from ohmgrid.devices.table_step import TableStep
from ohmgrid.doors.checks import ConfigError, check_choice, check_float
from ohmgrid.measurements.candidates import CLASSES
from ohmgrid.measurements.courses import StepCurve
from ohmgrid.measurements.reader import Hints, read_measurement
from ohmgrid.measurements.retention import Retention, read_retention
from ohmgrid.measurements.step_tables import StepTables, are_step_tables, read_step_tables
from ohmgrid.storage.files import write_whole
from ohmgrid.training.identity import identity
from ohmgrid.training.settings import device_to_toml

if TYPE_CHECKING:
    from ohmgrid.measurements.fitting import Fit, Trial

UNTRUSTED = 3
"""Exit status under --strict of a fit that is not to be trusted."""


def _finite(value: float) -> float | None:
    """Return a figure, or nothing where there is none: JSON knows no infinity."""
    return value if np.isfinite(value) else None


def _candidate(trial: "Trial") -> dict[str, Any]:
    """Return what is said of one class."""
    if trial.problem:
        return {"class": trial.kind, "problem": trial.problem}
    return {
        "class": trial.kind,
        "misfit": trial.misfit,
        "held_out": trial.held_out,
        "dw_min": trial.step,
        "dw_min_error": _finite(trial.step_error),
        "dw_min_std": trial.noise.step,
        "behind": _finite(trial.behind),
        "up_down": _finite(trial.ratio),
    }


def _warnings(fit: "Fit") -> list[str]:
    """Return what a user should know of a fit."""
    found = list(fit.measurement.warnings)
    if not fit.trusted:
        found.append(
            f"the fit is off by {fit.chosen.misfit:.1%} of the range (above {fit.limit:.0%}): this "
            "is not the measured device; look at the picture, try --nodes with more nodes, or "
            "leave out values that belong to other pulses"
        )
    if len(fit.left_out):
        found.append(
            f"{len(fit.left_out)} of {len(fit.train.values)} values are far from all others (by up "
            f"to {fit.left_out.max():.0%} of the range) and left out"
        )
    if fit.chosen.noise.step > 7.9:
        found.append(f"dw_min_std: {fit.chosen.noise.step:.1f} was found, 7.9 is the most there is")
    return found


def _facts(fit: "Fit") -> dict[str, Any]:
    """Return the figures of a fit."""
    device = fit.device
    counts = [len(course.values) for course in fit.measurement.courses]
    return {
        "class": device.kind,
        "dw_min": fit.chosen.step,
        "dw_min_error": _finite(fit.chosen.step_error),
        "alike": list(fit.alike),
        "dw_min_std": device.dw_min_std,
        "dw_min_std_error": fit.chosen.noise.error,
        "dw_min_dtod": device.dw_min_dtod,
        "write_noise": fit.chosen.noise.read,
        "misfit": fit.chosen.misfit,
        "held_out": fit.chosen.held_out,
        "floor": fit.floor,
        "trusted": fit.trusted,
        "devices": len(fit.devices.pulses),
        "values": sum(counts),
        "scale": fit.devices.scale,
        "offset": fit.devices.offset,
        "unit": fit.measurement.unit,
        "parameters": asdict(device),
        "candidates": [_candidate(trial) for trial in fit.trials],
        "read": fit.measurement.read,
        "warnings": _warnings(fit),
    }


def _step_facts(device: StepDevice, read: str) -> dict[str, Any]:
    """Return the figures of a device whose steps were given: there is nothing to fit."""
    from ohmgrid.measurements.replay import mean_steps

    up, down = (float(side[0]) for side in mean_steps(device, np.zeros(1)))
    candidate = {
        "class": device.kind, "misfit": 0.0, "held_out": 0.0, "behind": 0.0,
        "dw_min": (up + down) / 2, "dw_min_std": 0.0, "up_down": up / down if down > 0 else None,
    }  # fmt: skip
    return {
        "class": device.kind, "dw_min": (up + down) / 2, "dw_min_std": 0.0, "misfit": 0.0,
        "floor": 0.0, "trusted": True, "parameters": asdict(device), "candidates": [candidate],
        "read": read, "warnings": [],
    }  # fmt: skip


def _table_facts(tables: StepTables) -> dict[str, Any]:
    """Return the figures of a device that draws its steps from two lookup tables."""
    low, high = tables.low, tables.high
    read = (
        f"lookup tables of steps, {low:.6g} to {high:.6g} S: steps are drawn from the measured "
        "distributions, devices alike"
    )
    scale = {"scale": (high - low) / 2, "offset": (high + low) / 2, "unit": "S"}
    return {**_step_facts(tables.device, read), **scale, "g_min": low, "g_max": high}


def _retention_facts(found: Retention, update_time: float | None) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "lifetime_s": found.lifetime_s,
        "retention_misfit": found.misfit,
        "retention_read": found.read,
    }
    if update_time is not None:
        facts["lifetime"] = found.lifetime_s / update_time
    return facts


def _table(facts: dict[str, Any]) -> Table:
    """Return the classes that were tried, best first."""
    table = Table(box=None, pad_edge=False, header_style="")
    for name in ("class", "misfit", "floor", "held out", "behind", "dw_min", "noise", "up/down"):
        table.add_column(name, justify="left" if name == "class" else "right")
    for one in facts["candidates"]:
        if "problem" in one:
            table.add_row(one["class"], one["problem"])
            continue
        balance, behind = one["up_down"], one["behind"]
        table.add_row(
            one["class"], f"{one['misfit']:.2%}", f"{facts['floor']:.2%}",
            f"{one['held_out']:.2%}", "-" if behind is None else f"{behind:.1f}",
            f"{one['dw_min']:.5f}", f"{one['dw_min_std']:.0%}",
            "-" if balance is None else f"{balance:.2f}",
        )  # fmt: skip
    return table


def _noise(step: float, error: float) -> str:
    """Return a noise of steps with its error; where none was found, what it may be."""
    if step > 0:
        return f"{step:.0%} +- {error:.0%}"
    return f"at most {error:.0%}" if error > 0 else "0%"


def _print(facts: dict[str, Any]) -> None:
    console, rows = Console(), {}
    if "read" in facts:
        print_rows(console, {"read": facts["read"]})
        console.print(_table(facts), soft_wrap=True, highlight=False, markup=False)
        rows["class"] = facts["class"]
        if facts.get("alike"):
            rows["class"] += f", cannot be told from {', '.join(facts['alike'])}"
        if "write_noise" in facts:
            error = facts["dw_min_error"]
            sure = "" if error is None else f" +- {error / facts['dw_min']:.1%}"
            rows["dw_min"] = f"{facts['dw_min']:.5f}{sure}, of half the range"
            rows["noise"] = (
                f"of steps {_noise(facts['dw_min_std'], facts['dw_min_std_error'])} of a step, of "
                f"reads {facts['write_noise'] / 2:.2%} of the range"
            )
    if "lifetime_s" in facts:
        updates = f", {facts['lifetime']:.6g} updates" if "lifetime" in facts else ""
        rows["retention"] = facts["retention_read"]
        rows["lifetime"] = (
            f"{facts['lifetime_s']:.6g} s{updates} (misfit "
            f"{facts['retention_misfit']:.2%} of the first value)"
        )
    print_rows(console, rows | {name: facts[name] for name in ("device", "plot") if name in facts})


def _toml(device: StepDevice, facts: dict[str, Any]) -> bytes:
    """Return a fitted device as the text of a TOML file."""
    lines = [f"# {facts['read']}", f"# Misfit {facts['misfit']:.2%} of the measured range."]
    if "scale" in facts:
        lines.append(
            f"# One weight unit is {facts['scale']:.6g} {facts['unit']}".rstrip()
            + f" of the measured values, w = 0 is {facts['offset']:.6g}."
        )
    lines += [f"# Warning: {warning}" for warning in facts["warnings"]]
    text = "\n".join(" ".join(line.split()) for line in lines)
    return f"{text}\n{device_to_toml(device)}".encode()


@click.command()
@click.argument("data", nargs=-1, type=PATH, metavar="[FILE [FILE]|FOLDER]")
@click.option("--out", type=PATH, metavar="FILE.toml", help="The device [beside the data].")
@click.option("--class", "kind", metavar="|".join(CLASSES), help="Take this class [the best].")
@click.option("--nodes", type=INTEGER, help="Nodes of PiecewiseStep, 2..64 [as many as it needs].")
@click.option("--column", multiple=True, metavar="NAME", help="Column of values (more: devices).")
@click.option("--unit", default="", metavar="NAME", help="Unit of the values: uS, kohm, counts ...")
@click.option("--up", default="", metavar="N|COLUMN", help="Up pulses in a row, or their column.")
@click.option("--down", default="", metavar="N|COLUMN", help="Down pulses, likewise.")
@click.option("--positive", default="", metavar="up|down", help="What V > 0 does [by the data].")
@click.option("--steps", is_flag=True, help="The columns are steps on equal bins of the weight.")
@click.option("--retention", type=PATH, metavar="FILE", help="Readings over time: a lifetime.")
@click.option("--update-time", type=NUMBER, help="Seconds of an update: the lifetime in updates.")
@click.option("--strict", is_flag=True, help=f"Exit with {UNTRUSTED} where the fit is not good.")
@force_option
@json_option
def fit(
    data: tuple[Path, ...],
    out: Path | None,
    kind: str | None,
    nodes: int | None,
    column: tuple[str, ...],
    unit: str,
    up: str,
    down: str,
    positive: str,
    steps: bool,
    retention: Path | None,
    update_time: float | None,
    strict: bool,
    force: bool,
    as_json: bool,
) -> int:
    """Make a device of measured pulses, and draw data, fit and what is left.

    FILE is a table of conductances, currents, resistances or counts after each pulse, in nearly any
    form (docs/measurements.md); two files are the up and the down branch. The device file works
    wherever a device is named: --device FILE.toml. Two lookup tables of steps, or the folder that
    they are in, become a device that draws its steps from them.
    """
    if not data and retention is None:
        raise ConfigError("data", "expected a file of measured pulses, or --retention FILE")
    if kind is not None:
        check_choice("class", kind, CLASSES)
    if positive:
        check_choice("positive", positive, ("up", "down"))
    if bool(up) != bool(down) or (up and up.isdigit() != down.isdigit()):
        raise ConfigError("up, down", "expected both, as numbers of pulses or as columns")
    if update_time is not None:
        check_float("update-time", update_time, 1e-12, 1e12)
        if retention is None:
            raise ConfigError("update-time", "expected --retention FILE with it")
    facts: dict[str, Any] = {}
    lasting = None if retention is None else read_retention(retention)
    if lasting is not None:
        facts |= _retention_facts(lasting, update_time)
    if data:
        hints = Hints(column, unit, up, down, positive, steps)
        facts = _fit_files(data, hints, out, kind, nodes, force, facts)
    tell(facts.get("warnings", ()))
    if as_json:
        click.echo(json.dumps(facts))
    else:
        _print(facts)
    return UNTRUSTED if strict and not facts.get("trusted", True) else 0


def _fit_files(
    data: Sequence[Path],
    hints: Hints,
    out: Path | None,
    kind: str | None,
    nodes: int | None,
    force: bool,
    more: dict[str, Any],
) -> dict[str, Any]:
    """Fit a device to files, write it with its picture, and return all that is to be said."""
    # What takes a second to import: SciPy, numba and matplotlib.
    from ohmgrid.measurements.fitting import device_of_steps, fit_measurement
    from ohmgrid.plots.measurements import plot_fit, plot_step_tables, plot_steps

    tables = are_step_tables(*data)
    first = data[0].absolute()
    # Two tables are one device: named after neither.
    beside = first.parent / "steps" if tables and len(data) > 1 else first
    out = out or beside.with_suffix(".toml")
    if out.suffix != ".toml":
        raise ConfigError("out", f"expected a file FILE.toml, got {out}")
    picture = out.with_suffix(".png")
    check_new("out", force, out, picture)
    found = None
    measured = None if tables else read_measurement(data, hints)
    if measured is None:
        read = read_step_tables(*data)
        device: StepDevice = read.device
        facts = _table_facts(read)
    elif isinstance(measured, StepCurve):
        device = device_of_steps(measured)
        facts = _step_facts(device, measured.read)
    else:
        try:
            found = fit_measurement(measured, kind, nodes)
        except ConfigError as error:
            raise error.at(data[0]) if error.name == "measurement" else error from None
        device, facts = found.device, _facts(found)
    if "lifetime" in more:
        device = replace(device, lifetime=more["lifetime"])
        facts["parameters"] = asdict(device)
    text = _toml(device, facts)
    write_whole(out, lambda file: file.write(text))
    if found is not None:
        plot_fit(picture, found, data[0].name)
    elif isinstance(device, TableStep):
        plot_step_tables(picture, device, data[0].name)
    else:
        plot_steps(picture, device, data[0].name)
    told = identity(Config(device=device))
    origin = {name: told[name] for name in ("version", "device_sha256")}
    return facts | more | origin | {"device": str(out), "plot": str(picture)}
