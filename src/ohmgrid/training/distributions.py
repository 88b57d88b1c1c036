"""How weights and conductances are distributed: a histogram of each layer."""

from typing import NamedTuple

import numpy as np

from ohmgrid.config import Config
from ohmgrid.registers.device import device_registers

__all__ = ["WEIGHTS", "Bins", "Histogram"]

BIN_BITS = 8
WEIGHTS = "W"
"""Name of the histogram of weights; of pairs there are those of ``G+`` and ``G-`` beside it."""


class Histogram(NamedTuple):
    """Counts of consecutive bins, from the first to the last that holds any."""

    first: int
    counts: list[int]


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
        formats, self._paired = config.formats, config.device.paired
        self.lsb = device_registers(
            config.device.unit, formats.weight_bits, formats.curve_segments
        ).lsb
        # Differences of two devices have one bit more.
        bits = formats.weight_bits + self._paired
        self._half = 1 << (bits - 1)
        self._shift = max(0, bits - BIN_BITS)
        self.number = 1 << (bits - self._shift)
        self.full = self._half * self.lsb

    def weights(self, devices: np.ndarray) -> np.ndarray:
        """Return weights of a layer; of pairs the differences of both devices.

        Parameters
        ----------
        devices : integers, shape (rows of devices, columns)
            Conductances in weight LSB.
        """
        return devices[0::2] - devices[1::2] if self._paired else devices

    def histograms(self, devices: np.ndarray) -> dict[str, Histogram]:
        """Return the histograms of a layer by name: `WEIGHTS`, and of pairs ``G+`` and ``G-``.

        Parameters
        ----------
        devices : as of `weights`
        """
        found = {WEIGHTS: self._count(self.weights(devices))}
        if self._paired:
            found |= {"G+": self._count(devices[0::2]), "G-": self._count(devices[1::2])}
        return found

    def _count(self, values: np.ndarray) -> Histogram:
        counts = np.bincount(((values + self._half) >> self._shift).ravel(), minlength=self.number)
        occupied = np.flatnonzero(counts)
        first, last = int(occupied[0]), int(occupied[-1])
        return Histogram(first, counts[first : last + 1].tolist())
