"""The trainer of the compiled engine: one call for many examples."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import numpy as np

from ohmgrid.compiled.layout import Share, make_scratch
from ohmgrid.compiled.learning import (
    Functions,
    Layers,
    Network,
    count_hits,
    make_signals,
    train_block,
)
from ohmgrid.compiled.population import Array
from ohmgrid.compiled.threads import GIVEN_UP, Abandoned, abandon, new_sync
from ohmgrid.compiled.tile import CompiledTile
from ohmgrid.config import Config
from ohmgrid.doors.checks import check_int
from ohmgrid.engines import TileEngine
from ohmgrid.model.core.trainer import Trainer
from ohmgrid.net import Answer, Net, Outcome, outcome_of
from ohmgrid.registers.layers import TABLE_SIZE

__all__ = ["CompiledTrainer"]


def _arrays(tree: Any) -> Iterator[np.ndarray]:
    """Yield all arrays in nested tuples and lists."""
    if isinstance(tree, np.ndarray):
        yield tree
    elif isinstance(tree, tuple | list):
        for part in tree:
            yield from _arrays(part)


def _join(arrays: Sequence[Array]) -> Array:
    """Return the devices of all tiles in one set of arrays.

    References and symmetry points are empty in all tiles or, where they are all 0 in one by chance,
    zeros there.
    """
    joined: dict[str, Any] = {}
    for name in ("hidden", "packed", "row_key", "col_key"):
        joined[name] = np.concatenate([getattr(array, name) for array in arrays])
    for name in ("reference", "aging", "point"):
        fields = [getattr(array, name) for array in arrays]
        if any(len(field) for field in fields):
            fields = [
                field if len(field) else np.zeros(len(array.hidden), np.int32)
                for field, array in zip(fields, arrays, strict=True)
            ]
        joined[name] = np.concatenate(fields)
    apart = arrays[0].seen is not arrays[0].hidden
    seen = np.concatenate([a.seen for a in arrays]) if apart else joined["hidden"]
    return arrays[0]._replace(seen=seen, **joined)


def _part(joined: Array, first: np.ndarray, end: np.ndarray, own: Array) -> Array:
    """Return one tile's share of joined arrays as views."""
    hidden = joined.hidden[first[0] : end[0]]
    apart = joined.seen is not joined.hidden

    def devices(field: np.ndarray) -> np.ndarray:
        return field[first[0] : end[0]] if len(field) else field

    return own._replace(
        hidden=hidden,
        seen=joined.seen[first[1] : end[1]] if apart else hidden,
        packed=joined.packed[first[0] : end[0]],
        reference=devices(joined.reference),
        aging=devices(joined.aging),
        point=devices(joined.point),
        row_key=joined.row_key[first[4] : end[4]],
        col_key=joined.col_key[first[3] : end[3]],
    )


class CompiledTrainer(Trainer):
    """Stochastic gradient descent on compiled tiles: the same bits, no Python for an example.

    Parameters
    ----------
    config : Config
    tiles : sequence of CompiledTile
        One for each layer of the net, of its `Net.shapes`. Their cells move into one array.
    net : Net
    threads : int
        Threads that share the examples of a mini-batch and the columns of a tile. No bit depends
        on it; batches of one are too small to share and use one thread.
    """

    block = 512

    def __init__(
        self, config: Config, tiles: Sequence[TileEngine], net: Net, threads: int = 1
    ) -> None:
        super().__init__(config, tiles, net, threads)
        own = [tile for tile in tiles if isinstance(tile, CompiledTile)]
        if len(own) != len(tiles):
            raise ValueError("tiles: expected tiles of the compiled engine")
        self._net = self._network(own)
        self._pulses = own[0].registers
        lines = max(max(tile.device_shape) for tile in own)
        self._work = [make_scratch(lines) for _ in range(threads)]
        self._signals = make_signals(threads, self._net.layers)
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        # No example at all: compiles the kernels before any clock runs.
        nothing = np.zeros((0, net.layers[0]), np.int32), np.zeros(0, np.int64)
        self.train(*nothing, lr=own[0].device.granularity)
        self.count_hits(*nothing)

    def _network(self, tiles: Sequence[CompiledTile]) -> Network:
        """Move all tiles into one set of arrays, of which the tiles then see their part."""
        sizes = [
            [len(t.array.hidden), len(t.array.seen), t.rows, t.cols, t.device_shape[0]]
            for t in tiles
        ]
        firsts = np.vstack([np.zeros((1, 5), np.int64), np.cumsum(sizes, axis=0)])
        arrays = _join([tile.array for tile in tiles])
        steps = np.stack([tile.steps for tile in tiles])
        for number, tile in enumerate(tiles):
            tile.array = _part(arrays, firsts[number], firsts[number + 1], tile.array)
            tile.steps = steps[number]
        y_scales = np.array([layer.y_scale for layer in self._layers], np.int64)
        z_scales = np.array([layer.z_scale for layer in self._layers], np.int64)
        layers = Layers(
            rows=np.array([tile.rows for tile in tiles], np.int64),
            cols=np.array([tile.cols for tile in tiles], np.int64),
            device=firsts[:-1, 0].copy(),
            cell=firsts[:-1, 1].copy(),
            row=firsts[:-1, 2].copy(),
            col=firsts[:-1, 3].copy(),
            number=np.array([tile.number for tile in tiles], np.int64),
            y_mantissa=y_scales[:, 0].copy(),
            y_shift=y_scales[:, 1].copy(),
            z_mantissa=z_scales[:, 0].copy(),
            z_shift=z_scales[:, 1].copy(),
            read_rows=np.stack([tile.readings[0].registers for tile in tiles]),
            read_cols=np.stack([tile.readings[1].registers for tile in tiles]),
        )
        formats, relu = self.config.formats, self.net.activation == "relu"
        none = np.zeros(TABLE_SIZE, np.int32)
        functions = Functions(
            relu=int(relu),
            tanh=int(self.net.activation == "tanh"),
            squared=int(self.net.loss == "squared"),
            top=self._top,
            one=self._one,
            x_frac=formats.x_frac,
            d_frac=formats.d_frac,
            edge_bits=formats.edge_bits,
            value=none if relu else self._values.astype(np.int32),
            coarse=self._exp[0].astype(np.int64),
            fine=self._exp[1].astype(np.int64),
        )
        row_noise, col_noise = (
            np.concatenate([tile.readings[side].noise for tile in tiles]) for side in (0, 1)
        )
        return Network(tiles[0].physics, layers, arrays, row_noise, col_noise, steps, functions)

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
        if pixels.size and np.abs(pixels).max() > self._top:
            raise ValueError(
                f"pixels: expected values in +-{self._top}, got {pixels.min()}..{pixels.max()}"
            )
        if labels.size and not 0 <= labels.min() <= labels.max() < classes:
            raise ValueError(
                f"labels: expected 0..{classes - 1}, got {labels.min()}..{labels.max()}"
            )
        return np.ascontiguousarray(pixels, np.int32), np.ascontiguousarray(labels, np.int64)

    @property
    def bytes_per_cell(self) -> float:
        """Memory of all arrays, scratch included, divided by the cells of the net."""
        arrays = {id(a): a for a in _arrays((self._net, self._signals, self._work))}
        owned = sum(a.nbytes for a in arrays.values() if a.base is None)
        return owned / self.net.cells

    def _train(
        self, pixels: np.ndarray, labels: np.ndarray, lr: float, batch: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Train on examples in their order; return hits (bool) and words of their answers."""
        check_int("batch", batch, 1, 1 << 16)
        pixels, labels = self._examples(pixels, labels)
        if len(self._signals.x) < batch:
            self._signals = make_signals(batch, self._net.layers)
        hits, words = np.zeros(len(labels), np.bool_), np.zeros(len(labels), np.int64)
        counts = np.zeros((len(self._work), *self.counters.counts.shape), np.int64)
        pulses = self._pulses(lr)

        def call(part: Share, sync, work) -> None:
            train_block(
                pixels,
                labels,
                batch,
                self._net,
                pulses,
                self._signals,
                hits,
                words,
                counts,
                part,
                sync,
                work,
            )

        self._share(min(len(self._work), batch), call)
        self._net.steps[:] += len(labels)
        self._net.steps[0, 1] -= len(labels)
        self.counters.merge(counts.sum(axis=0))
        return hits, words

    def train(self, pixels: np.ndarray, labels: np.ndarray, lr: float, batch: int = 1) -> Outcome:
        """Train on examples in their order; see `Trainer.train`."""
        hits, words = self._train(pixels, labels, lr, batch)
        return outcome_of(self.net, self.config.formats.d_frac, int(hits.sum()), words)

    def train_one(self, pixels: np.ndarray, label: int, lr: float) -> Answer:
        """Train on one example; see `Trainer.train_one`."""
        hits, words = self._train(pixels[None], np.array([label]), lr, 1)
        return Answer(bool(hits[0]), int(words[0]))

    def count_hits(self, pixels: np.ndarray, labels: np.ndarray) -> int:
        """Return how many examples are classified right. The tiles count these passes too."""
        pixels, labels = self._examples(pixels, labels)

        def call(part: Share, sync, work) -> int:
            return count_hits(pixels, labels, self._net, self._signals, part, work)

        hits = self._share(len(self._work), call)
        self._net.steps[:, 0] += len(labels)
        return sum(hits)
