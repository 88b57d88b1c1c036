"""The dynamics unit simulated: engine `rtl` of systems in continuous time."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from ohmgrid.config import Config
from ohmgrid.dynamics import OnTile
from ohmgrid.gateware.dynamics import Came, UnitNetwork, UnitNeurons
from ohmgrid.hdl.dynamics.unit import Unit
from ohmgrid.host.driver import command_words
from ohmgrid.host.protocol import OUT_BITS
from ohmgrid.sim.cxxrtl.library import Instance, Library, build
from ohmgrid.sim.gateware import TIMEOUT
from ohmgrid.sim.rtl import RtlTile
from ohmgrid.systems import DelayNet, Neuron

__all__ = ["RtlNetwork", "RtlNeurons", "SimulatedUnit", "unit_room"]

LEAST_NEURONS, LEAST_RING = 16, 1 << 12


@lru_cache(maxsize=16)
def _library(neurons: int, ring: int, edge_bits: int) -> Library:
    return build(
        lambda: Unit(neurons, ring, 1, edge_bits),
        "unit",
        identity=f"Unit {neurons} {ring} {edge_bits}",
    )


def unit_room(neurons: int, outputs: int) -> tuple[int, int]:
    """Return neurons and ring buffer of a unit that holds so many, of few: each is built."""
    room, ring = LEAST_NEURONS, LEAST_RING
    while room < neurons:
        room *= 4
    while ring < max(outputs, 4 * room):
        ring *= 4
    return room, ring


class SimulatedUnit:
    """A way to a simulated unit that holds so many neurons, and outputs in its ring buffer."""

    lanes = 1

    def __init__(self, neurons: int, outputs: int, edge_bits: int) -> None:
        room, ring = unit_room(neurons, outputs)
        self.instance: Instance = _library(room, ring, edge_bits).instance()
        self.instance.reset()
        self._edge_bits = edge_bits

    def transact(
        self,
        commands: Sequence[int],
        results: int = 0,
        answers: int = 0,
        y: np.ndarray | None = None,
        x: int = 0,
    ) -> Came:
        """Give commands and words to their streams, each at its own pace; see `UnitWay`."""
        words = np.zeros(0, np.int64) if y is None else y
        came, cycles = self.instance.transact(
            {"cmd": command_words(commands), "y": words},
            {"o": results, "r": answers, "x": x},
            max_cycles=TIMEOUT,
        )
        spare, beside = 64 - OUT_BITS, 64 - self._edge_bits
        return Came(
            (came["o"].view(np.int64) << spare) >> spare,
            came["r"],
            (came["x"].view(np.int64) << beside) >> beside,
            cycles,
        )


class RtlNetwork(UnitNetwork):
    """A network with delay on a simulated unit; its tile is a simulated core."""

    def __init__(self, net: DelayNet, matrix: np.ndarray, crossbar: OnTile | None = None) -> None:
        def make_tile(config: Config, lines: int) -> RtlTile:
            return RtlTile(config, lines, lines)

        super().__init__(net, matrix, crossbar, SimulatedUnit, make_tile)


class RtlNeurons(UnitNeurons):
    """Single neurons on a simulated unit."""

    def __init__(self, neuron: Neuron, count: int = 1, begin: tuple[float, ...] = ()) -> None:
        super().__init__(neuron, count, begin, SimulatedUnit)
