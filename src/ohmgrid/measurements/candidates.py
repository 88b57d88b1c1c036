"""Classes of devices that a measurement may be of: their parameters, where a fit starts, limits.

Weights are the measured range, -1..1. Bounds that no pulse came near are held at its ends by a pull
that data easily outweigh.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ohmgrid.devices.base import StepDevice
from ohmgrid.devices.steps import (
    ConstantStep,
    ExpStep,
    LinearStep,
    PiecewiseStep,
    PowStep,
    SoftBounds,
)

__all__ = ["CALM", "CANDIDATES", "CLASSES", "NODE_COUNTS", "Candidate", "Curve", "piecewise"]

NODE_COUNTS = (2, 3, 4, 5, 7, 9, 13)
"""Numbers of nodes that cross-validation tries."""
SMALLEST, LARGEST = 2e-6, 1.9
"""Limits of a step."""
FURTHEST = 7.9
"""Limit of a bound."""


@dataclass(frozen=True)
class Curve:
    """A first guess of the steps, weight units; arrays of one shape."""

    weights: np.ndarray
    up: np.ndarray
    down: np.ndarray


@dataclass(frozen=True)
class Candidate:
    """A class of devices as parameters of a fit."""

    kind: str
    build: Callable[[np.ndarray], StepDevice]
    """The device of some parameters, without spreads and noise."""
    start: Callable[[Curve], list[float]]
    """Parameters nearest to a first guess."""
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    free: int
    """Parameters that data decide on: what a simpler class has fewer of."""
    pulls: dict[int, float] = field(default_factory=dict)
    """Parameters held at a value where data do not matter."""


CALM: dict[str, Any] = {
    "dw_min_dtod": 0.0,
    "dw_min_std": 0.0,
    "up_down_dtod": 0.0,
    "w_max_dtod": 0.0,
    "w_min_dtod": 0.0,
}
"""Devices alike, and steps without noise."""


def _sizes(up: float, down: float) -> dict[str, Any]:
    """Return the parameters of an up and a down step at w = 0."""
    larger = max(up, down)
    asymmetry = 1 - down / up if down < up else -(1 - up / down)
    return {"dw_min": larger, "up_down": float(np.clip(asymmetry, -0.99, 0.99))}


def _balance(up: float, down: float) -> tuple[float, float]:
    """Return mean and asymmetry of two exponents."""
    larger = max(up, down, 1e-9)
    asymmetry = 1 - down / larger if down < up else -(1 - up / larger)
    return larger, float(np.clip(asymmetry, -0.99, 0.99))


def _size(step: float) -> float:
    return float(np.clip(step, 2 * SMALLEST, LARGEST / 2))


def _line(weights: np.ndarray, steps: np.ndarray) -> tuple[float, float]:
    """Return the height at 0 and the slope of a straight line through steps."""
    slope, height = np.polyfit(weights, steps, 1)
    return _size(float(height)), float(slope)


def _constant() -> Candidate:
    def build(p: np.ndarray) -> StepDevice:
        return ConstantStep(**CALM, **_sizes(p[0], p[1]), w_max=p[2], w_min=p[3])

    def start(curve: Curve) -> list[float]:
        return [_size(curve.up.mean()), _size(curve.down.mean()), 1.02, -1.02]

    return Candidate(
        "ConstantStep", build, start,
        (SMALLEST, SMALLEST, 0.9, -1.5), (LARGEST, LARGEST, 1.5, -0.9),
        2, {2: 1.02, 3: -1.02},
    )  # fmt: skip


def _linear() -> Candidate:
    def build(p: np.ndarray) -> StepDevice:
        return LinearStep(
            **CALM, **_sizes(p[0], p[1]), gamma_up=p[2], gamma_down=p[3], w_max=p[4], w_min=p[5],
            gamma_up_dtod=0.0, gamma_down_dtod=0.0, allow_increasing=bool(min(p[2], p[3]) < 0),
        )  # fmt: skip

    def start(curve: Curve) -> list[float]:
        up, rise = _line(curve.weights, curve.up)
        down, fall = _line(curve.weights, curve.down)
        gammas = np.clip([-rise / up, fall / down], -1.5, 1.5)
        return [up, down, *gammas.tolist(), 1.02, -1.02]

    return Candidate(
        "LinearStep", build, start,
        (SMALLEST, SMALLEST, -1.9, -1.9, 0.9, -1.5), (LARGEST, LARGEST, 1.9, 1.9, 1.5, -0.9),
        4, {4: 1.02, 5: -1.02},
    )  # fmt: skip


def _soft() -> Candidate:
    def build(p: np.ndarray) -> StepDevice:
        return SoftBounds(**CALM, **_sizes(p[0], p[1]), w_max=p[2], w_min=p[3])

    def start(curve: Curve) -> list[float]:
        up, rise = _line(curve.weights, curve.up)
        down, fall = _line(curve.weights, curve.down)
        top = up / -rise if rise < 0 else FURTHEST / 2
        bottom = -down / fall if fall > 0 else -FURTHEST / 2
        return [
            up, down, float(np.clip(top, 1.01, FURTHEST / 2)),
            float(np.clip(bottom, -FURTHEST / 2, -1.01)),
        ]  # fmt: skip

    return Candidate(
        "SoftBounds", build, start,
        (SMALLEST, SMALLEST, 0.9, -FURTHEST), (LARGEST, LARGEST, FURTHEST, -0.9), 4,
    )  # fmt: skip


def _power() -> Candidate:
    def build(p: np.ndarray) -> StepDevice:
        mean, asymmetry = _balance(p[2], p[3])
        return PowStep(
            **CALM, **_sizes(p[0], p[1]), pow_gamma=mean, pow_up_down=asymmetry,
            pow_gamma_dtod=0.0, w_max=p[4], w_min=p[5],
        )  # fmt: skip

    def start(curve: Curve) -> list[float]:
        best, found = np.inf, [0.0] * 6
        for bound in (1.05, 1.5, 3.0):
            room = (bound - curve.weights) / (2 * bound)
            sides = [_scaled_power(r, s) for r, s in ((room, curve.up), (1 - room, curve.down))]
            error = sum(side[2] for side in sides)
            if error < best:
                best = error
                found = [sides[0][0], sides[1][0], sides[0][1], sides[1][1], bound, -bound]
        return found

    return Candidate(
        "PowStep", build, start,
        (SMALLEST, SMALLEST, 0.0, 0.0, 0.9, -FURTHEST),
        (LARGEST, LARGEST, 3.5, 3.5, FURTHEST, -0.9), 6,
    )  # fmt: skip


def _scaled_power(room: np.ndarray, steps: np.ndarray) -> tuple[float, float, float]:
    """Return scale and exponent of the power of the room nearest to some steps, and its error."""
    found = (_size(steps.mean()), 0.01, np.inf)
    for gamma in (0.1, 0.3, 0.6, 1.0, 1.4, 1.8, 2.3, 2.8, 3.3):
        shape = room**gamma
        scale = float(shape @ steps / (shape @ shape))
        error = float(((scale * shape - steps) ** 2).sum())
        if scale > 0 and error < found[2]:
            found = (_size(scale), gamma, error)
    return found


def _exponential() -> Candidate:
    def build(p: np.ndarray) -> StepDevice:
        return ExpStep(
            **CALM, **_sizes(p[0], p[1]), A_up=p[2], A_down=p[3], gamma_up=p[4], gamma_down=p[5],
            a=0.5, b=0.0, w_max=p[6], w_min=p[7],
        )  # fmt: skip

    def start(curve: Curve) -> list[float]:
        up = _scaled_exponential(curve.weights / 2, curve.up)
        down = _scaled_exponential(-curve.weights / 2, curve.down)
        return [up[0], down[0], up[1], down[1], up[2], down[2], 1.02, -1.02]

    most, steepest = 900.0, 40.0
    return Candidate(
        "ExpStep", build, start,
        (SMALLEST, SMALLEST, -most, -most, -steepest, -steepest, 0.9, -1.5),
        (LARGEST, LARGEST, most, most, steepest, steepest, 1.5, -0.9),
        6, {6: 1.02, 7: -1.02},
    )  # fmt: skip


def _scaled_exponential(place: np.ndarray, steps: np.ndarray) -> tuple[float, float, float]:
    """Return scale, A and exponent of ``s (1 - A exp(gamma z))`` nearest to some steps."""
    found, best = (_size(steps.mean()), 0.0, 1.0), np.inf
    for gamma in (-24.0, -12.0, -6.0, -3.0, -1.0, 1.0, 3.0, 6.0, 12.0, 24.0):
        shape = np.exp(gamma * place)
        design = np.stack([np.ones(len(place)), -shape], axis=1)
        scale, product = np.linalg.lstsq(design, steps, rcond=None)[0]
        error = float(((design @ (scale, product) - steps) ** 2).sum())
        if scale > SMALLEST and abs(product / scale) < 800 and error < best:
            best, found = error, (_size(scale), float(product / scale), gamma)
    return found


def piecewise(nodes: int) -> Candidate:
    """Return `PiecewiseStep` with some nodes, all of them steps in their direction."""

    def build(p: np.ndarray) -> StepDevice:
        up, down = p[:nodes], p[nodes : 2 * nodes]
        middle = nodes // 2
        size = float(np.clip((up[middle] + down[middle]) / 2, max(up.max(), down.max()) / 90, 2.0))
        return PiecewiseStep(
            **CALM, dw_min=size, w_max=p[-2], w_min=p[-1],
            piecewise_up=tuple((up / size).tolist()), piecewise_down=tuple((down / size).tolist()),
        )  # fmt: skip

    def start(curve: Curve) -> list[float]:
        grid = np.linspace(-1.02, 1.02, nodes)
        up = np.interp(grid, curve.weights, curve.up)
        down = np.interp(grid, curve.weights, curve.down)
        return [*map(_size, (*up, *down)), 1.02, -1.02]

    count = 2 * nodes
    return Candidate(
        "PiecewiseStep", build, start,
        (SMALLEST,) * count + (0.9, -1.5), (LARGEST,) * count + (1.5, -0.9),
        count + 1, {count: 1.02, count + 1: -1.02},
    )  # fmt: skip


CANDIDATES = (_constant(), _linear(), _soft(), _exponential(), _power())
"""All but `PiecewiseStep`, whose number of nodes is to be found."""

CLASSES = (*(candidate.kind for candidate in CANDIDATES), PiecewiseStep.kind)
"""Names of all classes."""
