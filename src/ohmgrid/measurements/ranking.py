"""Which class of those that were fitted made the data: by likelihood, less a price of parameters.

The price of a parameter that data decide is that of the Bayesian information criterion. A class
that holds another as a special case wins only where it explains more than its parameters cost.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ohmgrid.measurements.replay import StepTable, Train
from ohmgrid.measurements.residuals import Noise, free_steps
from ohmgrid.measurements.solving import Expected, predictions
from ohmgrid.measurements.trials import Data, Tried, by_steps

__all__ = ["Score", "judge_courses", "judge_steps"]

SLIGHT = 0.1
"""Of the typical step, below which a step's noise is expected to be that of one as large."""
INSIDE = 1e-3
"""Of the range, by which bounds are tried within its ends."""
SMALLEST = 1e-7
"""Of a root mean square in weight units, below any register's."""


class Score(NamedTuple):
    """How a class compares with the others."""

    criterion: float
    """Bayesian information criterion, smallest for the best; differences count."""
    error: float
    """Standard error of the mean step at mid-range, relative to it."""
    parameters: np.ndarray | None = None
    """Of the likeliest steps."""


FAILED = Score(np.inf, np.inf)
"""Of a class without a fit."""


def _correlation(train: Train, rest: np.ndarray) -> float:
    """Return how many values, one after the other, count as one: those that deviate together."""
    parts = [rest[part] - rest[part].mean() for part in train.sweeps]
    square = sum(float(part @ part) for part in parts)
    if not square > 0:
        return 1.0
    total = 1.0
    for lag in range(1, max(len(part) for part in parts) // 2):
        shared = sum(float(part[lag:] @ part[:-lag]) for part in parts if len(part) > lag) / square
        if shared <= 0:
            break
        total += 2 * shared
    return total


def judge_courses(data: Data, tried: Sequence[Tried], reference: Tried) -> list[Score]:
    """Judge each class by its whole courses: noise is that of reads.

    Parameters
    ----------
    data : Data
    tried : sequence of Tried
    reference : Tried
        What it leaves says how long noise lasts.
    """
    rest = (reference.course - data.train.values) * data.counts
    count = max(float(data.counts.sum()) / _correlation(data.train, rest), 2.0)
    found = []
    for one in tried:
        if one.problem:
            found.append(FAILED)
            continue
        value = 2 * count * np.log(max(one.misfit, SMALLEST)) + one.best.free * np.log(count)
        spread = 2 * one.misfit / data.noise * np.sqrt(data.counts.sum() / count)
        found.append(Score(value, one.best.step_error / one.best.step * spread))
    return found


def judge_steps(
    data: Data,
    tried: Sequence[Tried],
    noise: Noise,
    reference: Tried,
    before: Sequence[Score],
) -> list[Score]:
    """Judge each class by its likeliest steps: noise adds up over a course.

    Parameters
    ----------
    data : Data
    tried : sequence of Tried
    noise : Noise
        Of steps and reads; their ratio counts.
    reference : Tried
        Noise is relative to its steps.
    before : sequence of Score
        Of the same classes in another noise: where their likeliest steps are near to.
    """
    expected = _expected(data, noise, reference.table)
    free, far = free_steps(data.train, reference.table, min(noise.step, 4.0))
    expected = expected._replace(opens=expected.opens | far)
    # What a bound cuts off says nothing of the size of noise, and everything of the bound.
    free &= ~expected.opens
    bound = ~free & ~expected.opens
    count = max(int(free.sum()), 2)
    ends = _ends(data.train)
    likely = [
        by_steps(data, one, expected, _starts(one, last, ends))
        for one, last in zip(tried, before, strict=True)
    ]
    sums: dict[int, tuple[float, float, float]] = {}
    for k, one in enumerate(likely):
        if not one.problem:
            deviation, variance = predictions(data.train, one.table, expected)
            squares = deviation**2 / variance
            # A class has the size of noise that suits it best.
            square = max(float(squares[free].mean()), SMALLEST**2)
            sums[k] = square, float(np.log(variance[free]).sum()), float(squares[bound].sum())
    # At bounds all are measured by one noise: there, a class that leaves much elsewhere would gain.
    least = min((square for square, _, _ in sums.values()), default=1.0)
    found = []
    for k, one in enumerate(likely):
        if one.problem:
            found.append(FAILED)
            continue
        square, logarithms, at_bounds = sums[k]
        value = count * np.log(square) + logarithms + at_bounds / least
        error = one.best.step_error / one.best.step * np.sqrt(square)
        value += one.best.free * np.log(count)
        found.append(Score(value, error, one.best.parameters))
    return found


def _starts(tried: Tried, before: Score, ends: tuple[float, float]) -> list[np.ndarray]:
    """Return parameters to start from.

    Single sweeps may reach bounds that whole courses do not: a first search starts with the bounds
    at the ends (upper, lower) of the values too.
    """
    if tried.problem:
        return []
    if before.parameters is not None:
        return [before.parameters]
    found = tried.best.parameters
    return [found, np.concatenate([found[:-2], ends])]


def _ends(train: Train) -> tuple[float, float]:
    """Return bounds, upper and lower, that the values may be at, or just beyond.

    The ends of medians of three, which no single read sets, and a little less: a bound that no
    pulse reaches tells a search nothing.
    """
    still = [
        np.median(np.lib.stride_tricks.sliding_window_view(train.values[part], 3), axis=1)
        for part in train.sweeps
        if part.stop - part.start >= 3
    ]
    if not still:
        return 1.0, -1.0
    together = np.concatenate(still)
    low, high = float(together.min()), float(together.max())
    inside = INSIDE * (high - low)
    return high - inside, low + inside


def _expected(data: Data, noise: Noise, curve: StepTable) -> Expected:
    """Return the noise of a train's values, where its steps are about those of a curve."""
    train = data.train
    grid = np.linspace(curve.low, curve.high, len(curve.up))
    place = np.clip(np.roll(train.calm, 1), curve.low, curve.high)
    steps = np.where(train.up, np.interp(place, grid, curve.up), np.interp(place, grid, curve.down))
    steps = np.abs(train.gain * steps)
    typical = float(np.sqrt((steps**2).mean()))
    sizes = np.full(len(steps), typical) if noise.additive else np.maximum(steps, SLIGHT * typical)
    return Expected(data.opens, noise.step * sizes, noise.read)
