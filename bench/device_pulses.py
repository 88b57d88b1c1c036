"""Single-pulse statistics of the presets beside recorded ones of the field's reference simulator.

``python bench/device_pulses.py REFERENCE.npz`` runs every preset that the file has (arrays
``PRESET/mean``, ``std``, ``step_mean``, ``step_std``: docs/devices.md) as ``ohmgrid device`` does,
with many seeds, prints how they agree and, with ``--out DIR``, draws both. Device files named
behind it are compared with the arrays that have their stems. A recorded pulse agrees where the
means differ by at most 4 standard errors or 1 % of the range, the spreads by at most 5 % or 4
standard errors.

The standard error of one run of a quantity is its standard deviation over the seeds. That of a
recorded mean has one more part: the simulator that was recorded draws its noise from a table of
32,768 normal values for each run, whose own mean has a standard error of ``1 / sqrt(32768)``; that
makes every step of every device longer or shorter by ``dw_min_std`` times as much.
"""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track

from ohmgrid.config import Config
from ohmgrid.devices.base import Device
from ohmgrid.devices.cells import OneSided
from ohmgrid.devices.presets import PRESETS
from ohmgrid.doors.checks import ConfigError
from ohmgrid.engines import ENGINES, check_engine
from ohmgrid.plots.training import INK, SECOND_INK, save_figure
from ohmgrid.storage.files import make_folder
from ohmgrid.studies.staircase import staircase
from ohmgrid.training.settings import load_device

CELLS = 4096
"""Devices in both populations."""
ERRORS = 4.0
RANGE = 0.01
SPREAD = 0.05
TABLE = 32768
"""Values in the recorded simulator's table of normal draws."""
PROBE = 0.2
"""Relative change of ``dw_min`` that shows how the means depend on it."""


def read_reference(path: Path, devices: Iterable[str]) -> dict[str, dict[str, np.ndarray]]:
    """Return the recorded arrays of each of the devices, by our name of it."""
    names = {name.replace("-", ""): name for name in devices}
    found: dict[str, dict[str, np.ndarray]] = {}
    try:
        with np.load(path, allow_pickle=False) as file:
            for key in file.files:
                recorded, _, field = key.partition("/")
                name = names.get(recorded.lower().replace("-", ""))
                if name:
                    found.setdefault(name, {})[field] = file[key].astype(float)
    except (OSError, ValueError) as error:
        raise ConfigError(str(path), f"expected recorded statistics (.npz): {error}") from None
    if not found:
        raise ConfigError(
            str(path), "expected arrays NAME/mean of presets or given devices, found none"
        )
    return found


def table_error(device: Device, up: int, down: int, engine: str) -> np.ndarray:
    """Return the standard error of recorded means that the table of draws brings."""

    def mean(factor: float) -> np.ndarray:
        unit = replace(device.unit, dw_min=device.unit.dw_min * factor)
        changed = replace(device, device=unit) if isinstance(device, OneSided) else unit
        return staircase(Config(device=changed), up, down, CELLS, engine).arrays["mean"]

    slope = (mean(1 + PROBE) - mean(1 - PROBE)) / (2 * PROBE)
    return slope * device.unit.dw_min_std / np.sqrt(TABLE)


def agreement(
    runs: list[dict[str, np.ndarray]], theirs: dict[str, np.ndarray], table: np.ndarray
) -> dict[str, Any]:
    """Return how staircases of several seeds agree with a recorded one, as the top says."""

    def ours(name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean of a quantity, and the standard error of its difference to one run."""
        values = np.array([run[name] for run in runs])
        return values.mean(0), values.std(0, ddof=1) * np.sqrt(1 + 1 / len(runs))

    mean, error = ours("mean")
    difference = np.abs(mean - theirs["mean"])
    reach = float(np.ptp(theirs["mean"]))
    within = (difference <= ERRORS * np.hypot(error, table)) | (difference <= RANGE * reach)
    row = {
        "pulses": len(difference) - 1,
        "mean_within": float(within.mean()),
        "mean_worst": float(difference.max() / reach),
    }
    for label, name in (("spread", "std"), ("step", "step_std")):
        mean, error = ours(name)
        big = theirs[name] > 0.02 * theirs[name].max()
        ratios, errors = mean[big] / theirs[name][big], error[big] / theirs[name][big]
        far = np.abs(ratios - 1)
        row[f"{label}_ratio"] = float(np.median(ratios))
        row[f"{label}_close"] = float((far <= SPREAD).mean())
        row[f"{label}_within"] = float((far <= np.maximum(SPREAD, ERRORS * errors)).mean())
    return row


def draw(
    path: Path, ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray], title: str
) -> None:
    """Draw mean, spread and step noise of both."""
    figure = Figure(figsize=(9.0, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    for arrays, colour, style, who in (
        (theirs, SECOND_INK, "-", "recorded"),
        (ours, INK, "--", "ohmgrid"),
    ):
        pulses = np.arange(len(arrays["mean"]))
        left.plot(pulses, arrays["mean"], color=colour, linestyle=style, label=who)
        for sign in (-1, 1):
            edge = arrays["mean"] + sign * arrays["std"]
            left.plot(pulses, edge, color=colour, linestyle=style, linewidth=0.7)
        right.plot(pulses[1:], arrays["step_std"], color=colour, linewidth=0.7, label=who)
    left.set(xlabel="pulse", ylabel="weight: mean and spread", title=title)
    right.set(xlabel="pulse", ylabel="spread of a step", ylim=(0, None))
    left.legend(fontsize=8)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    save_figure(figure, path)


@click.command()
@click.argument("reference", type=Path, metavar="REFERENCE.npz")
@click.argument("files", nargs=-1, metavar="[DEVICE.toml ...]")
@click.option("--engine", default="compiled", metavar="|".join(ENGINES))
@click.option("--seeds", type=click.IntRange(2, 1000), default=12, help="Runs of each [12].")
@click.option("--out", type=Path, metavar="DIR", help="Draw both here.")
@click.option("--json", "as_json", is_flag=True)
def main(
    reference: Path,
    files: tuple[str, ...],
    engine: str,
    seeds: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Compare every preset and given device of a file of recorded single-pulse statistics."""
    check_engine(engine)
    devices = PRESETS | {Path(name).stem: load_device(Path(name)).device for name in files}
    recorded = read_reference(reference, devices)
    console = Console(stderr=as_json)
    rows = {}
    for name in track(recorded, description="", console=console, transient=True):
        theirs = recorded[name]
        pulses = len(theirs["mean"]) - 1
        up = pulses if theirs["step_mean"][-1] > 0 and name.startswith("pcm") else pulses // 2
        down, device = pulses - up, devices[name]
        runs = [
            staircase(Config(device=device, seed=seed), up, down, CELLS, engine).arrays
            for seed in range(1, seeds + 1)
        ]
        rows[name] = agreement(runs, theirs, table_error(device, up, down, engine))
        if out is not None:
            draw(make_folder(out) / f"{name}.png", runs[0], theirs, f"{name}, seed 1")
    if as_json:
        click.echo(json.dumps({"engine": engine, "seeds": seeds, "rows": rows}))
        return
    console.print(
        f"{'':16} {'mean':>14}  {'spread':>20}   {'step noise':>20}\n"
        f"{'preset':16} {'within':>7} {'worst':>6}  "
        + f"{'ratio':>5} {'5 %':>6} {'within':>6}   "
        * 2
    )
    for name, row in rows.items():
        both = "   ".join(
            f"{row[f'{part}_ratio']:5.3f} {row[f'{part}_close']:6.1%} {row[f'{part}_within']:6.1%}"
            for part in ("spread", "step")
        )
        console.print(
            f"{name:16} {row['mean_within']:7.1%} {row['mean_worst']:6.2%}  {both}",
            highlight=False,
        )


if __name__ == "__main__":
    main()
