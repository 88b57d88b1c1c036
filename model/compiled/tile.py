"""The tile of the compiled engine: `ohmgrid.model.tile.Tile`, operation for operation."""

from functools import lru_cache

import numpy as np

from ohmgrid.config import Config
from ohmgrid.model.compiled.array import apply_update
from ohmgrid.model.compiled.device import Device, pack_static
from ohmgrid.model.compiled.jit import kernel
from ohmgrid.model.compiled.layout import WHOLE, Converter, Pulses, make_scratch, make_side
from ohmgrid.model.compiled.noise import op_key
from ohmgrid.model.compiled.operations import multiply
from ohmgrid.model.compiled.pulses import make_trains
from ohmgrid.model.device import static_properties
from ohmgrid.model.lines import key_halves
from ohmgrid.model.noise import cell_words, seed_key
from ohmgrid.model.noise import op_key as golden_op_key
from ohmgrid.registers import pulse_registers
from ohmgrid.streams import Purpose, Verb
from ohmgrid.tile import TileBase, TileState

__all__ = ["CompiledTile"]

FORWARD, BACKWARD, UPDATE = int(Verb.FORWARD), int(Verb.BACKWARD), int(Verb.UPDATE)
STRETCH = 1 << 16
"""Cells whose fixed properties are hashed together, so that the intermediate values stay small."""


@kernel
def _multiply(weights, rows, cols, backward, values, io, base, number, steps, work, out):
    """Run one forward or backward operation and count it."""
    place = 1 if backward else 0
    key = op_key(base, BACKWARD if backward else FORWARD, number, steps[place])
    steps[place] += 1
    return multiply(weights, rows, cols, backward, values, io, key, work, out)


@kernel
def _update(
    weights, static, rows, cols, x, d, pulses, device, base, number, steps, row_side, col_side, work
):
    """Run one update and count it."""
    key = op_key(base, UPDATE, number, steps[2])
    steps[2] += 1
    bl, firing_rows, firing_cols = make_trains(
        x, d, rows, cols, pulses, key, row_side, col_side, work
    )
    apply_update(
        weights,
        static,
        rows,
        device,
        row_side,
        firing_rows,
        col_side,
        firing_cols,
        bl,
        key,
        WHOLE,
        work,
    )


class CompiledTile(TileBase):
    """One array of crosspoints.

    Parameters
    ----------
    config : Config
    rows, cols : int
        Output lines and input lines (the always-on bias input included).
    number : int
        Number of the tile, 0..255; different numbers have different noise.
    """

    trainer = "ohmgrid.model.compiled.trainer:CompiledTrainer"

    def __init__(self, config: Config, rows: int, cols: int, number: int = 0) -> None:
        super().__init__(config, rows, cols, number)
        self._refuse_read_physics("engine compiled")
        formats = config.formats
        self.base = np.uint64(seed_key(config.seed))
        self.forward_io = Converter.of(config.forward, self.lsb, formats.x_frac)
        self.backward_io = Converter.of(config.backward, self.lsb, formats.d_frac)
        self.registers = Device.of(self.device)
        self.cells = np.zeros(rows * cols, np.int32)
        self.packed = self._pack()
        self.steps = np.zeros(3, np.int64)
        self._work = make_scratch(max(rows, cols))
        self._sides = make_side(rows), make_side(cols)
        self.pulses = lru_cache(maxsize=4)(self._pulses)

    def _pack(self) -> np.ndarray:
        """Return the fixed properties of all cells, column after column, as `pack_static` does."""
        key = golden_op_key(int(self.base), Verb.STATIC, self.number, 0)
        rows = key_halves(key, Purpose.ROW, self.rows)
        cols = key_halves(key, Purpose.COLUMN, self.cols)
        packed = np.empty((self.rows * self.cols, 4), np.int32)
        span = max(1, STRETCH // self.rows)
        for first in range(0, self.cols, span):
            word0, word1 = (
                cell_words(row[None, :], col[first : first + span, None]).ravel()
                for row, col in zip(rows, cols, strict=True)
            )
            place = first * self.rows
            packed[place : place + len(word0)] = pack_static(
                static_properties(word0, word1, self.device, self.config.formats.weight_bits)
            )
        return packed

    def _pulses(self, lr: float) -> Pulses:
        return Pulses.of(
            self.config,
            pulse_registers(self.config, self.device.granularity, self._learning_rate(lr)),
        )

    def _values(self, name: str, values: np.ndarray, lines: int) -> np.ndarray:
        """Return a checked vector as the kernels take it (int32)."""
        return self._edge(name, values, lines).astype(np.int32)

    def _pass(self, backward: bool, values: np.ndarray) -> np.ndarray:
        out = np.empty(self.cols if backward else self.rows, np.int64)
        passes, saturated = _multiply(
            self.cells,
            self.rows,
            self.cols,
            backward,
            values,
            self.backward_io if backward else self.forward_io,
            self.base,
            self.number,
            self.steps,
            self._work,
            out,
        )
        self.saturated = int(saturated)
        if not backward:
            self.passes = int(passes)
        return out

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return ``W x`` as converted by the tile (int64, shape (rows,)); `y_lsb` is its unit."""
        return self._pass(False, self._values("x", x, self.cols))

    def backward(self, d: np.ndarray) -> np.ndarray:
        """Return ``W^T d`` as converted by the tile (int64, shape (cols,)); `z_lsb` is its unit."""
        return self._pass(True, self._values("d", d, self.rows))

    def update(self, x: np.ndarray, d: np.ndarray, lr: float) -> None:
        """Apply ``W -= lr d x^T`` by coincident pulses (lr > 0)."""
        x, d = self._values("x", x, self.cols), self._values("d", d, self.rows)
        _update(
            self.cells,
            self.packed,
            self.rows,
            self.cols,
            x,
            d,
            self.pulses(lr),
            self.registers,
            self.base,
            self.number,
            self.steps,
            *self._sides,
            self._work,
        )

    def backward_update(self, x: np.ndarray, d: np.ndarray, lr: float) -> np.ndarray:
        """Return `backward` of the old weights, then `update`."""
        self._edge("x", x, self.cols)
        z = self.backward(d)
        self.update(x, d, lr)
        return z

    def state(self) -> TileState:
        """Return a copy of the state."""
        weights = self.cells.reshape(self.cols, self.rows).T.copy()
        first, second, third = (int(step) for step in self.steps)
        return TileState(weights, (first, second, third))

    def load(self, state: TileState) -> None:
        """Take over a state; raise `ValueError` where it does not fit this tile."""
        weights, steps = self._state(state)
        self.cells[:] = weights.T.ravel()
        self.steps[:] = steps
