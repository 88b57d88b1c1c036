"""The core of the compiled engine: one call for many examples."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import lru_cache
from typing import Any

import numpy as np

from ohmgrid.compiled.held import hold
from ohmgrid.compiled.kinds import CoreTile, make_tile
from ohmgrid.compiled.layout import Share, make_scratch
from ohmgrid.compiled.learning import count_hits, train_block
from ohmgrid.compiled.network import Functions, Layer, Network, make_signals
from ohmgrid.compiled.parts import PLAIN
from ohmgrid.compiled.passage import Calls, CompiledPassage, hold_ends
from ohmgrid.compiled.threads import GIVEN_UP, Abandoned, abandon, new_sync
from ohmgrid.compiled.transfer import Rates
from ohmgrid.config import Config
from ohmgrid.core import Seen
from ohmgrid.devices.transfer import Transfer
from ohmgrid.doors.checks import check_int
from ohmgrid.model.core.core import Core
from ohmgrid.model.periphery.pulses import chunks
from ohmgrid.net import Answer, Net, Outcome, outcome_of
from ohmgrid.registers.layers import ACTIVATIONS, LINEAR, exp_tables
from ohmgrid.registers.orders import backward_scale, forward_scale

__all__ = ["CompiledCore"]


def _arrays(tree: Any) -> Iterator[np.ndarray]:
    """Yield all arrays in nested tuples and lists."""
    if isinstance(tree, np.ndarray):
        yield tree
    elif isinstance(tree, tuple | list):
        for part in tree:
            yield from _arrays(part)


class CompiledCore(Core):
    """A net on compiled tiles: the golden core's bits, no Python for an example.

    Parameters
    ----------
    config : Config
    net : Net
    threads : int
        Threads that share the examples of a mini-batch and the columns of a tile. No bit depends
        on it; batches of one are too small to share and use one thread.
    """

    block = 512

    def __init__(self, config: Config, net: Net, threads: int = 1) -> None:
        check_int("threads", threads, 1, 256)
        own = [make_tile(config, *shape, n) for n, shape in enumerate(net.shapes)]
        super().__init__(config, net, threads, own)
        self._own = own
        self._net = self._network(own)
        self._held = hold(self._net)
        self._granularity = own[0].shown.device.granularity
        self.held_rates = lru_cache(maxsize=64)(self._layer_rates)
        self._rates = lru_cache(maxsize=4)(
            lambda lr: hold(Rates(tuple(tile.rate(lr) for tile in own)))
        )
        lines = max(max(*one.device_shape) for t in own for one in (t.shown, t.updated))
        self._scratch = [make_scratch(lines) for _ in range(threads)]
        self._work = [hold(scratch) for scratch in self._scratch]
        self._make_signals(threads)
        self.lines = (
            sum(rows for rows, _ in net.shapes),
            sum(cols for _, cols in net.shapes),
            own[-1].rows,
        )
        """Rows and columns of all tiles, and outputs."""
        self._hold_ends()
        self.calls = Calls()
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def _hold_ends(self) -> None:
        signals = make_signals(1, chunks(self._longest), self._net.layers)
        units = self.tiles[-1].y_lsb, self.tiles[0].z_lsb
        self.ends = hold_ends(self._net, self._scratch[0], signals, units)

    def _layer_rates(self, rates: tuple[float | None, ...]) -> tuple[Rates, np.ndarray]:
        """Return the registers of updates at a rate for each layer, and which of them learn."""
        some = next(lr for lr in rates if lr is not None)
        each = [some if lr is None else lr for lr in rates]
        layers = tuple(tile.rate(lr) for tile, lr in zip(self._own, each, strict=True))
        return hold(Rates(layers)), np.array([lr is not None for lr in rates])

    def passage(self, x: np.ndarray) -> CompiledPassage:
        """Take examples forward, with floats at both ends; see `Passage`."""
        return CompiledPassage(self, x)

    def settle(self) -> None:
        """Do what is due before a forward or backward operation and is not for the kernels."""
        for tile in self._own:
            tile.settle()

    def prepare(self) -> None:
        """Compile the kernels, with no example at all."""
        nothing = np.zeros((0, self.net.layers[0]), np.int32), np.zeros(0, np.int64)
        hits, words = np.zeros(0, np.bool_), np.zeros(0, np.int64)
        self._train_part(*nothing, self._granularity, 1, hits, words)
        self.count_hits(*nothing)

    def _network(self, tiles: Sequence[CoreTile]) -> Network:
        """Return the net as the kernels hold it."""
        layers, row, col = [], 0, 0
        for number, tile in enumerate(tiles):
            seen, (_, hidden, transfers, mixed, cells) = tile.shown, tile.kernel_parts()
            forward, backward = seen.readings
            place = seen.number, tile.rows, tile.cols, row, col
            scales = self.scales[forward_scale(number)], self.scales[backward_scale(number)]
            numbers = (*place, *(int(part) for scale in scales for part in scale))
            behind = hidden, transfers, mixed, cells
            layers.append(Layer(seen.array, forward, backward, seen.steps, *behind, *numbers))
            row, col = row + tile.rows, col + tile.cols
        formats, kind = self.config.formats, ACTIVATIONS.index(self.net.activation)
        coarse, fine = map(np.array, exp_tables())
        functions = Functions(
            kind=kind,
            at_output=LINEAR if self.net.activation == "relu" else kind,
            squared=int(self.net.loss == "squared"),
            top=self.top,
            one=self.one,
            x_frac=formats.x_frac,
            d_frac=formats.d_frac,
            value=np.array(self.table, np.int64),
            coarse=coarse,
            fine=fine,
        )
        shown, updated = tiles[0].shown.physics, tiles[0].updated.physics
        way = tiles[0].kernel_parts().way
        return Network(shown, updated, way, tuple(layers), functions)

    def set_gains(self, gains: Sequence[float]) -> None:
        """Multiply the forward scale of each layer; see `ohmgrid.core.Core.set_gains`."""
        super().set_gains(gains)
        layers = []
        for number, layer in enumerate(self._net.layers):
            mantissa, shift = self.scales[forward_scale(number)]
            layers.append(layer._replace(y_mantissa=mantissa, y_shift=shift))
        # Kernels see numbers as they were when held.
        self._net = self._net._replace(layers=tuple(layers))
        self._held = hold(self._net)
        self._hold_ends()

    @property
    def _longest(self) -> int:
        """Slots of the longest train."""
        device, longest = self.config.device, self.config.pulses.most_slots
        if isinstance(device, Transfer):
            longest = max(longest, device.transfer_update.most_slots)
        return longest

    def _make_signals(self, batch: int) -> None:
        self._signals = make_signals(batch, chunks(self._longest), self._net.layers)
        self._held_signals = hold(self._signals)

    def _share(self, threads: int, call) -> list:
        """Return ``call(part, sync, work)`` of every thread.

        Where one fails, or cannot be started, all end, and its error is raised.
        """
        parts, sync = [Share(number, threads) for number in range(threads)], new_sync()
        if threads == 1 or self._pool is None:
            return [call(parts[0], sync, self._work[0])]

        def run(part: Share, work):
            # A pool keeps what it could not start. Run later, it would complete the round in which
            # the others gave up, and learn alone.
            if sync[GIVEN_UP]:
                raise Abandoned("a thread of this call has ended with an error")
            try:
                return call(part, sync, work)
            except BaseException:
                abandon(sync)
                raise

        running = []
        try:
            for part, work in zip(parts, self._work, strict=False):
                running.append(self._pool.submit(run, part, work))
        except BaseException:
            abandon(sync)
            wait(running)
            raise
        errors = [error for future in running if (error := future.exception())]
        for error in sorted(errors, key=lambda error: isinstance(error, Abandoned)):
            raise error
        return [future.result() for future in running]

    def _examples(self, pixels: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return examples as the kernels take them; raise `ValueError` where one does not fit."""
        inputs, classes = self.net.layers[0], self.net.layers[-1]
        pixels, labels = np.asarray(pixels), np.asarray(labels)
        if pixels.shape[1:] != (inputs,):
            raise ValueError(f"pixels: expected shape (examples, {inputs}), got {pixels.shape}")
        if labels.shape != pixels.shape[:1]:
            raise ValueError(f"labels: expected shape {pixels.shape[:1]}, got {labels.shape}")
        if pixels.size and np.abs(pixels).max() > self.top:
            raise ValueError(
                f"pixels: expected values in +-{self.top}, got {pixels.min()}..{pixels.max()}"
            )
        if labels.size and not 0 <= labels.min() <= labels.max() < classes:
            raise ValueError(
                f"labels: expected 0..{classes - 1}, got {labels.min()}..{labels.max()}"
            )
        return np.ascontiguousarray(pixels, np.int32), np.ascontiguousarray(labels, np.int64)

    @property
    def bytes_per_cell(self) -> float:
        """Memory of all arrays, scratch included, divided by the cells of the net."""
        arrays = {id(a): a for a in _arrays((self._net, self._signals, self._scratch))}
        owned = sum(a.nbytes for a in arrays.values() if a.base is None)
        return owned / self.net.cells

    def _train(
        self, pixels: np.ndarray, labels: np.ndarray, lr: float, batch: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Train on examples in their order; return hits (bool) and words of their answers."""
        check_int("batch", batch, 1, 1 << 16)
        pixels, labels = self._examples(pixels, labels)
        if len(self._signals.x) < batch:
            self._make_signals(batch)
        hits, words = np.zeros(len(labels), np.bool_), np.zeros(len(labels), np.int64)
        # What is wrong with a rate is found before anything changes.
        self._rates(lr)
        first = 0
        while first < len(labels):
            self.settle()
            last = first + min(tile.unsettled_in(batch) for tile in self._own)
            part = slice(first, last)
            self._train_part(pixels[part], labels[part], lr, batch, hits[part], words[part])
            first = last
        return hits, words

    def _train_part(
        self,
        pixels: np.ndarray,
        labels: np.ndarray,
        lr: float,
        batch: int,
        hits: np.ndarray,
        words: np.ndarray,
    ) -> None:
        """Train on examples with nothing due between them that is not for the kernels."""
        counts = np.zeros((len(self._work), *self.counters.counts.shape), np.int64)
        rates = self._rates(lr)

        def call(part: Share, sync, work) -> None:
            train_block(
                pixels,
                labels,
                batch,
                self._held,
                rates,
                self._held_signals,
                hits,
                words,
                counts,
                part,
                sync,
                work,
            )

        self._share(min(len(self._work), batch), call)
        for number, layer in enumerate(self._net.layers):
            # Where a tile learns another way, its array counts the writes, where they are made.
            taker = layer if self._net.way == PLAIN else layer.hidden
            layer.steps[0] += len(labels)
            layer.steps[1] += len(labels) if number else 0
            taker.steps[2] += len(labels)
        self.counters.merge(counts.sum(axis=0))

    def train(self, pixels: np.ndarray, labels: np.ndarray, lr: float, batch: int = 1) -> Outcome:
        """Train on examples in their order; see `Core.train`."""
        hits, words = self._train(pixels, labels, lr, batch)
        return outcome_of(self.net, self.config.formats.d_frac, int(hits.sum()), words)

    def answers(
        self, pixels: np.ndarray, labels: np.ndarray, lr: float, batch: int = 1
    ) -> list[Answer]:
        """Train as `train` does; return what each example came to."""
        hits, words = self._train(pixels, labels, lr, batch)
        return [Answer(*each) for each in zip(hits.tolist(), words.tolist(), strict=True)]

    def sense(self, pixels: np.ndarray, label: int, lr: float) -> list[Seen]:
        """Train on one example; return the vectors that its updates were made of."""
        [answer] = self.answers(pixels[None], np.array([label]), lr)
        last, seen = len(self._net.layers) - 1, self._seen_answer(answer)
        for n, layer in enumerate(self._net.layers):
            x = self._signals.x[0, layer.col : layer.col + layer.cols - 1]
            d = self._signals.d[0, layer.row : layer.row + layer.rows]
            came = ("forward", n - 1, "activation") if n else ("take", 0, "input")
            back = ("loss", n, "error") if n == last else ("backward", n + 1, "error")
            seen += [Seen(*came, x.astype(np.int64)), Seen(*back, d.astype(np.int64))]
        return seen

    def count_hits(self, pixels: np.ndarray, labels: np.ndarray) -> int:
        """Return how many examples are classified right. The tiles count these passes too."""
        pixels, labels = self._examples(pixels, labels)
        if len(labels):
            self.settle()

        def call(part: Share, sync, work) -> int:
            return count_hits(pixels, labels, self._held, self._held_signals, part, work)

        hits = self._share(len(self._work), call)
        for layer in self._net.layers:
            layer.steps[0] += len(labels)
        return sum(hits)
