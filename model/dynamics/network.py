"""A network with delay: a crossbar closed on itself (golden model).

What is done for a sample; the laws are in `ohmgrid.model.dynamics.laws`::

    x_j  = f(gain u_j)                                    into the ring buffer
    y'   = J x'          x'_j: x_j as it was delay_j before the next sample
    u   += old (y - u) + new (y' - u);   y = y'
"""

import numpy as np

from ohmgrid.config import Config
from ohmgrid.devices.base import StepDevice
from ohmgrid.devices.cells import OneSided
from ohmgrid.doors.checks import ConfigError, check_float, check_int
from ohmgrid.dynamics import NetState, OnTile
from ohmgrid.model.base.arith import at_edge, shift_round
from ohmgrid.model.core.core import programmed_state
from ohmgrid.model.core.tile import Tile
from ohmgrid.model.dynamics.laws import advanced, as_state, delayed, output
from ohmgrid.registers.dynamics import (
    MATRIX_BITS,
    OUT_BITS,
    OUT_FRAC,
    STATE_BITS,
    STATE_FRAC,
    matrix_shift,
    net_registers,
    state_of,
)
from ohmgrid.registers.layers import Scale, scale_registers
from ohmgrid.systems import MOST_UNITS, DelayNet

__all__ = ["Network", "check_matrix"]

MOST_START = 8.0
MOST_AGE = 1 << 20


def check_matrix(matrix: np.ndarray) -> np.ndarray:
    """Return a matrix as float64; raise `ConfigError` unless it can be a network's."""
    values = np.asarray(matrix, np.float64)
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise ConfigError("matrix", f"expected as many rows as columns, got shape {values.shape}")
    if not 1 <= len(values) <= MOST_UNITS:
        raise ConfigError("matrix", f"expected 1..{MOST_UNITS} rows, got {len(values)}")
    if not np.isfinite(values).all():
        raise ConfigError("matrix", "expected finite numbers, got others")
    return values


class Network:
    """A network with delay.

    Parameters
    ----------
    net : DelayNet
    matrix : float64, shape (lines, lines)
        J.
    crossbar : OnTile, optional
        None: exact, weights rounded to `MATRIX_BITS` bits.

    Attributes
    ----------
    lines : int
    clipped : int
        Weights that devices do not hold as they are: beyond a bound, or stuck.
    depth : int
        Samples in the ring buffer.
    cycles : int
        Of a gateware's clock in the last run: none here.
    u, y, ring, samples
        As of `NetState`.
    """

    cycles = 0

    def __init__(self, net: DelayNet, matrix: np.ndarray, crossbar: OnTile | None = None) -> None:
        weights = check_matrix(matrix)
        self.lines, self.clipped = len(weights), 0
        self.registers = net_registers(net, self.lines)
        self.depth = self.registers.depth
        # Exact weights; those of a tile are in its devices.
        self.matrix = np.zeros((0, 0), np.int64)
        self.tile: Tile | None = None
        largest = float(np.abs(weights).max())
        if crossbar is None:
            shift = matrix_shift(largest)
            top = (1 << (MATRIX_BITS - 1)) - 1
            self.matrix = np.clip(np.rint(np.ldexp(weights, shift)), -top, top).astype(np.int64)
            self.scale = Scale(1, shift + OUT_FRAC - STATE_FRAC)
            self.drop, self.top = 0, (1 << (OUT_BITS - 1)) - 1
        else:
            self._onto_tile(crossbar, weights, largest)
        self.u, self.y = np.zeros((2, self.lines), np.int64)
        self.ring = np.zeros((self.depth, self.lines), np.int64)
        self.start(np.zeros(self.lines))

    def _onto_tile(self, crossbar: OnTile, weights: np.ndarray, largest: float) -> None:
        """Make a tile whose devices hold the matrix, up to a factor."""
        config = crossbar.config
        check_float("reach", crossbar.reach, 0.01, 1.0)
        check_int("age", crossbar.age, 0, MOST_AGE)
        if not isinstance(config.device, StepDevice | OneSided):
            raise ConfigError(
                "device",
                f"expected a single device or a pair of them, got {type(config.device).__name__}",
            )
        unit = config.device.unit
        room = unit.w_max if config.device.paired else min(unit.w_max, -unit.w_min)
        if room <= 0:
            raise ConfigError("device", "expected weights of either sign, got a bound of 0")
        factor = largest / (crossbar.reach * room) if largest else 1.0
        state, self.clipped = programmed_state(config, 0, weights / factor)
        self.tile = self._make_tile(config)
        self.tile.load(state)
        if every := self.tile.aging.every:
            for updates in range(every, crossbar.age + 1, every):
                self.tile.pass_time(updates)
        self.drop = OUT_FRAC - config.formats.x_frac
        self.top = (1 << (config.formats.edge_bits - 1)) - 1
        self.scale = scale_registers(
            "matrix", float(np.ldexp(factor * self.tile.y_lsb, STATE_FRAC))
        )

    def _make_tile(self, config: Config) -> Tile:
        return Tile(config, self.lines, self.lines)

    def retune(self, net: DelayNet) -> None:
        """Load the registers of other gains and delays; what is remembered stays.

        Raises
        ------
        ConfigError
            A delay is longer than the ring buffer.
        """
        registers = net_registers(net, self.lines)
        if registers.depth > self.depth:
            raise ConfigError(
                "delay", f"expected at most {self.depth - 2} samples, got {max(registers.whole)}"
            )
        self.registers = registers

    def start(self, u: np.ndarray) -> None:
        """Begin anew at states ``u`` (real, shape (lines,)) that have always been there.

        One pass through the crossbar says what it gives; a tile's noise begins anew as well.
        """
        values = np.asarray(u, np.float64)
        if values.shape != (self.lines,) or not (np.abs(values) < MOST_START).all():
            raise ConfigError("start", f"expected {self.lines} states within +-{MOST_START:g}")
        if self.tile is not None:
            self.tile.steps[0] = 0
        self.u[:] = [state_of(value) for value in values.tolist()]
        self.ring[:] = self._outputs()
        self.y[:] = self._through(self.ring[0])
        self.samples = 0

    def state(self) -> NetState:
        """Return a copy of the state."""
        return NetState(self.u.copy(), self.y.copy(), self.ring.copy(), self.samples)

    def load(self, state: NetState) -> None:
        """Take over a state; raise `ConfigError` where it does not fit this network."""
        for name, kept in (("u", self.u), ("y", self.y), ("ring", self.ring)):
            values = getattr(state, name)
            top = 1 << (OUT_BITS if name == "ring" else STATE_BITS) - 1
            if values.shape != kept.shape or not (np.abs(values) < top).all():
                raise ConfigError(name, f"expected integers of shape {kept.shape} within +-{top}")
        self.u[:], self.y[:], self.ring[:], self.samples = state

    def _outputs(self) -> np.ndarray:
        registers = self.registers
        nodes = np.array(registers.nodes, np.int64)
        return output(self.u, registers.gain, registers.gain_shift, nodes)

    def _through(self, x: np.ndarray) -> np.ndarray:
        """Return what the crossbar makes of outputs: states (int64)."""
        if self.tile is None:
            sums = self.matrix @ x
        else:
            sums = self.tile.forward(at_edge(shift_round(x, self.drop), self.top)[0])
        return as_state(sums, self.scale.mantissa, self.scale.shift)

    def run(self, samples: int) -> np.ndarray:
        """Go on; return the states after each sample (int64, shape (samples, lines))."""
        registers, lines = self.registers, np.arange(self.lines)
        whole, part = np.array(registers.whole), np.array(registers.part, np.int64)
        traced = np.empty((samples, self.lines), np.int64)
        for sample in range(samples):
            self.ring[self.samples % self.depth] = self._outputs()
            late = self.samples + 1 - whole
            before = self.ring[(late - 1) % self.depth, lines]
            y = self._through(delayed(self.ring[late % self.depth, lines], before, part))
            self.u[:] = advanced(self.u, self.y, y, registers)
            self.y[:] = y
            self.samples += 1
            traced[sample] = self.u
        return traced
