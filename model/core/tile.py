"""The analog tile: forward, backward and pulsed update of one array (golden model).

Row i is output line i, column j input line j; ``y = W x`` forward, ``W^T d`` backward, and an
update is ``W -= lr d x^T`` through the devices. Values cross the tile's edge as integers:
activations with ``x_frac`` fraction bits, errors with ``d_frac``; results are ADC codes times the
input's scale, to be multiplied by `Tile.y_lsb` or `Tile.z_lsb`.
"""

import numpy as np

from ohmgrid.config import Config
from ohmgrid.model.array.array import apply_pulses, pair_differences
from ohmgrid.model.core.operations import Trains, pulse_slots, update_trains
from ohmgrid.model.core.passes import Passes
from ohmgrid.model.core.time_effects import TimeEffects
from ohmgrid.model.device.population import populate
from ohmgrid.model.periphery.lines import key_halves
from ohmgrid.registers.edge import PulseRegisters
from ohmgrid.registers.noise import Purpose, Verb
from ohmgrid.tile import TileState

__all__ = ["Tile", "TileState"]


class Tile(Passes):
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
    """

    def __init__(self, config: Config, rows: int, cols: int, number: int = 0) -> None:
        super().__init__(config, rows, cols, number)
        self.population = populate(
            self._key(Verb.STATIC, 0),
            *self.device_shape,
            self.device,
            config.formats.weight_bits,
        )
        self._paired = config.device.paired
        self._beside: np.ndarray | None = None
        self._sign = 1
        self._time = TimeEffects(config, self.population, self.aging, self.lsb, self._key)
        self.weights = self.population.hold_stuck(np.zeros(self.device_shape, np.int32))

    def read(self) -> np.ndarray:
        """Return the weights that a pass sees (int32, shape (rows, cols), weight LSB)."""
        seen = self.population.read(self.weights)
        own = pair_differences(seen) if self._paired else seen
        return own if self._beside is None else self._beside + self._sign * own

    def show(self, beside: np.ndarray, sign: int) -> None:
        """Let passes see what lies beside the array (int32), plus or minus its own."""
        self._beside, self._sign = beside, sign

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
        trains = update_trains(x, d, self.config, registers, key)
        self.pulses = trains.counts
        self._apply(x, d, trains)

    def meet(self, x: np.ndarray, d: np.ndarray, trains: Trains) -> None:
        """Do what an update does whose trains were made of these vectors: pulses, then time."""
        self._apply(x, d, trains)
        self._age(self.steps[2])

    def _apply(self, x: np.ndarray, d: np.ndarray, trains: Trains) -> None:
        """Apply the trains of an update."""
        key = self._key(Verb.UPDATE, self.steps[2])
        self.steps[2] += 1
        down = (x < 0)[None, :] == (d < 0)[:, None]
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

    def state(self) -> TileState:
        """Return a copy of the state."""
        first, second, third = self.steps
        return TileState(self.weights.copy(), (first, second, third))

    def load(self, state: TileState) -> None:
        """Take over a state; raise `ValueError` where it does not fit this tile."""
        weights, self.steps, _ = self._state(state)
        self.weights = self.population.hold_stuck(weights)
