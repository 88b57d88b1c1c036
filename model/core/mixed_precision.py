"""A tile whose updates are added up in digital numbers: mixed precision (golden model).

docs/cells.md has the equations, `ohmgrid.model.core.mixed_laws` what happens to one cell. An update
adds the products of activations and errors to the sums chi. After every so many of them the whole
steps of a row are taken out of its sums and pulsed onto that row of the array: as many on the
columns' lines, 1.0 on the row's. Rows without any are passed over.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ohmgrid.config import Config
from ohmgrid.counters import PulseCounts
from ohmgrid.model.base.noise import line_keys, op_key, seed_key
from ohmgrid.model.core.mixed_laws import (
    binned,
    drawn_bin,
    left_of,
    near_bin,
    summed,
    whole_steps,
)
from ohmgrid.model.core.shown import ShownTile
from ohmgrid.model.core.tile import Tile
from ohmgrid.registers.mixed import (
    array_config,
    mixed_registers,
    product_scale,
    write_registers,
)
from ohmgrid.registers.noise import Purpose, Verb
from ohmgrid.tile import TileState

__all__ = ["MixedPrecisionTile"]


class MixedPrecisionTile(ShownTile):
    """An array of crosspoints, and a sum for each.

    Parameters
    ----------
    config : Config
        Its device is a `MixedPrecision`.
    rows, cols : int
        Output lines and input lines (the always-on bias input included).
    number : int
        Number of the tile, 0..255.
    make : callable
        Makes the array: the engine's tile, with the methods `Tile.pulse` and `Tile.pass_time`.

    Attributes
    ----------
    array : Tile
        Its updates are the writes of rows.
    chi : int32, shape (rows, cols)
        Sums in steps, `ohmgrid.registers.mixed.CHI_FRAC` fraction bits.
    counts : int64, shape (3,)
        0, 0, and updates so far.
    """

    def __init__(
        self,
        config: Config,
        rows: int,
        cols: int,
        number: int = 0,
        make: Callable[[Config, int, int, int], Any] = Tile,
    ) -> None:
        super().__init__(config, rows, cols, number)
        self.array = self.shown = make(array_config(config), rows, cols, number)
        self.chi = np.zeros((rows, cols), np.int32)
        self.counts = np.zeros(3, np.int64)
        self._mixed = mixed_registers(config, rows)
        self._write = write_registers(config)
        self._base = seed_key(config.seed)
        self._top = (1 << (config.formats.edge_bits - 1)) - 1
        self._one = min(1 << config.formats.d_frac, self._top)

    def update(self, x: np.ndarray, d: np.ndarray, lr: float) -> None:
        """Add ``lr d x^T`` to the sums, and write rows as is due.

        Parameters
        ----------
        x : integers, shape (cols,)
        d : integers, shape (rows,)
        lr : float
            Learning rate, > 0.
        """
        x, d = self._edge("x", x, self.cols), self._edge("d", d, self.rows)
        mantissa, shift = product_scale(self.config, self._learning_rate(lr))
        mixed, before = self._mixed, int(self.counts[2])
        key = op_key(self._base, Verb.PRODUCT, self.number, before)
        x_bins = self._rounded(x, mixed.x_half, mixed.x_drawn, key, Purpose.INPUT)
        d_bins = self._rounded(d, mixed.d_half, mixed.d_drawn, key, Purpose.OUTPUT)
        products = d_bins[:, None] * x_bins[None, :]
        self.chi[...] = summed(self.chi.astype(np.int64), products, mantissa, shift)
        self.counts[2] = updates = before + 1
        up = down = written = clipped = 0
        if mixed.every and updates % mixed.every == 0:
            for row in self._due_rows(key, updates // mixed.every):
                counts = self._write_row(row)
                if counts is not None:
                    up, down, written = up + counts.up, down + counts.down, 1
                    clipped |= counts.clipped
        self.array.pass_time(updates)
        active = int(x.any() and d.any())
        self.pulses = PulseCounts(up, down, active, active & ~written & 1, clipped)

    def _rounded(
        self, values: np.ndarray, half: int, drawn: int, key: int, purpose: Purpose
    ) -> np.ndarray:
        """Return a vector as it is multiplied: rounded to bins, if there are any."""
        largest = int(np.abs(values).max())
        if half == 0 or largest == 0:
            return values
        if drawn:
            bits = line_keys(key, purpose, np.arange(len(values))) & np.uint64(0xFFFF)
            bins = drawn_bin(values, largest, half, bits.astype(np.int64))
        else:
            bins = near_bin(values, largest, half)
        return binned(values, bins, largest)

    def _due_rows(self, key: int, transfer: int) -> list[int]:
        """Return the rows of a transfer, of which this is number ``transfer``, from 1."""
        mixed, first = self._mixed, (transfer - 1) * self._mixed.rows
        if mixed.random:
            drawn = int(line_keys(key, Purpose.TRAIN_D, np.arange(1))[0]) & 0xFFFF
            first = drawn * self.rows >> 16
        return [(first + place) % self.rows for place in range(mixed.rows)]

    def _write_row(self, row: int) -> PulseCounts | None:
        """Write the whole steps of a row; return what that counts, None where there are none."""
        chi = self.chi[row].astype(np.int64)
        steps = whole_steps(chi, self._top)
        if not steps.any():
            return None
        self.chi[row] = left_of(chi, steps)
        line = np.zeros(self.rows, np.int64)
        line[row] = self._one
        self.array.pulse(steps, line, self._write)
        return self.array.pulses

    def _check_update(self, x: np.ndarray, d: np.ndarray, lr: float) -> None:
        self._edge("x", x, self.cols)
        self._edge("d", d, self.rows)
        product_scale(self.config, self._learning_rate(lr))

    def state(self) -> TileState:
        """Return a copy of the state."""
        # Operations of the array: its writes, and those in which time passes.
        weights, (forward, backward, counted), _ = self.array.state()
        updates = int(self.counts[2])
        hidden = {"chi": self.chi.copy(), "writes": np.array([counted - updates], np.int64)}
        return TileState(weights, (forward, backward, updates), hidden)

    def _load_array(self, state: TileState, updates: int) -> None:
        """Load the array, with what it has done in so many updates of the tile."""
        self.array.load(state)

    def load(self, state: TileState) -> None:
        """Take over a state; raise `ValueError` where it does not fit this tile."""
        weights, (forward, backward, updates), hidden = self._state(state)
        counted = int(hidden["writes"][0]) + updates
        self._load_array(TileState(weights, (forward, backward, counted)), updates)
        self.chi[...] = hidden["chi"]
        self.counts[2] = updates
