"""Networks with delay of the compiled engine: `ohmgrid.model.dynamics.network`, all samples."""

from typing import Any, NamedTuple

import numpy as np

from ohmgrid.compiled.arith import at_edge, shift_round
from ohmgrid.compiled.held import hold
from ohmgrid.compiled.jit import golden, inner, kernel
from ohmgrid.compiled.noise import op_key
from ohmgrid.compiled.operations import multiply
from ohmgrid.compiled.passes import FORWARD
from ohmgrid.compiled.tile import CompiledTile
from ohmgrid.config import Config
from ohmgrid.model.dynamics import laws
from ohmgrid.model.dynamics.network import Network

__all__ = ["CompiledNetwork"]

output = golden(laws.output)
delayed = golden(laws.delayed)
as_state = golden(laws.as_state)
advanced = golden(laws.advanced)


class Loop(NamedTuple):
    """A network's registers and memories, as kernels get them."""

    gain: int
    gain_shift: int
    old: int
    new: int
    rate_shift: int
    scale: int
    scale_shift: int
    drop: int
    top: int
    nodes: np.ndarray
    whole: np.ndarray
    part: np.ndarray
    matrix: np.ndarray
    u: np.ndarray
    y: np.ndarray
    ring: np.ndarray
    x: np.ndarray
    """int64, shape (lines,): what goes into the crossbar."""
    edge: np.ndarray
    """int32, shape (lines,): the same at a tile's edge."""
    sums: np.ndarray
    """int64, shape (lines,): what comes out of it."""


@inner
def _drive(loop, sample):
    """Write the outputs of this sample, and what reaches the crossbar at the next."""
    depth, lines = loop.ring.shape
    for j in range(lines):
        place = output(loop.u[j], loop.gain, loop.gain_shift, loop.nodes)
        loop.ring[sample & (depth - 1), j] = place
    for j in range(lines):
        late = sample + 1 - loop.whole[j]
        first, second = loop.ring[late & (depth - 1), j], loop.ring[(late - 1) & (depth - 1), j]
        loop.x[j] = delayed(first, second, loop.part[j])


@inner
def _advance(loop, traced):
    """Take the crossbar's sums over into the states."""
    for i in range(len(loop.u)):
        y = as_state(loop.sums[i], loop.scale, loop.scale_shift)
        loop.u[i] = advanced(loop.u[i], loop.y[i], y, loop)
        loop.y[i] = y
        traced[i] = loop.u[i]


@inner
def _multiply_exactly(loop):
    for i in range(len(loop.sums)):
        total = np.int64(0)
        for j in range(len(loop.x)):
            total += loop.matrix[i, j] * loop.x[j]
        loop.sums[i] = total


@inner
def _to_edge(loop):
    for j in range(len(loop.x)):
        loop.edge[j], _ = at_edge(shift_round(loop.x[j], loop.drop), loop.top)


@kernel
def _run_exact(loop, first, traced):
    """Run as many samples as ``traced`` has rows, on exact weights."""
    for sample in range(len(traced)):
        _drive(loop, first + sample)
        _multiply_exactly(loop)
        _advance(loop, traced[sample])


@kernel
def _run_on_tile(loop, first, traced, array, physics, reading, number, step, work):
    """The same on a tile, whose forward operations have been ``step`` so far."""
    rows = len(loop.u)
    for sample in range(len(traced)):
        _drive(loop, first + sample)
        _to_edge(loop)
        key = op_key(physics.base, FORWARD, number, step + sample)
        multiply(
            array.seen,
            rows,
            array.cols,
            False,
            loop.edge,
            physics.forward_io,
            reading,
            key,
            work,
            loop.sums,
        )
        _advance(loop, traced[sample])


class CompiledNetwork(Network):
    """A network with delay; parameters as of the golden `Network`."""

    def _make_tile(self, config: Config) -> Any:
        return CompiledTile(config, self.lines, self.lines)

    def _held(self) -> Any:
        """Return what the kernels get; it points at the network's own memories."""
        registers, lines = self.registers, self.lines
        whole, part = (np.array(one, np.int64) for one in (registers.whole, registers.part))
        mantissa, shift = self.scale
        return hold(
            Loop(
                registers.gain,
                registers.gain_shift,
                registers.old,
                registers.new,
                registers.rate_shift,
                mantissa,
                shift,
                self.drop,
                self.top,
                np.array(registers.nodes, np.int64),
                whole,
                part,
                self.matrix,
                self.u,
                self.y,
                self.ring,
                np.zeros(lines, np.int64),
                np.zeros(lines, np.int32),
                np.zeros(lines, np.int64),
            )
        )

    def run(self, samples: int) -> np.ndarray:
        """Go on; return the states after each sample (int64, shape (samples, lines))."""
        traced = np.empty((samples, self.lines), np.int64)
        if isinstance(self.tile, CompiledTile):
            _run_on_tile(self._held(), self.samples, traced, *self.tile.forward_parts(samples))
        else:
            _run_exact(self._held(), self.samples, traced)
        self.samples += samples
        return traced
