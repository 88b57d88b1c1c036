"""The analog tile: forward, backward and pulsed update of one array (golden model).

Row i is output line i, column j input line j; ``y = W x`` forward, ``W^T d`` backward, and an
update is ``W -= lr d x^T`` through the devices. Values cross the tile's edge as integers:
activations with ``x_frac`` fraction bits, errors with ``d_frac``; results are ADC codes times the
input's scale, to be multiplied by `Tile.y_lsb` or `Tile.z_lsb`.
"""

import numpy as np

from ohmgrid.config import Config
from ohmgrid.model.array.array import apply_pulses, pair_differences
from ohmgrid.model.base.noise import op_key, seed_key
from ohmgrid.model.core.operations import multiply, pulse_slots, update_trains
from ohmgrid.model.core.time_effects import TimeEffects
from ohmgrid.model.device.population import populate
from ohmgrid.model.periphery.lines import key_halves
from ohmgrid.model.periphery.readout import make_readouts
from ohmgrid.registers.edge import PulseRegisters, converter_registers
from ohmgrid.registers.noise import Purpose, Verb
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
    weights : int32, shape `device_shape`
        Conductances in weight LSB; `lsb` is one LSB in weight units.
    population : Population
        What is fixed of every device.
    steps : list of int
        Forward, backward and update operations so far.
    """

    def __init__(self, config: Config, rows: int, cols: int, number: int = 0) -> None:
        super().__init__(config, rows, cols, number)
        self._base = seed_key(config.seed)
        self.steps = [0, 0, 0]
        static_key = self._key(Verb.STATIC, 0)
        self._readouts = make_readouts(config, self.lsb, rows, cols, static_key)
        self.population = populate(
            static_key, *self.device_shape, self.device, config.formats.weight_bits
        )
        self._paired = config.device.paired
        self._beside: np.ndarray | None = None
        self._sign = 1
        self._time = TimeEffects(config, self.population, self.aging, self.lsb, self._key)
        self.weights = self.population.hold_stuck(np.zeros(self.device_shape, np.int32))

    def _key(self, verb: Verb, step: int) -> int:
        return op_key(self._base, verb, self.number, step)

    def read(self) -> np.ndarray:
        """Return the weights that a pass sees (int32, shape (rows, cols), weight LSB)."""
        seen = self.population.read(self.weights)
        own = pair_differences(seen) if self._paired else seen
        return own if self._beside is None else self._beside + self._sign * own

    def show(self, beside: np.ndarray, sign: int) -> None:
        """Let passes see what lies beside the array (int32), plus or minus its own."""
        self._beside, self._sign = beside, sign

    def _multiply(self, verb: Verb, matrix: np.ndarray, values: np.ndarray) -> np.ndarray:
        forward = verb == Verb.FORWARD
        formats = self.config.formats
        io, frac = (
            (self.config.forward, formats.x_frac)
            if forward
            else (self.config.backward, formats.d_frac)
        )
        step = 0 if forward else 1
        key = self._key(verb, self.steps[step])
        self.steps[step] += 1
        registers = converter_registers(io, self.lsb)
        y, passes, self.saturated = multiply(
            matrix, values, io, frac, registers, key, self._readouts[step]
        )
        if forward:
            self.passes = passes
        return y

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
        return self._multiply(Verb.FORWARD, self.read(), self._edge("x", x, self.cols))

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
        return self._multiply(Verb.BACKWARD, self.read().T, self._edge("d", d, self.rows))

    def update(self, x: np.ndarray, d: np.ndarray, lr: float) -> None:
        """Apply ``W -= lr d x^T`` by coincident pulses.

        Parameters
        ----------
        x : integers, shape (cols,)
        d : integers, shape (rows,)
        lr : float
            Learning rate, > 0.
        """
        self.learn(*self._update_arguments(x, d, lr))

    def learn(self, x: np.ndarray, d: np.ndarray, registers: PulseRegisters) -> None:
        """Do what an update does: pulses, then what time does; as `pulse`."""
        self.pulse(x, d, registers)
        self._age(self.steps[2])

    def pass_time(self, updates: int) -> None:
        """Count an operation in which time passes, as after so many updates, and no more."""
        self.steps[2] += 1
        self._age(updates)

    def pulse(self, x: np.ndarray, d: np.ndarray, registers: PulseRegisters) -> None:
        """Do what an update does at once: pulses, whatever time does.

        Parameters
        ----------
        x, d : int64, shapes (cols,), (rows,)
            Activations and errors at the edge.
        registers : PulseRegisters
        """
        key = self._key(Verb.UPDATE, self.steps[2])
        self.steps[2] += 1
        down = (x < 0)[None, :] == (d < 0)[:, None]
        trains = update_trains(x, d, self.config, registers, key)
        self.pulses = trains.counts
        for number, rows, columns in pulse_slots(trains, self.device.serial):
            self._sweep(rows, columns, down, key, number)

    def _age(self, updates: int) -> None:
        """Leak, diffuse and refresh as is due after so many updates."""
        if self._time.due(updates):
            self.weights = self._time.apply(self.weights, updates, self.steps[2])

    def _sweep(
        self, rows: np.ndarray, columns: np.ndarray, down: np.ndarray, key: int, number: int
    ) -> None:
        """Apply one word of trains to all devices at once, with the noise of a sweep's number."""
        row_keys, _ = key_halves(key, Purpose.ROW, self.device_shape[0], number)
        col_keys, _ = key_halves(key, Purpose.COLUMN, self.cols, number)
        if self._paired:
            rows, down = np.repeat(rows, 2), np.repeat(down, 2, axis=0)
        keys = (row_keys, col_keys)
        apply_pulses(self.weights, rows, columns, down, self.population, keys, self._paired)

    def backward_update(self, x: np.ndarray, d: np.ndarray, lr: float) -> np.ndarray:
        """Return ``W^T d`` of the old weights, then apply ``W -= lr d x^T``.

        Parameters and result as for `backward` and `update`, and the same bits as one after the
        other.
        """
        self._update_arguments(x, d, lr)
        z = self.backward(d)
        self.update(x, d, lr)
        return z

    def state(self) -> TileState:
        """Return a copy of the state."""
        first, second, third = self.steps
        return TileState(self.weights.copy(), (first, second, third))

    def load(self, state: TileState) -> None:
        """Take over a state; raise `ValueError` where it does not fit this tile."""
        weights, self.steps, _ = self._state(state)
        self.weights = self.population.hold_stuck(weights)
