"""Pictures of systems in continuous time."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ohmgrid.plots.training import INK, SECOND_INK, save_figure
from ohmgrid.studies.delay_effects import EFFECTS, Row
from ohmgrid.studies.recall import RecallRow

__all__ = ["plot_effects", "plot_network", "plot_neurons", "plot_recall", "plot_sweep"]

MOST_TRACES = 8
MOST_RASTER = 64


def _spectrum(axes: Axes, trace: np.ndarray, step: float) -> None:
    """Draw the amplitudes of a trace's second half."""
    late = trace[len(trace) // 2 :]
    late = (late - late.mean()) * np.hanning(len(late))
    size = np.abs(np.fft.rfft(late)) * 4 / max(len(late), 1)
    places = np.fft.rfftfreq(len(late), step)
    shown = size > 1e-4 * max(float(size.max()), 1e-12)
    last = int(np.flatnonzero(shown)[-1]) + 2 if shown.any() else len(size)
    axes.semilogy(places[1:last], np.maximum(size[1:last], 1e-7), color=INK, linewidth=1)
    axes.set(xlabel="frequency", ylabel="amplitude", title="spectrum")
    axes.grid(alpha=0.3)


def plot_network(path: Path, trace: np.ndarray, step: float, lag: int, title: str) -> None:
    """Draw traces, a phase portrait and a spectrum.

    Parameters
    ----------
    path : Path
    trace : float64, shape (samples, lines)
    step : float
        Time between samples.
    lag : int
        Samples by which the second axis of the portrait is earlier.
    title : str
    """
    figure = Figure(figsize=(12.0, 3.8), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(2, 1, 1))
    times = np.arange(1, len(trace) + 1) * step
    left.plot(times, trace[:, :MOST_TRACES], linewidth=1)
    left.set(xlabel="time, RC", ylabel="u", title=f"{min(trace.shape[1], MOST_TRACES)} traces")
    line = int(np.ptp(trace[len(trace) // 2 :], axis=0).argmax())
    own = trace[:, line]
    begin = min(len(own) // 2, max(len(own) - lag - 1, 0))
    middle.plot(own[begin + lag :], own[begin : len(own) - lag], color=INK, linewidth=1)
    middle.set(xlabel=f"$u_{{{line}}}(t)$", ylabel="a delay before", title="phase portrait")
    _spectrum(right, own, step)
    for axes in (left, middle):
        axes.grid(alpha=0.3)
    figure.suptitle(title, fontsize=10)
    save_figure(figure, path)


def plot_neurons(
    path: Path,
    states: np.ndarray,
    spikes: np.ndarray,
    step: float,
    names: Sequence[str],
    title: str,
) -> None:
    """Draw traces, a phase portrait of two variables, a raster of spikes and a spectrum.

    Parameters
    ----------
    path : Path
    states : float64, shape (samples, variables, neurons)
    spikes : bool, shape (samples, neurons)
    step : float
    names : sequence of str
        Of the variables.
    title : str
    """
    figure = Figure(figsize=(12.0, 6.4), layout="constrained")
    upper, lower = figure.subplots(2, 2, width_ratios=(2, 1))
    times = np.arange(1, len(states) + 1) * step
    for place, name in enumerate(names):
        upper[0].plot(times, states[:, place, 0], color=(INK, SECOND_INK)[place % 2], label=name)
    upper[0].set(xlabel="time", title="first neuron")
    upper[0].legend(fontsize=8)
    first = states[:, 0, 0]
    if len(names) > 1:
        upper[1].plot(first, states[:, 1, 0], color=INK, linewidth=1)
        upper[1].set(xlabel=names[0], ylabel=names[1], title="phase portrait")
    else:
        slopes = np.diff(first) / step
        upper[1].plot(first[1:], slopes, ".", color=INK, markersize=1)
        upper[1].set(xlabel=names[0], ylabel=f"d{names[0]}/dt", title="phase portrait")
    rows = [times[spikes[:, neuron]] for neuron in range(min(spikes.shape[1], MOST_RASTER))]
    lower[0].eventplot(rows, lineoffsets=range(len(rows)), colors=INK, linewidths=0.8)
    lower[0].set(xlabel="time", ylabel="neuron", title="spikes", xlim=(0, times[-1]))
    _spectrum(lower[1], first, step)
    for axes in (*upper, lower[0]):
        axes.grid(alpha=0.3)
    figure.suptitle(title, fontsize=10)
    save_figure(figure, path)


def plot_sweep(
    path: Path,
    swings: np.ndarray,
    gains: Sequence[float],
    delays: Sequence[float],
    border: Sequence[float],
    high: float | None,
    title: str,
) -> None:
    """Draw what settles and what oscillates, and where theory has the border.

    Parameters
    ----------
    path : Path
    swings : float64, shape (gains, delays)
        0 where the network settles.
    gains, delays : sequences of float
    border : sequence of float
        Critical delay at each gain; infinite: none.
    high : float or None
        Critical delay at infinite gain; None: not known, or none.
    title : str
    """
    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    axes = figure.subplots()
    shown = axes.pcolormesh(
        np.asarray(delays), np.asarray(gains), swings, cmap="viridis", shading="nearest"
    )
    figure.colorbar(shown, ax=axes, label="swing (0: settles)")
    axes.plot(border, gains, color="white", linewidth=2, label="theory: critical delay")
    if high:
        axes.axvline(high, color="white", linestyle=":", label="theory: at infinite gain")
    axes.set(
        xlabel="delay, RC",
        ylabel="gain",
        title=title,
        xlim=(delays[0], delays[-1]),
        ylim=(gains[0], gains[-1]),
    )
    axes.legend(fontsize=8, loc="lower right", facecolor="0.4", labelcolor="white")
    save_figure(figure, path)


def plot_effects(path: Path, rows: Sequence[Row], title: str) -> None:
    """Draw critical delay and period over each effect: dots are seeds, lines their means."""
    effects = list(dict.fromkeys(row.effect for row in rows))
    figure = Figure(figsize=(3.2 * len(effects) + 0.8, 5.6), layout="constrained")
    panels = figure.subplots(2, len(effects), squeeze=False)
    for column, effect in enumerate(effects):
        own = [row for row in rows if row.effect == effect]
        for axes, name, colour in (
            (panels[0, column], "critical", INK),
            (panels[1, column], "period", SECOND_INK),
        ):
            found = {
                row.level: [one for one in getattr(row, name) if one is not None] for row in own
            }
            means = [(level, np.mean(some)) for level, some in found.items() if some]
            axes.plot(*zip(*means, strict=True), "-", color=colour)
            for level, some in found.items():
                axes.plot([level] * len(some), some, "o", color=colour, markersize=3, alpha=0.6)
            axes.grid(alpha=0.3)
        panels[1, column].set(xlabel=EFFECTS[effect].title)
    panels[0, 0].set(ylabel="critical delay, RC")
    panels[1, 0].set(ylabel="period, RC")
    figure.suptitle(title, fontsize=10)
    save_figure(figure, path)


def plot_recall(path: Path, rows: Sequence[RecallRow], title: str) -> None:
    """Draw how often patterns are recalled over load, by crossbar and delay."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    lines: Mapping[tuple[str, float], list[RecallRow]] = {}
    for row in rows:
        lines.setdefault((row.crossbar, row.delay), []).append(row)
    delays = sorted({delay for _, delay in lines})
    for (crossbar, delay), own in lines.items():
        axes.plot(
            [row.load for row in own],
            [100 * float(np.mean(row.rates)) for row in own],
            "o-" if crossbar == "exact" else "s--",
            color=f"C{delays.index(delay)}",
            markersize=4,
            label=f"{crossbar}, delay {delay:g} RC",
        )
    axes.set(xlabel="load, patterns / neurons", ylabel="recalled, %", title=title, ylim=(-3, 103))
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    save_figure(figure, path)
