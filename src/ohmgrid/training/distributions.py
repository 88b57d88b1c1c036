"""How weights and conductances are distributed: a histogram of each layer."""

from typing import NamedTuple

import numpy as np

from ohmgrid.config import Config
from ohmgrid.devices.pcm_capacitor import PcmCapacitor
from ohmgrid.devices.residual import ResidualLearning
from ohmgrid.devices.vector_cell import VectorUnitCell
from ohmgrid.model.device.population import at_bounds
from ohmgrid.registers.cells import cell_number, device_name, weight_lsb
from ohmgrid.registers.pcm import pcm_registers
from ohmgrid.registers.residual import sum_top
from ohmgrid.tile import WEIGHTS, TileState, parts_of

__all__ = ["Bins", "Histogram", "part_at_bounds"]

BIN_BITS = 8


class Histogram(NamedTuple):
    """Counts of consecutive bins, from the first to the last that holds any."""

    first: int
    counts: list[int]


def part_at_bounds(config: Config, number: int, state: TileState) -> float:
    """Return the part of a tile's devices that stand at a bound of their own.

    Of cells of several devices, of all of these (`ohmgrid.model.device.population.at_bounds`).
    """
    device = config.device
    if not isinstance(device, VectorUnitCell):
        return at_bounds(config, number, state.weights)
    held = [state.weights, *(state.hidden[device_name(k)] for k in range(1, device.arrays))]
    parts = [
        at_bounds(config.replace(device=unit), cell_number(number, place), weights)
        for place, (unit, weights) in enumerate(zip(device.unit_cell_devices, held, strict=True))
    ]
    return sum(parts) / len(parts)


class Bins:
    """The bins of a configuration's histograms: one axis for weights and conductances.

    Parameters
    ----------
    config : Config

    Attributes
    ----------
    number : int
    full : float
        Weight units of the right edge; the left one is minus that.
    lsb : float
        One weight LSB in weight units.
    """

    def __init__(self, config: Config) -> None:
        formats, self._device = config.formats, config.device
        self.lsb = weight_lsb(config.device, formats.weight_bits)
        # Differences of two devices have one bit more, a pair of some significance as many more.
        bits = formats.weight_bits + config.device.paired
        if isinstance(config.device, PcmCapacitor):
            top = (1 << (bits - 1)) + pcm_registers(config, self.lsb).top
            bits = top.bit_length() + 1
        if isinstance(config.device, ResidualLearning):
            bits = sum_top(config.device, bits).bit_length() + 1
        self._half = 1 << (bits - 1)
        self._shift = max(0, bits - BIN_BITS)
        self.number = 1 << (bits - self._shift)
        self.full = self._half * self.lsb

    def weights(self, state: TileState) -> np.ndarray:
        """Return the weights of a layer (integers, weight LSB)."""
        return parts_of(self._device, state)[WEIGHTS]

    def histograms(self, state: TileState) -> dict[str, Histogram]:
        """Return the histograms of a layer by name, as `ohmgrid.tile.parts_of` has its parts."""
        return {name: self._count(part) for name, part in parts_of(self._device, state).items()}

    def _count(self, values: np.ndarray) -> Histogram:
        counts = np.bincount(((values + self._half) >> self._shift).ravel(), minlength=self.number)
        occupied = np.flatnonzero(counts)
        first, last = int(occupied[0]), int(occupied[-1])
        return Histogram(first, counts[first : last + 1].tolist())
