"""The tile of the compiled engine: `ohmgrid.model.core.tile.Tile`, operation for operation."""

from functools import lru_cache

import numpy as np

from ohmgrid.compiled.aging import Aging
from ohmgrid.compiled.device import Device
from ohmgrid.compiled.held import hold
from ohmgrid.compiled.jit import kernel
from ohmgrid.compiled.layout import WHOLE, Converter, Pulses, make_trains_room
from ohmgrid.compiled.noise import op_key
from ohmgrid.compiled.parts import Parts
from ohmgrid.compiled.passes import CompiledPasses
from ohmgrid.compiled.population import pack, show_all
from ohmgrid.compiled.pulses import make_trains
from ohmgrid.compiled.refresh import Refresh
from ohmgrid.compiled.transfer import Rate
from ohmgrid.compiled.updates import Physics, pass_time, pulse_array
from ohmgrid.config import Config
from ohmgrid.counters import PulseCounts
from ohmgrid.model.base.noise import seed_key
from ohmgrid.model.device.population import populate
from ohmgrid.model.periphery.pulses import chunks
from ohmgrid.registers.edge import PulseRegisters
from ohmgrid.registers.noise import Verb
from ohmgrid.registers.time import refresh_registers
from ohmgrid.tile import TileState

__all__ = ["CompiledTile"]


UPDATE = np.int64(Verb.UPDATE)


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


class CompiledTile(CompiledPasses):
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
    As of `CompiledPasses`.
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
        refresh = refresh_registers(config, self.lsb) if paired else None
        top = (((1 << (formats.weight_bits - 1)) - 1) << paired) + beside
        physics = Physics(
            base=np.uint64(seed_key(config.seed)),
            forward_io=Converter.of(config.forward, self.lsb, formats.x_frac, top),
            backward_io=Converter.of(config.backward, self.lsb, formats.d_frac, top),
            device=Device.of(self.device, formats.weight_bits),
            aging=Aging.of(self.aging),
            refresh=Refresh.of(config, refresh),
        )
        population = populate(
            self.static_key,
            *self.device_shape,
            self.device,
            formats.weight_bits,
        )
        array = pack(population, paired, bool(self.aging.every) or paired, beside > 0, lazy)
        self.see(array, physics)
        stuck = np.flatnonzero(population.static.stuck.T)
        self._stuck = stuck, population.stuck_weight.T.ravel()[stuck]
        self._trains = hold(make_trains_room(chunks(config.pulses.most_slots), rows, cols))
        self.registers = lru_cache(maxsize=4)(self._registers)
        self._hold_stuck()

    def _hold_stuck(self) -> None:
        """Put the weights of stuck devices in their place, and show all."""
        places, weights = self._stuck
        self.array.hidden[places] = weights
        show_all(*self._held, self._work)

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

    def kernel_parts(self) -> Parts:
        """Return what lies behind it for a core's kernels: nothing."""
        return Parts.plain(self.array, self.readings[0], self.physics)

    def rate(self, lr: float) -> Rate:
        """Return the registers of a net's updates at a learning rate."""
        own = self.pulses_at(lr)
        return Rate(own, (own,), 0, 1, 0)

    def _registers(self, lr: float) -> Pulses:
        return hold(self.pulses_at(lr))

    def _pass(self, backward: bool, values: np.ndarray) -> np.ndarray:
        self._settle_seen()
        return super()._pass(backward, values)

    def _settle_seen(self) -> None:
        """Bring what passes see up to date where kernels do so column by column."""
        if self.array.lazy:
            show_all(*self._held, self._work)

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
