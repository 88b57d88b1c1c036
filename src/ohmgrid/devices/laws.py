"""What distinguishes one class of devices from another: the law of its step over the weight.

With one = 1.0, ``p`` the position of the weight and ``g`` the slope or exponent of the cell::

    curve = offset + g * f(p)            straight lines, exponentials, measured tables
    curve = room ** g                    powers

Standard library only.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

__all__ = ["Law", "Spread", "interpolate"]


class Spread(NamedTuple):
    """A normal distribution over devices."""

    mean: float = 0.0
    std: float = 0.0


class Law(NamedTuple):
    """Step of a cell relative to its step at w = 0, and the noise of it."""

    position: str = "bound"
    """``bound``: weight in units of the bound ahead, positive towards it; ``range``: weight in
    units of the distance of both bounds; ``room``: distance to the bound ahead, in these units."""
    own_bounds: bool = False
    """The bounds are the cell's own (true) or the mean ones (false)."""
    behind_up: bool = False
    """Of ``bound``: the up pulse's position is in units of the bound behind."""
    behind_down: bool = False
    power: bool = False
    noise: str = "multiplicative"
    """``multiplicative``: noise scales with the curve; ``additive``: with the step at w = 0;
    ``complex``: with ``|step| + noise_add + noise_slope |w|``."""
    offset: float = 1.0
    up: Callable[[float], float] = lambda p: -p
    """f of the up pulse."""
    down: Callable[[float], float] = lambda p: -p
    """f of the down pulse."""
    gamma_up: Spread = Spread()
    gamma_down: Spread = Spread()
    signed_gamma: bool = False
    """g may be negative; otherwise its magnitude counts."""
    gamma_common: bool = False
    """Both directions of a cell deviate together; otherwise they are independent."""
    gamma_balance: float = 0.0
    """Spread of what one direction has more and the other less."""
    divide_max: float = 0.0
    """Upper bounds are divided by ``|1 + divide_max xi|``."""
    divide_min: float = 0.0
    """Lower bounds likewise."""
    noise_add: float = 0.0
    noise_slope: float = 0.0


def interpolate(nodes: Sequence[float], place: float) -> float:
    """Return the value at ``place`` (0..1, clipped) of straight lines between equidistant nodes."""
    if len(nodes) == 1:
        return nodes[0]
    scaled = min(max(place, 0.0), 1.0) * (len(nodes) - 1)
    index = min(int(scaled), len(nodes) - 2)
    part = scaled - index
    return (1 - part) * nodes[index] + part * nodes[index + 1]
