"""Forward and backward of one array of weights, as converted (golden model)."""

import numpy as np

from ohmgrid.config import Config
from ohmgrid.model.base.noise import op_key, seed_key
from ohmgrid.model.core.operations import multiply
from ohmgrid.model.periphery.readout import make_readouts
from ohmgrid.registers.edge import converter_registers
from ohmgrid.registers.noise import Verb
from ohmgrid.tile import TileBase

__all__ = ["Passes"]


class Passes(TileBase):
    """What passes see of a tile, and what they count.

    Parameters
    ----------
    config, rows, cols, number
        As of `TileBase`.

    Attributes
    ----------
    steps : list of int
        Forward, backward and update operations so far.
    """

    def __init__(self, config: Config, rows: int, cols: int, number: int = 0) -> None:
        super().__init__(config, rows, cols, number)
        self._base = seed_key(config.seed)
        self.steps = [0, 0, 0]
        static_key = self._key(Verb.STATIC, 0)
        self._readouts = make_readouts(config, self.lsb, rows, cols, static_key)

    def _key(self, verb: Verb, step: int) -> int:
        return op_key(self._base, verb, self.number, step)

    def read(self) -> np.ndarray:
        """Return the weights that a pass sees (int32, shape (rows, cols), weight LSB)."""
        raise NotImplementedError

    def _multiply(self, verb: Verb, matrix: np.ndarray, values: np.ndarray) -> np.ndarray:
        forward = verb == Verb.FORWARD
        formats = self.config.formats
        io, frac = (
            (self.config.forward, formats.x_frac)
            if forward
            else (self.config.backward, formats.d_frac)
        )
        step = 0 if forward else 1
        key = self._key(verb, self.steps[step])
        self.steps[step] += 1
        registers = converter_registers(io, self.lsb)
        y, passes, self.saturated = multiply(
            matrix, values, io, frac, registers, key, self._readouts[step]
        )
        if forward:
            self.passes = passes
        return y

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return ``W x`` as converted by the tile.

        Parameters
        ----------
        x : integers, shape (cols,)
            Activations at the edge.

        Returns
        -------
        int64, shape (rows,)
            Multiply by `y_lsb` for real units.
        """
        return self._multiply(Verb.FORWARD, self.read(), self._edge("x", x, self.cols))

    def backward(self, d: np.ndarray) -> np.ndarray:
        """Return ``W^T d`` as converted by the tile.

        Parameters
        ----------
        d : integers, shape (rows,)
            Errors at the edge.

        Returns
        -------
        int64, shape (cols,)
            Multiply by `z_lsb` for real units.
        """
        return self._multiply(Verb.BACKWARD, self.read().T, self._edge("d", d, self.rows))
