"""Pictures of studies."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ohmgrid.plots.training import save_figure
from ohmgrid.studies.asymmetry import Summary

__all__ = ["plot_asymmetry"]


def plot_asymmetry(
    path: Path, found: Mapping[tuple[str, float, float], Summary], title: str
) -> None:
    """Draw accuracies with standard errors over asymmetry: a panel for each leak.

    Parameters
    ----------
    path : Path
    found : mapping
        As from `ohmgrid.studies.asymmetry.summaries`.
    title : str
    """
    leaks = sorted({leak for _, _, leak in found})
    methods = list(dict.fromkeys(method for method, _, _ in found))
    figure = Figure(figsize=(4.6 * len(leaks), 4.2), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(leaks), sharey=True))
    for axes, leak in zip(panels, leaks, strict=True):
        for number, method in enumerate(methods):
            line = sorted(
                (a, one) for (name, a, at), one in found.items() if (name, at) == (method, leak)
            )
            axes.errorbar(
                [asymmetry for asymmetry, _ in line],
                [100 * one.mean for _, one in line],
                yerr=[0.0 if np.isnan(one.error) else 100 * one.error for _, one in line],
                marker="os^vDP*Xh"[number % 9],
                markersize=5,
                capsize=2,
                label=method,
            )
        axes.set(
            xlabel="up/down asymmetry of a device",
            title=f"leak in {leak:,.0f} updates" if leak else "no leak",
        )
        axes.grid(alpha=0.3)
    panels[0].set(ylabel="test accuracy, %")
    panels[-1].legend(fontsize=8)
    figure.suptitle(title, fontsize=10)
    save_figure(figure, path)
