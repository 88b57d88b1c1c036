"""Picture of a net on phase-change memory: accuracy over time."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from ohmgrid.plots.training import INK, SECOND_INK, save_figure
from ohmgrid.studies.times import show_after

__all__ = ["plot_retention"]

TICKS = (3600, 86400, 30 * 86400, 365 * 86400, 10 * 365 * 86400, 100 * 365 * 86400)
"""Seconds at which the axis of times has a mark, where they are within it."""


def plot_retention(
    path: Path, rows: Sequence[Mapping[str, Any]], exact: float, t_0: float, title: str
) -> None:
    """Draw accuracy over time, with and without drift compensation, and their standard errors.

    Parameters
    ----------
    path : Path
    rows : sequence of mappings
        With ``seconds``, ``accuracy``, ``compensated`` and of both ``..._error`` (None: unknown).
    exact : float
        Accuracy with the weights themselves.
    t_0 : float
        Seconds from programming to the first reading, which is at 0.
    title : str
    """
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    times = [row["seconds"] + t_0 for row in rows]
    for name, what, colour, mark in (
        ("compensated", "with drift compensation", INK, "o-"),
        ("accuracy", "without", SECOND_INK, "s--"),
    ):
        heights = [100 * row[name] for row in rows]
        errors = [100 * (row[f"{name}_error"] or 0.0) for row in rows]
        axes.errorbar(
            times, heights, errors, fmt=mark, color=colour, label=what, capsize=3, markersize=4
        )
    axes.axhline(100 * exact, color="0.6", linewidth=0.8, linestyle=":", label="before")
    axes.set(xscale="log", xlabel="time since programming", ylabel="test accuracy, %", title=title)
    marks = [mark for mark in (t_0, *TICKS) if times[0] <= mark <= 1.5 * times[-1]]
    axes.set_xticks(marks if len(marks) > 1 else sorted({times[0], times[-1]}))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, place: show_after(int(seconds))))
    axes.minorticks_off()
    axes.legend(loc="lower left", fontsize=8)
    axes.grid(alpha=0.3)
    save_figure(figure, path)
