"""``ohmgrid device`` and ``symmetry``: the response of a population of devices."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from ohmgrid.commands.options import (
    class_option,
    json_option,
    tell,
)
from ohmgrid.commands.outputs import check_new, force_option, free_file, print_rows
from ohmgrid.commands.types import INTEGER, PATH
from ohmgrid.config import Config
from ohmgrid.devices.base import Device
from ohmgrid.devices.presets import device_name
from ohmgrid.doors.checks import ConfigError
from ohmgrid.engines import CHOICES, check_engine
from ohmgrid.imports.chosen import choose_device
from ohmgrid.storage.files import write_whole
from ohmgrid.studies.staircase import staircase, symmetry_point, usual_pulses
from ohmgrid.training.identity import identity

_ARGUMENT = click.argument("device", metavar="NAME|FILE")
_CELLS = click.option("--cells", type=INTEGER, default=4096, help="Devices of a population [4096].")
_SEED = click.option("--seed", type=INTEGER, default=1, help="Seed of all noise [1].")
_ENGINE = click.option("--engine", default="compiled", metavar=CHOICES, help="Engine [compiled].")
_REQUESTS = click.option(
    "--requests", is_flag=True, help="Updates that ask for a step of dw_min, instead of pulses."
)
_OUT = click.option("--out", type=PATH, metavar="FILE.npz", help="Write all statistics.")
_PLOT = click.option("--plot", is_flag=True, help="Draw them, beside --out or here, as PNG.")


@contextmanager
def _bar(console: Console, total: int) -> Iterator[Any]:
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("pulses, left"), TimeRemainingColumn())
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total)
        yield lambda done: bar.update(task, completed=done)


def _picture(out: Path | None, name: str) -> Path:
    """Return where a picture goes: beside the file of results, or a free name here."""
    return out.with_suffix(".png") if out else free_file(Path(f"{name}.png"))


def _write_arrays(path: Path, arrays: dict[str, Any]) -> None:
    write_whole(path, lambda file: np.savez_compressed(file, **arrays))


def _report(console: Console, facts: dict[str, Any], rows: dict[str, Any], as_json: bool) -> None:
    """Print the facts of a population as JSON, or its rows for people."""
    if as_json:
        click.echo(json.dumps(facts))
        return
    head = "{device}, {cells} cells, seed {seed}, engine {engine}".format(**facts)
    files = {key: facts[key] for key in ("out", "plot") if key in facts}
    print_rows(console, {"device": head} | rows | files)


def _check_out(out: Path | None, plot: bool, force: bool) -> None:
    """Raise `ConfigError` unless the results can go to ``out``."""
    if out is None:
        return
    if out.suffix != ".npz":
        raise ConfigError("out", f"expected a file FILE.npz, got {out}")
    if not out.absolute().parent.is_dir():
        raise ConfigError("out", f"expected a file in an existing folder, got {out}")
    check_new("out", force, out, *([out.with_suffix(".png")] if plot else []))


def _device(name: str, kind: str | None) -> Device:
    """Return the device that a user names."""
    settings, warnings = choose_device(name, kind)
    tell(warnings)
    return settings.config().device


@click.command()
@_ARGUMENT
@class_option
@click.option("--up", type=INTEGER, help="Up pulses first [enough to saturate, at most 1000].")
@click.option("--down", type=INTEGER, help="Down pulses then [as many].")
@_REQUESTS
@_CELLS
@_SEED
@_ENGINE
@_OUT
@_PLOT
@force_option
@json_option
def device(
    device: str,
    device_class: str | None,
    up: int | None,
    down: int | None,
    requests: bool,
    cells: int,
    seed: int,
    engine: str,
    out: Path | None,
    plot: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Pulse a population of devices up and down, starting at w = 0.

    Every device takes exactly as many pulses as are asked for. --out writes the arrays mean std q05
    q50 q95 (after each pulse, over the cells) and step_mean step_std (of each pulse), in weight
    units.
    """
    check_engine(engine)
    _check_out(out, plot, force)
    chosen = _device(device, device_class)
    up = usual_pulses(chosen) if up is None else up
    down = up if down is None else down
    config, console = Config(seed=seed, device=chosen), Console(stderr=as_json)
    with _bar(console, up + down) as on_pulse:
        result = staircase(config, up, down, cells, engine, requests, on_pulse=on_pulse)
    arrays = result.arrays
    name = device_name(chosen)
    facts: dict[str, Any] = {
        **identity(config),
        "device": name,
        "engine": engine,
        "cells": cells,
        "requests": requests,
        "up": up,
        "down": down,
        "mean_up": float(arrays["mean"][up]),
        "std_up": float(arrays["std"][up]),
        "mean_down": float(arrays["mean"][-1]),
        "std_down": float(arrays["std"][-1]),
    }
    if out is not None:
        _write_arrays(out, arrays)
        facts["out"] = str(out)
    if plot:
        from ohmgrid.plots.devices import plot_staircase

        picture = _picture(out, name)
        plot_staircase(picture, result, up, f"{name}, {cells} cells, seed {seed}")
        facts["plot"] = str(picture)
    rows = {
        f"{up} up": f"mean {facts['mean_up']:+.4f}, spread {facts['std_up']:.4f}",
        f"{down} down": f"mean {facts['mean_down']:+.4f}, spread {facts['std_down']:.4f}",
    }
    if up:
        first = arrays["step_mean"][0], arrays["step_std"][0]
        rows["first pulse"] = f"mean {first[0]:+.5f}, spread {first[1]:.5f}"
    _report(console, facts, rows, as_json)


@click.command()
@_ARGUMENT
@class_option
@click.option("--pairs", type=INTEGER, default=1000, help="Pairs of an up and a down pulse [1000].")
@_REQUESTS
@_CELLS
@_SEED
@_ENGINE
@_OUT
@_PLOT
@force_option
@json_option
def symmetry(
    device: str,
    device_class: str | None,
    pairs: int,
    requests: bool,
    cells: int,
    seed: int,
    engine: str,
    out: Path | None,
    plot: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Measure symmetry points: alternate up and down pulses until devices settle.

    A cell's symmetry point is its mean weight over the last quarter of the pairs. --out writes the
    arrays symmetry_point (of each cell) and mean std (after each pair).
    """
    check_engine(engine)
    _check_out(out, plot, force)
    chosen = _device(device, device_class)
    config, console = Config(seed=seed, device=chosen), Console(stderr=as_json)
    with _bar(console, pairs) as on_pulse:
        result = symmetry_point(config, pairs, cells, engine, requests, on_pulse)
    name = device_name(chosen)
    facts: dict[str, Any] = {
        **identity(config),
        "device": name,
        "engine": engine,
        "cells": cells,
        "requests": requests,
        "pairs": pairs,
        "mean": float(result.final.mean()),
        "std": float(result.final.std()),
    }
    if out is not None:
        _write_arrays(out, {"symmetry_point": result.final, **result.arrays})
        facts["out"] = str(out)
    if plot:
        from ohmgrid.plots.devices import plot_symmetry

        picture = _picture(out, f"{name}-symmetry")
        plot_symmetry(picture, result, f"{name}, {cells} cells, seed {seed}")
        facts["plot"] = str(picture)
    rows = {
        "symmetry point": f"mean {facts['mean']:+.4f}, spread {facts['std']:.4f}, "
        f"after {pairs} pairs",
    }
    _report(console, facts, rows, as_json)
