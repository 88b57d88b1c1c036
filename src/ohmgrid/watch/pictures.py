"""Weights for the eye: maps that are small enough for a page, and histograms."""

import base64
from collections.abc import Sequence

import numpy as np

from ohmgrid.config import Config
from ohmgrid.tile import WEIGHTS, TileState
from ohmgrid.training.distributions import Bins
from ohmgrid.watch.messages import Part, Picture

__all__ = ["MOST_LINES", "Painter"]

MOST_LINES = 64
"""Lines of a map in each direction: more of them would be smaller than a dot of the screen."""
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
        self._bins = Bins(config)
        self.bins, self.full = self._bins.number, self._bins.full

    def paint(self, states: Sequence[TileState]) -> list[Picture]:
        """Return a picture of each layer, by its state."""
        return [self._paint(layer) for layer in states]

    def _paint(self, state: TileState) -> Picture:
        means = block_means(self._bins.weights(state))
        reach = float(np.abs(means).max()) or 1.0
        levels = np.rint(means * (LEVELS / reach)).astype(np.int8)
        histograms = self._bins.histograms(state)
        weights = histograms.pop(WEIGHTS)
        return Picture(
            rows=levels.shape[0],
            cols=levels.shape[1],
            reach=reach * self._bins.lsb,
            map=base64.b64encode(levels.tobytes()).decode("ascii"),
            first=weights.first,
            counts=weights.counts,
            devices=[Part(name, *one) for name, one in histograms.items()],
        )
