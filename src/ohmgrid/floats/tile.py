"""One array with floats on both sides: `ohmgrid.Tile`."""

import math
import warnings

import numpy as np

from ohmgrid.config import Config
from ohmgrid.core import Core
from ohmgrid.doors.checks import ConfigError, check_int, shown
from ohmgrid.engines import make_core
from ohmgrid.imports.chosen import choose_device
from ohmgrid.model.core.core import programmed_state
from ohmgrid.model.core.passage import is_linear
from ohmgrid.model.periphery.ends import edge_of, exponent_of
from ohmgrid.net import MOST_CELLS, Net
from ohmgrid.registers.layout import roomy_build, words_of
from ohmgrid.tile import WEIGHTS, TileState, learning_rate, parts_of
from ohmgrid.training.settings import Settings

__all__ = ["Tile", "array_core", "configured", "programmed", "weights_of", "with_room"]


def configured(device: str | Config, seed: int) -> Config:
    """Return the configuration of a device, with a seed.

    Parameters
    ----------
    device : str or Config
        Name of a preset, or of a file as ``--device`` takes it, of which fields without a
        counterpart are warned of; or a whole configuration.
    seed : int
        0 to 2**64 - 1.
    """
    if isinstance(device, Config):
        return device.replace(seed=seed)
    if not isinstance(device, str):
        raise ConfigError("device", f"expected a name, a file or a Config, got {shown(device)}")
    settings, lines = choose_device(device)
    for line in lines:
        warnings.warn(line, stacklevel=3)
    return settings.under(Settings(top={"seed": seed})).config()


def with_room(engine: str, config: Config, net: Net) -> Config:
    """Return the configuration with memory for a net, where its gateware is simulated."""
    if engine not in ("rtl", "virtual"):
        return config
    build = roomy_build(net.shapes, words_of(config.device), config.build, config.layout)
    return config.replace(build=build)


def array_core(engine: str, config: Config, rows: int, cols: int) -> Core:
    """Return a core of one array, with its first weights."""
    check_int("rows", rows, 1, MOST_CELLS)
    check_int("cols", cols, 1, MOST_CELLS)
    net = Net((cols - 1, rows), loss="squared")
    core = make_core(engine, with_room(engine, config, net), net)
    core.initialise()
    return core


def weights_of(core: Core, layer: int, state: TileState) -> np.ndarray:
    """Return what a layer's devices come to (float64, shape (rows, cols), weight units)."""
    return parts_of(core.config.device, state)[WEIGHTS] * core.tiles[layer].lsb


def programmed(core: Core, layer: int, weights: np.ndarray) -> tuple[TileState, int]:
    """Return a layer's state with its devices at given weights, and how many hold others.

    The operations that a tile has counted go on: noise is a function of them.
    """
    tile = core.tiles[layer]
    array = np.asarray(weights, np.float64)
    if array.shape != (tile.rows, tile.cols):
        raise ValueError(f"weights: expected shape {(tile.rows, tile.cols)}, got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError("weights: expected finite numbers, got NaN or infinity")
    state, lost = programmed_state(core.config, tile.number, array)
    return state._replace(steps=tile.state().steps), lost


class Tile:
    """One array of crosspoints: ``y = W x``, ``z = W^T d``, ``W -= lr d x^T`` by pulses.

    What goes in is rounded to the tile's edge (half to even); results are as the converters give
    them. Where the largest value of a call would clip at the edge, or be below a sixteenth of it,
    all are multiplied with a power of two, and results divided by it
    (`ohmgrid.model.periphery.ends`); without managements, or with devices that learn by more than
    pulses, there is none, and the edge clips. Every engine gives the same bits.

    Parameters
    ----------
    rows, cols : int
        Outputs and inputs.
    device : str or Config
        Preset, file, or a whole configuration.
    seed : int
        Of all noise, spreads and the first weights; 0 to 2**64 - 1.
    engine : str
        A name as `ohmgrid.engines.make_core` takes it.

    Raises
    ------
    ConfigError
        There is no such device or engine, or no such array.
    """

    def __init__(
        self,
        rows: int,
        cols: int,
        device: str | Config = "gokmen-vlasov",
        *,
        seed: int = 1,
        engine: str = "compiled",
    ) -> None:
        self._look(array_core(engine, configured(device, seed), rows, cols), 0)

    @classmethod
    def of(cls, core: Core, layer: int) -> "Tile":
        """Return the view of a layer of a core, whose last column is the always-on input."""
        if not 0 <= layer < len(core.tiles):
            raise ValueError(f"layer: expected 0..{len(core.tiles) - 1}, got {layer}")
        tile = cls.__new__(cls)
        tile._look(core, layer)
        return tile

    def _look(self, core: Core, layer: int) -> None:
        self._core, self._layer, self._tile = core, layer, core.tiles[layer]
        self.rows, self.cols = self._tile.rows, self._tile.cols
        self._top = (1 << (core.config.formats.edge_bits - 1)) - 1
        self._linear = is_linear(core.config)

    @property
    def config(self) -> Config:
        """The whole configuration."""
        return self._core.config

    def _edge(
        self, name: str, values: np.ndarray, lines: int, frac: int
    ) -> tuple[np.ndarray, int, bool]:
        """Return vectors at the edge, their exponent, and whether one came alone."""
        array = np.asarray(values, np.float64)
        if array.ndim not in (1, 2) or array.shape[-1] != lines:
            raise ValueError(
                f"{name}: expected shape ({lines},) or (examples, {lines}), got {array.shape}"
            )
        if not np.isfinite(array).all():
            raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
        largest = float(np.abs(array).max(initial=0.0))
        exponent = exponent_of(largest, frac, self._top) if self._linear else 0
        edge = edge_of(array, math.ldexp(1.0, frac + exponent), self._top).astype(np.int64)
        return edge.reshape(-1, lines), exponent, array.ndim == 1

    def _results(self, found: list[np.ndarray], lines: int, unit: float, alone: bool) -> np.ndarray:
        y = np.array(found, np.float64).reshape(-1, lines) * unit
        return y[0] if alone else y

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return ``W x``.

        Parameters
        ----------
        x : float, shape (cols,) or (examples, cols)

        Returns
        -------
        float64, shape (rows,) or (examples, rows)
        """
        edge, exponent, alone = self._edge("x", x, self.cols, self.config.formats.x_frac)
        found = [self._core.forward(self._layer, row) for row in edge]
        return self._results(found, self.rows, math.ldexp(self._tile.y_lsb, -exponent), alone)

    def backward(self, d: np.ndarray) -> np.ndarray:
        """Return ``W^T d``.

        Parameters
        ----------
        d : float, shape (rows,) or (examples, rows)

        Returns
        -------
        float64, shape (cols,) or (examples, cols)
        """
        edge, exponent, alone = self._edge("d", d, self.rows, self.config.formats.d_frac)
        found = [self._core.backward(self._layer, row) for row in edge]
        return self._results(found, self.cols, math.ldexp(self._tile.z_lsb, -exponent), alone)

    def update(self, x: np.ndarray, d: np.ndarray, lr: float) -> None:
        """Apply ``W -= lr d x^T`` by coincident pulses, one example after the other.

        Parameters
        ----------
        x : float, shape (cols,) or (examples, cols)
        d : float, shape (rows,) or (examples, rows)
        lr : float
            > 0.
        """
        formats = self.config.formats
        inputs, of_x, _ = self._edge("x", x, self.cols, formats.x_frac)
        errors, of_d, _ = self._edge("d", d, self.rows, formats.d_frac)
        if len(inputs) != len(errors):
            raise ValueError(f"d: expected {len(inputs)} examples, got {len(errors)}")
        rate = math.ldexp(learning_rate(lr), -(of_x + of_d))
        for one, other in zip(inputs, errors, strict=True):
            self._core.update(self._layer, one, other, rate)

    def get_weights(self) -> np.ndarray:
        """Return the weights (float64, shape (rows, cols), weight units)."""
        return weights_of(self._core, self._layer, self._tile.state())

    def set_weights(self, weights: np.ndarray) -> int:
        """Program the devices; return how many hold another weight.

        A weight is rounded to an LSB and clipped to its device's own bounds; stuck devices keep
        theirs.

        Parameters
        ----------
        weights : float, shape (rows, cols)
            Weight units.
        """
        state, lost = programmed(self._core, self._layer, weights)
        self._tile.load(state)
        return lost

    def state(self) -> TileState:
        """Return a copy of all that the tile remembers."""
        return self._tile.state()

    def load(self, state: TileState) -> None:
        """Take over a state; raise `ValueError` where it does not fit."""
        self._tile.load(state)

    def close(self) -> None:
        """Release what the engine holds; the tile is not used afterwards."""
        self._core.close()
