"""A tile: what every engine's offers, and what all have in common: shape, units, checks."""

from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from operator import index
from types import MappingProxyType
from typing import NamedTuple, Protocol

import numpy as np

from ohmgrid.config import MOST_LINES, Config
from ohmgrid.counters import PulseCounts
from ohmgrid.devices.base import Device
from ohmgrid.devices.pcm_capacitor import PcmCapacitor
from ohmgrid.devices.residual import ResidualLearning
from ohmgrid.devices.vector_cell import VectorUnitCell
from ohmgrid.doors.checks import shown
from ohmgrid.hidden import Field, check_hidden, hidden_fields, transfer_work
from ohmgrid.periphery import ConverterConfig
from ohmgrid.registers.build_check import check_build
from ohmgrid.registers.cells import GAIN_FRAC, cell_gains, device_name, weight_lsb
from ohmgrid.registers.device import device_registers
from ohmgrid.registers.edge import PulseRegisters, pulse_registers
from ohmgrid.registers.readout import VOLTAGE_FRAC
from ohmgrid.registers.residual import SUM_FRAC, rounded_gains
from ohmgrid.registers.time import aging_registers

__all__ = [
    "NEVER",
    "WEIGHTS",
    "TileBase",
    "TileEngine",
    "TileState",
    "check_shape",
    "device_shape",
    "learning_rate",
    "make_tiles",
    "parts_of",
    "transfers_of",
    "weighted_sum",
]


class TileState(NamedTuple):
    """All that a tile remembers; noise is a function of it and of the seed."""

    weights: np.ndarray
    """Conductances, int32, shape `TileBase.device_shape`, weight LSB."""
    steps: tuple[int, int, int]
    """Forward, backward and update operations so far."""
    hidden: Mapping[str, np.ndarray] = MappingProxyType({})
    """What a tile remembers beside them, by name (`ohmgrid.hidden.hidden_fields`)."""


NEVER = 1 << 40
"""More examples than any run has."""
WEIGHTS = "W"
"""Name of the weights among the parts of a state."""


def parts_of(device: Device, state: TileState) -> dict[str, np.ndarray]:
    """Return what the weights of a tile are made of, by name: integers in weight LSB.

    `WEIGHTS` first, of residual learning the sum over its arrays; of pairs ``G+`` and ``G-``; of a
    `PcmCapacitor` what its phase-change devices add to a weight and take from it, and the
    capacitor's ``g``; of a `VectorUnitCell` what each device adds, ``g0``, ``g1`` and so on,
    rounded. All of shape (rows, columns).

    Parameters
    ----------
    device : Device
    state : TileState
    """
    own = state.weights
    if device.paired:
        return {WEIGHTS: own[0::2] - own[1::2], "G+": own[0::2], "G-": own[1::2]}
    if isinstance(device, PcmCapacitor):
        plus, minus = (device.gain * state.hidden[name] for name in ("plus", "minus"))
        return {
            WEIGHTS: plus - minus + polarity(device, state) * own,
            "G+": plus,
            "G-": minus,
            "g": own,
        }
    if isinstance(device, ResidualLearning):
        arrays = np.concatenate([own, state.hidden["finer"]], axis=1)
        return {WEIGHTS: weighted_sum(arrays, rounded_gains(device))}
    if isinstance(device, VectorUnitCell):
        every = [own, *(state.hidden[device_name(k)] for k in range(1, device.arrays))]
        terms = [g.astype(np.int64) * k for g, k in zip(every, cell_gains(device), strict=True)]
        # Quotients of integers below 2**53 by a power of two are exact, ties go to even.
        whole, *parts = (np.rint(term / (1 << GAIN_FRAC)) for term in (sum(terms), *terms))
        named = {f"g{place}": part.astype(np.int32) for place, part in enumerate(parts)}
        return {WEIGHTS: whole.astype(np.int32), **named}
    return {WEIGHTS: own}


def polarity(device: PcmCapacitor, state: TileState) -> int:
    """Return the sign with which capacitors count."""
    return -1 if device.polarity_inversion and state.hidden["transfers"][0] % 2 else 1


def weighted_sum(arrays: np.ndarray, gains: Sequence[int]) -> np.ndarray:
    """Return the weights that arrays side by side are a sum of (int32, shape (rows, cols)).

    Parameters
    ----------
    arrays : int32, shape (rows, arrays * cols)
        The last array first, array 0 last, weight LSB.
    gains : sequence of int
        Of arrays 0, 1, and so on, `SUM_FRAC` fraction bits; the sum is rounded half up.
    """
    rows = len(arrays)
    each = arrays.reshape(rows, len(gains), -1).astype(np.int64)
    total = np.tensordot(each, np.array(gains[::-1], np.int64), (1, 0))
    return ((total + (1 << (SUM_FRAC - 1))) >> SUM_FRAC).astype(np.int32)


def transfers_of(states: Sequence[TileState]) -> dict[str, list[int]]:
    """Return what transfers of a net took so far, by the names of `ohmgrid.hidden.TRANSFER_WORK`.

    Parameters
    ----------
    states : sequence of TileState
        Of all layers.

    Returns
    -------
    dict of str to list of int
        Lists with an entry for each layer.
    """
    return transfer_work([(state.hidden, state.weights.size) for state in states])


class TileEngine(Protocol):
    """One array of crosspoints, wherever its bits are computed.

    Activations ``x`` and errors ``d`` are integers at the tile's edge (``x_frac`` and ``d_frac``
    fraction bits); results are int64, to be multiplied by `y_lsb` or `z_lsb` for real units.
    Every engine gives the same bits for the same configuration, number and calls.
    """

    rows: int
    """Output lines."""
    cols: int
    """Input lines, the always-on bias input included."""
    lsb: float
    """One conductance LSB in weight units."""
    number: int
    """Number of the tile, 0..255; part of the address of its noise."""

    @property
    def passes(self) -> int:
        """Passes of the last forward operation."""
        ...

    @property
    def saturated(self) -> int:
        """Outputs clipped by the ADC in the last pass of the last forward or backward one."""
        ...

    @property
    def pulses(self) -> PulseCounts:
        """What the last update counted."""
        ...

    @property
    def y_lsb(self) -> float:
        """One LSB of a forward result in real units."""
        ...

    @property
    def z_lsb(self) -> float:
        """One LSB of a backward result in real units."""
        ...

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return ``W x``: int64, shape (rows,)."""
        ...

    def backward(self, d: np.ndarray) -> np.ndarray:
        """Return ``W^T d``: int64, shape (cols,)."""
        ...

    def update(self, x: np.ndarray, d: np.ndarray, lr: float) -> None:
        """Apply ``W -= lr d x^T`` by coincident pulses."""
        ...

    def backward_update(self, x: np.ndarray, d: np.ndarray, lr: float) -> np.ndarray:
        """Return `backward` of the old weights, then `update`: one sweep where it matters."""
        ...

    def state(self) -> TileState:
        """Return a copy of the state."""
        ...

    def load(self, state: TileState) -> None:
        """Take over a state of any engine; raise `ValueError` where it does not fit."""
        ...

    def close(self) -> None:
        """Release what the engine holds; the tile is not used afterwards."""
        ...


def make_tiles(
    make: Callable[[Config, int, int, int], TileEngine],
    config: Config,
    shapes: Sequence[tuple[int, int]],
) -> list[TileEngine]:
    """Build one tile for each shape ``(rows, cols)``, numbered from 0.

    Parameters
    ----------
    make : callable
        Called with configuration, rows, columns and number; where one call fails, the tiles made
        before are closed.
    config : Config
    shapes : sequence of (rows, cols)
    """
    tiles: list[TileEngine] = []
    try:
        for number, (rows, cols) in enumerate(shapes):
            tiles.append(make(config, rows, cols, number))
    except BaseException:
        for tile in tiles:
            tile.close()
        raise
    return tiles


def learning_rate(lr: float) -> float:
    """Return the learning rate; raise `ValueError` unless it is finite and > 0."""
    number = isinstance(lr, Real) and not isinstance(lr, bool)
    try:
        value = float(lr) if number else np.nan
    except OverflowError:  # an integer beyond any float
        value = np.inf
    if not 0 < value < np.inf:
        raise ValueError(f"lr: expected a finite number > 0, got {shown(lr)}")
    return value


def check_shape(rows: int, cols: int) -> None:
    """Raise `ValueError` unless an array can have so many rows and columns."""
    for name, value in (("rows", rows), ("cols", cols)):
        if not 1 <= value <= MOST_LINES:
            raise ValueError(f"{name}: expected 1..{MOST_LINES}, got {value}")


def device_shape(device: Device, rows: int, cols: int) -> tuple[int, int]:
    """Return rows and columns of the devices of a tile: a pair takes two rows."""
    return (rows * device.devices, cols)


class TileBase:
    """Shape, units and checks of one array of crosspoints.

    Parameters
    ----------
    config : Config
    rows, cols : int
        Output lines and input lines (the always-on bias input included).
    number : int
        Number of the tile, 0..255; different numbers have different noise.

    Attributes
    ----------
    device : DeviceRegisters
    aging : AgingRegisters
    device_shape : (int, int)
        Rows and columns of devices: of a pair, rows 2 i hold the plus and rows 2 i + 1 the minus
        devices of row i.
    lsb : float
        One conductance LSB in weight units.
    passes : int
        Passes that bound management took in the last forward operation.
    saturated : int
        Outputs that the ADC clipped in the last pass of the last forward or backward operation.
    pulses : PulseCounts
        What the last update counted.
    """

    def __init__(self, config: Config, rows: int, cols: int, number: int = 0) -> None:
        check_shape(rows, cols)
        if not 0 <= number <= 255:
            raise ValueError(f"number: expected 0..255, got {number}")
        check_build(config)
        self.config, self.rows, self.cols, self.number = config, rows, cols, number
        formats, unit = config.formats, config.device.unit
        self.device = device_registers(unit, formats.weight_bits, formats.curve_segments)
        self.lsb = weight_lsb(config.device, formats.weight_bits)
        self.aging = aging_registers(unit, self.device.lsb, formats.weight_bits, config.batch)
        self.device_shape = device_shape(config.device, rows, cols)
        self.passes, self.saturated = 1, 0
        self.pulses = PulseCounts(0, 0, 0, 0, 0)

    def _unit(self, io: ConverterConfig, frac: int) -> float:
        """Return one LSB of a result in real units."""
        code = self.lsb * (1 << VOLTAGE_FRAC) if io.perfect else io.out_bound / io.adc_half
        return code / (1 << frac)

    @property
    def y_lsb(self) -> float:
        """One LSB of a forward result in real units."""
        return self._unit(self.config.forward, self.config.formats.x_frac)

    @property
    def z_lsb(self) -> float:
        """One LSB of a backward result in real units."""
        return self._unit(self.config.backward, self.config.formats.d_frac)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return ``W x``; see `TileEngine.forward`."""
        raise NotImplementedError

    def backward(self, d: np.ndarray) -> np.ndarray:
        """Return ``W^T d``; see `TileEngine.backward`."""
        raise NotImplementedError

    def update(self, x: np.ndarray, d: np.ndarray, lr: float) -> None:
        """Apply ``W -= lr d x^T``; see `TileEngine.update`."""
        raise NotImplementedError

    def settle(self) -> None:
        """Do what is due before a forward or backward operation: nothing, of most tiles."""

    def unsettled_in(self, batch: int) -> int:
        """Return after how many examples, in whole mini-batches, something will be due: never."""
        return NEVER

    def backward_update(self, x: np.ndarray, d: np.ndarray, lr: float) -> np.ndarray:
        """Return ``W^T d`` of the old weights, then apply ``W -= lr d x^T``.

        Parameters and result as for `backward` and `update`, and the same bits as one after the
        other; an update that is refused leaves `backward` undone too.
        """
        self._check_update(x, d, lr)
        z = self.backward(d)
        self.update(x, d, lr)
        return z

    def _check_update(self, x: np.ndarray, d: np.ndarray, lr: float) -> None:
        """Raise what `update` would, and change nothing."""
        self._update_arguments(x, d, lr)

    def close(self) -> None:
        """Release what the engine holds; the tile is not used afterwards."""

    def _edge(self, name: str, values: np.ndarray, lines: int) -> np.ndarray:
        """Return a vector as int64; raise `ValueError` unless it fits the tile's edge."""
        try:
            array = np.asarray(values)
        except ValueError:  # lists of different lengths
            raise ValueError(f"{name}: expected {lines} integers, got {values!r}") from None
        top = (1 << (self.config.formats.edge_bits - 1)) - 1
        if array.shape != (lines,) or not np.issubdtype(array.dtype, np.integer):
            raise ValueError(
                f"{name}: expected {lines} integers, got {array.dtype} of shape {array.shape}"
            )
        if array.max() > top or array.min() < -top:
            raise ValueError(
                f"{name}: expected values in +-{top}, got {array.min()}..{array.max()}"
            )
        return array.astype(np.int64)

    def _update_arguments(
        self, x: np.ndarray, d: np.ndarray, lr: float
    ) -> tuple[np.ndarray, np.ndarray, PulseRegisters]:
        """Return activations, errors and registers of an update.

        Everything is checked before anything changes: a refused call leaves the tile as it was.
        """
        x, d = self._edge("x", x, self.cols), self._edge("d", d, self.rows)
        return x, d, self._pulse_registers(lr)

    def _pulse_registers(self, lr: float) -> PulseRegisters:
        """Return the registers of updates at a learning rate, which is checked."""
        rate = self._learning_rate(lr)
        return pulse_registers(self.config, self.device.granularity, rate)

    _learning_rate = staticmethod(learning_rate)

    @property
    def hidden_fields(self) -> dict[str, Field]:
        """What the tile remembers beside its weights."""
        weight_bits = self.config.formats.weight_bits
        return hidden_fields(self.config.device, self.rows, self.cols, weight_bits)

    def _state(self, state: TileState) -> tuple[np.ndarray, list[int], dict[str, np.ndarray]]:
        """Return weights (int32), steps and what else is remembered of a state.

        Raises
        ------
        TypeError
            It is no state.
        ValueError
            It does not fit this tile.
        """
        if not isinstance(state, TileState):
            raise TypeError(f"state: expected a TileState, got {type(state).__name__}")
        weights = np.asarray(state.weights)
        top = (1 << (self.config.formats.weight_bits - 1)) - 1
        if weights.shape != self.device_shape:
            raise ValueError(f"weights: expected shape {self.device_shape}, got {weights.shape}")
        if not np.issubdtype(weights.dtype, np.integer):
            raise ValueError(f"weights: expected integers (weight LSB), got {weights.dtype}")
        if weights.max() > top or weights.min() < -top:
            raise ValueError(f"weights: expected values in +-{top}")
        try:
            steps = [index(step) for step in state.steps]
        except TypeError:  # no integers, or nothing to count
            steps = []
        if len(steps) != 3 or not all(0 <= step < 1 << 48 for step in steps):
            raise ValueError(f"steps: expected three counts below 2**48, got {state.steps}")
        return weights.astype(np.int32), steps, check_hidden(state.hidden, self.hidden_fields)
