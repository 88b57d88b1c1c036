"""The dynamics unit simulated: engine `rtl` of systems in continuous time."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from ohmgrid.config import BuildConfig, Config, FormatConfig
from ohmgrid.dynamics import OnTile
from ohmgrid.gateware.dynamics import Came, UnitNetwork, UnitNeurons
from ohmgrid.gateware.held import Gateware
from ohmgrid.gateware.tile import GatewareTile
from ohmgrid.hdl.dynamics.on_core import UnitOnCore
from ohmgrid.hdl.dynamics.unit import Unit
from ohmgrid.host.driver import command_words
from ohmgrid.host.protocol import OUT_BITS
from ohmgrid.sim.cxxrtl.library import Instance, Library, build
from ohmgrid.sim.gateware import TIMEOUT, Simulation, gateware_formats
from ohmgrid.systems import DelayNet, Neuron

__all__ = ["RtlNetwork", "RtlNeurons", "SimulatedUnit", "unit_room"]

LEAST_NEURONS, LEAST_RING = 16, 1 << 12


@lru_cache(maxsize=16)
def _unit(neurons: int, ring: int) -> Library:
    return build(lambda: Unit(neurons, ring), "unit", identity=f"Unit {neurons} {ring}")


@lru_cache(maxsize=16)
def _unit_on_core(formats: FormatConfig, parts: BuildConfig, neurons: int, ring: int) -> Library:
    config = Config(formats=formats, build=parts)
    return build(
        lambda: UnitOnCore(config, neurons, ring),
        "unit_on_core",
        identity=f"UnitOnCore {formats} {parts} {neurons} {ring}",
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
    """A way to a simulated unit.

    Parameters
    ----------
    instance : Instance
        It has been reset.
    prefix : str
        Of the names of the unit's streams.
    """

    lanes = 1

    def __init__(self, instance: Instance, prefix: str = "") -> None:
        self.instance, self._prefix = instance, prefix

    @classmethod
    def alone(cls, neurons: int, outputs: int) -> "SimulatedUnit":
        """Return the way to a unit for so many neurons, and outputs in its ring buffer."""
        instance = _unit(*unit_room(neurons, outputs)).instance()
        instance.reset()
        return cls(instance)

    def transact(self, commands: Sequence[int], results: int, answers: int) -> Came:
        """Give commands to their stream, each at its own pace; see `UnitWay`."""
        cmd, o, r = (f"{self._prefix}{name}" for name in ("cmd", "o", "r"))
        came, cycles = self.instance.transact(
            {cmd: command_words(commands)}, {o: results, r: answers}, max_cycles=TIMEOUT
        )
        spare = 64 - OUT_BITS
        return Came((came[o].view(np.int64) << spare) >> spare, came[r], cycles)


class RtlNetwork(UnitNetwork):
    """A network with delay on a simulated unit; its tile is in a simulated core beside it."""

    def __init__(self, net: DelayNet, matrix: np.ndarray, crossbar: OnTile | None = None) -> None:
        instances: list[Instance] = []

        def make_tile(config: Config, lines: int, outputs: int) -> GatewareTile:
            formats = gateware_formats(config.formats)
            library = _unit_on_core(formats, config.build, *unit_room(lines, outputs))
            instances.append(library.instance())
            instances[0].reset()
            gateware = Gateware(config, [(lines, lines)], lambda: Simulation(instances[0]))
            return GatewareTile(config, lines, lines, 0, gateware, 0)

        def reach(neurons: int, outputs: int) -> SimulatedUnit:
            if instances:
                return SimulatedUnit(instances[0], "unit_")
            return SimulatedUnit.alone(neurons, outputs)

        super().__init__(net, matrix, crossbar, reach, make_tile)


class RtlNeurons(UnitNeurons):
    """Single neurons on a simulated unit."""

    def __init__(self, neuron: Neuron, count: int = 1, begin: tuple[float, ...] = ()) -> None:
        super().__init__(neuron, count, begin, SimulatedUnit.alone)
