"""A tile that passes see an array of, whatever lies beside or behind it (golden model)."""

from typing import Any

import numpy as np

from ohmgrid.tile import TileBase

__all__ = ["ShownTile"]


class ShownTile(TileBase):
    """A tile whose forward and backward operations are those of one of its arrays.

    Parameters
    ----------
    config, rows, cols, number
        As of `TileBase`.

    Attributes
    ----------
    shown : Tile
        That array: the engine's tile.
    """

    shown: Any

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return ``W x`` of the array that is shown, as converted; see `Tile.forward`."""
        self.settle()
        y = self.shown.forward(x)
        self.passes, self.saturated = self.shown.passes, self.shown.saturated
        return y

    def backward(self, d: np.ndarray) -> np.ndarray:
        """Return ``W^T d`` of the array that is shown, as converted; see `Tile.backward`."""
        self.settle()
        z = self.shown.backward(d)
        self.saturated = self.shown.saturated
        return z
