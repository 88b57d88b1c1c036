"""Where a course without directions turns from up to down pulses and back."""

from typing import NamedTuple

import numpy as np

from ohmgrid.doors.checks import ConfigError

__all__ = ["REVERSAL", "Turns", "counted_directions", "find_directions", "order_trend", "trend"]

REVERSAL = 0.5
"""Part of the whole range that a course must come back by to have turned."""
LEVEL = 0.03
"""Part of the range within which values are at the level of a turn."""


class Turns(NamedTuple):
    """Directions of a course's pulses."""

    up: np.ndarray
    """Bool, shape (values,)."""
    unsure: str
    """What is not certain of it, empty where nothing is."""


def trend(values: np.ndarray) -> float:
    """Return by how much values rise from their first to their last quarter, over their range."""
    quarter = max(len(values) // 4, 1)
    span = float(np.ptp(values))
    rise = float(values[-quarter:].mean() - values[:quarter].mean())
    return rise / span if span > 0 else 0.0


def order_trend(values: np.ndarray) -> float:
    """Return the correlation of values' ranks with their order: one far value hides no trend."""
    from scipy.stats import rankdata

    if np.ptp(values) == 0:
        return 0.0
    return float(np.corrcoef(np.arange(len(values)), rankdata(values))[0, 1])


def counted_directions(count: int, up: int, down: int) -> np.ndarray:
    """Return directions of ``count`` values under ``up`` up pulses, then ``down`` down pulses.

    The pattern repeats. A value more than pulses is the one before the first pulse.
    """
    period = up + down
    if not up >= 1 or not down >= 1 or count % period > 1 or count < period:
        raise ConfigError(
            "up, down",
            f"expected numbers of pulses whose sum divides the file's {count} values, "
            f"got {up} and {down}",
        )
    first = count % period
    pattern = np.arange(period) < up
    return np.r_[pattern[:first], np.tile(pattern, count // period)]


def _smooth(values: np.ndarray) -> np.ndarray:
    """Return a running median: where a course is, but for noise."""
    width = 1 + 2 * min(10, len(values) // 100)
    padded = np.pad(values, width // 2, mode="edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1)


def _extremes(values: np.ndarray) -> list[int]:
    """Return where values turn by more than `REVERSAL` of their range, in order."""
    least = REVERSAL * float(np.ptp(values))
    low = high = 0
    rising: bool | None = None
    found: list[int] = []
    for k, value in enumerate(values):
        if value > values[high]:
            high = k
        if value < values[low]:
            low = k
        if rising is not False and values[high] - value > least:
            if rising is not None or high > 0:
                found.append(high)
            rising, low = False, k
        elif rising is not True and value - values[low] > least:
            if rising is not None or low > 0:
                found.append(low)
            rising, high = True, k
    # The first extreme is the start of the first sweep where that begins at an end of the range.
    return found


def _plateau(values: np.ndarray, at: int, span: float) -> tuple[int, int]:
    """Return first and last place about an extreme that is at its level."""
    near = np.abs(values - values[at]) <= LEVEL * span
    first = last = at
    while first > 0 and near[first - 1]:
        first -= 1
    while last + 1 < len(values) and near[last + 1]:
        last += 1
    return first, last


def _fall(values: np.ndarray, at: int, last: int, span: float) -> int:
    """Return how many values a course takes from the end of a level to once as far from it."""
    count = 1
    while (
        last + count < len(values) - 1
        and abs(values[last + count] - values[at]) <= 2 * LEVEL * span
    ):
        count += 1
    return count


def find_directions(values: np.ndarray) -> Turns | None:
    """Return the directions of a course, or None where it has but one branch.

    Turns are where the course turns. A device that saturates stays at a level before it: the turn
    is where it leaves that, and not where the largest value happens to be. Sweeps of equal lengths
    whose turns lie there are taken as such; otherwise a turn at a level is not certain.
    """
    calm = _smooth(values)
    span = float(np.ptp(calm))
    extremes = [k for k in _extremes(calm) if 0 < k < len(calm) - 1]
    # A course that starts in the middle of a plateau has not turned there.
    if extremes and abs(calm[extremes[0]] - calm[0]) < REVERSAL * span:
        extremes = extremes[1:]
    if not extremes:
        return None
    parts = len(extremes) + 1
    levels = [_plateau(calm, k, span) for k in extremes]
    falls = [_fall(calm, k, b, span) for k, (_, b) in zip(extremes, levels, strict=True)]
    # The noise of reads moves the extremes of long sweeps.
    slack = 0 if len(values) < 100 else 1 + len(values) // 150
    for before in (0, 1):
        length, left = divmod(len(values) - before, parts)
        turns = [before + length * (k + 1) - 1 for k in range(parts - 1)]
        if not left and all(
            a - slack <= turn <= b + slack and turn >= b - 2 * fall - 2 - slack
            for turn, (a, b), fall in zip(turns, levels, falls, strict=True)
        ):
            return Turns(_directions(calm, turns), "")
    turns, unsure = [], ""
    for at, (a, b), fall in zip(extremes, levels, falls, strict=True):
        if b - a <= 2 * fall + 3:
            turns.append(_sharp(values, at, a, b))
            continue
        turns.append(b)
        unsure = unsure or (
            f"the turn is not certain: values {a + 1} to {b + 1} are at one level, the last of "
            "them was taken; --up N --down N say how many pulses there were"
        )
    return Turns(_directions(calm, turns), unsure)


def _sharp(values: np.ndarray, at: int, first: int, last: int) -> int:
    """Return where the values themselves, not the smoothed ones, are at their extreme."""
    part = values[first : last + 1]
    high = values[at] > np.median(values)
    return first + int(part.argmax() if high else part.argmin())


def _directions(calm: np.ndarray, turns: list[int]) -> np.ndarray:
    rising = bool(calm[turns[0]] > calm[0])
    edges = np.zeros(len(calm), int)
    edges[np.array(turns) + 1] = 1
    return (np.cumsum(edges) % 2 == 0) == rising
