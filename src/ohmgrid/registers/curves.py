"""Step curves as tables: where nodes stand, what they can reach, how well they fit.

A position is an integer of `POSITION_BITS` bits; its upper bits choose a segment of the table, the
others the place within it. Standard library only.
"""

from collections.abc import Callable
from itertools import pairwise

from ohmgrid.devices.base import StepDevice
from ohmgrid.devices.laws import Law, Spread
from ohmgrid.portable import power

__all__ = [
    "BOUND_FRAC",
    "POSITIONS",
    "POSITION_BITS",
    "RANGE_FRAC",
    "WORST_FIT",
    "bend",
    "curve_at",
    "extent",
    "fit_error",
    "largest_node",
    "reachable",
    "sides",
    "table_nodes",
]

PULSES = 31
"""Most pulses of one visit."""
POSITION_BITS = 15
"""Width of a position: the index of the step curve's table and the part within a segment."""
BOUND_FRAC, RANGE_FRAC = 12, 14
"""Fraction bits of a position in units of a bound and of the range."""
WORST_FIT = 0.02
"""Largest accepted difference of curve and table, relative to the largest step."""
POSITIONS = ("bound", "range", "room")
"""Kinds of position, as `ohmgrid.devices.laws.Law` names them."""


def reachable(device: StepDevice, law: Law) -> list[float]:
    """Return positions that a cell can take: all but the rarest (two sigma of the bounds)."""
    if law.position == "room":
        low, high = 0.0, 1.0
    elif law.position == "bound":
        low, high = -3.0, 1.0
    else:
        up, down = device.w_max, -device.w_min
        wide = up * (1 + 2 * device.w_max_dtod), down * (1 + 2 * device.w_min_dtod)
        near = (
            up * max(1 - 2 * device.w_max_dtod, 0.0),
            down * max(1 - 2 * device.w_min_dtod, 0.0),
        )
        low = -wide[1] / max(wide[1] + near[0], 1e-9)
        high = wide[0] / max(wide[0] + near[1], 1e-9)
    return [low + (high - low) * k / 256 for k in range(257)]


def curve_at(law: Law, f: Callable[[float], float], gamma: float, position: float) -> float:
    """Return the step at a position relative to the step at w = 0."""
    if law.power:
        return power(max(position, 0.0), gamma)
    return law.offset + gamma * f(position)


def sides(law: Law) -> list[tuple[Callable[[float], float], Spread]]:
    """Return function and slopes of the up and of the down pulse."""
    return [(law.up, law.gamma_up), (law.down, law.gamma_down)]


def extent(device: StepDevice, law: Law) -> float:
    """Return the largest step over all reachable positions and slopes, in steps at w = 0."""
    return max(
        abs(curve_at(law, f, abs(gamma.mean + sigma * gamma.std), position))
        for f, gamma in sides(law)
        for sigma in (-3.3, 3.3)
        for position in reachable(device, law)
    )


def bend(device: StepDevice, law: Law) -> float:
    """Return the largest relative change of a step that 31 pulses can make."""
    places = reachable(device, law)
    span = device.w_max - device.w_min
    if law.position == "bound":
        span = max(min(device.w_max, -device.w_min), 1e-9)
    unit = places[1] - places[0]
    steepest = 0.0
    for f, gamma in sides(law):
        values = [curve_at(law, f, gamma.mean, p) for p in places]
        largest = max(abs(b - a) for a, b in pairwise(values))
        steepest = max(steepest, largest / unit)
    return steepest * PULSES * device.dw_min / span


def _place(law: Law, index: int) -> float:
    """Return the position that a table index stands for, 0..32768."""
    if law.position == "room":
        return index / (1 << POSITION_BITS)
    frac = BOUND_FRAC if law.position == "bound" else RANGE_FRAC
    return (index - (1 << (POSITION_BITS - 1))) / (1 << frac)


def table_nodes(law: Law, f: Callable[[float], float], segments: int) -> list[float]:
    """Return f at the nodes of a table over all positions."""
    width = (1 << POSITION_BITS) // segments
    return [f(_place(law, n * width)) for n in range(segments + 1)]


def largest_node(device: StepDevice, law: Law, segments: int) -> float:
    """Return the largest magnitude of a node at either end of a segment that a cell reaches."""
    width = (1 << POSITION_BITS) // segments
    reached = {
        min(max(int(_index(law, place) // width), 0), segments - 1)
        for place in reachable(device, law)
    }
    return max(
        max(abs(nodes[n]), abs(nodes[n + 1]))
        for nodes in (table_nodes(law, f, segments) for f, _ in sides(law))
        for n in reached
    )


def fit_error(device: StepDevice, segments: int) -> float:
    """Return how far the curve's table is from the curve at most, relative to the largest step."""
    law = device.law()
    if law.power:
        return 0.0
    worst = 0.0
    width = (1 << POSITION_BITS) // segments
    for f, gamma in sides(law):
        nodes = table_nodes(law, f, segments)
        for position in reachable(device, law):
            index = _index(law, position)
            n = min(int(index // width), segments - 1)
            part = (index - n * width) / width
            table = (1 - part) * nodes[n] + part * nodes[n + 1]
            worst = max(worst, abs(gamma.mean * (table - f(position))))
    return worst / max(extent(device, law), 1e-9)


def _index(law: Law, position: float) -> float:
    if law.position == "room":
        return position * (1 << POSITION_BITS)
    frac = BOUND_FRAC if law.position == "bound" else RANGE_FRAC
    return (1 << (POSITION_BITS - 1)) + position * (1 << frac)
