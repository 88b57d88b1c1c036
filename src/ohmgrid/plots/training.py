"""Pictures of a training run, drawn without a display."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ohmgrid.engines import ENGINES
from ohmgrid.storage.files import write_whole

__all__ = [
    "INK",
    "SECOND_INK",
    "plot_accuracy",
    "plot_conductances",
    "plot_speeds",
    "plot_weights",
    "save_figure",
]

INK = "#1b4b8f"
SECOND_INK = "#c8553d"


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    # Without the version in it, the same run gives the same file.
    write_whole(
        path,
        lambda file: figure.savefig(file, format="png", dpi=120, metadata={"Software": "ohmgrid"}),
    )


def plot_accuracy(path: Path, history: Sequence[Mapping[str, Any]], title: str) -> None:
    """Draw test accuracy and training loss over the epochs.

    Parameters
    ----------
    path : Path
    history : sequence of mappings
        Rows with ``epoch``, ``test_accuracy`` and ``train_loss`` (None before the first epoch).
    title : str
    """
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    left = figure.subplots()
    right = left.twinx()
    epochs = [row["epoch"] for row in history]
    left.plot(epochs, [100 * row["test_accuracy"] for row in history], "o-", color=INK)
    trained = [row for row in history if row["train_loss"] is not None]
    right.plot(
        [row["epoch"] for row in trained],
        [row["train_loss"] for row in trained],
        "s--",
        color=SECOND_INK,
        markersize=4,
    )
    left.set(xlabel="epoch", ylim=(0, 100), title=title)
    left.set_ylabel("test accuracy, %", color=INK)
    right.set_ylabel("training loss", color=SECOND_INK)
    right.set_ylim(bottom=0)
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.grid(alpha=0.3)
    save_figure(figure, path)


def plot_conductances(
    path: Path, before: Sequence[np.ndarray], after: Sequence[np.ndarray], lsb: float, title: str
) -> None:
    """Draw the conductance map of every tile before and after training, and their difference.

    Parameters
    ----------
    path : Path
    before, after : sequences of int arrays, shape (rows, columns)
        Weight LSB; one array for each tile.
    lsb : float
        One weight LSB in weight units.
    title : str
    """
    heights = [0.6 + 3.2 * min(1.0, w.shape[0] / w.shape[1]) for w in before]
    figure = Figure(figsize=(12.0, 0.6 + sum(heights)), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(len(before), 3, squeeze=False, height_ratios=heights)
    for number, (old, new) in enumerate(zip(before, after, strict=True)):
        maps = (("before", old), ("after", new), ("change", new.astype(np.int64) - old))
        reach = max(float(np.abs(values).max()) for _, values in maps) * lsb or 1.0
        norm = TwoSlopeNorm(0.0, -reach, reach)
        colours = ScalarMappable(norm, "RdBu_r")
        for ax, (what, values) in zip(axes[number], maps, strict=True):
            ax.imshow(
                values * lsb, cmap=colours.cmap, norm=norm, aspect="auto", interpolation="nearest"
            )
            ax.set_title(f"tile {number}, {what}", fontsize=10)
            ax.set_xlabel("input line (last: bias)", fontsize=8)
            ax.tick_params(labelsize=8)
        axes[number][0].set_ylabel("output line", fontsize=8)
        figure.colorbar(colours, ax=list(axes[number]), label="weight", shrink=0.9)
    save_figure(figure, path)


def plot_weights(
    path: Path, history: Sequence[Mapping[str, Any]], number: int, full: float, title: str
) -> None:
    """Draw how the weights of each layer are distributed, epoch by epoch, and how many devices
    stand at a bound.

    Parameters
    ----------
    path : Path
    history : sequence of mappings
        Rows with ``epoch`` and ``layers``, as `ohmgrid.training.session.Session` has them.
    number : int
        Bins of a whole histogram.
    full : float
        Weight units of its right edge; the left one is minus that.
    title : str
    """
    epochs = [row["epoch"] for row in history]
    layers = history[-1]["layers"]
    names = [name for name in layers[0] if name != "at_bounds"]
    size = (0.8 + 3.4 * (len(names) + 1), 0.6 + 2.4 * len(layers))
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(len(layers), len(names) + 1, squeeze=False)
    edges = np.linspace(-full, full, number + 1)
    # An epoch's column is around its number.
    times = np.append(np.array(epochs) - 0.5, epochs[-1] + 0.5)
    for layer, places in enumerate(axes):
        for ax, name in zip(places, names, strict=False):
            counts = np.zeros((number, len(history)))
            for column, row in enumerate(history):
                one = row["layers"][layer][name]
                counts[one["first"] : one["first"] + len(one["counts"]), column] = one["counts"]
            held = np.flatnonzero(counts.any(axis=1))
            low, high = held[0], held[-1] + 1
            shares = counts[low:high] / counts.sum(axis=0)
            shown = np.ma.masked_equal(shares, 0)
            image = ax.pcolormesh(times, edges[low : high + 1], shown, cmap="viridis", norm="log")
            figure.colorbar(image, ax=ax, label="part in a bin")
            ax.set_title(f"layer {layer}: {name}", fontsize=10)
            ax.set(xlabel="epoch", ylabel="weight units")
        bounds = [100 * row["layers"][layer]["at_bounds"] for row in history]
        places[-1].plot(epochs, bounds, "o-", color=INK, markersize=3)
        places[-1].set_title(f"layer {layer}: devices at a bound", fontsize=10)
        places[-1].set(xlabel="epoch", ylabel="%")
        places[-1].set_ylim(bottom=0)
        for ax in places:
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
            ax.tick_params(labelsize=8)
    save_figure(figure, path)


def plot_speeds(path: Path, rows: Sequence[Mapping[str, Any]], title: str) -> None:
    """Draw training speeds as bars, on a logarithmic axis, with their spreads.

    Parameters
    ----------
    path : Path
    rows : sequence of mappings
        With ``engine``, ``device``, ``batch``, ``threads``, ``examples_per_s`` and ``spread``.
    title : str
    """
    names, colours = [], []
    for row in rows:
        threads = "" if row["threads"] == 1 else f", {row['threads']} threads"
        names.append(f"{row['engine']}, {row['device']}, batch {row['batch']}{threads}")
        colours.append(INK if row["engine"] in ENGINES else SECOND_INK)
    figure = Figure(figsize=(8.0, 1.2 + 0.32 * len(rows)), layout="constrained")
    axes = figure.subplots()
    speeds = np.array([row["examples_per_s"] for row in rows])
    spreads = np.array([row["spread"] for row in rows]).T
    axes.barh(names, speeds, color=colours, xerr=np.abs(spreads - speeds), ecolor="0.3")
    for place, speed in enumerate(speeds):
        axes.annotate(f" {speed:,.0f}", (spreads[1, place], place), va="center", fontsize=8)
    axes.set(xscale="log", xlabel="training examples a second", title=title)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.grid(axis="x", alpha=0.3)
    save_figure(figure, path)
