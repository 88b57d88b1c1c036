"""A net as the kernels hold it: its layers, what their tiles share, and a mini-batch's signals."""

from typing import NamedTuple

import numpy as np

from ohmgrid.compiled.cells import Cells
from ohmgrid.compiled.mixed import Mixed
from ohmgrid.compiled.population import Array
from ohmgrid.compiled.readout import Reading
from ohmgrid.compiled.transfer import Hidden, Transfers
from ohmgrid.compiled.updates import Physics

__all__ = ["Functions", "Layer", "Network", "Signals", "make_signals"]


class Layer(NamedTuple):
    """One tile of a net, and what lies around it."""

    array: Array
    forward: Reading
    backward: Reading
    steps: np.ndarray
    """int64, shape (3,): operations so far."""
    hidden: Hidden
    transfers: Transfers
    mixed: Mixed
    cells: Cells
    number: int
    """Of the tile."""
    rows: int
    """Outputs."""
    cols: int
    row: int
    """Place of its first row among all rows of the net."""
    col: int
    y_mantissa: int
    y_shift: int
    z_mantissa: int
    z_shift: int


class Functions(NamedTuple):
    """Activation and loss of a net, and their tables."""

    kind: int
    """Place in `ohmgrid.registers.layers.ACTIVATIONS`."""
    at_output: int
    """The same of the last layer under a squared error, or `LINEAR`."""
    squared: int
    top: int
    """Largest value at the edge."""
    one: int
    """What the bias line carries."""
    x_frac: int
    d_frac: int
    value: np.ndarray
    """int64, shape (TABLE_SIZE,); of ReLU, empty."""
    coarse: np.ndarray
    """int64, shape (16,): exponentials of the upper bits of an index."""
    fine: np.ndarray
    """int64, shape (128,): of its lower bits."""


class Network(NamedTuple):
    """All tiles of a net."""

    physics: Physics
    fast: Physics
    """Of the fast arrays of transfers, where there are some."""
    way: int
    """How they learn: see `ohmgrid.compiled.parts`."""
    layers: tuple[Layer, ...]
    functions: Functions


class Signals(NamedTuple):
    """What the examples of a mini-batch leave behind for their updates."""

    x: np.ndarray
    """int32, shape (batch, columns of all tiles): activations."""
    d: np.ndarray
    """int32, shape (batch, rows of all tiles): errors."""
    slope: np.ndarray
    """int32, shape (batch, rows of all tiles): derivatives."""
    row_line: np.ndarray
    """uint32, shape (batch, chunks * rows of all tiles): as `Trains` has them, each tile's from
    ``chunks`` times its first row on."""
    row_train: np.ndarray
    col_line: np.ndarray
    """uint32, shape (batch, chunks * columns of all tiles): firing columns."""
    col_train: np.ndarray
    firing: np.ndarray
    """int64, shape (batch, tiles, chunks, 3): as `Trains` has it."""


def make_signals(batch: int, chunks: int, layers: tuple[Layer, ...]) -> Signals:
    """Return room for mini-batches of up to ``batch`` examples, and trains of so many chunks."""
    rows = batch, sum(layer.rows for layer in layers)
    cols = batch, sum(layer.cols for layer in layers)
    row_trains, col_trains = (batch, chunks * rows[1]), (batch, chunks * cols[1])
    return Signals(
        x=np.zeros(cols, np.int32),
        d=np.zeros(rows, np.int32),
        slope=np.zeros(rows, np.int32),
        row_line=np.zeros(row_trains, np.uint32),
        row_train=np.zeros(row_trains, np.uint32),
        col_line=np.zeros(col_trains, np.uint32),
        col_train=np.zeros(col_trains, np.uint32),
        firing=np.zeros((batch, len(layers), chunks, 3), np.int64),
    )
