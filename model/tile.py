"""The analog tile: forward, backward and pulsed update of one array (golden model).

Row i is output line i, column j input line j; ``y = W x`` forward, ``W^T d`` backward, and an
update is ``W -= lr d x^T`` through the devices. Values cross the tile's edge as integers:
activations with ``x_frac`` fraction bits, errors with ``d_frac``; results are ADC codes times the
input's scale, to be multiplied by `Tile.y_lsb` or `Tile.z_lsb`.
"""

import numpy as np

from ohmgrid.config import Config, ConverterConfig
from ohmgrid.model.array import apply_pulses, array_sums
from ohmgrid.model.converters import dac, input_scale
from ohmgrid.model.device import Static, static_properties
from ohmgrid.model.lines import key_halves, side_trains
from ohmgrid.model.noise import cell_words, op_key, seed_key
from ohmgrid.model.outputs import convert, results
from ohmgrid.model.pulses import plan_update
from ohmgrid.registers import converter_registers, pulse_registers
from ohmgrid.streams import Purpose, Verb
from ohmgrid.tile import TileBase, TileState

__all__ = ["Tile", "TileState"]


class Tile(TileBase):
    """One array of crosspoints.

    Parameters
    ----------
    config : Config
    rows, cols : int
        Output lines and input lines (the always-on bias input included).
    number : int
        Number of the tile, 0..255; different numbers have different noise.

    Attributes
    ----------
    weights : int32, shape (rows, cols)
        Conductances in weight LSB; `lsb` is one LSB in weight units.
    """

    def __init__(self, config: Config, rows: int, cols: int, number: int = 0) -> None:
        super().__init__(config, rows, cols, number)
        self._base = seed_key(config.seed)
        self._steps = [0, 0, 0]
        self._static = self._static_properties()
        self.weights = np.zeros((rows, cols), np.int32)

    def _key(self, verb: Verb, step: int) -> int:
        return op_key(self._base, verb, self.number, step)

    def _static_properties(self) -> Static:
        key = self._key(Verb.STATIC, 0)
        rows = key_halves(key, Purpose.ROW, self.rows)
        cols = key_halves(key, Purpose.COLUMN, self.cols)
        words = [cell_words(row[:, None], col[None, :]) for row, col in zip(rows, cols, strict=True)]
        return static_properties(*words, self.device, self.config.formats.weight_bits)

    @property
    def static(self) -> Static:
        """Fixed properties of all cells, each of shape (rows, cols)."""
        return self._static

    def _multiply(
        self, matrix: np.ndarray, values: np.ndarray, io: ConverterConfig, frac: int, key: int
    ) -> np.ndarray:
        """Run one operation: passes with the input halved until no output clips."""
        alpha = input_scale(values, io, frac)
        self.passes, self.saturated = 1, 0
        if alpha == 0:
            return np.zeros(len(matrix), np.int64)
        registers = converter_registers(io, self.lsb)
        passes = io.max_passes if io.bound_management == "iterative" else 1
        for halvings in range(passes):
            sums = array_sums(matrix, dac(values, alpha, halvings, io.dac_half))
            codes, self.saturated = convert(sums, key, halvings, registers, io.adc_half)
            self.passes = halvings + 1
            if self.saturated == 0:
                break
        return results(codes, alpha, self.passes - 1)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return ``W x`` as converted by the tile.

        Parameters
        ----------
        x : integers, shape (cols,)
            Activations at the edge.

        Returns
        -------
        int64, shape (rows,)
            Multiply by `y_lsb` for real units.
        """
        values = self._edge("x", x, self.cols)
        key = self._key(Verb.FORWARD, self._steps[0])
        self._steps[0] += 1
        return self._multiply(
            self.weights, values, self.config.forward, self.config.formats.x_frac, key
        )

    def backward(self, d: np.ndarray) -> np.ndarray:
        """Return ``W^T d`` as converted by the tile.

        Parameters
        ----------
        d : integers, shape (rows,)
            Errors at the edge.

        Returns
        -------
        int64, shape (cols,)
            Multiply by `z_lsb` for real units.
        """
        values = self._edge("d", d, self.rows)
        key = self._key(Verb.BACKWARD, self._steps[1])
        self._steps[1] += 1
        return self._multiply(
            self.weights.T, values, self.config.backward, self.config.formats.d_frac, key
        )

    def update(self, x: np.ndarray, d: np.ndarray, lr: float) -> None:
        """Apply ``W -= lr d x^T`` by coincident pulses.

        Parameters
        ----------
        x : integers, shape (cols,)
        d : integers, shape (rows,)
        lr : float
            Learning rate, > 0.
        """
        x, d = self._edge("x", x, self.cols), self._edge("d", d, self.rows)
        config, pulses = self.config, self.config.pulses
        registers = pulse_registers(config, self.device.granularity, self._learning_rate(lr))
        fracs = (config.formats.x_frac, config.formats.d_frac)
        plan = plan_update(int(np.abs(x).max()), int(np.abs(d).max()), pulses, registers, fracs)
        key = self._key(Verb.UPDATE, self._steps[2])
        self._steps[2] += 1
        if plan.bl == 0:
            return
        columns = side_trains(x, Purpose.COLUMN, plan, pulses.pulse_type, key)
        rows = side_trains(d, Purpose.ROW, plan, pulses.pulse_type, key)
        down = (x < 0)[None, :] == (d < 0)[:, None]
        if self.device.serial:
            for slot in range(plan.bl):
                self._sweep(rows & (1 << slot), columns, down, key, slot)
        else:
            self._sweep(rows, columns, down, key, 0)

    def _sweep(
        self, rows: np.ndarray, columns: np.ndarray, down: np.ndarray, key: int, slot: int
    ) -> None:
        """Apply the trains to all cells at once, with the noise of one slot number."""
        row_keys, _ = key_halves(key, Purpose.ROW, self.rows, slot)
        col_keys, _ = key_halves(key, Purpose.COLUMN, self.cols, slot)

        def noise(row: np.ndarray, col: np.ndarray) -> np.ndarray:
            return cell_words(row_keys[row], col_keys[col])

        apply_pulses(self.weights, rows, columns, down, self._static, noise, self.device)

    def backward_update(self, x: np.ndarray, d: np.ndarray, lr: float) -> np.ndarray:
        """Return ``W^T d`` of the old weights, then apply ``W -= lr d x^T``: one fused sweep.

        Parameters and result as for `backward` and `update`, and the same bits as one after the
        other.
        """
        self._edge("x", x, self.cols)
        z = self.backward(d)
        self.update(x, d, lr)
        return z

    def state(self) -> TileState:
        """Return a copy of the state."""
        first, second, third = self._steps
        return TileState(self.weights.copy(), (first, second, third))

    def load(self, state: TileState) -> None:
        """Take over a state; raise `ValueError` where it does not fit this tile."""
        self.weights, self._steps = self._state(state)
