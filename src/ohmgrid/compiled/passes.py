"""Forward and backward of the compiled engine: `ohmgrid.model.core.passes`, kernel for kernel."""

from typing import Any

import numpy as np

from ohmgrid.compiled.held import hold
from ohmgrid.compiled.jit import kernel
from ohmgrid.compiled.layout import make_scratch
from ohmgrid.compiled.noise import op_key
from ohmgrid.compiled.operations import multiply
from ohmgrid.compiled.population import Array
from ohmgrid.compiled.readout import Reading
from ohmgrid.compiled.updates import Physics
from ohmgrid.config import Config
from ohmgrid.model.base.noise import op_key as golden_op_key
from ohmgrid.model.base.noise import seed_key
from ohmgrid.model.periphery.readout import make_readouts
from ohmgrid.registers.noise import Verb
from ohmgrid.tile import TileBase

__all__ = ["FORWARD", "CompiledPasses"]

FORWARD, BACKWARD = map(np.int64, (Verb.FORWARD, Verb.BACKWARD))


@kernel
def _multiply(array, rows, backward, values, physics, reading, number, step, work, out):
    """Run one forward or backward operation."""
    io = physics.backward_io if backward else physics.forward_io
    key = op_key(physics.base, BACKWARD if backward else FORWARD, number, step)
    return multiply(array.seen, rows, array.cols, backward, values, io, reading, key, work, out)


class CompiledPasses(TileBase):
    """What passes see of a tile, and what they count.

    Parameters
    ----------
    config, rows, cols, number
        As of `TileBase`.

    Attributes
    ----------
    array : Array
        What passes see.
    physics : Physics
        What the tile shares with all tiles of its configuration.
    readings : two of Reading
        Read-side non-idealities, forward and backward.
    steps : int64, shape (3,)
        Forward, backward and update operations so far.
    static_key : int
        Of what is fixed of the tile.
    """

    array: Array
    physics: Physics

    def __init__(self, config: Config, rows: int, cols: int, number: int = 0) -> None:
        super().__init__(config, rows, cols, number)
        self.static_key = golden_op_key(seed_key(config.seed), Verb.STATIC, number, 0)
        forward, backward = make_readouts(config, self.lsb, rows, cols, self.static_key)
        self.readings = Reading.of(forward, rows), Reading.of(backward, cols)
        self.steps = np.zeros(3, np.int64)
        self._held_readings = tuple(map(hold, self.readings))
        self._work = hold(make_scratch(max(self.device_shape)))

    def see(self, array: Array, physics: Physics) -> None:
        """Let passes see an array."""
        self.array, self.physics = array, physics
        self._held = hold(array), hold(physics)

    def read(self) -> np.ndarray:
        """Return the weights that a pass sees (int32, shape (rows, cols), weight LSB)."""
        return self.array.seen.reshape(self.cols, self.rows).T.copy()

    def _values(self, name: str, values: np.ndarray, lines: int) -> np.ndarray:
        """Return a checked vector as the kernels take it (int32)."""
        return self._edge(name, values, lines).astype(np.int32)

    def _step(self, place: int) -> int:
        """Return the number of an operation and count it."""
        step = int(self.steps[place])
        self.steps[place] += 1
        return step

    def _pass(self, backward: bool, values: np.ndarray) -> np.ndarray:
        out = np.empty(self.cols if backward else self.rows, np.int64)
        step, (array, physics) = self._step(int(backward)), self._held
        passes, saturated = _multiply(
            array,
            self.rows,
            backward,
            values,
            physics,
            self._held_readings[int(backward)],
            self.number,
            step,
            self._work,
            out,
        )
        self.saturated = int(saturated)
        if not backward:
            self.passes = int(passes)
        return out

    def forward_parts(self, operations: int) -> tuple[Any, ...]:
        """Return what kernels need to run so many forward operations, which are counted as done.

        Array, physics, reading, number of the tile and of the first operation, scratch memory.
        """
        step = int(self.steps[0])
        self.steps[0] += operations
        return *self._held, self._held_readings[0], self.number, step, self._work

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return ``W x`` as converted by the tile (int64, shape (rows,)); `y_lsb` is its unit."""
        return self._pass(False, self._values("x", x, self.cols))

    def backward(self, d: np.ndarray) -> np.ndarray:
        """Return ``W^T d`` as converted by the tile (int64, shape (cols,)); `z_lsb` is its unit."""
        return self._pass(True, self._values("d", d, self.rows))
