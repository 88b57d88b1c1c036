"""One layer of a core with floats on both sides, for a net whose other parts are elsewhere."""

import numpy as np

from ohmgrid.core import Core

__all__ = ["TileLayer"]


class TileLayer:
    """A layer on a core's tile: ``y = W (x, 1)`` forward, ``W^T d`` backward, updates in place.

    What goes in is rounded to the tile's edge (half to even) and clipped there; what comes out is
    as the tile's converters give it. Every engine gives the same.

    Parameters
    ----------
    core : Core
    layer : int
        Number of the layer, from 0.

    Attributes
    ----------
    inputs, outputs : int
        Lines; the always-on bias input is added here.
    clipped : int
        Values so far that were beyond the edge.
    """

    def __init__(self, core: Core, layer: int) -> None:
        if not 0 <= layer < len(core.tiles):
            raise ValueError(f"layer: expected 0..{len(core.tiles) - 1}, got {layer}")
        tile, formats = core.tiles[layer], core.config.formats
        self._core, self._layer, self._tile = core, layer, tile
        self.inputs, self.outputs = tile.cols - 1, tile.rows
        self._top = (1 << (formats.edge_bits - 1)) - 1
        self._x_frac, self._d_frac = formats.x_frac, formats.d_frac
        self.clipped = 0
        self._x: np.ndarray | None = None

    def _edge(self, name: str, values: np.ndarray, lines: int, frac: int) -> np.ndarray:
        array = np.asarray(values, np.float64)
        if array.shape != (lines,) or not np.isfinite(array).all():
            raise ValueError(f"{name}: expected {lines} finite numbers, got shape {array.shape}")
        exact = np.rint(array * (1 << frac))
        self.clipped += int(np.count_nonzero(np.abs(exact) > self._top))
        return np.clip(exact, -self._top, self._top).astype(np.int64)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return ``W (x, 1)`` (float64, shape (outputs,)); the layer remembers x for its update.

        Parameters
        ----------
        x : float, shape (inputs,)
        """
        edge = self._edge("x", x, self.inputs, self._x_frac)
        self._x = np.append(edge, min(1 << self._x_frac, self._top))
        return self._core.forward(self._layer, self._x) * self._tile.y_lsb

    def backward(self, d: np.ndarray) -> np.ndarray:
        """Return ``W^T d`` without the bias (float64, shape (inputs,)).

        Parameters
        ----------
        d : float, shape (outputs,)
        """
        errors = self._edge("d", d, self.outputs, self._d_frac)
        return self._core.backward(self._layer, errors)[:-1] * self._tile.z_lsb

    def update(self, d: np.ndarray, lr: float) -> None:
        """Apply ``W -= lr d (x, 1)^T`` by pulses, x as of the last `forward`."""
        errors = self._edge("d", d, self.outputs, self._d_frac)
        self._core.update(self._layer, self._activations(), errors, lr)

    def backward_update(self, d: np.ndarray, lr: float) -> np.ndarray:
        """Return `backward` of the old weights, then `update`."""
        errors = self._edge("d", d, self.outputs, self._d_frac)
        x = self._activations()
        return self._core.backward_update(self._layer, x, errors, lr)[:-1] * self._tile.z_lsb

    def _activations(self) -> np.ndarray:
        if self._x is None:
            raise ValueError("update: expected a forward before it")
        return self._x
