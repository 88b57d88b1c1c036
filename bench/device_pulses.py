"""Single-pulse statistics of the presets beside recorded ones of the field's reference simulator.

``python bench/device_pulses.py REFERENCE.npz`` runs every preset that the file has (arrays
``PRESET/mean``, ``std``, ``step_mean``, ``step_std``: docs/devices.md) as ``ohmgrid device`` does,
prints how they agree and, with ``--out DIR``, draws both. A recorded pulse agrees where the means
differ by at most 4 standard errors or 1 % of the range, the spreads by at most 5 % (or what 4
standard errors of a spread of so many cells allow).
"""

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track

from ohmgrid.checks import ConfigError
from ohmgrid.config import Config
from ohmgrid.engines import ENGINES, check_engine
from ohmgrid.files import make_folder
from ohmgrid.plots import INK, SECOND_INK, save_figure
from ohmgrid.presets import PRESETS
from ohmgrid.staircase import staircase

CELLS = 4096
"""Devices in both populations."""
ERRORS = 4.0
RANGE = 0.01
SPREAD = 0.05
SPREAD_ERROR = ERRORS / np.sqrt(CELLS)
"""Relative error of the ratio of two spreads of so many cells: sqrt(2) / sqrt(2 cells) each."""


def read_reference(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Return the recorded arrays of each preset, by our name of it."""
    names = {name.replace("-", ""): name for name in PRESETS}
    found: dict[str, dict[str, np.ndarray]] = {}
    try:
        with np.load(path, allow_pickle=False) as file:
            for key in file.files:
                preset, _, field = key.partition("/")
                if preset.lower() in names:
                    found.setdefault(names[preset.lower()], {})[field] = file[key].astype(float)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: expected recorded statistics (.npz): {error}") from None
    if not found:
        raise ConfigError(f"{path}: expected arrays PRESET/mean of known presets, found none")
    return found


def agreement(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return how two staircases agree; see the top of this file for the limits."""
    error = np.hypot(ours["std"], theirs["std"]) / np.sqrt(CELLS)
    difference = np.abs(ours["mean"] - theirs["mean"])
    reach = float(np.ptp(theirs["mean"]))
    within = (difference <= ERRORS * error) | (difference <= RANGE * reach)

    def ratio(name: str) -> tuple[float, float]:
        big = theirs[name] > 0.02 * theirs[name].max()
        ratios = ours[name][big] / theirs[name][big]
        allowed = max(SPREAD, SPREAD_ERROR)
        return float(np.median(ratios)), float((np.abs(ratios - 1) <= allowed).mean())

    return {
        "pulses": len(difference) - 1,
        "mean_within": float(within.mean()),
        "mean_worst": float(difference.max() / reach),
        "spread_ratio": ratio("std")[0],
        "spread_within": ratio("std")[1],
        "step_ratio": ratio("step_std")[0],
        "step_within": ratio("step_std")[1],
    }


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
@click.option("--engine", default="compiled", metavar="|".join(ENGINES))
@click.option("--seed", type=int, default=1)
@click.option("--out", type=Path, metavar="DIR", help="Draw both here.")
@click.option("--json", "as_json", is_flag=True)
def main(reference: Path, engine: str, seed: int, out: Path | None, as_json: bool) -> None:
    """Compare every preset of a file of recorded single-pulse statistics."""
    check_engine(engine)
    recorded = read_reference(reference)
    console = Console(stderr=as_json)
    rows = {}
    for name in track(recorded, description="", console=console, transient=True):
        theirs = recorded[name]
        pulses = len(theirs["mean"]) - 1
        up = pulses if theirs["step_mean"][-1] > 0 and name.startswith("pcm") else pulses // 2
        found = staircase(Config(device=PRESETS[name], seed=seed), up, pulses - up, CELLS, engine)
        rows[name] = agreement(found.arrays, theirs)
        if out is not None:
            draw(make_folder(out) / f"{name}.png", found.arrays, theirs, f"{name}, seed {seed}")
    if as_json:
        click.echo(json.dumps({"engine": engine, "seed": seed, "rows": rows}))
        return
    console.print(
        f"{'preset':16} {'pulses':>6}  {'mean within':>11} {'worst':>6}  "
        f"{'spread':>6} {'within':>6}  {'step':>6} {'within':>6}"
    )
    for name, row in rows.items():
        console.print(
            f"{name:16} {row['pulses']:6d}  {row['mean_within']:11.1%} {row['mean_worst']:6.2%}  "
            f"{row['spread_ratio']:6.3f} {row['spread_within']:6.1%}  "
            f"{row['step_ratio']:6.3f} {row['step_within']:6.1%}",
            highlight=False,
        )


if __name__ == "__main__":
    main()
