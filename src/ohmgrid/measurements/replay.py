"""Noise-free courses of a device under the pulses of a measurement.

The steps come from the device's own law (`ohmgrid.devices.laws`), tabulated once for each
trial of a fit.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ohmgrid.compiled.courses import follow
from ohmgrid.devices.base import StepDevice
from ohmgrid.registers.curves import curve_at

__all__ = ["NODES", "REACH", "StepTable", "Train", "mean_steps", "replay", "step_table"]

NODES = 193
"""Nodes of a tabulated curve: steps of a curve as steep as a PCM's are within 0.1 %."""
REACH = 1.25
"""Weights of a measurement are within -1..1 but for noise; curves are tabulated within this."""


class StepTable(NamedTuple):
    """Steps of a mean device at equal distances of the weight."""

    low: float
    high: float
    up: np.ndarray
    """Change by an up pulse, weight units, shape (nodes,)."""
    down: np.ndarray
    """Change by a down pulse, as a magnitude."""


@dataclass(frozen=True)
class Train:
    """Sweeps of a measurement in weight units, one after the other; arrays of shape (values,)."""

    values: np.ndarray
    """Weights, the measured range from -1 to 1."""
    up: np.ndarray
    """Direction of the pulse that led to a value."""
    gain: np.ndarray
    """Step of the device under this pulse, relative to the mean device's."""
    edges: np.ndarray
    """Where sweeps begin, and the end, shape (sweeps + 1,)."""
    calm: np.ndarray
    """The values less the noise of reads."""
    unit: np.ndarray
    """The device's weight unit over the mean device's."""

    @property
    def sweeps(self) -> list[slice]:
        """The sweeps as slices."""
        return [slice(a, b) for a, b in pairwise(self.edges)]

    @property
    def led(self) -> np.ndarray:
        """Places of the values that a pulse led to: all but the first of each sweep."""
        return np.delete(np.arange(len(self.values)), self.edges[:-1])


def mean_steps(device: StepDevice, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the up and the down step of the mean device at some weights, as magnitudes.

    Parameters
    ----------
    device : StepDevice
        Without a reference device.
    weights : ndarray
        Weight units, within the bounds.
    """
    law = device.law()
    span = device.w_max - device.w_min
    if law.position == "room":
        places = (device.w_max - weights) / span, (weights - device.w_min) / span
    elif law.position == "range":
        places = weights / span, weights / span
    else:
        up = -device.w_min if law.behind_up else device.w_max
        down = device.w_max if law.behind_down else -device.w_min
        places = weights / up, -weights / down
    scales = (
        device.dw_min * (1 + min(device.up_down, 0.0)),
        device.dw_min * (1 - max(device.up_down, 0.0)),
    )
    sides = (law.up, law.gamma_up.mean), (law.down, law.gamma_down.mean)
    steps = [
        scale * np.array([curve_at(law, f, gamma, p) for p in place.tolist()])
        for scale, place, (f, gamma) in zip(scales, places, sides, strict=True)
    ]
    return steps[0], steps[1]


def step_table(device: StepDevice, nodes: int = NODES) -> StepTable:
    """Return a device's mean steps over the weights of a measurement."""
    low, high = max(device.w_min, -REACH), min(device.w_max, REACH)
    return StepTable(low, high, *mean_steps(device, np.linspace(low, high, nodes)))


def replay(
    train: Train, table: StepTable, counts: np.ndarray, near: np.ndarray | None = None
) -> np.ndarray:
    """Return the courses of the mean device under a train, weight units, shape (values,).

    Each sweep starts where its course is nearest to the values that count.

    Parameters
    ----------
    train : Train
    table : StepTable
    counts : ndarray
        Weight of each value for the starts, float64.
    near : ndarray, optional
        Courses of a device that is nearly the same: their starts are found sooner.
    """
    course, lean = np.empty(len(train.values)), np.empty(len(train.values))
    # The first value itself may be an outlier.
    starts = train.calm if near is None else near
    follow(
        train.values, starts, counts, train.up, train.gain, train.edges, table.low, table.high,
        table.up, table.down, course, lean,
    )  # fmt: skip
    return course
