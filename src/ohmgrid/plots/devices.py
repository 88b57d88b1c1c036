"""Pictures of devices: staircases of a population, and where alternating pulses lead it."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ohmgrid.plots.training import INK, SECOND_INK, save_figure
from ohmgrid.studies.staircase import Staircase

__all__ = ["plot_staircase", "plot_symmetry"]


def plot_staircase(path: Path, result: Staircase, up: int, title: str) -> None:
    """Draw mean, spread and single courses of a population, and its steps.

    Parameters
    ----------
    path : Path
    result : Staircase
    up : int
        Pulses that were up pulses; the others were down pulses.
    title : str
    """
    arrays = result.arrays
    pulses = np.arange(len(arrays["mean"]))
    figure = Figure(figsize=(7.2, 6.4), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    top.fill_between(pulses, arrays["q05"], arrays["q95"], color=INK, alpha=0.18, linewidth=0)
    top.plot(pulses, result.samples, color="0.55", linewidth=0.6)
    top.plot(pulses, arrays["mean"], color=INK, linewidth=2, label="mean")
    top.plot([], [], color=INK, alpha=0.3, linewidth=8, label="5 % to 95 %")
    top.plot([], [], color="0.55", linewidth=0.6, label="single cells")
    top.set(ylabel="weight", title=title)
    top.legend(loc="lower right", fontsize=8)
    bottom.plot(pulses[1:], arrays["step_mean"], color=INK, label="mean step")
    bottom.plot(pulses[1:], arrays["step_std"], color=SECOND_INK, label="spread of a step")
    bottom.set(xlabel=f"pulse ({up} up, then down)", ylabel="change by a pulse")
    bottom.legend(loc="best", fontsize=8)
    for axes in (top, bottom):
        axes.axvline(up, color="0.7", linewidth=0.8, linestyle=":")
        axes.grid(alpha=0.3)
    save_figure(figure, path)


def plot_symmetry(path: Path, result: Staircase, title: str) -> None:
    """Draw how alternating pulses lead devices to their symmetry points."""
    mean, std = result.arrays["mean"], result.arrays["std"]
    pairs = np.arange(1, len(mean) + 1)
    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    left.fill_between(pairs, mean - std, mean + std, color=INK, alpha=0.18, linewidth=0)
    left.plot(pairs, result.samples, color="0.55", linewidth=0.6)
    left.plot(pairs, mean, color=INK, linewidth=2)
    left.set(xlabel="pairs of an up and a down pulse", ylabel="weight", title=title)
    right.hist(result.final, bins=60, color=INK, alpha=0.8)
    right.set(xlabel="symmetry point", ylabel="cells")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    save_figure(figure, path)
