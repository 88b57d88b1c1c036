"""From measured pulses to a device: a piecewise step curve with its spreads and noise.

A file holds one row for each pulse of each device::

    device,pulse,conductance[,direction]

``device`` may be left out (one device) and so may ``direction`` (``up`` or ``down``, ``1`` or
``-1``; otherwise all pulses before the largest mean conductance are up). A row is the conductance
after its pulse, in any unit.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ohmgrid.devices.steps import PiecewiseStep
from ohmgrid.doors.checks import ConfigError, check_float, check_int, parse_float, shown
from ohmgrid.doors.schema import read_text

__all__ = ["Fit", "Measurement", "fit_device", "read_measurement"]

UP_WORDS = {"up": True, "1": True, "+1": True, "down": False, "-1": False}
FEWEST_PULSES = 8
LARGEST = 1e100
"""Largest magnitude of a number: its square is a float still."""


class Measurement(NamedTuple):
    """Courses of some devices under the same pulses."""

    conductance: np.ndarray
    """float64, shape (devices, pulses)."""
    up: np.ndarray
    """True where the pulse that led to a value was an up pulse, bool, shape (pulses,)."""


class Fit(NamedTuple):
    """A device and how well it describes the data."""

    device: PiecewiseStep
    weights: np.ndarray
    """The data in weight units, shape (devices, pulses)."""
    scale: float
    """Conductance of one weight unit."""
    offset: float
    """Conductance at w = 0."""
    residual: float
    """Root mean square of the mean course less the fitted one, relative to the range."""
    course: np.ndarray
    """Mean course that the fit predicts, weight units, shape (pulses,)."""


def read_measurement(path: Path) -> Measurement:
    """Read a file of measured pulses; raise `ConfigError` with the line that is wrong."""
    text = read_text(path)
    try:
        return _parse(text)
    except ConfigError as error:
        raise error.at(path) from None


def _rows(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each row of a file with its place (``line 2``) for errors."""
    lines = csv.reader(io.StringIO(text), skipinitialspace=True, strict=True)
    try:
        names = [name.strip().lower() for name in next(lines, [])]
        if not {"pulse", "conductance"} <= set(names) or len(set(names)) < len(names):
            raise ConfigError(
                "line 1",
                "expected pulse,conductance (and device, direction), each once, got "
                f"{shown(','.join(names)) if names else 'nothing'}",
            )
        for row in lines:
            if row and len(row) != len(names):
                raise ConfigError(
                    f"line {lines.line_num}", f"expected {len(names)} values, got {len(row)}"
                )
            if row:
                values = (value.strip() for value in row)
                yield f"line {lines.line_num}", dict(zip(names, values, strict=True))
    except csv.Error as error:
        raise ConfigError(f"line {lines.line_num}", f"expected a CSV file, got: {error}") from None


def _number(place: str, name: str, text: str) -> float:
    """Return a finite number of a row."""
    try:
        value = parse_float(name, text)
        check_float(name, value, -LARGEST, LARGEST)
    except ConfigError as error:
        raise error.at(place) from None
    return value


def _parse(text: str) -> Measurement:
    courses: dict[str, dict[float, float]] = {}
    directions: dict[float, bool] = {}
    for place, row in _rows(text):
        pulse = _number(place, "pulse", row["pulse"])
        value = _number(place, "conductance", row["conductance"])
        if "direction" in row:
            word = row["direction"].lower()
            if word not in UP_WORDS:
                raise ConfigError(f"{place}: direction", f"expected up or down, got {shown(word)}")
            if directions.setdefault(pulse, UP_WORDS[word]) != UP_WORDS[word]:
                raise ConfigError(f"{place}: direction", f"expected pulse {pulse:g} as before")
        course = courses.setdefault(row.get("device", ""), {})
        if pulse in course:
            raise ConfigError(f"{place}: pulse", f"expected each once, got {pulse:g} again")
        course[pulse] = value
    pulses = sorted(next(iter(courses.values()), {}))
    if len(pulses) < FEWEST_PULSES:
        raise ConfigError("pulse", f"expected at least {FEWEST_PULSES} pulses, got {len(pulses)}")
    for name, course in courses.items():
        if sorted(course) != pulses:
            raise ConfigError(
                "device",
                f"expected the same {len(pulses)} pulses for every device, "
                f"{shown(name)} has others",
            )
    conductance = np.array([[course[pulse] for pulse in pulses] for course in courses.values()])
    if directions:
        up = np.array([directions[pulse] for pulse in pulses])
    else:
        up = np.arange(len(pulses)) <= int(conductance.mean(axis=0).argmax())
    if up.all() or not up.any():
        raise ConfigError("direction", "expected both up and down pulses")
    return Measurement(conductance, up)


def _nodes(place: np.ndarray, step: np.ndarray, count: int) -> np.ndarray:
    """Return least-squares values of straight lines between ``count`` nodes over 0..1.

    A weak pull towards equal neighbours settles nodes that no pulse came near.
    """
    scaled = np.clip(place, 0, 1) * (count - 1)
    index = np.minimum(scaled.astype(int), count - 2)
    part = scaled - index
    hats = np.zeros((len(place), count))
    hats[np.arange(len(place)), index] = 1 - part
    hats[np.arange(len(place)), index + 1] = part
    smooth = np.diff(np.eye(count), axis=0) * np.sqrt(len(place)) * 0.02
    left = np.concatenate([hats, smooth])
    right = np.concatenate([step, np.zeros(count - 1)])
    return np.linalg.lstsq(left, right, rcond=None)[0]


def _calm(courses: np.ndarray) -> np.ndarray:
    """Return courses averaged over a few pulses: where a device is, but for the noise of reads."""
    width = 1 + 2 * min(3, courses.shape[1] // 40)
    padded = np.pad(courses, ((0, 0), (width // 2, width // 2)), mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, width, axis=1).mean(axis=2)


def fit_device(data: Measurement, nodes: int = 9) -> Fit:
    """Fit a `PiecewiseStep` to measured courses.

    Weights are conductances scaled so that the devices' mean bounds are -1 and 1. Step curves are
    least-squares fits over the place of a weight within its device's range (the weight averaged
    over up to seven pulses, so that the noise of reads moves no place). ``dw_min`` is the mean
    step in the middle of the range; spreads are those of the devices' mean steps and bounds. What
    a step deviates from the curve is noise of the step (``dw_min_std``) and of the value read
    (``write_noise_std``), told apart by the correlation of successive deviations.

    Parameters
    ----------
    data : Measurement
    nodes : int
        Nodes of the step curves, 2 to 64.
    """
    check_int("nodes", nodes, 2, 64)
    conductance = data.conductance
    calm = _calm(conductance)
    low, high = calm.min(axis=1), calm.max(axis=1)
    # What is lost in the rounding of the largest one, as all share a scale, is no change.
    if not (high - low > 1e-9 * np.abs(conductance).max()).all():
        raise ConfigError(
            "measurement",
            "expected every device to change under pulses, by more than 1e-9 of the largest "
            "conductance of all",
        )
    scale = (high.mean() - low.mean()) / 2
    offset = (high.mean() + low.mean()) / 2
    weights = (conductance - offset) / scale
    tops, bottoms = (high - offset) / scale, (low - offset) / scale
    span = (tops - bottoms)[:, None]
    place = ((calm[:, :-1] - offset) / scale - bottoms[:, None]) / span
    steps = np.diff(weights, axis=1)
    up = data.up[1:]
    curve_up = _nodes(place[:, up].ravel(), steps[:, up].ravel(), nodes)
    curve_down = _nodes(place[:, ~up].ravel(), -steps[:, ~up].ravel(), nodes)
    dw_min = max((curve_up[nodes // 2] + curve_down[nodes // 2]) / 2, 1e-6)

    grid = np.linspace(0, 1, nodes)
    expected = np.where(up, np.interp(place, grid, curve_up), -np.interp(place, grid, curve_down))
    if not (np.abs(expected).max(axis=1) > 0).all():
        raise ConfigError("measurement", "expected pulses that move a device in their direction")
    own = (steps * expected).sum(axis=1) / (expected**2).sum(axis=1)
    deviation = steps - own[:, None] * expected
    read = max(0.0, -float((deviation[:, 1:] * deviation[:, :-1]).mean()))
    noise = max(0.0, float((deviation**2).mean()) - 2 * read)
    typical = float((expected**2).mean())
    parameters: dict[str, Any] = {
        "dw_min": float(dw_min),
        "dw_min_dtod": min(1.0, float(own.std())),
        "dw_min_std": min(7.9, float(np.sqrt(noise / typical))),
        "up_down_dtod": 0.0,
        "w_max": float(tops.mean()),
        "w_max_dtod": min(1.0, float(tops.std() / tops.mean())),
        "w_min": float(bottoms.mean()),
        "w_min_dtod": min(1.0, float(bottoms.std() / -bottoms.mean())),
        "piecewise_up": tuple(float(value / dw_min) for value in curve_up),
        "piecewise_down": tuple(float(value / dw_min) for value in curve_down),
        "write_noise_std": float(np.sqrt(read) / dw_min),
    }
    try:
        device = PiecewiseStep(**parameters)
    except ConfigError as error:
        raise error.at("measurement: no device has such pulses") from None
    course = _course(weights[:, 0].mean(), device, data.up)
    misfit = course - weights.mean(axis=0)
    residual = float(np.sqrt((misfit**2).mean()) / (device.w_max - device.w_min))
    return Fit(device, weights, float(scale), float(offset), residual, course)


def _course(start: float, device: PiecewiseStep, up: np.ndarray) -> np.ndarray:
    """Return the noise-free course of the mean device."""
    span = device.w_max - device.w_min
    grid = np.linspace(0, 1, len(device.piecewise_up))
    weight, course = start, [start]
    for rising in up[1:]:
        place = (weight - device.w_min) / span
        nodes = device.piecewise_up if rising else device.piecewise_down
        step = device.dw_min * np.interp(place, grid, nodes)
        weight = float(np.clip(weight + (step if rising else -step), device.w_min, device.w_max))
        course.append(weight)
    return np.array(course)
