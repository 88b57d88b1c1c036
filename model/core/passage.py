"""Examples on their way through a core, with floats of a caller at both ends (golden model).

Forward now, backward and updates when the caller knows their errors: what a net does of which a
part, or the loss, is elsewhere. Between the tiles stands the arithmetic of
`ohmgrid.model.core.sequencer`; at the ends that of `ohmgrid.model.periphery.ends`, with ``e`` the
exponent of the activations and ``k`` that of the errors::

    x_0 = edge(x 2**e), 2**e        y = y_last 2**-e    (the last tile has no activation behind it)
    d   = edge(d 2**k)              z = z_0 2**-k           without the always-on input
    W_l -= lr 2**-(e + k) d_l x_l^T                         example after example

Exponents are 0 where the converters, or how the devices learn, have a unit of their own
(`is_linear`). Where an update is scaled by the errors themselves (``auto_scale``), k is chosen at
the first errors, an eighth of the edge for the largest, and stays; it scales no learning rate.
"""

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ohmgrid.config import Config
from ohmgrid.devices.base import StepDevice
from ohmgrid.devices.cells import OneSided
from ohmgrid.devices.transfer import ChoppedTransfer
from ohmgrid.devices.vector_cell import VectorUnitCell
from ohmgrid.doors.checks import shown
from ohmgrid.model.base.arith import shift_round
from ohmgrid.model.periphery.ends import edge_of, exponent_of
from ohmgrid.model.periphery.functions import activate, error_below, slope_of
from ohmgrid.net import Net
from ohmgrid.registers.layers import ACTIVATIONS, Scale
from ohmgrid.registers.orders import backward_scale, forward_scale
from ohmgrid.tile import TileEngine, learning_rate

__all__ = ["Passage", "Way", "check_finite", "is_linear", "scales_itself"]

HEAD_ROOM = 3
"""Bits of the edge above the first errors, where their exponent stays."""


class Way(Protocol):
    """What a passage needs of its core, as `ohmgrid.model.core.core.Core` has it."""

    config: Config
    net: Net
    tiles: list[TileEngine]
    top: int
    one: int
    scales: list[Scale]
    table: tuple[int, ...]
    is_linear: bool
    scales_itself: bool
    error_exponent: int | None


def is_linear(config: Config) -> bool:
    """Return whether twice the activations or errors of a tile are twice its results, and half the
    learning rate with them the same update."""
    sides = config.forward, config.backward
    managed = all(io.perfect or io.noise_management == "abs-max" for io in sides)
    device = isinstance(config.device, StepDevice | OneSided | VectorUnitCell)
    return managed and device and config.pulses.update_management


def scales_itself(config: Config) -> bool:
    """Return whether updates are scaled by the largest errors of late, whatever their unit."""
    device, io = config.device, config.backward
    scaled = isinstance(device, ChoppedTransfer) and device.auto_scale
    return scaled and (io.perfect or io.noise_management == "abs-max")


def _fitting(name: str, values: np.ndarray, lines: Sequence[int]) -> np.ndarray:
    """Return examples as float64; raise `ValueError` unless they fit.

    Parameters
    ----------
    name : str
    values : float, shape (examples, lines)
    lines : sequence of int
        How many lines there may be.
    """
    array = np.ascontiguousarray(values, np.float64)
    if array.ndim != 2 or array.shape[1] not in lines:
        wanted = " or ".join(map(str, lines))
        raise ValueError(f"{name}: expected shape (examples, {wanted}), got {array.shape}")
    return array


def check_finite(name: str, finite: bool) -> None:
    """Raise `ValueError` unless examples are."""
    if not finite:
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")


class Passage:
    """Some examples that have gone forward.

    Parameters
    ----------
    core : Core
    x : float, shape (examples, inputs), or (examples, inputs + 1) with what the last line carries

    Attributes
    ----------
    y : float64, shape (examples, outputs)
        Results of the last tile.
    exact : bool
        Whether errors are those of a core's own loss, whole LSB of the edge: no exponent.

    Raises
    ------
    ValueError
        ``x`` is not finite, or has another shape.
    """

    def __init__(self, core: Way, x: np.ndarray) -> None:
        lines = core.tiles[0].cols
        x = _fitting("x", x, (lines - 1, lines))
        self.core, self.inputs = core, x.shape[1]
        self.exponent, self.error_exponent, self.exact = 0, 0, False
        self._forward(x)

    def backward(self, d: np.ndarray, to_inputs: bool = True) -> np.ndarray:
        """Take errors backward; return what they are at the inputs.

        Parameters
        ----------
        d : float, shape (examples, outputs)
        to_inputs : bool
            Whether that is asked for; else the first tile passes nothing back.

        Returns
        -------
        float64, shape (examples, inputs); (0, inputs) where it is not asked for
        """
        d = _fitting("d", d, (self.core.tiles[-1].rows,))
        if len(d) != len(self.y):
            raise ValueError(f"d: expected {len(self.y)} examples, got {len(d)}")
        return self._backward(d, to_inputs)

    def update(self, rates: Sequence[float | None]) -> None:
        """Apply the updates of all examples.

        Parameters
        ----------
        rates : sequence of float or None
            Learning rate of each layer, > 0; None: the layer does not learn.
        """
        if len(rates) != len(self.core.tiles) or all(rate is None for rate in rates):
            raise ValueError(
                f"rates: expected one for each of {len(self.core.tiles)} layers, got {shown(rates)}"
            )
        config = self.core.config
        exponent = self.exponent + (0 if scales_itself(config) else self.error_exponent)
        self._update(
            [None if lr is None else math.ldexp(learning_rate(lr), -exponent) for lr in rates]
        )

    def _error_exponent(self, d: np.ndarray) -> int:
        """Return the exponent of errors."""
        core = self.core
        if self.exact:
            return 0
        largest = float(np.abs(d).max(initial=0.0))
        if core.is_linear:
            return exponent_of(largest, core.config.formats.d_frac, core.top)
        if core.scales_itself:
            if core.error_exponent is None and largest > 0:
                room = core.top >> HEAD_ROOM
                core.error_exponent = exponent_of(largest, core.config.formats.d_frac, room)
            return core.error_exponent or 0
        return 0

    def _forward(self, x: np.ndarray) -> None:
        """Do what the constructor says, with examples that fit."""
        check_finite("x", bool(np.isfinite(x).all()))
        core = self.core
        config, tiles, top = core.config, core.tiles, core.top
        frac, kind = config.formats.x_frac, ACTIVATIONS.index(core.net.activation)
        if core.is_linear and len(tiles) == 1:
            self.exponent = exponent_of(float(np.abs(x).max(initial=0.0)), frac, top)
        factor = math.ldexp(1.0, frac + self.exponent)
        edge = edge_of(x, factor, top).astype(np.int64)
        one = int(edge_of(np.ones(()), factor, top))
        self._x: list[list[np.ndarray]] = []
        results = []
        for row in edge:
            x_0 = row if len(row) == tiles[0].cols else np.append(row, one)
            own = [x_0]
            for number, tile in enumerate(tiles):
                y = tile.forward(own[-1])
                if number + 1 == len(tiles):
                    results.append(y)
                    break
                mantissa, shift = core.scales[forward_scale(number)]
                table = np.array(core.table, np.int64)
                value, _ = activate(shift_round(y * mantissa, shift), kind, table, frac, top)
                own.append(np.append(value, core.one))
            self._x.append(own)
        unit = math.ldexp(tiles[-1].y_lsb, -self.exponent)
        self.y = np.array(results, np.float64).reshape(-1, tiles[-1].rows) * unit

    def _backward(self, d: np.ndarray, to_inputs: bool) -> np.ndarray:
        check_finite("d", bool(np.isfinite(d).all()))
        core = self.core
        tiles, frac = core.tiles, core.config.formats.x_frac
        kind = ACTIVATIONS.index(core.net.activation)
        self.error_exponent = self._error_exponent(d)
        factor = math.ldexp(1.0, core.config.formats.d_frac + self.error_exponent)
        below = []
        self._d: list[list[np.ndarray]] = []
        for row, x in zip(edge_of(d, factor, core.top).astype(np.int64), self._x, strict=True):
            errors = [row]
            for number in range(len(tiles) - 1, 0, -1):
                mantissa, shift = core.scales[backward_scale(number)]
                z = tiles[number].backward(errors[0])[:-1]
                slope = slope_of(x[number][:-1], kind, frac)
                error, _ = error_below(shift_round(z * mantissa, shift), slope, core.top)
                errors.insert(0, error)
            self._d.append(errors)
            if to_inputs:
                below.append(tiles[0].backward(errors[0])[: self.inputs])
        unit = math.ldexp(tiles[0].z_lsb, -self.error_exponent)
        return np.array(below, np.float64).reshape(-1, self.inputs) * unit

    def _update(self, rates: list[float | None]) -> None:
        for x, d in zip(self._x, self._d, strict=True):
            for number, lr in enumerate(rates):
                if lr is not None:
                    self.core.tiles[number].update(x[number], d[number], lr)
