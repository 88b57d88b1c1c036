"""A dynamics unit on a board, behind its link."""

import weakref
from collections.abc import Sequence

import numpy as np

from ohmgrid.config import Config
from ohmgrid.doors.checks import ConfigError
from ohmgrid.dynamics import OnTile
from ohmgrid.gateware.board import BoardWay, connect
from ohmgrid.gateware.dynamics import Came, UnitNetwork, UnitNeurons
from ohmgrid.gateware.tile import GatewareTile
from ohmgrid.host.identity import BoardError
from ohmgrid.host.ports import open_port
from ohmgrid.systems import DelayNet, Neuron

__all__ = ["BoardNetwork", "BoardNeurons", "BoardUnit", "no_tile"]


def no_tile(config: Config, lines: int, outputs: int) -> GatewareTile:
    """Raise `ConfigError`: a board with a unit has no core."""
    raise ConfigError("device", "expected none on a board: its dynamics unit has no core beside it")


class BoardUnit:
    """A way to the unit of a board (`ohmgrid.gateware.dynamics.UnitWay`).

    Parameters
    ----------
    name : str
        Of the port: ``PORT`` or ``PORT@BAUD``.
    neurons, outputs : int
        What it is to hold: neurons, and outputs in its ring buffer.

    Raises
    ------
    BoardError
        If the board is not there, or has no such unit.
    """

    def __init__(self, name: str, neurons: int, outputs: int) -> None:
        port = open_port(name)
        link, board = connect(port)
        weakref.finalize(self, link.close)
        build = board.build
        if not build.dynamics:
            raise BoardError(f"{port.name}: expected a dynamics unit, got a core")
        if neurons > build.dynamics or outputs > build.ring:
            raise BoardError(
                f"{port.name}: its dynamics unit ({build.dynamics} neurons, {build.ring} outputs "
                f"in its ring buffer) cannot hold {neurons} neurons with {outputs} outputs; build "
                "it with more, or take longer steps"
            )
        self.lanes = build.lanes
        self._way = BoardWay(link)

    def transact(self, commands: Sequence[int], results: int, answers: int) -> Came:
        """Send commands over the link; see `UnitWay`."""
        return Came(*self._way.transact(list(commands), results, answers))


class BoardNetwork(UnitNetwork):
    """A network with delay on a board, named by its port."""

    def __init__(
        self, net: DelayNet, matrix: np.ndarray, crossbar: OnTile | None, name: str
    ) -> None:
        def reach(neurons: int, outputs: int) -> BoardUnit:
            return BoardUnit(name, neurons, outputs)

        super().__init__(net, matrix, crossbar, reach, no_tile)


class BoardNeurons(UnitNeurons):
    """Single neurons on a board, named by its port."""

    def __init__(self, neuron: Neuron, count: int, begin: tuple[float, ...], name: str) -> None:
        def reach(neurons: int, outputs: int) -> BoardUnit:
            return BoardUnit(name, neurons, outputs)

        super().__init__(neuron, count, begin, reach)
