"""A net on tiles, trained in place by step tables (golden model).

Tile l of a net ``n_0-n_1-...`` has n_{l+1} rows and n_l + 1 columns; its last column is an
always-on input of 1.0, the bias. What is done for an example, and the arithmetic between the tiles,
is in `ohmgrid.model.core.sequencer`; the tables are those of `ohmgrid.registers.orders`.
"""

from collections.abc import Sequence
from math import isqrt
from typing import Any

import numpy as np

from ohmgrid.config import Config
from ohmgrid.core import Seen
from ohmgrid.counters import Counters
from ohmgrid.devices.pcm_capacitor import PcmCapacitor
from ohmgrid.devices.transfer import Transfer
from ohmgrid.devices.vector_cell import VectorUnitCell
from ohmgrid.doors.checks import check_int
from ohmgrid.hidden import fresh_hidden
from ohmgrid.model.base.noise import cell_words, line_keys, op_key, seed_key
from ohmgrid.model.core.cells import make_tile
from ohmgrid.model.core.order import Order
from ohmgrid.model.core.passage import Passage, is_linear, scales_itself
from ohmgrid.model.core.sequencer import Sequencer
from ohmgrid.model.core.tile import Tile
from ohmgrid.model.core.transfer import TransferTile
from ohmgrid.model.core.vector_cell import cells_state, device_arrays
from ohmgrid.net import SHUFFLE_TILE, Answer, Net, Outcome, outcome_of
from ohmgrid.registers import orders
from ohmgrid.registers.cells import weight_lsb
from ohmgrid.registers.device import DITHER_BITS
from ohmgrid.registers.layers import GUARD, PRE_FRAC, Scale, activation_table, scale_registers
from ohmgrid.registers.noise import Purpose, Verb
from ohmgrid.registers.pcm import pcm_registers
from ohmgrid.registers.steps import Step
from ohmgrid.registers.transfer import write_shift
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
    lsb = weight_lsb(config.device, config.formats.weight_bits)
    # The LSB is a power of two, so the bound is an exact integer square root.
    bound = isqrt(int(1 / lsb) ** 2 // cols)
    key = op_key(seed_key(config.seed), Verb.INIT, number, 0)
    row_keys = line_keys(key, Purpose.ROW, np.arange(rows)).astype(np.uint32)
    col_keys = line_keys(key, Purpose.COLUMN, np.arange(cols)).astype(np.uint32)
    uniform = cell_words(row_keys[:, None], col_keys[None, :]).astype(np.int64) - (1 << 31)
    weights = (uniform * bound) >> 31
    if isinstance(config.device, VectorUnitCell):
        return _programmed_devices(config, number, weights * lsb)[0]
    tile = _visible(config, rows, cols, number)
    return _begun(config, _stored(tile, weights)[0], rows, cols)


def programmed_state(config: Config, number: int, weights: np.ndarray) -> tuple[TileState, int]:
    """Return the state of a tile whose devices hold given weights, and how many do not.

    Parameters
    ----------
    config : Config
    number : int
        Of the tile.
    weights : float64, shape (rows, cols), or (2, rows, cols)
        In weight units; of pairs also plus and minus devices of their own. Rounded to an LSB and
        clipped to the cell's own bounds; stuck devices keep theirs. Of cells of several devices
        all that updates reach hold the same, and the others 0.
    """
    if isinstance(config.device, VectorUnitCell):
        return _programmed_devices(config, number, weights)
    rows, cols = weights.shape[-2:]
    tile = _visible(config, rows, cols, number)
    if isinstance(config.device, PcmCapacitor):
        return _programmed_cells(config, tile, weights)
    stored, lost = _nearest(tile, weights)
    return _begun(config, stored, rows, cols), int(np.count_nonzero(lost))


def _nearest(tile: Tile, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what the devices of a tile store of weights in weight units, as `_stored` does."""
    top = (1 << (tile.config.formats.weight_bits - 1)) - 1
    exact = np.clip(np.rint(weights / tile.lsb), -top, top).astype(np.int64)
    # With write noise the low bits of a clipped weight are random: it may be that far outside.
    return _stored(tile, exact, (1 << DITHER_BITS) - 1 if tile.device.visible else 0)


def _programmed_devices(config: Config, number: int, weights: np.ndarray) -> tuple[TileState, int]:
    """Return what `programmed_state` does, of cells of several devices."""
    device, (rows, cols) = config.device, weights.shape
    assert isinstance(device, VectorUnitCell)
    lost, arrays = np.zeros((rows, cols), bool), device_arrays(config, rows, cols, number, Tile)
    for place, array in enumerate(arrays):
        if place in device.updated:
            array.weights, own = _nearest(array, weights / device.gain)
            lost |= own
    return cells_state(arrays, (0, 0, 0)), int(np.count_nonzero(lost))


def _programmed_cells(config: Config, tile: Tile, weights: np.ndarray) -> tuple[TileState, int]:
    """Return what `programmed_state` does, of cells with phase-change devices: these hold all that
    they can, the capacitors what is left."""
    pcm = pcm_registers(config, tile.lsb)
    exact = np.rint(weights / tile.lsb).astype(np.int64)
    plus, minus = (
        np.minimum(np.maximum(one, 0) // pcm.gain, pcm.g_max).astype(np.int32)
        for one in (exact, -exact)
    )
    rest = exact - pcm.gain * (plus - minus)
    stored, own = _stored(tile, rest)
    lost = int(np.count_nonzero(own))
    hidden = fresh_hidden(config.device, tile.rows, tile.cols, config.formats.weight_bits)
    pulsed = {
        f"{name}_pulses": (one > 0).astype(np.uint8)
        for name, one in (("plus", plus), ("minus", minus))
    }
    return TileState(stored, (0, 0, 0), {**hidden, "plus": plus, "minus": minus, **pulsed}), lost


def _visible(config: Config, rows: int, cols: int, number: int) -> Tile:
    """Return the array of a tile that forward and backward see."""
    return Tile(config.replace(device=config.device.front), rows, cols, number)


def _begun(config: Config, stored: np.ndarray, rows: int, cols: int) -> TileState:
    """Return the state of a tile that nothing was done with."""
    hidden = fresh_hidden(config.device, rows, cols, config.formats.weight_bits)
    return TileState(stored, (0, 0, 0), hidden)


def _stored(tile: Tile, weights: np.ndarray, reach: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return what the devices of a tile store of weights (int32), and which store another (bool).

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
    return stored, stored != weights


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


def run_order(seed: int, count: int, examples: int) -> np.ndarray:
    """Return the order of a run's first ``examples`` (int64), ``count`` of them in an epoch."""
    epochs = range(-(-examples // count))
    return np.concatenate([epoch_order(seed, epoch, count) for epoch in epochs])[:examples]


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
            tiles = make_tiles(make_tile, config, net.shapes)
        shapes = [(tile.rows, tile.cols) for tile in tiles]
        if shapes != net.shapes:
            raise ValueError(f"tiles: expected shapes {net.shapes}, got {shapes}")
        self.config, self.tiles, self.net = config, list(tiles), net
        formats = config.formats
        self.top = (1 << (formats.edge_bits - 1)) - 1
        self.one = min(1 << formats.x_frac, self.top)
        self.counters = Counters(len(tiles))
        self.clock: dict[str, Any] = {}
        self.scales = self._scales([1.0] * len(tiles))
        """From a result to what a table, or the edge, takes, and from a backward result to an error
        with guard bits: two for each layer."""
        relu = net.activation == "relu"
        self.table = () if relu else activation_table(net.activation, formats.x_frac)
        self._sensing = orders.sensing(len(tiles), net.activation, net.softmax)
        self._testing = orders.testing(len(tiles), net.activation)
        self._predicting = orders.predicting(len(tiles), net.activation)
        moved = [tile for tile in tiles if isinstance(tile, TransferTile) and tile.by_steps]
        self.columns = [tile.columns for tile in moved] if config.build.transfers else []
        """Where steps transfer, columns that a transfer of each layer reads."""
        self.buffered = any(tile.buffered for tile in moved)
        """Whether that goes through buffers."""
        self._sequencer = Sequencer(config, self.tiles, self.scales, self.table)
        self.is_linear, self.scales_itself = is_linear(config), scales_itself(config)
        self.error_exponent: int | None = None
        """Of the errors of passages, where it is chosen at the first ones and stays."""

    def _scales(self, gains: Sequence[float]) -> list[Scale]:
        """Return the scales of all layers, the forward ones times a gain each."""
        net, formats, last = self.net, self.config.formats, len(self.tiles) - 1
        scales: list[Scale] = []
        for number, (tile, gain) in enumerate(zip(self.tiles, gains, strict=True)):
            table = net.activation != "relu" or (net.softmax and number == last)
            frac = PRE_FRAC if table else formats.x_frac
            scales += [
                scale_registers("forward scale", gain * tile.y_lsb * (1 << frac)),
                scale_registers("backward scale", tile.z_lsb * (1 << formats.d_frac + GUARD)),
            ]
        # What is read for a transfer is an error as it is, but for bits that the edge has not.
        shift = (
            Scale(1, write_shift(self.config)) if isinstance(self.config.device, Transfer) else None
        )
        return scales + [shift, shift] * len(self.tiles) if shift else scales

    def set_gains(self, gains: Sequence[float]) -> None:
        """Multiply the forward scale of each layer; see `ohmgrid.core.Core.set_gains`."""
        # In place: the sequencer holds this list.
        self.scales[:] = self._scales(gains)

    def prepare(self) -> None:
        """Do what the first training would have to do, such as compiling: no clock runs yet."""

    def keep(self, sets: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
        """Say which examples will come again and again: all are at hand here."""

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

    def backward_update(self, layer: int, x: np.ndarray, d: np.ndarray, lr: float) -> np.ndarray:
        """Return `backward` of a layer's old weights, then `update` it."""
        return self.tiles[layer].backward_update(x, d, lr)

    def passage(self, x: np.ndarray) -> Passage:
        """Take examples forward, with floats at both ends; see `Passage`."""
        return Passage(self, x)

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

    def _training(self, batch: int) -> list[Step]:
        """Return the table that trains in mini-batches of a size."""
        net, ahead = self.net, self.config.pulses.one_chunk
        layers = len(self.tiles)
        return orders.training(
            layers, net.activation, net.softmax, batch, ahead, self.columns, self.buffered
        )

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
        return self.answers(pixels[None], np.array([label]), lr)[0]

    def sense(self, pixels: np.ndarray, label: int, lr: float) -> list[Seen]:
        """Take one example forward and backward; see `ohmgrid.core.Core.sense`."""
        seen: list[Seen] = []
        order = Order(rate=lr, watch=lambda *part: seen.append(Seen(*part)))
        [answer] = self.run(self._sensing, pixels[None], np.array([label]), order)
        return seen + self._seen_answer(answer)

    def _seen_answer(self, answer: Answer) -> list[Seen]:
        last = len(self.tiles) - 1
        return [
            Seen("loss", last, "hit", np.array([int(answer.hit)])),
            Seen("loss", last, "word", np.array([answer.word])),
        ]

    def run(
        self, steps: list[Step], pixels: np.ndarray, labels: np.ndarray, order: Order
    ) -> list[Answer]:
        """Run a step table; return the answers of the examples that it counts.

        Parameters
        ----------
        steps : list of Step
            For these tiles, with this core's ``scales``; see `ohmgrid.registers.orders`.
        pixels : integers, shape (examples, inputs)
        labels : integers, shape (examples,)
        order : Order
        """
        return self._sequencer.run(steps, pixels, labels, order) if len(labels) else []

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
        answers = self.answers(pixels, labels, lr, batch)
        hits = sum(answer.hit for answer in answers)
        words = [answer.word for answer in answers]
        return outcome_of(self.net, self.config.formats.d_frac, hits, words)

    def answers(
        self, pixels: np.ndarray, labels: np.ndarray, lr: float, batch: int = 1
    ) -> list[Answer]:
        """Train as `train` does; return what each example came to."""
        order = Order(batch, lr, self.counters)
        return self.run(self._training(batch), pixels, labels, order)

    def predict(self, pixels: np.ndarray) -> int:
        """Return the class of one example: the largest result, the first of equals.

        Counts nothing: counters are of training alone.
        """
        results: list[np.ndarray] = []
        asking = Order(host=lambda y: results.append(y) or y)
        self.run(self._predicting, pixels[None], np.zeros(1, np.int64), asking)
        return int(results[0].argmax())

    def count_hits(self, pixels: np.ndarray, labels: np.ndarray) -> int:
        """Return how many examples are classified right. The tiles count these passes too."""
        answers = self.run(self._testing, pixels, labels, Order())
        return sum(answer.hit for answer in answers)
