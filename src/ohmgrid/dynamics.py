"""Systems in continuous time: what every engine offers.

A network's crossbar is exact, integers in a matrix, or a tile with all that its configuration has:
devices, converters, noise. Every engine gives the same bits.
"""

from typing import NamedTuple, Protocol

import numpy as np

from ohmgrid.config import Config
from ohmgrid.systems import DelayNet

__all__ = ["NetEngine", "NetState", "NeuronState", "NeuronsEngine", "OnTile"]


class OnTile(NamedTuple):
    """A crossbar that is a tile."""

    config: Config
    """Its devices (single ones or pairs), converters and noise."""
    reach: float = 0.6
    """Largest weight, as a part of what a mean device holds: others hold less."""
    age: int = 0
    """Updates for which the devices have leaked since they were programmed."""


class NetState(NamedTuple):
    """All that a network remembers, its tile aside."""

    u: np.ndarray
    """int64, shape (lines,): states."""
    y: np.ndarray
    """int64, shape (lines,): what the crossbar gives at this sample, a state."""
    ring: np.ndarray
    """int64, shape (depth, lines): outputs; sample k at ``k mod depth``."""
    samples: int
    """Samples so far."""


class NeuronState(NamedTuple):
    """All that single neurons remember."""

    values: np.ndarray
    """int64, shape (variables, neurons): states."""
    timers: np.ndarray
    """int64, shape (neurons,): what is left of refractory times; 0 of neurons without."""
    samples: int
    """Samples so far."""


class NetEngine(Protocol):
    """A network with delay, wherever its bits are computed."""

    lines: int
    """Neurons, and lines of the crossbar."""
    clipped: int
    """Weights that devices do not hold as they are: beyond a bound, or stuck."""
    cycles: int
    """Clock cycles of the last run, a tile's aside; 0 where there are none, or nobody knows."""

    def start(self, u: np.ndarray) -> None:
        """Begin anew at states ``u``, real numbers, that have always been there."""
        ...

    def retune(self, net: DelayNet) -> None:
        """Load the registers of other gains and delays; what is remembered stays."""
        ...

    def run(self, samples: int) -> np.ndarray:
        """Go on; return the states after each sample: int64, shape (samples, lines)."""
        ...

    def state(self) -> NetState:
        """Return a copy of the state."""
        ...

    def load(self, state: NetState) -> None:
        """Take over a state of any engine."""
        ...


class NeuronsEngine(Protocol):
    """Single neurons, wherever their bits are computed."""

    count: int
    cycles: int
    """As of `NetEngine`."""

    def run(self, samples: int) -> tuple[np.ndarray, np.ndarray]:
        """Go on; return states after each sample, int64, shape (samples, variables, neurons), and
        who spiked in it: bool, shape (samples, neurons)."""
        ...

    def state(self) -> NeuronState:
        """Return a copy of the state."""
        ...
