"""Systems in continuous time on a virtual board: a dynamics unit behind its link."""

import threading
import weakref

import numpy as np

from ohmgrid.config import BuildConfig, Config
from ohmgrid.dynamics import OnTile
from ohmgrid.gateware.dynamics import UnitNetwork, UnitNeurons
from ohmgrid.gateware.dynamics_board import BoardUnit, no_tile
from ohmgrid.sim.dynamics import unit_room
from ohmgrid.sim.virtual import PseudoTerminal, VirtualBoard
from ohmgrid.systems import DelayNet, Neuron

__all__ = ["VirtualNetwork", "VirtualNeurons"]


class VirtualUnit(BoardUnit):
    """A way to the unit of a virtual board of its own, which ends with it."""

    def __init__(self, neurons: int, outputs: int) -> None:
        room, ring = unit_room(neurons, outputs)
        line, stop = PseudoTerminal(), threading.Event()
        weakref.finalize(self, line.close)
        board = VirtualBoard(Config(build=BuildConfig(dynamics=room, ring=ring, lanes=1)), line)
        thread = threading.Thread(target=board.serve, args=(stop,), daemon=True)
        thread.start()
        # What was registered last ends first: the link, then the board, then its line.
        weakref.finalize(self, _end, stop, thread)
        super().__init__(line.name, neurons, outputs)


def _end(stop: threading.Event, thread: threading.Thread) -> None:
    stop.set()
    thread.join()


class VirtualNetwork(UnitNetwork):
    """A network with delay on a virtual board; the crossbar is the unit's own."""

    def __init__(self, net: DelayNet, matrix: np.ndarray, crossbar: OnTile | None = None) -> None:
        super().__init__(net, matrix, crossbar, VirtualUnit, no_tile)


class VirtualNeurons(UnitNeurons):
    """Single neurons on a virtual board."""

    def __init__(self, neuron: Neuron, count: int = 1, begin: tuple[float, ...] = ()) -> None:
        super().__init__(neuron, count, begin, VirtualUnit)
