"""Classes of devices that a measurement may be of: their parameters, where a fit starts, limits.

Weights are the measured range, -1..1. Bounds that no pulse came near are held at its ends by a pull
that data easily outweigh.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
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
from ohmgrid.measurements.replay import NODES, REACH, StepTable

__all__ = ["CALM", "CANDIDATES", "CLASSES", "NODE_COUNTS", "Candidate", "Curve", "piecewise"]

NODE_COUNTS = (3, 4, 5, 7, 9, 13)
"""Numbers of nodes that are tried; two are a `LinearStep`."""
SMALLEST, LARGEST = 2e-6, 1.9
"""Limits of a step."""
FLATTEST, MOST, LARGEST_PART = 1e-6, 200.0, 1000.0
"""Exponents as good as none; limit of what an exponential has over the step at one place, and of
that at w = 0."""
PLACE, ENDED = 0.5, 0.05
"""Distance from mid-range of the weights that tell exponentials apart, and the part of the largest
step below which a step has ended."""
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
    steps: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
    """Up and down step of these parameters at some weights: `mean_steps` of that device, a hundred
    times as fast."""
    starts: Callable[[Curve], list[list[float]]]
    """Parameters near to a first guess, one for each minimum that a search may end in."""
    lower: tuple[float, ...]
    """Least parameters, the last two of them of upper and lower bound."""
    upper: tuple[float, ...]
    nodes: int
    """Nodes of a table of its steps: where straight lines are the curve itself, few."""
    pulls: dict[int, float] = field(default_factory=dict)
    """Parameters held at a value where data do not matter."""
    limits: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]] | None = None
    """Nearer limits, by the parameters that a search starts with."""

    def within(self, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the least and the largest parameters of a search from a start."""
        if self.limits is not None:
            return self.limits(start)
        return np.array(self.lower), np.array(self.upper)

    def table(self, parameters: np.ndarray) -> StepTable:
        """Return the steps of some parameters over the weights of a measurement."""
        low, high = max(parameters[-1], -REACH), min(parameters[-2], REACH)
        weights = low + (high - low) * np.arange(self.nodes) / (self.nodes - 1)
        up, down = self.steps(parameters, weights)
        return StepTable(low, high, _to_its_end(up), _to_its_end(down[::-1])[::-1])


def _to_its_end(steps: np.ndarray) -> np.ndarray:
    """Return tabulated steps, in the direction of their pulses, that end where their curve does.

    Where a step ends between two nodes, the one behind is what the curve would be there: a step of
    0 would draw the curve's end out to it.
    """
    end = int(np.argmin(steps > 0))
    if 3 <= end < len(steps) - 1 and steps[end] == 0:
        first, second, third = steps[end - 3 : end]
        steps = steps.copy()
        steps[end] = min(first - 3 * second + 3 * third, 0.0)
    return steps


CALM: dict[str, Any] = {
    "dw_min_dtod": 0.0,
    "dw_min_std": 0.0,
    "up_down_dtod": 0.0,
    "w_max_dtod": 0.0,
    "w_min_dtod": 0.0,
}
"""Devices alike, and steps without noise."""


def _near(up: float, down: float) -> tuple[float, float]:
    """Return two sizes that a device can have: neither below a hundredth of the other."""
    return max(up, down / 100), max(down, up / 100)


def _sizes(up: float, down: float) -> dict[str, Any]:
    """Return the parameters of an up and a down step at w = 0."""
    up, down = _near(up, down)
    asymmetry = 1 - down / up if down < up else -(1 - up / down)
    return {"dw_min": max(up, down), "up_down": float(np.clip(asymmetry, -0.99, 0.99))}


def _balance(up: float, down: float) -> tuple[float, float]:
    """Return mean and asymmetry of two exponents."""
    up, down = _near(up, down)
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

    def steps(p: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        up, down = _near(p[0], p[1])
        return np.full(len(weights), up), np.full(len(weights), down)

    def starts(curve: Curve) -> list[list[float]]:
        return [[_size(curve.up.mean()), _size(curve.down.mean()), 1.02, -1.02]]

    return Candidate(
        "ConstantStep", build, steps, starts,
        (SMALLEST, SMALLEST, 0.9, -REACH), (LARGEST, LARGEST, REACH, -0.9),
        2, {2: 1.02, 3: -1.02},
    )  # fmt: skip


def _linear() -> Candidate:
    def build(p: np.ndarray) -> StepDevice:
        return LinearStep(
            **CALM, **_sizes(p[0], p[1]), gamma_up=p[2], gamma_down=p[3], w_max=p[4], w_min=p[5],
            gamma_up_dtod=0.0, gamma_down_dtod=0.0, allow_increasing=bool(min(p[2], p[3]) < 0),
        )  # fmt: skip

    def steps(p: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        up, down = _near(p[0], p[1])
        return up * (1 - p[2] * weights / p[4]), down * (1 - p[3] * weights / p[5])

    def starts(curve: Curve) -> list[list[float]]:
        up, rise = _line(curve.weights, curve.up)
        down, fall = _line(curve.weights, curve.down)
        gammas = np.clip([-rise / up, fall / down], -1.5, 1.5)
        return [[up, down, *gammas.tolist(), 1.02, -1.02]]

    return Candidate(
        "LinearStep", build, steps, starts,
        (SMALLEST, SMALLEST, -1.9, -1.9, 0.9, -REACH), (LARGEST, LARGEST, 1.9, 1.9, REACH, -0.9),
        2, {4: 1.02, 5: -1.02},
    )  # fmt: skip


def _soft() -> Candidate:
    def build(p: np.ndarray) -> StepDevice:
        return SoftBounds(**CALM, **_sizes(p[0], p[1]), w_max=p[2], w_min=p[3])

    def steps(p: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        up, down = _near(p[0], p[1])
        return up * (1 - weights / p[2]), down * (1 - weights / p[3])

    def starts(curve: Curve) -> list[list[float]]:
        up, rise = _line(curve.weights, curve.up)
        down, fall = _line(curve.weights, curve.down)
        top = up / -rise if rise < 0 else FURTHEST / 2
        bottom = -down / fall if fall > 0 else -FURTHEST / 2
        return [[
            up, down, float(np.clip(top, 1.01, FURTHEST / 2)),
            float(np.clip(bottom, -FURTHEST / 2, -1.01)),
        ]]  # fmt: skip

    return Candidate(
        "SoftBounds", build, steps, starts,
        (SMALLEST, SMALLEST, 0.9, -FURTHEST), (LARGEST, LARGEST, FURTHEST, -0.9), 2,
    )  # fmt: skip


def _power() -> Candidate:
    def build(p: np.ndarray) -> StepDevice:
        mean, asymmetry = _balance(p[2], p[3])
        return PowStep(
            **CALM, **_sizes(p[0], p[1]), pow_gamma=mean, pow_up_down=asymmetry,
            pow_gamma_dtod=0.0, w_max=p[4], w_min=p[5],
        )  # fmt: skip

    def steps(p: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        room = np.clip((p[4] - weights) / (p[4] - p[5]), 0, 1)
        up, down = _near(p[0], p[1])
        rise, fall = _near(p[2], p[3])
        return up * room**rise, down * (1 - room) ** fall

    def starts(curve: Curve) -> list[list[float]]:
        found = []
        for bound in (1.05, 1.5, 3.0):
            room = (bound - curve.weights) / (2 * bound)
            up, down = _scaled_power(room, curve.up), _scaled_power(1 - room, curve.down)
            found.append([up[0], down[0], up[1], down[1], bound, -bound])
        return found

    return Candidate(
        "PowStep", build, steps, starts,
        (SMALLEST, SMALLEST, 0.0, 0.0, 0.9, -FURTHEST),
        (LARGEST, LARGEST, 3.5, 3.5, FURTHEST, -0.9), NODES,
    )  # fmt: skip


def _scaled_power(room: np.ndarray, steps: np.ndarray) -> tuple[float, float]:
    """Return scale and exponent of the power of the room nearest to some steps."""
    found, best = (_size(steps.mean()), 0.01), np.inf
    for gamma in (0.1, 0.3, 0.6, 1.0, 1.4, 1.8, 2.3, 2.8, 3.3):
        shape = room**gamma
        scale = float(shape @ steps / (shape @ shape))
        error = float(((scale * shape - steps) ** 2).sum())
        if scale > 0 and error < best:
            found, best = (_size(scale), gamma), error
    return found


def _exponential() -> Candidate:
    """Return `ExpStep`, by its steps at one place, their changes to another, and its exponents.

    ``s (1 - A exp(gamma z))`` is ``u (1 + v e(z - z0) / e(z1 - z0))``, ``e(z) = exp(gamma z) - 1``,
    with the step u at z0 and (1 + v) u at z1: what all but straight lines have in common is then
    one parameter each. z0 is where pulses of a direction come from, z1 where they go, short of the
    ends of the range, where steps may have ended.

    Straight lines are out of reach (s or A would grow without limit): exponents are given by how
    far they are beyond the least that a change allows, in magnitude, plus 1. Their signs stay.
    """

    def parts(p: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return scales s, factors A and exponents of the up and the down step."""
        sign, way = np.sign(p[4:6]), 2 * PLACE / (p[6] - p[7])
        gamma = sign * (_least_exponent(sign, p[:2], p[2:4], way) + np.abs(p[4:6]) - 1)
        share = p[2:4] / np.expm1(gamma * way)
        factor = share / (share - 1) * np.exp(gamma * way / 2)
        return p[:2] * (1 - share), np.clip(factor, -LARGEST_PART, LARGEST_PART), gamma

    def build(p: np.ndarray) -> StepDevice:
        scale, factor, gamma = parts(p)
        return ExpStep(
            **CALM, **_sizes(*scale.tolist()), A_up=factor[0], A_down=factor[1],
            gamma_up=gamma[0], gamma_down=gamma[1], a=0.5, b=0.0, w_max=p[6], w_min=p[7],
        )  # fmt: skip

    def steps(p: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        place = weights / (p[6] - p[7])
        scale, factor, gamma = parts(p)
        up, down = _near(*scale.tolist())
        return (
            up * np.maximum(1 - factor[0] * np.exp(gamma[0] * place), 0),
            down * np.maximum(1 - factor[1] * np.exp(-gamma[1] * place), 0),
        )

    def starts(curve: Curve) -> list[list[float]]:
        found = []
        # An exponential that ends a step and one that begins it are far from each other.
        for rising, falling in product((1.0, -1.0), repeat=2):
            up = _scaled_exponential(rising, curve.weights + PLACE, curve.up)
            down = _scaled_exponential(falling, PLACE - curve.weights, curve.down)
            found.append([up[0], down[0], up[1], down[1], up[2], down[2], 1.02, -1.02])
        return found

    def limits(start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        lower, upper = np.array(least), np.array(most)
        for change, exponent in ((2, 4), (3, 5)):
            if start[exponent] > 0:
                lower[exponent] = 1.0
            else:
                # It ends nowhere.
                lower[change], upper[exponent] = -1 + 1 / MOST, -1.0
        return lower, upper

    changes, steepest = (-50.0,) * 2, 25.0
    least = (SMALLEST, SMALLEST, *changes, -steepest, -steepest, 0.9, -REACH)
    most = (LARGEST, LARGEST, 50.0, 50.0, steepest, steepest, REACH, -0.9)
    return Candidate(
        "ExpStep", build, steps, starts, least, most, NODES, {6: 1.02, 7: -1.02}, limits=limits
    )


def _least_exponent(
    sign: np.ndarray, steps: np.ndarray, changes: np.ndarray, way: float
) -> np.ndarray:
    """Return the least magnitude of exponents of a sign, that steps and their changes allow."""
    straight = np.minimum(LARGEST / steps - 1, MOST)
    bent = np.maximum(sign * changes * (1 + 1 / MOST), -sign * changes / straight) + FLATTEST
    return sign * np.log1p(np.maximum(sign * bent, FLATTEST - 1)) / way


def _scaled_exponential(
    sign: float, place: np.ndarray, steps: np.ndarray
) -> tuple[float, float, float]:
    """Return step, change and exponent of a sign, as parameters, nearest to some steps.

    Places are distances from where the step is to be known.
    """
    found, best = (_size(steps.mean()), 0.0, 2 * sign), np.inf
    # Where a step has ended, it is not what the exponential says.
    goes_on = steps > ENDED * steps.max()
    # Bounds are 2 apart, about.
    way = PLACE
    for size in (0.5, 1.0, 2.0, 3.0, 4.5, 6.0, 9.0, 13.0, 18.0, 24.0):
        gamma = sign * size
        design = np.ones((len(place), 2))
        design[:, 1] = np.expm1(gamma * place / 2) / np.expm1(gamma * way)
        height, part = np.linalg.lstsq(design[goes_on], steps[goes_on], rcond=None)[0]
        error = float(((np.maximum(design @ (height, part), 0) - steps) ** 2).sum())
        if not (height > SMALLEST and error < best):
            continue
        up, change = _size(height), float(part / height)
        least = _least_exponent(np.array(sign), np.array(up), np.array(change), way)
        if size >= least:
            best, found = error, (up, change, sign * (1 + size - float(least)))
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

    def steps(p: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        grid = p[-1] + (p[-2] - p[-1]) * np.arange(nodes) / (nodes - 1)
        return np.interp(weights, grid, p[:nodes]), np.interp(weights, grid, p[nodes:-2])

    def starts(curve: Curve) -> list[list[float]]:
        grid = np.linspace(-1.02, 1.02, nodes)
        up = np.interp(grid, curve.weights, curve.up)
        down = np.interp(grid, curve.weights, curve.down)
        return [[*map(_size, (*up, *down)), 1.02, -1.02]]

    count = 2 * nodes
    return Candidate(
        "PiecewiseStep", build, steps, starts,
        (SMALLEST,) * count + (0.9, -REACH), (LARGEST,) * count + (REACH, -0.9),
        nodes, {count: 1.02, count + 1: -1.02},
    )  # fmt: skip


CANDIDATES = (_constant(), _linear(), _soft(), _exponential(), _power())
"""All but `PiecewiseStep`, whose number of nodes is to be found."""

CLASSES = (*(candidate.kind for candidate in CANDIDATES), PiecewiseStep.kind)
"""Names of all classes."""
