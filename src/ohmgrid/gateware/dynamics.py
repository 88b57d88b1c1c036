"""Systems in continuous time on a dynamics unit, wherever it runs."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from ohmgrid.config import Config
from ohmgrid.dynamics import NetState, NeuronState, OnTile
from ohmgrid.gateware.tile import GatewareTile
from ohmgrid.host.driver import awaited
from ohmgrid.host.protocol import Answer, Error
from ohmgrid.host.unit import (
    Setting,
    Space,
    Variable,
    drive_commands,
    matrix_commands,
    network_commands,
    neuron_commands,
    read,
    run,
    write,
)
from ohmgrid.model.dynamics.network import Network
from ohmgrid.model.dynamics.neurons import Neurons
from ohmgrid.systems import DelayNet, Lif, Neuron
from ohmgrid.tile import TileState

__all__ = ["Came", "UnitNetwork", "UnitNeurons", "UnitWay"]


class Came(NamedTuple):
    """What a unit has sent."""

    results: np.ndarray
    """int64"""
    answers: np.ndarray
    """uint64"""
    cycles: int
    """Clock cycles that it took; 0 where nobody knows."""


class UnitWay(Protocol):
    """A way to a dynamics unit."""

    lanes: int
    """Columns of its crossbar that it multiplies in a cycle."""

    def transact(self, commands: Sequence[int], results: int, answers: int) -> Came:
        """Bring commands to the unit, and back so many results and answers."""
        ...


Reach = Callable[[int, int], UnitWay]
"""Returns the way to a unit for so many neurons, and outputs in its ring buffer."""


def _send(way: UnitWay, commands: Sequence[int], results: int = 0) -> Came:
    """Send commands; return what came."""
    came = way.transact(commands, results, awaited(commands))
    _check(came.answers)
    return came


def _read(way: UnitWay, space: Space, count: int) -> np.ndarray:
    """Return the first words of a memory (int64, shape (count,))."""
    return _send(way, [read(space, 0, count)], count).results >> 1


def _check(answers: np.ndarray) -> None:
    """Raise `RuntimeError` if an answer has an error bit."""
    for answer in map(Answer.decode, answers.tolist()):
        if answer.error:
            names = [str(error.name) for error in Error if answer.error & error]
            raise RuntimeError(f"unit: op {answer.op} reported {', '.join(names)}")


class UnitNetwork(Network):
    """A network with delay on a unit; parameters as of the golden `Network`.

    Parameters
    ----------
    reach : callable
        As `Reach`.
    make_tile : callable
        Returns a tile that is the crossbar, of a configuration, a number of lines and of outputs in
        the unit's ring buffer; called before ``reach``.
    """

    def __init__(
        self,
        net: DelayNet,
        matrix: np.ndarray,
        crossbar: OnTile | None,
        reach: Reach,
        make_tile: Callable[[Config, int, int], GatewareTile],
    ) -> None:
        self._new_tile = make_tile
        self._way: UnitWay | None = None
        super().__init__(net, matrix, crossbar)
        self._way = reach(self.lines, self.depth * self.lines)
        self._there = False
        if crossbar is None:
            _send(self._way, [*matrix_commands(self.matrix.tolist(), self._way.lanes)])
        self._tune()

    def _make_tile(self, config: Config) -> Any:
        return self._new_tile(config, self.lines, self.depth * self.lines)

    def _tune(self) -> None:
        """Write the registers."""
        if self._way is not None:
            drop = None if self.tile is None else self.drop
            scale = self.scale.mantissa, self.scale.shift
            _send(self._way, [*network_commands(self.registers, self.depth, scale, drop)])

    def retune(self, net: DelayNet) -> None:
        """Load the registers of other gains and delays; see the golden `retune`."""
        super().retune(net)
        self._tune()

    def start(self, u: np.ndarray) -> None:
        """Begin anew at states ``u``; see the golden `start`."""
        if self.tile is not None:
            weights, steps, hidden = self.tile.state()
            self.tile.load(TileState(weights, (0, *steps[1:]), hidden))
        super().start(u)
        self._there = False

    def load(self, state: NetState) -> None:
        """Take over a state; see the golden `load`."""
        super().load(state)
        self._there = False

    def state(self) -> NetState:
        """Return a copy of the state."""
        if self._way is not None and self._there:
            words = _read(self._way, Space.STATE, 4 * self.lines)
            self.y[:] = words.reshape(self.lines, 4)[:, Variable.Y]
            ring = _read(self._way, Space.RING, self.depth * self.lines)
            self.ring[:] = ring.reshape(self.lines, self.depth).T
        return super().state()

    def _bring(self, way: UnitWay) -> None:
        """Write the state, if the unit has not got it."""
        if self._there:
            return
        commands = [write(Space.SETTING, Setting.SAMPLE, self.samples)]
        for line in range(self.lines):
            commands += [
                write(Space.STATE, 4 * line + Variable.U, int(self.u[line])),
                write(Space.STATE, 4 * line + Variable.Y, int(self.y[line])),
            ]
        outputs = enumerate(self.ring.T.ravel().tolist())
        commands += [write(Space.RING, place, output) for place, output in outputs]
        _send(way, commands)
        self._there = True

    def run(self, samples: int) -> np.ndarray:
        """Go on; return the states after each sample (int64, shape (samples, lines))."""
        way = self._way
        assert way is not None
        self._bring(way)
        came = _send(way, [run(samples)], samples * self.lines)
        self.cycles = came.cycles
        if isinstance(self.tile, GatewareTile):
            self.tile.advance(samples, 0, 0)
        traced = (came.results >> 1).reshape(samples, self.lines)
        if samples:
            self.u[:] = traced[-1]
        self.samples += samples
        return traced


class UnitNeurons(Neurons):
    """Single neurons on a unit; parameters as of the golden `Neurons`.

    Parameters
    ----------
    reach : callable
        As `Reach`.
    """

    def __init__(self, neuron: Neuron, count: int, begin: tuple[float, ...], reach: Reach) -> None:
        super().__init__(neuron, count, begin)
        self._way = reach(count, 0)
        commands = [*drive_commands(self.drive, neuron.drive.seed, count)]
        commands += [*neuron_commands(self.registers)]
        commands.append(write(Space.SETTING, Setting.SAMPLE, 0))
        first = 1 if isinstance(neuron, Lif) else 2
        for place in range(count):
            values = [*self.values[:first, place].tolist(), 0][:2]
            commands += [write(Space.STATE, 4 * place + k, value) for k, value in enumerate(values)]
        _send(self._way, commands)

    def run(self, samples: int) -> tuple[np.ndarray, np.ndarray]:
        """Go on; return the states after each sample, and who spiked in it; as the golden `run`."""
        variables = len(self.values)
        came = _send(self._way, [run(samples)], samples * self.count * variables)
        self.cycles = came.cycles
        words = came.results.reshape(samples, self.count, variables).transpose(0, 2, 1)
        self.samples += samples
        states = np.ascontiguousarray(words >> 1)
        if samples:
            self.values[:] = states[-1]
        return states, (words[:, 0] & 1).astype(np.bool_)

    def state(self) -> NeuronState:
        """Return a copy of the state."""
        if isinstance(self.neuron, Lif):
            words = _read(self._way, Space.STATE, 4 * self.count)
            self.timers[:] = words.reshape(self.count, 4)[:, Variable.TIMER]
        return super().state()
