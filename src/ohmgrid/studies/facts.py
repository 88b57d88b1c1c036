"""What decides how long an example takes in gateware, recorded while the golden model trains on it.

Only data decide it: how many codes are other than 0, how often a pass is repeated, how long trains
are, which lines have pulses, and which cells are hit.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ohmgrid.config import Config
from ohmgrid.model.array.array import pulse_counts
from ohmgrid.model.base.noise import op_key, seed_key
from ohmgrid.model.core.operations import Trains, input_alpha, input_voltages, update_trains
from ohmgrid.model.core.tile import Tile
from ohmgrid.model.periphery.converters import dac
from ohmgrid.model.periphery.pulses import chunk_slots
from ohmgrid.model.periphery.readout import Readout
from ohmgrid.model.periphery.voltages import operands
from ohmgrid.periphery import ConverterConfig
from ohmgrid.registers.layout import Place
from ohmgrid.registers.noise import Verb
from ohmgrid.registers.readout import parts

__all__ = ["Chunk", "Facts", "Multiplied", "RecordingTile", "Updated"]


class Multiplied(NamedTuple):
    """A forward or a backward operation."""

    coded: int
    """Lines that have a DAC code made."""
    passes: tuple[tuple[int, ...], ...]
    """Of each sweep of each pass, input lines with an operand other than 0; none if no input is
    other than 0, for then there is no pass."""


class Chunk(NamedTuple):
    """A chunk of an update's trains."""

    listed: int
    """Serial lines whose train is not empty."""
    sweeps: tuple[np.ndarray, ...]
    """Of each sweep, the cells that are hit: bool, shape (visits of a block, lane lines)."""


class Updated(NamedTuple):
    """An update."""

    nothing: bool
    """A vector is 0."""
    columns: int
    """Activations other than 0."""
    bl: int
    """Slots of its trains."""
    chunks: tuple[Chunk, ...]


@dataclass
class Facts:
    """Of one array, operation by operation."""

    forward: list[Multiplied] = field(default_factory=list)
    backward: list[Multiplied] = field(default_factory=list)
    update: list[Updated] = field(default_factory=list)


class RecordingTile(Tile):
    """A golden tile that notes what its operations come to.

    Parameters
    ----------
    config : Config
    place : Place
        Shape, and where it lies in the lanes.
    number : int

    Attributes
    ----------
    facts : Facts
    """

    def __init__(self, config: Config, place: Place, number: int) -> None:
        super().__init__(config, place.rows, place.cols, number)
        self._place = place
        self.facts = Facts()

    def forward(self, x: np.ndarray) -> np.ndarray:
        y = super().forward(x)
        io, frac = self.config.forward, self.config.formats.x_frac
        # Serial columns without an activation get no code, if nothing else is read of them.
        skips = self._place.turned and not io.physics
        coded = np.count_nonzero(x) if skips else len(x)
        key = self._key(Verb.FORWARD, self.steps[0] - 1)
        listed = _listed(x, io, frac, key, self.passes, self._readouts[0])
        self.facts.forward.append(Multiplied(int(coded), listed))
        return y

    def backward(self, d: np.ndarray) -> np.ndarray:
        z = super().backward(d)
        key = self._key(Verb.BACKWARD, self.steps[1] - 1)
        io, frac = self.config.backward, self.config.formats.d_frac
        listed = _listed(d, io, frac, key, 1, self._readouts[1])
        self.facts.backward.append(Multiplied(len(d), listed))
        return z

    def update(self, x: np.ndarray, d: np.ndarray, lr: float) -> None:
        super().update(x, self._sign * d, lr)
        key = op_key(seed_key(self.config.seed), Verb.UPDATE, self.number, self.steps[2] - 1)
        trains = update_trains(x, d, self.config, self._pulse_registers(lr), key)
        down = (x < 0)[None, :] == (d < 0)[:, None]
        chunks = tuple(self._chunk(trains, chunk, down) for chunk in range(len(trains.rows)))
        nothing = not (np.any(x) and np.any(d))
        count = int(np.count_nonzero(x))
        self.facts.update.append(Updated(nothing, count, trains.plan.bl, chunks))

    def _chunk(self, trains: Trains, chunk: int, down: np.ndarray) -> Chunk:
        rows, columns = trains.rows[chunk], trains.columns[chunk]
        lines = np.flatnonzero(columns if self._place.turned else rows)
        words = [np.int64(-1)]
        if self.device.serial:
            words = [np.int64(1) << slot for slot in range(chunk_slots(trains.plan.bl, chunk))]
        sweeps = tuple(self._hits(rows & word, columns, down, lines) for word in words)
        return Chunk(len(lines), sweeps)

    def _hits(
        self, rows: np.ndarray, columns: np.ndarray, down: np.ndarray, lines: np.ndarray
    ) -> np.ndarray:
        """Return the cells that a sweep of some serial lines hits, in the order of its visits."""
        paired, turned = self.config.device.paired, self._place.turned
        if turned:
            columns, down = columns[lines], down[:, lines]
        else:
            rows, down = rows[lines], down[lines]
        if paired:
            rows, down = np.repeat(rows, 2), np.repeat(down, 2, axis=0)
        hit = pulse_counts(rows, columns, down, paired) > 0
        if not turned:
            return hit
        # A serial column is visited for its plus devices, then for its minus devices.
        devices = self._place.devices
        by_device = hit.reshape(self.rows, devices, len(lines)).transpose(2, 1, 0)
        return by_device.reshape(len(lines) * devices, self.rows)


def _listed(
    values: np.ndarray,
    io: ConverterConfig,
    frac: int,
    key: int,
    passes: int,
    readout: Readout | None,
) -> tuple[tuple[int, ...], ...]:
    """Return `Multiplied.passes` of an operation that took so many passes.

    Parameters
    ----------
    values : int64, shape (inputs,)
        Activations or errors at the edge.
    io : ConverterConfig
    frac : int
        Fraction bits of ``values``.
    key : int
        Operation key.
    passes : int
    readout : Readout or None
    """
    if io.perfect:
        return ((int(np.count_nonzero(values)),),)
    alpha = input_alpha(values, io, frac, readout)
    if alpha == 0:
        return ()
    found = []
    for halvings in range(passes):
        if readout is None:
            codes = dac(values, alpha, halvings, io.dac_half)
            found.append((int(np.count_nonzero(codes)),))
            continue
        registers = readout.registers
        drive = input_voltages(values, alpha, halvings, io, key, readout)
        driven = (operands(drive, part, registers) for part in parts(registers))
        found.append(tuple(int(np.count_nonzero(operand)) for operand in driven))
    return tuple(found)
