"""Pictures of a sweep's table: accuracy over one parameter, or over two."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
from matplotlib.figure import Figure

from ohmgrid.doors.checks import ConfigError
from ohmgrid.plots.training import save_figure

__all__ = ["plot_sweep"]


def _sorted(values: set[str]) -> list[str]:
    """Return values in their order: numbers as numbers."""
    try:
        return sorted(values, key=float)
    except ValueError:
        return sorted(values)


def plot_sweep(path: Path, rows: Sequence[dict[str, str]], keys: Sequence[str], title: str) -> None:
    """Draw the mean test accuracy of all runs over one or two of their parameters.

    Parameters
    ----------
    path : Path
    rows : sequence of dict
        As from `ohmgrid.sweeps.table.read_results`.
    keys : sequence of str
        One column (each run is a point, means are a line) or two (a map).
    title : str

    Raises
    ------
    ConfigError
        If there is no such column, or no row.
    """
    for key in keys:
        if not rows or key not in rows[0]:
            there = ", ".join(rows[0]) if rows else "no rows"
            raise ConfigError("plot", f"expected columns of the table ({there}), got {key}")
    found: dict[tuple[str, ...], list[float]] = {}
    for row in rows:
        place = tuple(row[key] for key in keys)
        found.setdefault(place, []).append(100 * float(row["test_accuracy"]))
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.subplots()
    across = _sorted({place[0] for place in found})
    if len(keys) == 1:
        for number, value in enumerate(across):
            points = found[value,]
            axes.plot([number] * len(points), points, "o", color="tab:blue", alpha=0.4)
        axes.plot([fmean(found[value,]) for value in across], color="tab:blue", label="mean")
        axes.set(ylabel="test accuracy, %")
        axes.grid(alpha=0.3)
        axes.legend()
    else:
        up = _sorted({place[1] for place in found})
        means = np.full((len(up), len(across)), np.nan)
        for (first, second), values in found.items():
            means[up.index(second), across.index(first)] = fmean(values)
        image = axes.imshow(means, origin="lower", aspect="auto")
        figure.colorbar(image, ax=axes, label="mean test accuracy, %")
        axes.set_yticks(range(len(up)), up)
        axes.set(ylabel=keys[1])
    axes.set_xticks(range(len(across)), across, rotation=30 if len(across) > 6 else 0)
    axes.set(xlabel=keys[0])
    axes.set_title(title, fontsize=10)
    save_figure(figure, path)
