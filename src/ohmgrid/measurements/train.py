"""Measurements in weight units: each device scaled to its range, its gain told from the others'."""

from typing import NamedTuple

import numpy as np

from ohmgrid.doors.checks import ConfigError
from ohmgrid.measurements.courses import Measurement, sweeps
from ohmgrid.measurements.replay import Train
from ohmgrid.measurements.smooth import calm, parabolas, rest_of_noise

__all__ = ["Devices", "floor", "make_train"]

GRAIN = 2.0**-26
"""Weight units that values are rounded to: far below what is measured, far above last bits."""
PLACES = 9
"""Nodes of the curve that devices' gains are told by."""


class Devices(NamedTuple):
    """What differs from device to device; arrays of shape (devices,)."""

    scale: float
    """Conductance of one weight unit of the mean device."""
    offset: float
    """Conductance at w = 0 of the mean device."""
    gain_up: np.ndarray
    """Up step over the mean device's, in conductances."""
    gain_down: np.ndarray
    tops: np.ndarray
    """Upper end of a device's measured range, in the mean device's weight units."""
    bottoms: np.ndarray
    pulses: np.ndarray
    """Pulses that a device was measured with."""


def _hats(place: np.ndarray, count: int) -> np.ndarray:
    """Return how much each of ``count`` nodes over 0..1 counts at some places."""
    scaled = np.clip(place, 0, 1) * (count - 1)
    index = np.minimum(scaled.astype(int), count - 2)
    part = scaled - index
    found = np.zeros((len(place), count))
    found[np.arange(len(place)), index] = 1 - part
    found[np.arange(len(place)), index + 1] = part
    return found


def _ranges(measurement: Measurement) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return names of the devices and ends of their measured ranges."""
    names = list(dict.fromkeys(course.device for course in measurement.courses))
    low, high = np.full(len(names), np.inf), np.full(len(names), -np.inf)
    for course in measurement.courses:
        at = names.index(course.device)
        for part in sweeps(course):
            still = calm(course.values[part])
            low[at] = min(low[at], still.min())
            high[at] = max(high[at], still.max())
    return names, low, high


def make_train(measurement: Measurement, own_range: bool) -> tuple[Train, Devices]:
    """Return a measurement in weight units, and what its devices differ in.

    Parameters
    ----------
    measurement : Measurement
    own_range : bool
        Each device's weights are scaled to its own range (its bounds are its own), or all of them
        to the mean range.
    """
    names, low, high = _ranges(measurement)
    largest = max(float(np.abs(course.values).max()) for course in measurement.courses)
    if not ((high - low) > 1e-9 * largest).all():
        raise ConfigError(
            "measurement",
            "expected every device to change under pulses, by more than 1e-9 of the largest value "
            "of all",
        )
    scale, offset = float((high - low).mean()) / 2, float((high + low).mean()) / 2
    halves = (high - low) / 2 if own_range else np.full(len(names), scale)
    middles = (high + low) / 2 if own_range else np.full(len(names), offset)
    values, ups, still, owners, edges = [], [], [], [], [0]
    for course in measurement.courses:
        at = names.index(course.device)
        for part in sweeps(course):
            # The unit of a file decides the last bits of a value, and nothing else.
            weights = np.round((course.values[part] - middles[at]) / halves[at] / GRAIN) * GRAIN
            values.append(weights)
            ups.append(course.up[part])
            still.append(calm(weights))
            owners.append(np.full(len(weights), at))
            edges.append(edges[-1] + len(weights))
    owner, up = np.concatenate(owners), np.concatenate(ups)
    train = Train(
        np.concatenate(values), up, np.ones(len(up)), np.array(edges),
        np.concatenate(still), halves[owner] / scale,
    )  # fmt: skip
    gains = _gains(train, owner, len(names))
    own = np.where(up, gains[0][owner], gains[1][owner])
    train = Train(train.values, up, own, train.edges, train.calm, train.unit)
    return train, Devices(
        scale, offset, gains[0] * halves / scale, gains[1] * halves / scale,
        (high - offset) / scale, (low - offset) / scale, np.bincount(owner),
    )  # fmt: skip


def _gains(train: Train, owner: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each device's steps over those of all at the same place, up and down.

    Least squares of single steps; the means are 1. A device without pulses of a direction has 1.
    """
    found = []
    at = train.led
    steps = train.values[at] - train.values[at - 1]
    place = (train.calm[at - 1] + 1) / 2
    for rising in (True, False):
        own = train.up[at] == rising
        gain = np.ones(count)
        if count > 1 and own.any():
            size = steps[own] if rising else -steps[own]
            basis = _hats(place[own], PLACES)
            expected = basis @ np.linalg.lstsq(basis, size, rcond=None)[0]
            above = np.bincount(owner[at][own], size * expected, count)
            below = np.bincount(owner[at][own], expected**2, count)
            gain = np.where(below > 0, above / np.maximum(below, 1e-300), 1.0)
            gain = np.clip(gain, 0.02, 50.0)
            gain /= gain.mean()
        found.append(gain)
    return found[0], found[1]


def floor(train: Train) -> float:
    """Return the noise of the data, root mean square as a fraction of the measured range.

    What no smooth course has: the deviation from parabolas through an eighth of each sweep, and,
    where sweeps of equal lengths repeat, their deviation from their mean, whichever is larger.
    """
    squares, count = 0.0, 0
    groups: dict[tuple[int, bool], list[np.ndarray]] = {}
    for part in train.sweeps:
        values = train.values[part] * train.unit[part]
        width = max(7, len(values) // 8) | 1
        if len(values) > width:
            rest = values - parabolas(values, width)
            squares += float((rest**2).sum()) / rest_of_noise(width)
            count += len(values)
        groups.setdefault((len(values), bool(train.up[part][-1])), []).append(values)
    smooth = squares / count if count else 0.0
    repeats = [np.array(group) for group in groups.values() if len(group) > 1]
    spread = 0.0
    if repeats:
        total = sum(
            float(((group - group.mean(axis=0)) ** 2).sum()) * len(group) / (len(group) - 1)
            for group in repeats
        )
        spread = total / sum(group.size for group in repeats)
    return float(np.sqrt(max(smooth, spread))) / 2
