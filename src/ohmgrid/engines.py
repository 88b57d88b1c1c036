"""One interface, several engines: what a tile offers, and where each implementation is found.

==========  =====================================================================================
`model`     the golden model: integers in NumPy; it decides every bit
`compiled`  the same loops compiled (numba), and the whole training loop: the fastest
`rtl`       the gateware itself, simulated as a compiled library
==========  =====================================================================================

An engine is imported when it is asked for, so that the golden model runs without a compiler.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ohmgrid.config import Config
from ohmgrid.counters import PulseCounts
from ohmgrid.doors.checks import check_choice
from ohmgrid.tile import TileState

if TYPE_CHECKING:
    from ohmgrid.model.core.trainer import Trainer
from ohmgrid.net import Net

__all__ = [
    "ENGINES",
    "TileEngine",
    "check_engine",
    "close_tiles",
    "make_tiles",
    "make_trainer",
    "start_note",
]


class TileEngine(Protocol):
    """One array of crosspoints, wherever its bits are computed.

    Activations ``x`` and errors ``d`` are integers at the tile's edge (``x_frac`` and ``d_frac``
    fraction bits); results are int64, to be multiplied by `y_lsb` or `z_lsb` for real units.
    Every engine gives the same bits for the same configuration, number and calls.
    """

    rows: int
    """Output lines."""
    cols: int
    """Input lines, the always-on bias input included."""
    lsb: float
    """One conductance LSB in weight units."""
    number: int
    """Number of the tile, 0..255; part of the address of its noise."""
    trainer: str
    """``module:class`` of the trainer for such tiles."""

    @property
    def passes(self) -> int:
        """Passes of the last forward operation."""
        ...

    @property
    def saturated(self) -> int:
        """Outputs clipped by the ADC in the last pass of the last forward or backward one."""
        ...

    @property
    def pulses(self) -> PulseCounts:
        """What the last update counted."""
        ...

    @property
    def y_lsb(self) -> float:
        """One LSB of a forward result in real units."""
        ...

    @property
    def z_lsb(self) -> float:
        """One LSB of a backward result in real units."""
        ...

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return ``W x``: int64, shape (rows,)."""
        ...

    def backward(self, d: np.ndarray) -> np.ndarray:
        """Return ``W^T d``: int64, shape (cols,)."""
        ...

    def update(self, x: np.ndarray, d: np.ndarray, lr: float) -> None:
        """Apply ``W -= lr d x^T`` by coincident pulses."""
        ...

    def backward_update(self, x: np.ndarray, d: np.ndarray, lr: float) -> np.ndarray:
        """Return `backward` of the old weights, then `update`: one sweep where it matters."""
        ...

    def state(self) -> TileState:
        """Return a copy of the state."""
        ...

    def load(self, state: TileState) -> None:
        """Take over a state of any engine; raise `ValueError` where it does not fit."""
        ...

    def close(self) -> None:
        """Release what the engine holds; the tile is not used afterwards."""
        ...


ENGINES: dict[str, str] = {
    "model": "ohmgrid.model.core.tile:Tile",
    "compiled": "ohmgrid.compiled.tile:CompiledTile",
    "rtl": "ohmgrid.sim.rtl:RtlTile",
}
"""Engine name -> ``module:class``, called as ``class(config, rows, cols, number)``."""


def check_engine(name: str) -> None:
    """Raise `ConfigError` unless ``name`` is an engine."""
    check_choice("engine", name, tuple(ENGINES))


def start_note(name: str) -> str:
    """Return the line that prepares a user for a slow first start, or nothing."""
    check_engine(name)
    if name == "rtl":
        return "starting engine rtl (its first start builds it: minutes)"
    if name == "compiled" and not import_module("ohmgrid.compiled.jit").is_kept():
        return "compiling the engine (once on this machine: about a minute)"
    return ""


def _load(place: str) -> Any:
    """Return what ``module:attribute`` names."""
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)


def _loader(name: str) -> Callable[[Config, int, int, int], TileEngine]:
    check_engine(name)
    return _load(ENGINES[name])


def make_tiles(engine: str, config: Config, shapes: Sequence[tuple[int, int]]) -> list[TileEngine]:
    """Build one tile for each shape ``(rows, cols)``, numbered from 0.

    Parameters
    ----------
    engine : str
        A key of `ENGINES`.
    config : Config
    shapes : sequence of (rows, cols)
    """
    make = _loader(engine)
    tiles: list[TileEngine] = []
    try:
        for number, (rows, cols) in enumerate(shapes):
            tiles.append(make(config, rows, cols, number))
    except BaseException:
        close_tiles(tiles)
        raise
    return tiles


def make_trainer(
    config: Config, tiles: Sequence[TileEngine], net: "Net", threads: int = 1
) -> "Trainer":
    """Return the trainer of the tiles' engine: the golden one, or one that equals it.

    Parameters
    ----------
    config : Config
    tiles : sequence of TileEngine
        All of one engine, of the shapes of ``net``.
    net : Net
    threads : int
        For engines that can share the work; no bit depends on it.
    """
    return _load(tiles[0].trainer)(config, tiles, net, threads)


def close_tiles(tiles: Sequence[TileEngine]) -> None:
    """Release all tiles."""
    for tile in tiles:
        tile.close()
