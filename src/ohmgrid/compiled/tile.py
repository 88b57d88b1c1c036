"""The tile of the compiled engine: `ohmgrid.model.core.tile.Tile`, operation for operation."""

from functools import lru_cache
from typing import Any

import numpy as np

from ohmgrid.compiled.aging import Aging
from ohmgrid.compiled.device import Device
from ohmgrid.compiled.held import hold
from ohmgrid.compiled.jit import kernel
from ohmgrid.compiled.layout import WHOLE, Converter, Pulses, make_scratch, make_trains_room
from ohmgrid.compiled.noise import op_key
from ohmgrid.compiled.operations import multiply
from ohmgrid.compiled.population import pack, show_all
from ohmgrid.compiled.pulses import make_trains
from ohmgrid.compiled.readout import Reading
from ohmgrid.compiled.refresh import Refresh
from ohmgrid.compiled.transfer import Hidden, Rate, Transfers
from ohmgrid.compiled.updates import Physics, pass_time, pulse_array
from ohmgrid.config import Config
from ohmgrid.counters import PulseCounts
from ohmgrid.model.base.noise import op_key as golden_op_key
from ohmgrid.model.base.noise import seed_key
from ohmgrid.model.device.population import populate
from ohmgrid.model.periphery.pulses import chunks
from ohmgrid.model.periphery.readout import make_readouts
from ohmgrid.registers.edge import PulseRegisters
from ohmgrid.registers.noise import Verb
from ohmgrid.registers.time import refresh_registers
from ohmgrid.tile import TileBase, TileState

__all__ = ["NEVER", "CompiledTile"]

NEVER = 1 << 40
"""More examples than any run has."""

FORWARD, BACKWARD, UPDATE = map(np.int64, (Verb.FORWARD, Verb.BACKWARD, Verb.UPDATE))


@kernel
def _multiply(array, rows, backward, values, physics, reading, number, step, work, out):
    """Run one forward or backward operation."""
    io = physics.backward_io if backward else physics.forward_io
    key = op_key(physics.base, BACKWARD if backward else FORWARD, number, step)
    return multiply(array.seen, rows, array.cols, backward, values, io, reading, key, work, out)


@kernel
def _update(array, rows, x, d, pulses, physics, number, step, ages, trains, work):
    """Run one update, what time does after it included; return what it counts, `PulseCounts`."""
    key = op_key(physics.base, UPDATE, number, step)
    active, below, clipped = make_trains(x, d, rows, array.cols, pulses, pulses, key, trains, work)
    up, down = pulse_array(array, physics, number, step, rows, trains, WHOLE, work)
    if ages:
        pass_time(array, physics, number, step + 1, step + 1, WHOLE, work)
    return up, down, active, below, clipped


@kernel
def _age(array, physics, number, updates, step, work):
    """Do what time does after so many updates, of so many operations."""
    pass_time(array, physics, number, updates, step, WHOLE, work)


class CompiledTile(TileBase):
    """One array of crosspoints.

    Parameters
    ----------
    config : Config
    rows, cols : int
        Output lines and input lines (the always-on bias input included).
    number : int
        Number of the tile, 0..255; different numbers have different noise.
    beside : int
        What passes may see beside the array at most (`show`), weight LSB; 0: nothing.
    lazy : bool
        Whether kernels call `show_column` before they read a column of it; of write noise, what a
        pass sees is then not brought up to date after each pulse.

    Attributes
    ----------
    array : Array
        Its devices.
    physics : Physics
        What it shares with all tiles of its configuration.
    readings : two of Reading
        Read-side non-idealities, forward and backward.
    steps : int64, shape (3,)
        Forward, backward and update operations so far.
    """

    def __init__(
        self,
        config: Config,
        rows: int,
        cols: int,
        number: int = 0,
        beside: int = 0,
        lazy: bool = False,
    ) -> None:
        super().__init__(config, rows, cols, number)
        formats, paired = config.formats, config.device.paired
        base = seed_key(config.seed)
        refresh = refresh_registers(config, self.lsb) if paired else None
        top = (((1 << (formats.weight_bits - 1)) - 1) << paired) + beside
        self.physics = Physics(
            base=np.uint64(base),
            forward_io=Converter.of(config.forward, self.lsb, formats.x_frac, top),
            backward_io=Converter.of(config.backward, self.lsb, formats.d_frac, top),
            device=Device.of(self.device, formats.weight_bits),
            aging=Aging.of(self.aging),
            refresh=Refresh.of(config, refresh),
        )
        static_key = golden_op_key(base, Verb.STATIC, number, 0)
        forward, backward = make_readouts(config, self.lsb, rows, cols, static_key)
        self.readings = Reading.of(forward, rows), Reading.of(backward, cols)
        population = populate(
            static_key,
            *self.device_shape,
            self.device,
            formats.weight_bits,
        )
        self.array = pack(population, paired, bool(self.aging.every) or paired, beside > 0, lazy)
        stuck = np.flatnonzero(population.static.stuck.T)
        self._stuck = stuck, population.stuck_weight.T.ravel()[stuck]
        self.steps = np.zeros(3, np.int64)
        self._held = hold(self.array), hold(self.physics)
        self._held_readings = tuple(map(hold, self.readings))
        self._work = hold(make_scratch(max(self.device_shape)))
        self._trains = hold(make_trains_room(chunks(config.pulses.most_slots), rows, cols))
        self.registers = lru_cache(maxsize=4)(self._registers)
        self._hold_stuck()

    def _hold_stuck(self) -> None:
        """Put the weights of stuck devices in their place, and show all."""
        places, weights = self._stuck
        self.array.hidden[places] = weights
        show_all(*self._held, self._work)

    def read(self) -> np.ndarray:
        """Return the weights that a pass sees (int32, shape (rows, cols), weight LSB)."""
        return self.array.seen.reshape(self.cols, self.rows).T

    def show(self, beside: np.ndarray, sign: int) -> None:
        """Let passes see what lies beside the array; see the golden `show`."""
        self.array.beside[:] = beside.T.ravel()
        self.array.sign[0] = sign
        show_all(*self._held, self._work)

    def pulses_at(self, lr: float) -> Pulses:
        """Return the registers of updates at a learning rate."""
        return Pulses.of(self.config, self._pulse_registers(lr))

    @property
    def shown(self) -> "CompiledTile":
        """The array that forward and backward see."""
        return self

    @property
    def updated(self) -> "CompiledTile":
        """The array that updates pulse."""
        return self

    def kernel_parts(self) -> tuple[Hidden, Transfers]:
        """Return what lies behind it for a core's kernels: nothing."""
        return Hidden.none(self.array, self.readings[0]), Transfers.none()

    def settle(self) -> None:
        """Nothing is due between operations."""

    def unsettled_in(self, batch: int) -> int:
        """Return in how many examples something is: never."""
        return NEVER

    def rate(self, lr: float) -> Rate:
        """Return the registers of a net's updates at a learning rate."""
        own = self.pulses_at(lr)
        return Rate(own, (own,), 0, 1, 0)

    def _registers(self, lr: float) -> Pulses:
        return hold(self.pulses_at(lr))

    def _values(self, name: str, values: np.ndarray, lines: int) -> np.ndarray:
        """Return a checked vector as the kernels take it (int32)."""
        return self._edge(name, values, lines).astype(np.int32)

    def _step(self, place: int) -> int:
        """Return the number of an operation and count it."""
        step = int(self.steps[place])
        self.steps[place] += 1
        return step

    def _pass(self, backward: bool, values: np.ndarray) -> np.ndarray:
        if self.array.lazy:
            show_all(*self._held, self._work)
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

    def update(self, x: np.ndarray, d: np.ndarray, lr: float) -> None:
        """Apply ``W -= lr d x^T`` by coincident pulses (lr > 0)."""
        x, d = self._values("x", x, self.cols), self._values("d", d, self.rows)
        self._pulse(x, d, self.registers(self._learning_rate(lr)), True)

    def pulse(self, x: np.ndarray, d: np.ndarray, registers: PulseRegisters) -> None:
        """Do what an update does at once: pulses, whatever time does; see the golden `pulse`."""
        x, d = self._values("x", x, self.cols), self._values("d", d, self.rows)
        self._pulse(x, d, hold(Pulses.of(self.config, registers)), False)

    def learn(self, x: np.ndarray, d: np.ndarray, registers: PulseRegisters) -> None:
        """Do what an update does: pulses, then what time does; see the golden `learn`."""
        x, d = self._values("x", x, self.cols), self._values("d", d, self.rows)
        self._pulse(x, d, hold(Pulses.of(self.config, registers)), True)

    def pass_time(self, updates: int) -> None:
        """Count an operation in which time passes alone; see the golden `pass_time`."""
        step = self._step(2) + 1
        _age(*self._held, self.number, updates, step, self._work)

    def _pulse(self, x: np.ndarray, d: np.ndarray, pulses: Pulses, ages: bool) -> None:
        array, physics = self._held
        counts = _update(
            array,
            self.rows,
            x,
            d,
            pulses,
            physics,
            self.number,
            self._step(2),
            ages,
            self._trains,
            self._work,
        )
        self.pulses = PulseCounts(*map(int, counts))

    def backward_update(self, x: np.ndarray, d: np.ndarray, lr: float) -> np.ndarray:
        """Return `backward` of the old weights, then `update`."""
        self._update_arguments(x, d, lr)
        z = self.backward(d)
        self.update(x, d, lr)
        return z

    def state(self) -> TileState:
        """Return a copy of the state."""
        rows, cols = self.device_shape
        weights = self.array.hidden.reshape(cols, rows).T.copy()
        first, second, third = (int(step) for step in self.steps)
        return TileState(weights, (first, second, third))

    def load(self, state: TileState) -> None:
        """Take over a state; raise `ValueError` where it does not fit this tile."""
        weights, steps, _ = self._state(state)
        self.array.hidden[:] = weights.T.ravel()
        self.steps[:] = steps
        self._hold_stuck()
