"""Weights for the eye: maps that are small enough for a page, and histograms."""

import base64
from collections.abc import Sequence

import numpy as np

from ohmgrid.config import Config
from ohmgrid.registers.device import device_registers
from ohmgrid.watch.messages import Picture

__all__ = ["MOST_LINES", "Painter"]

MOST_LINES = 64
"""Lines of a map in each direction: more of them would be smaller than a dot of the screen."""
BIN_BITS = 8
LEVELS = 127


def _starts(lines: int) -> np.ndarray:
    """Return where the blocks of lines of a map begin."""
    shown = min(lines, MOST_LINES)
    return np.arange(shown) * lines // shown


def block_means(weights: np.ndarray) -> np.ndarray:
    """Return means of blocks of weights, float64: at most `MOST_LINES` in each direction."""
    means = weights
    for axis, lines in enumerate(weights.shape):
        if lines > MOST_LINES:
            starts = _starts(lines)
            sizes = np.diff(starts, append=lines).astype(np.float64)
            sums = np.add.reduceat(means, starts, axis=axis, dtype=np.float64)
            means = sums / (sizes[:, None] if axis == 0 else sizes)
    return means.astype(np.float64, copy=False)


class Painter:
    """Makes pictures of the weights of a configuration.

    Parameters
    ----------
    config : Config

    Attributes
    ----------
    bins : int
        Of a histogram.
    full : float
        Weight units of a histogram's edges.
    """

    def __init__(self, config: Config) -> None:
        formats, self._paired = config.formats, config.device.paired
        self._lsb = device_registers(
            config.device.unit, formats.weight_bits, formats.curve_segments
        ).lsb
        # Differences of two devices have one bit more.
        bits = formats.weight_bits + self._paired
        self._half = 1 << (bits - 1)
        self._shift = max(0, bits - BIN_BITS)
        self.bins = 1 << (bits - self._shift)
        self.full = self._half * self._lsb

    def paint(self, devices: Sequence[np.ndarray]) -> list[Picture]:
        """Return a picture of each layer.

        Parameters
        ----------
        devices : sequence of integers, shape (rows, columns)
            Conductances in weight LSB, of all devices of each layer.
        """
        return [self._paint(layer) for layer in devices]

    def _paint(self, devices: np.ndarray) -> Picture:
        weights = devices[0::2] - devices[1::2] if self._paired else devices
        means = block_means(weights)
        reach = float(np.abs(means).max()) or 1.0
        levels = np.rint(means * (LEVELS / reach)).astype(np.int8)
        counts = np.bincount(((weights + self._half) >> self._shift).ravel(), minlength=self.bins)
        occupied = np.flatnonzero(counts)
        first, last = int(occupied[0]), int(occupied[-1])
        return Picture(
            rows=levels.shape[0],
            cols=levels.shape[1],
            reach=reach * self._lsb,
            map=base64.b64encode(levels.tobytes()).decode("ascii"),
            first=first,
            counts=counts[first : last + 1].tolist(),
        )
