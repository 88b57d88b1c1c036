"""A net on tiles: the layer arithmetic around them, forward, backward and update (golden model).

Integers only past the configuration; a trainer in gateware must equal it bit for bit. Tile l of a
net ``n_0-n_1-...`` has n_{l+1} rows and n_l + 1 columns; its last column is an always-on input of
1.0, the bias. For one example::

    x_0     = pixels, 1.0
    y_l     = tile_l.forward(x_l)
    x_l+1   = f[rint(y_l * y_scale)], 1.0               formats, tables: ohmgrid.registers.layers
    s_l     = f' from the value of f                    sigmoid: a (1 - a), tanh: 1 - a^2
    far_i   = min(rint((max(y) - y_i) * y_scale), 2**16 - 1)
    p       = e[far] / sum                              softmax cross-entropy:  d = p - onehot
    a       = f[rint(y * y_scale)]                      squared error:          d = (a - onehot) s
    z_l     = tile_l.backward_update(x_l, d_l, lr)      without the bias line; tile 0 only updates
    d_l-1   = sat(rint(sat(rint(z_l * z_scale)) s_l-1)) `GUARD` more bits in between

The prediction is the largest result of the last tile, the first of equals. What clips (``sat``, or
an activation at the edge) is counted, see `ohmgrid.counters`; the ends of a table are the
function's own and are not.

A mini-batch takes all its examples forward and backward on the weights as they stand, then updates
with one example after the other.

Every division and shift rounds to nearest, ties to even.
"""

from collections.abc import Callable, Sequence
from math import isqrt
from typing import NamedTuple

import numpy as np

from ohmgrid.config import Config
from ohmgrid.counters import Counters
from ohmgrid.doors.checks import check_int
from ohmgrid.model.base.arith import at_edge, shift_round
from ohmgrid.model.base.noise import cell_words, line_keys, op_key, seed_key
from ohmgrid.model.core.tile import Tile
from ohmgrid.model.periphery.functions import (
    activate,
    error_below,
    exponential,
    half_squares,
    softmax_share,
    squared_error,
)
from ohmgrid.net import SHUFFLE_TILE, Answer, Net, Outcome, outcome_of
from ohmgrid.registers.device import DITHER_BITS
from ohmgrid.registers.layers import (
    ACTIVATIONS,
    GUARD,
    LINEAR,
    PRE_FRAC,
    Scale,
    activation_table,
    exp_tables,
    scale_registers,
)
from ohmgrid.registers.noise import Purpose, Verb
from ohmgrid.tile import TileEngine, TileState, make_tiles

__all__ = [
    "Core",
    "epoch_order",
    "initial_state",
    "programmed_state",
]


def initial_state(config: Config, rows: int, cols: int, number: int) -> TileState:
    """Return the weights a tile starts with: uniform in ``+-1/sqrt(cols)``, hashed from the seed.

    ``w = floor((u - 2**31) bound / 2**31)`` with u the 32-bit cell word of `Verb.INIT`, clipped to
    the cell's own bounds.
    """
    tile = Tile(config, rows, cols, number)
    # The LSB is a power of two, so the bound is an exact integer square root.
    bound = isqrt(int(1 / tile.lsb) ** 2 // cols)
    key = op_key(seed_key(config.seed), Verb.INIT, number, 0)
    row_keys = line_keys(key, Purpose.ROW, np.arange(rows)).astype(np.uint32)
    col_keys = line_keys(key, Purpose.COLUMN, np.arange(cols)).astype(np.uint32)
    uniform = cell_words(row_keys[:, None], col_keys[None, :]).astype(np.int64) - (1 << 31)
    weights = (uniform * bound) >> 31
    return TileState(_stored(tile, weights)[0], (0, 0, 0))


def programmed_state(config: Config, number: int, weights: np.ndarray) -> tuple[TileState, int]:
    """Return the state of a tile whose devices hold given weights, and how many do not.

    Parameters
    ----------
    config : Config
    number : int
        Of the tile.
    weights : float64, shape (rows, cols), or (2, rows, cols)
        In weight units; of pairs also plus and minus devices of their own. Rounded to an LSB and
        clipped to the cell's own bounds; stuck devices keep theirs.
    """
    rows, cols = weights.shape[-2:]
    tile = Tile(config, rows, cols, number)
    top = (1 << (config.formats.weight_bits - 1)) - 1
    exact = np.clip(np.rint(weights / tile.lsb), -top, top).astype(np.int64)
    # With write noise the low bits of a clipped weight are random: it may be that far outside.
    reach = (1 << DITHER_BITS) - 1 if tile.device.visible else 0
    stored, lost = _stored(tile, exact, reach)
    return TileState(stored, (0, 0, 0)), lost


def _stored(tile: Tile, weights: np.ndarray, reach: int = 0) -> tuple[np.ndarray, int]:
    """Return what the devices of a tile store of weights (int32), and how many store another.

    Parameters
    ----------
    tile : Tile
    weights : int64, shape (rows, cols), or (2, rows, cols) of plus and minus devices
        Weight LSB.
    reach : int
        Low bits that may be set beyond a bound.
    """
    if tile.config.device.paired:
        if weights.ndim == 2:
            weights = np.stack([np.maximum(weights, 0), np.maximum(-weights, 0)])
        weights = weights.swapaxes(0, 1).reshape(-1, tile.cols)
    static = tile.population.static
    top = (1 << (tile.config.formats.weight_bits - 1)) - 1
    low = np.maximum(-(-static.b_min | reach) - static.reference, -top)
    high = np.minimum((static.b_max | reach) - static.reference, top)
    stored = tile.population.hold_stuck(np.clip(weights, low, high))
    return stored, int(np.count_nonzero(stored != weights))


def epoch_order(seed: int, epoch: int, examples: int) -> np.ndarray:
    """Return the order of the examples in an epoch (from 0): their hashed keys, sorted.

    Parameters
    ----------
    seed : int
    epoch : int
    examples : int
        At most ``2**24``.

    Returns
    -------
    int64, shape (examples,)
    """
    index = np.arange(examples)
    key = op_key(seed_key(seed), Verb.INIT, SHUFFLE_TILE, epoch + 1)
    keys = line_keys(key, Purpose.INPUT, index & 0xFFFF, index >> 16)
    return np.argsort(keys, kind="stable")


class _Layer(NamedTuple):
    y_scale: Scale
    """From a forward result to what a table, or the edge, takes."""
    z_scale: Scale
    """From a backward result to an error with guard bits."""


Updates = list[tuple[int, np.ndarray, np.ndarray]]
"""Number of a tile, activations and errors of an update that is still to come."""


class Core:
    """A net on tiles, one for each layer, and stochastic gradient descent with it.

    Parameters
    ----------
    config : Config
    net : Net
    threads : int
        For cores that can share their work; here without effect.
    tiles : sequence of TileEngine, optional
        Tiles of another engine, one for each layer of the net, of its `Net.shapes`: this layer
        arithmetic then drives them.

    Attributes
    ----------
    tiles : list of TileEngine
        Views of the layers.
    counters : Counters
        What training has counted so far.
    """

    block = 16
    """Examples that `train` takes in a fraction of a second: how often to look for Ctrl-C."""

    def __init__(
        self,
        config: Config,
        net: Net,
        threads: int = 1,
        tiles: Sequence[TileEngine] | None = None,
    ) -> None:
        check_int("threads", threads, 1, 256)
        if tiles is None:
            tiles = make_tiles(Tile, config, net.shapes)
        shapes = [(tile.rows, tile.cols) for tile in tiles]
        if shapes != net.shapes:
            raise ValueError(f"tiles: expected shapes {net.shapes}, got {shapes}")
        self.config, self.tiles, self.net = config, list(tiles), net
        formats = config.formats
        self._top = (1 << (formats.edge_bits - 1)) - 1
        self._one = min(1 << formats.x_frac, self._top)
        self.counters, self._counting = Counters(len(tiles)), True
        self._layers = []
        for number, tile in enumerate(tiles):
            table = net.activation != "relu" or (net.softmax and number == len(tiles) - 1)
            frac = PRE_FRAC if table else formats.x_frac
            self._layers.append(
                _Layer(
                    scale_registers("forward scale", tile.y_lsb * (1 << frac)),
                    scale_registers("backward scale", tile.z_lsb * (1 << formats.d_frac + GUARD)),
                )
            )
        self._activation = ACTIVATIONS.index(net.activation)
        table = activation_table(net.activation, formats.x_frac) if net.activation != "relu" else ()
        self._values = np.array(table, np.int64)
        self._exp = tuple(map(np.array, exp_tables()))

    def prepare(self) -> None:
        """Do what the first training would have to do, such as compiling: no clock runs yet."""

    def close(self) -> None:
        """Release what the tiles hold; the core is not used afterwards."""
        for tile in self.tiles:
            tile.close()

    def forward(self, layer: int, x: np.ndarray) -> np.ndarray:
        """Return ``W x`` of a layer; see `TileEngine.forward`."""
        return self.tiles[layer].forward(x)

    def backward(self, layer: int, d: np.ndarray) -> np.ndarray:
        """Return ``W^T d`` of a layer; see `TileEngine.backward`."""
        return self.tiles[layer].backward(d)

    def update(self, layer: int, x: np.ndarray, d: np.ndarray, lr: float) -> None:
        """Apply ``W -= lr d x^T`` to a layer by coincident pulses."""
        self.tiles[layer].update(x, d, lr)

    def initialise(self) -> None:
        """Load the initial weights into every tile."""
        self.load(
            [
                initial_state(self.config, tile.rows, tile.cols, number)
                for number, tile in enumerate(self.tiles)
            ]
        )

    def state(self) -> list[TileState]:
        """Return a copy of the state of every tile."""
        return [tile.state() for tile in self.tiles]

    def load(self, states: Sequence[TileState]) -> None:
        """Take over the states of all tiles."""
        for tile, state in zip(self.tiles, states, strict=True):
            tile.load(state)

    def _forward(self, number: int, x: np.ndarray) -> np.ndarray:
        """Return the results of one tile."""
        tile = self.tiles[number]
        y = tile.forward(x)
        if self._counting:
            self.counters.add(number, adc_forward=tile.saturated, passes=tile.passes)
        return y

    def _scaled(self, number: int, y: np.ndarray) -> np.ndarray:
        """Return results times the layer's scale."""
        mantissa, shift = self._layers[number].y_scale
        return shift_round(y * mantissa, shift)

    def _count(self, number: int, place: str, clipped: np.ndarray) -> None:
        """Count what is true."""
        if self._counting:
            self.counters.add(number, **{place: int(np.count_nonzero(clipped))})

    def _activate(self, number: int, pre: np.ndarray, kind: int) -> tuple[np.ndarray, np.ndarray]:
        """Return activation (``x_frac``) and derivative of scaled results."""
        frac = self.config.formats.x_frac
        value, slope, over = activate(pre, kind, self._values, frac, self._top)
        self._count(number, "activation", over)
        return value, slope

    def _input(self, values: np.ndarray) -> np.ndarray:
        """Return a tile's input: the values and the always-on bias line."""
        x = np.empty(len(values) + 1, np.int64)
        x[:-1] = values
        x[-1] = self._one
        return x

    def _softmax(self, y: np.ndarray, label: int) -> tuple[np.ndarray, int]:
        """Return the errors ``p - onehot`` (``d_frac``) and ``p[label]``."""
        frac, last = self.config.formats.d_frac, len(self._layers) - 1
        shares = exponential(self._scaled(last, y.max() - y), *self._exp)
        error = softmax_share(shares, shares.sum(), frac)
        share = int(error[label])
        error[label] -= 1 << frac
        error, over = at_edge(error, self._top)
        self._count(last, "error", over)
        return error, share

    def _squared(self, y: np.ndarray, label: int) -> tuple[np.ndarray, int]:
        """Return the errors ``(a - onehot) f'`` (``d_frac``) and half the sum of squares."""
        formats, last = self.config.formats, len(self._layers) - 1
        kind = LINEAR if self.net.activation == "relu" else self._activation
        value, slope = self._activate(last, self._scaled(last, y), kind)
        miss = value.copy()
        miss[label] -= self._one
        error, over = squared_error(miss, slope, formats.x_frac, formats.d_frac, self._top)
        self._count(last, "error", over)
        return error, int(half_squares(miss @ miss, formats.x_frac))

    def _error_below(self, number: int, z: np.ndarray, slope: np.ndarray) -> np.ndarray:
        """Return the errors at the outputs of the layer below tile ``number`` (``d_frac``)."""
        mantissa, shift = self._layers[number].z_scale
        error, lost = error_below(shift_round(z[:-1] * mantissa, shift), slope, self._top)
        self._count(number - 1, "error", lost)
        return error

    def _errors(
        self,
        pixels: np.ndarray,
        label: int,
        backward: Callable[[int, np.ndarray, np.ndarray], np.ndarray],
    ) -> tuple[Answer, np.ndarray, np.ndarray]:
        """Take one example forward and backward; return its answer, x and d of tile 0.

        ``backward`` is called with tile number, activations and errors for tiles above 0, from the
        last one down, and returns the result of the backward pass.
        """
        x = self._input(pixels)
        inputs, slopes = [x], []
        last = len(self._layers) - 1
        for number in range(last):
            pre = self._scaled(number, self._forward(number, x))
            value, slope = self._activate(number, pre, self._activation)
            x = self._input(value)
            inputs.append(x)
            slopes.append(slope)
        y = self._forward(last, x)
        d, word = (self._softmax if self.net.softmax else self._squared)(y, label)
        for number in range(last, 0, -1):
            z = backward(number, inputs[number], d)
            self.counters.add(number, adc_backward=self.tiles[number].saturated)
            d = self._error_below(number, z, slopes[number - 1])
        return Answer(int(y.argmax()) == label, word), inputs[0], d

    def _update(self, number: int, x: np.ndarray, d: np.ndarray, lr: float) -> None:
        """Update one tile."""
        self.tiles[number].update(x, d, lr)
        self.counters.add_update(number, self.tiles[number].pulses)

    def train_one(self, pixels: np.ndarray, label: int, lr: float) -> Answer:
        """Train on one example.

        Parameters
        ----------
        pixels : integers, shape (inputs,)
            ``x_frac`` fraction bits.
        label : int
        lr : float
            Learning rate.
        """

        def backward(number: int, x: np.ndarray, d: np.ndarray) -> np.ndarray:
            z = self.tiles[number].backward_update(x, d, lr)
            self.counters.add_update(number, self.tiles[number].pulses)
            return z

        answer, x, d = self._errors(pixels, label, backward)
        self._update(0, x, d, lr)
        return answer

    def _train_batch(self, pixels: np.ndarray, labels: np.ndarray, lr: float) -> list[Answer]:
        """Take examples forward and backward on the same weights, then update with each."""
        answers: list[Answer] = []
        updates: Updates = []

        def backward(number: int, x: np.ndarray, d: np.ndarray) -> np.ndarray:
            updates.append((number, x, d))
            return self.tiles[number].backward(d)

        for one, label in zip(pixels, labels, strict=True):
            answer, x, d = self._errors(one, int(label), backward)
            answers.append(answer)
            updates.append((0, x, d))
        for number, x, d in updates:
            self._update(number, x, d, lr)
        return answers

    def train(self, pixels: np.ndarray, labels: np.ndarray, lr: float, batch: int = 1) -> Outcome:
        """Train on examples in their order.

        Parameters
        ----------
        pixels : integers, shape (examples, inputs)
        labels : integers, shape (examples,)
        lr : float
            Learning rate for each example (its error is not divided by ``batch``).
        batch : int
            Examples of a mini-batch; the last one may have fewer.
        """
        answers: list[Answer] = []
        for first in range(0, len(labels), batch):
            chosen = slice(first, first + batch)
            if batch == 1:
                # The same bits as a batch of one, in one sweep where the engine has one.
                answers.append(self.train_one(pixels[first], int(labels[first]), lr))
            else:
                answers += self._train_batch(pixels[chosen], labels[chosen], lr)
        hits = sum(answer.hit for answer in answers)
        words = [answer.word for answer in answers]
        return outcome_of(self.net, self.config.formats.d_frac, hits, words)

    def predict(self, pixels: np.ndarray) -> int:
        """Return the class of one example: the largest result, the first of equals.

        Counts nothing: counters are of training alone.
        """
        self._counting = False
        try:
            x, last = self._input(pixels), len(self._layers) - 1
            for number in range(last):
                pre = self._scaled(number, self._forward(number, x))
                x = self._input(self._activate(number, pre, self._activation)[0])
            return int(self._forward(last, x).argmax())
        finally:
            self._counting = True

    def count_hits(self, pixels: np.ndarray, labels: np.ndarray) -> int:
        """Return how many examples are classified right. The tiles count these passes too."""
        return sum(
            self.predict(one) == int(label) for one, label in zip(pixels, labels, strict=True)
        )
