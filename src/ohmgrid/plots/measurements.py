"""Pictures of a fit: data, course of the fitted device and what is left, and its step curves."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from ohmgrid.devices.base import StepDevice
from ohmgrid.devices.table_step import TableStep, equal_parts
from ohmgrid.measurements.fitting import Fit
from ohmgrid.measurements.replay import mean_steps
from ohmgrid.plots.training import INK, SECOND_INK, save_figure

__all__ = ["plot_fit", "plot_step_tables", "plot_steps"]

NAMES = {"S": "conductance", "A": "current", "V": "voltage"}


def _draw_steps(axes: Axes, device: StepDevice, scale: float) -> None:
    """Draw the mean up and down step over the range of a measurement."""
    weights = np.linspace(max(device.w_min, -1.0), min(device.w_max, 1.0), 201)
    up, down = mean_steps(device, weights)
    axes.plot(weights, up * scale, color=INK, label="up")
    axes.plot(weights, down * scale, color=SECOND_INK, label="down")
    axes.set(xlabel="weight", title=device.kind)
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)


def plot_fit(path: Path, fit: Fit, title: str) -> None:
    """Draw the measured values of each sweep with the fit, the residual, and the step curves."""
    train, course, scale = fit.train, fit.chosen.course, fit.devices.scale
    assert course is not None
    offset, unit = fit.devices.offset, fit.measurement.unit
    figure = Figure(figsize=(10.4, 5.2), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(3, 2), height_ratios=(3, 1))
    top = figure.add_subplot(grid[0, 0])
    bottom = figure.add_subplot(grid[1, 0], sharex=top)
    right = figure.add_subplot(grid[:, 1])
    for k, part in enumerate(train.sweeps):
        pulses = np.arange(part.start, part.stop)
        names = ("data", "fit") if k == 0 else (None, None)
        data, fitted = train.values[part], course[part]
        top.plot(pulses, data * scale + offset, ".", color="0.55", markersize=3, label=names[0])
        top.plot(pulses, fitted * scale + offset, color=INK, linewidth=1.6, label=names[1])
        bottom.plot(pulses, (data - fitted) * scale, ".", color=SECOND_INK, markersize=3)
    bottom.axhline(0, color="0.7", linewidth=0.8)
    name = f"{NAMES.get(unit, 'value')} ({unit or 'as in the file'})"
    top.set(ylabel=name, title=f"{title}: misfit {fit.chosen.misfit:.2%} of the range")
    bottom.set(xlabel="value, sweep after sweep", ylabel="data - fit")
    top.legend(fontsize=8)
    _draw_steps(right, fit.device, scale)
    right.set(ylabel=f"step of a pulse ({unit or 'as in the file'})")
    for axes in (top, bottom):
        axes.grid(alpha=0.3)
    for axes in (top, bottom, right):
        axes.yaxis.set_major_formatter(EngFormatter(unit=unit if unit in NAMES else ""))
    save_figure(figure, path)


def plot_steps(path: Path, device: StepDevice, title: str) -> None:
    """Draw the step curves of a device that was given as such."""
    figure = Figure(figsize=(5.6, 4.0), layout="constrained")
    axes = figure.subplots()
    _draw_steps(axes, device, 1.0)
    axes.set(ylabel="step of a pulse (weight units)", title=title)
    save_figure(figure, path)


def plot_step_tables(path: Path, device: TableStep, title: str) -> None:
    """Draw mean, middle half and 5 % to 95 % of the steps that a device draws from."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    tables = ((device.table_up, 1, INK, "up"), (device.table_down, -1, SECOND_INK, "down"))
    for table, sign, colour, label in tables:
        steps = sign * device.dw_min * np.array([equal_parts(row) for row in table])
        places = np.linspace(device.w_min, device.w_max, len(steps))
        for share, alpha in ((0.05, 0.15), (0.25, 0.25)):
            low, high = np.quantile(steps, [share, 1 - share], axis=1)
            axes.fill_between(places, low, high, color=colour, alpha=alpha, linewidth=0)
        axes.plot(places, steps.mean(axis=1), "o-", color=colour, label=f"{label}, mean")
    axes.set(xlabel="weight", ylabel="change by a pulse", title=title)
    axes.axhline(0, color="0.7", linewidth=0.8)
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    save_figure(figure, path)
