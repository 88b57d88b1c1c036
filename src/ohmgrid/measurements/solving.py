"""Parameters of a class that explain a train best: of its courses, or of each value after another.

`of_courses` takes whole courses, each from its best start, as the noise of reads asks for.
`of_steps` takes the deviation e of each value from what those before it say, and its variance S,
both of a Kalman filter (`ohmgrid.compiled.courses.predict`), as the noise of steps asks for, which
adds up over a course. Least is minus the logarithm of the likelihood, ``1/2 sum(e^2/S + log S)``.

Fisher's scoring is repeated until what is left to gain is far below what the data can tell: the
parameters then hang neither on where the search began nor on the last bits of the data.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ohmgrid.compiled.courses import predict
from ohmgrid.devices.base import StepDevice
from ohmgrid.measurements.candidates import Candidate
from ohmgrid.measurements.replay import StepTable, Train, replay

__all__ = ["Expected", "Solved", "of_courses", "of_steps", "predictions", "solve"]

ROUNDS, TRIES = 80, 14
"""Most rounds of a search, and most shorter steps that a round tries."""
ENOUGH = 1e-11
"""Log likelihood left to gain that ends a search: parameters are at a millionth of their error."""
DIFFERENCE = 1e-5
"""Half the distance of two parameters that a slope is of."""
HELD = 0.01
"""Inverse variance that holds parameters which no data decide to where the search began."""
PULL = 25.0
"""The same of bounds that no pulse came near, to the ends of the measured range."""
LARGEST = np.log(20.0)
"""Logarithm above which no step can be."""


Explained = Callable[[StepTable], tuple[np.ndarray, np.ndarray]]
"""From a table of steps to deviations of the values, and their variances."""


class Expected(NamedTuple):
    """Noise that the values of a train are expected to have."""

    opens: np.ndarray
    """Values that nothing before says anything of, bool, shape (values,)."""
    steps: np.ndarray
    """Standard deviation of the pulse that led to a value, weight units."""
    read: float
    """Standard deviation of a read, weight units."""


class Solved(NamedTuple):
    """The likeliest parameters."""

    parameters: np.ndarray
    device: StepDevice
    table: StepTable
    cost: float
    """Minus the logarithm of the likelihood, what holds parameters included."""
    free: float
    """Parameters that the data decide."""
    step: float
    """Mean size of an up and a down step at mid-range."""
    step_error: float
    """Standard error of it, where noise is as expected."""


def predictions(
    train: Train, table: StepTable, expected: Expected
) -> tuple[np.ndarray, np.ndarray]:
    """Return deviations of the values from what those before them say, and their variances.

    Both have shape (values,); they are 0 and 1 where a value opens.
    """
    deviation, variance = np.empty(len(train.values)), np.empty(len(train.values))
    predict(
        train.values, train.up, train.gain, expected.opens, expected.steps, expected.read**2,
        table.low, table.high, table.up, table.down, deviation, variance,
    )  # fmt: skip
    return deviation, variance


def of_courses(train: Train, counts: np.ndarray, noise: float) -> Explained:
    """Return how a table explains the values that count, by whole courses.

    Parameters
    ----------
    train : Train
    counts : ndarray
        1.0 where a value counts, else 0.0, shape (values,).
    noise : float
        Standard deviation of a value.
    """
    variance = np.full(len(counts), noise**2)

    near = None

    def explained(table: StepTable) -> tuple[np.ndarray, np.ndarray]:
        nonlocal near
        near = replay(train, table, counts, near)
        return counts * (near - train.values), variance

    return explained


def of_steps(train: Train, expected: Expected) -> Explained:
    """Return how a table explains each value by those before it."""
    return lambda table: predictions(train, table, expected)


class _Search(NamedTuple):
    """A search in coordinates where steps, which differ by powers of ten, are logarithms."""

    candidate: Candidate
    lower: np.ndarray
    upper: np.ndarray
    bent: np.ndarray
    """Which coordinates are logarithms."""
    goal: np.ndarray
    hold: np.ndarray
    """Inverse variances around the goal."""

    def plain(self, point: np.ndarray) -> np.ndarray:
        """Return the parameters of a point."""
        plain = np.where(self.bent, np.exp(np.minimum(point, LARGEST)), point)
        return np.clip(plain, self.candidate.lower, self.candidate.upper)

    def table(self, point: np.ndarray) -> StepTable:
        """Return the steps of a point."""
        return self.candidate.table(self.plain(point))


def solve(
    candidate: Candidate, explained: Explained, start: np.ndarray, rounds: int = ROUNDS
) -> Solved:
    """Return the likeliest parameters of a class.

    Parameters
    ----------
    candidate : Candidate
    explained : callable
        `of_courses` or `of_steps`.
    start : ndarray
        Parameters to start from.
    rounds : int
        Most rounds of the search.
    """
    low, high = candidate.within(start)
    bent = np.array(candidate.lower) > 0
    first = np.clip(start, low, high)

    def to_point(parameters: np.ndarray) -> np.ndarray:
        return np.where(bent, np.log(np.where(bent, parameters, 1.0)), parameters)

    goal, hold = to_point(first), np.full(len(first), HELD)
    for index, value in candidate.pulls.items():
        goal[index], hold[index] = value, PULL
    search = _Search(candidate, to_point(low), to_point(high), bent, goal, hold)
    point, cost, information = _minimum(search, explained, to_point(first), rounds)
    parameters = search.plain(point)
    covariance = np.linalg.inv(information)
    free = float((1 - hold * np.diag(covariance)).clip(0, 1).sum())

    def middle(point: np.ndarray) -> float:
        return float(np.mean(candidate.steps(search.plain(point), np.zeros(1))))

    slope = np.array([
        (middle(point + move) - middle(point - move)) / (2 * DIFFERENCE)
        for move in DIFFERENCE * np.eye(len(point))
    ])  # fmt: skip
    error = float(np.sqrt(max(slope @ covariance @ slope, 0.0)))
    device, table = candidate.build(parameters), candidate.table(parameters)
    return Solved(parameters, device, table, cost, free, middle(point), error)


def _minimum(
    search: _Search,
    explained: Explained,
    point: np.ndarray,
    rounds: int,
) -> tuple[np.ndarray, float, np.ndarray]:
    """Return the point of the smallest cost, that cost and Fisher's information there."""

    def cost_of(point: np.ndarray, deviation: np.ndarray, variance: np.ndarray) -> float:
        held = float((search.hold * (point - search.goal) ** 2).sum())
        return 0.5 * (float((deviation**2 / variance + np.log(variance)).sum()) + held)

    deviation, variance = explained(search.table(point))
    cost = cost_of(point, deviation, variance)
    damping = 1e-3
    information = np.eye(len(point))
    for _ in range(rounds):
        of_deviation, of_variance = _slopes(search, explained, point)
        weighed = of_deviation / variance
        gradient = weighed @ deviation + search.hold * (point - search.goal)
        gradient += 0.5 * of_variance @ (1 / variance - (deviation / variance) ** 2)
        relative = of_variance / variance
        information = weighed @ of_deviation.T + 0.5 * relative @ relative.T
        information += np.diag(search.hold)
        outward = ((point <= search.lower) & (gradient > 0)) | (
            (point >= search.upper) & (gradient < 0)
        )
        inside = np.flatnonzero(~outward)
        slope, curved = -gradient[inside], information[np.ix_(inside, inside)]
        scale = np.diag(curved)
        for _ in range(TRIES):
            step = np.linalg.solve(curved + damping * np.diag(scale), slope)
            tried = point.copy()
            tried[inside] += step
            tried = np.clip(tried, search.lower, search.upper)
            found = explained(search.table(tried))
            new = cost_of(tried, *found)
            last = float(slope @ step) < ENOUGH
            # The last step gains less than the sum of the cost is rounded by.
            if new < cost or (last and new < cost + 1e-9):
                break
            damping = max(damping * 8, 1e-6)
        else:
            break
        point, cost, (deviation, variance) = tried, new, found
        damping = damping / 10 if damping > 1e-9 else 0.0
        if last:
            break
    return point, cost, information


def _slopes(
    search: _Search,
    explained: Explained,
    point: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return slopes of deviations and variances over each parameter, shape (parameters, values)."""
    ends = []
    for k in range(len(point)):
        pair = []
        for sign in (1, -1):
            moved = point.copy()
            moved[k] += sign * DIFFERENCE
            moved[k] = min(max(moved[k], search.lower[k]), search.upper[k])
            pair.append((moved[k], *explained(search.table(moved))))
        (above, *high), (below, *low) = pair
        ends.append([(a - b) / (above - below) for a, b in zip(high, low, strict=True)])
    slopes = np.array(ends)
    return slopes[:, 0], slopes[:, 1]
