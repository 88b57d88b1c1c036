"""Noise of pulses and of reads, told apart by what a fitted curve leaves.

A step's noise stays in the weight, a read's does not. So with steps m of the fitted curve::

    w[k] = w[k-1] + m[k] + c g[k] xi        y[k] = w[k] + r xi'

where g is the step itself (multiplicative noise) or the step at w = 0 (additive). ``c`` and ``r``
are those of the largest likelihood, by a Kalman filter.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ohmgrid.compiled.courses import predict_moves
from ohmgrid.devices.base import StepDevice
from ohmgrid.measurements.replay import StepTable, Train

__all__ = ["Noise", "find_noise", "free_steps"]

CLEAR = 3.0
"""Gain of the logarithm of the likelihood that makes a noise real."""
DOUBTFUL = 2.0
"""Loss of it, of two standard errors, beyond which a noise is ruled out."""
MOVE = 0.03
"""Of the logarithm of a noise, for how sharp a likelihood is."""
READS_ALONE = 10.0
"""Such a gain that makes noise of reads alone: a curve that follows its data too closely leaves
deviations that come and go, as those of reads do."""
OUTLIER = 8.0
"""Of the median deviation, beyond which a value is an outlier: 5.4 standard deviations."""
LASTING = 0.7
"""Noise of steps over many pulses, over that over one, below which reads' noise lasts."""
SLIGHT = 0.1
"""Of the typical step, below which a step does not count."""
SMALLEST = 1e-6
"""Of a standard deviation in weight units, below any register's."""


class Noise(NamedTuple):
    """Standard deviations."""

    step: float
    """Of a step, relative to it (or to the step at w = 0)."""
    read: float
    """Of a value around the weight, weight units."""
    additive: bool
    """The noise of a step does not scale with it."""
    error: float = 0.0
    """Standard error of ``step``; where that is 0, what it may be at most."""


class _Moves(NamedTuple):
    """Steps of the data and of the curve, those at bounds left out; arrays of one shape."""

    deviations: np.ndarray
    expected: np.ndarray
    gain: np.ndarray
    opens: np.ndarray
    """Whether the step before was left out or belongs to another sweep."""
    far: np.ndarray
    """Whether no noise of the others explains the step."""


def _moves(train: Train, table: StepTable, noise: float) -> list[_Moves]:
    """Return the steps of each sweep, and which to leave out, as steps that open anew.

    A step is that of the curve at the value read before: a read's noise moves it by far less than
    the value itself.
    """
    grid = np.linspace(table.low, table.high, len(table.up))
    # Bounds may be nearer than those of a fit: whole courses end before what single sweeps reach.
    low, high = max(table.low, train.calm.min()), min(table.high, train.calm.max())
    found = []
    for sweep in train.sweeps:
        values = train.values[sweep]
        up, gain = train.up[sweep][1:], train.gain[sweep][1:]
        place = np.clip(values[:-1], table.low, table.high)
        size = gain * np.where(
            up, np.interp(place, grid, table.up), np.interp(place, grid, table.down)
        )
        room = np.where(up, high - place, place - low)
        deviation = np.diff(values) - np.where(up, size, -size)
        far = _outliers(deviation, size)
        # A bound cuts off part of the noise of the steps that lead to it. Where a curve all but
        # vanishes, its own error would count for more than any noise.
        free = (room > size * (1 + 2.5 * noise)) & ~far
        free &= size > SLIGHT * np.sqrt((size**2).mean())
        found.append(_Moves(deviation, size, gain, ~free, far))
    if sum(int((~one.opens).sum()) for one in found) < 4:
        found = [one._replace(opens=np.zeros(len(one.opens), bool)) for one in found]
    return found


def _outliers(deviation: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return which steps lead to or from a value that no noise of the others explains."""
    spread = np.abs(deviation)
    relative = np.median(spread / np.maximum(size, SMALLEST))
    limit = OUTLIER * np.maximum(relative * size, np.median(spread))
    return (spread > limit) & (limit > 0)


def _thinned(moves: list[_Moves], every: int) -> _Moves:
    """Return the moves over every ``every`` pulses, from each first pulse on, joined."""
    parts = []
    for one in moves:
        for first in range(every):
            count = (len(one.deviations) - first) // every
            if count < 1:
                continue
            part = slice(first, first + count * every)
            shape = (count, every)
            left_out = np.any(one.opens[part].reshape(shape), axis=1)
            expected, gain = (
                np.sqrt((array[part].reshape(shape) ** 2).sum(axis=1))
                for array in (one.expected, one.gain)
            )
            moved = _Moves(
                one.deviations[part].reshape(shape).sum(axis=1),
                expected,
                gain,
                np.concatenate([[True], left_out[:-1]]),
                left_out,
            )
            parts.append(_Moves(*(column[~left_out] for column in moved)))
    return _Moves(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def free_steps(train: Train, table: StepTable, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Return which steps, by the value that they lead to, noise alone decides, and outliers.

    The former are those that are not small, and that no bound and no outlier touches.
    """
    moves = _moves(train, table, noise)
    free = np.concatenate([np.r_[False, ~one.opens] for one in moves])
    return free, np.concatenate([np.r_[False, one.far] for one in moves])


def find_noise(train: Train, table: StepTable, device: StepDevice) -> Noise:
    """Return the noise that data have about a device's curve.

    Parameters
    ----------
    train : Train
    table : StepTable
        Steps of the device.
    device : StepDevice
        Its ``dw_min`` is the step that additive noise refers to.
    """
    noise = Noise(0.3, 0.0, False)
    moves: list[_Moves] = []
    for _ in range(3):
        before = noise.step
        moves = _moves(train, table, min(noise.step, 4.0))
        noise = _fitted(_thinned(moves, 1), device)
        if abs(noise.step - before) < 0.02:
            break
    # Reads whose noise lasts for some pulses look like steps over one pulse, not over many. Where
    # they are the larger part, only what still grows over more pulses is noise of steps.
    longest = max(len(one.deviations) for one in moves) // 20
    every = 1
    found = noise
    while (
        found.step > 0
        and noise.read > found.step * _typical(moves, device, noise)
        and 2 * every <= longest
    ):
        every *= 2
        longer = _fitted(_thinned(moves, every), device)
        found = longer if longer.step < LASTING * found.step else found
    return noise._replace(step=found.step, error=found.error)


def _typical(moves: list[_Moves], device: StepDevice, noise: Noise) -> float:
    """Return the size of a step that noise is relative to, weight units."""
    if noise.additive:
        return device.dw_min
    return float(np.sqrt(np.concatenate([one.expected**2 for one in moves]).mean()))


def _fitted(moves: _Moves, device: StepDevice) -> Noise:
    forms = [(False, moves.expected)]
    if hasattr(device, "mult_noise"):
        forms.append((True, moves.gain * device.dw_min))
    found: list[tuple[float, Noise]] = []
    for additive, sizes in forms:
        value, step, read, error = _largest(moves, sizes)
        # Additive noise is the exception.
        noise = Noise(step, read, additive and step > 0.01, error)
        found.append((value - CLEAR * additive, noise))
    return max(found, key=lambda one: one[0])[1]


def _largest(moves: _Moves, sizes: np.ndarray) -> tuple[float, float, float, float]:
    """Return the largest logarithm of the likelihood, its noises of step and read, and the error.

    What is searched for is their ratio alone: for each, the likeliest size of both is known.
    """
    from scipy.optimize import minimize_scalar

    typical = max(float(np.sqrt((sizes**2).mean())), SMALLEST)
    count = len(sizes)

    def sums(step: float, read: float) -> tuple[float, float]:
        """Return the sums of the logarithm of the variance and of the squares relative to it."""
        deviation, variance = np.empty(count), np.empty(count)
        predict_moves(moves.deviations, moves.opens, step * sizes, read**2, deviation, variance)
        return float(np.log(variance).sum()), float((deviation**2 / variance).sum())

    def scaled(step: float, read: float) -> tuple[float, float]:
        """Return the largest logarithm of the likelihood over the size of both, and that size."""
        logarithm, squares = sums(step, read)
        square = max(squares / count, (SMALLEST / typical) ** 2)
        return -0.5 * (logarithm + count * (np.log(square) + 1)), float(np.sqrt(square))

    def both_of(ratio: float) -> tuple[float, float]:
        return scaled(1.0, float(np.exp(ratio)) * typical)

    ratios = np.linspace(np.log(1e-3), np.log(1e3), 29)
    tried = [both_of(ratio) for ratio in ratios]
    best = int(np.argmax([value for value, _ in tried]))
    near = ratios[max(best - 1, 0)], ratios[min(best + 1, len(ratios) - 1)]
    found: Any = minimize_scalar(
        lambda ratio: -both_of(ratio)[0], bounds=near, method="bounded", options={"xatol": 1e-9}
    )
    both, size = both_of(found.x)
    steps, reads = scaled(1.0, 0.0), scaled(0.0, typical)
    if both < max(steps[0], reads[0]) + CLEAR:
        # Every device's steps have noise; that of reads must be clear to be all of it.
        if steps[0] >= reads[0] - READS_ALONE:
            step = _real(steps[1] * typical, typical)
            # Reads that are not clear may still be there: what they would take is in doubt.
            return steps[0], step, 0.0, float(np.hypot(step / np.sqrt(2 * count), step - size))
        possible = [step for value, step in tried if value > reads[0] - DOUBTFUL]
        return reads[0], 0.0, reads[1] * typical, max(possible, default=0.0)
    read = size * float(np.exp(found.x)) * typical
    return both, size, read, size * _error(lambda p: sums(size * np.exp(p[0]), read * np.exp(p[1])))


def _error(sums: Callable[[np.ndarray], tuple[float, float]]) -> float:
    """Return the standard error of the logarithm of the first of two noises."""
    moves = MOVE * np.array([[1, 1], [1, -1], [-1, 1], [-1, -1], [1, 0], [-1, 0], [0, 1], [0, -1]])
    pp, pm, mp, mm, p0, m0, zp, zm = (0.5 * sum(sums(move)) for move in moves)
    here = 0.5 * sum(sums(np.zeros(2)))
    first, second, mixed = p0 + m0 - 2 * here, zp + zm - 2 * here, (pp - pm - mp + mm) / 4
    information = (first - mixed**2 / second if second > 0 else first) / MOVE**2
    return float(np.clip(1 / np.sqrt(information), 0, 1)) if information > 0 else 1.0


def _real(step: float, typical: float) -> float:
    """Return a noise relative to the step, 0 where it is that of rounding alone."""
    return 0.0 if step < 2 * SMALLEST else float(step / typical)
