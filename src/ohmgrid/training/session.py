"""A training run from its first weights to its last epoch, with checkpoints.

A run is decided by its configuration and its `Plan`; the engine, the number of lanes and where it
was interrupted change none of its bits.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from ohmgrid.config import Config
from ohmgrid.core import Core, StateLost
from ohmgrid.counters import Counters, warnings_of
from ohmgrid.doors.checks import ConfigError
from ohmgrid.model.core.core import epoch_order, initial_state
from ohmgrid.net import state_sha256
from ohmgrid.tile import TileState, transfers_of
from ohmgrid.training.data import Dataset
from ohmgrid.training.distributions import Bins, part_at_bounds
from ohmgrid.training.pace import Pace
from ohmgrid.training.plan import Plan
from ohmgrid.training.runs import Checkpoint, Progress

__all__ = ["Session"]

T = TypeVar("T")

LEARNED = 0.25
"""A net has learned something where it is so far on the way from chance to certainty."""


class Session:
    """One run on one engine.

    Parameters
    ----------
    config : Config
    plan : Plan
    data : Dataset
    core : Core
        Of an engine, with ``plan.net()``.
    first : sequence of TileState, optional
        The states to begin with, instead of those hashed from the seed.

    Attributes
    ----------
    history : list of dict
        A row for each epoch: ``epoch``, ``test_accuracy``, ``train_accuracy``, ``train_loss``,
        ``examples``, ``seconds``, ``layers``; row 0 is the net before training. ``layers`` says of
        each layer how its weights are distributed: histograms by name
        (`ohmgrid.training.distributions.Bins`), and ``at_bounds``.
    bins : Bins
        Of the histograms.
    pace : Pace
        How much is trained between two looks at the clock, at Ctrl-C and at whoever watches.
    between_tests : callable
        Called between blocks of test examples, which there are while somebody watches.
    """

    def __init__(
        self,
        config: Config,
        plan: Plan,
        data: Dataset,
        core: Core,
        first: Sequence[TileState] | None = None,
    ) -> None:
        plan.check_fits(data)
        self.config, self.plan, self.data, self.core = config, plan, data, core
        core.prepare()
        # Each epoch brings the training part in another order, then the test part.
        core.keep([(data.train_x, data.train_labels), (data.test_x, data.test_labels)])
        self.pace = Pace(core.block, config.batch)
        self.between_tests: Callable[[], None] = lambda: None
        self.history: list[dict[str, Any]] = []
        self.progress = Progress()
        self._order = np.zeros(0, np.int64)
        self._first = first
        self._start_sha256 = None if first is None else state_sha256(first)
        self.bins = Bins(config)
        # What was read of the engine since it was trained or loaded last.
        self._states: list[TileState] | None = None
        self.last: Checkpoint | None = None
        """The last checkpoint that was taken, or begun with."""

    def start(self) -> None:
        """Begin with the initial weights."""
        if self._first is None:
            self.core.initialise()
        else:
            self.core.load(self._first)
        self.core.counters = Counters(len(self.core.tiles))
        self._states = None
        self.history = []
        self._begin_epoch(0)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on where a checkpoint was written; raise `ConfigError` where it is of another run."""
        checkpoint.check_data(self.data)
        self._check(checkpoint)
        self.core.load(checkpoint.states)
        self.core.counters = checkpoint.counters.copy()
        self._states = None
        self.last = checkpoint
        self.history = list(checkpoint.history)
        self._begin_epoch(checkpoint.progress.epoch)
        self.progress = replace(checkpoint.progress)

    def _check(self, checkpoint: Checkpoint) -> None:
        """Raise `ConfigError` unless the examples counted in a checkpoint are those of the data."""
        if checkpoint.start_sha256 != self._start_sha256:
            raise ConfigError("weights", "expected those that the run began with, got others")
        progress, examples = checkpoint.progress, len(self.data.train_labels)
        if progress.position >= examples or progress.position % self.config.batch:
            raise ConfigError(
                "progress.position",
                f"expected whole mini-batches of {self.config.batch} below {examples}, "
                f"got {progress.position}",
            )
        trained = progress.epoch * examples + progress.position
        for number, state in enumerate(checkpoint.states):
            if state.steps[2] != trained:
                raise ConfigError(
                    f"steps_{number}",
                    f"expected {trained} updates, as many as examples, got {state.steps[2]}",
                )

    def _begin_epoch(self, epoch: int) -> None:
        self.progress = Progress(epoch=epoch)
        self._order = epoch_order(self.config.seed, epoch, len(self.data.train_labels))
        self._rate = self.plan.rate(epoch)

    @property
    def done(self) -> bool:
        """Whether all epochs are trained."""
        return self.progress.epoch >= self.plan.epochs and bool(self.history)

    def checkpoint(self) -> Checkpoint:
        """Return all that `resume` needs."""
        self.last = Checkpoint(
            plan=self.plan,
            config=self.config,
            data_sha256=self.data.sha256,
            progress=replace(self.progress),
            history=list(self.history),
            states=self._state(),
            counters=self.core.counters.copy(),
            preparation=self.data.preparation,
            start_sha256=self._start_sha256,
        )
        return self.last

    def advance(self) -> None:
        """Train the next block of examples; close the epoch where it ends.

        The very first call measures the accuracy before training instead.
        """
        if not self.history:
            self._close_epoch(0)
            return
        progress, labels = self.progress, self.data.train_labels
        self.pace.limit(self.core.block)
        chosen = self._order[progress.position : progress.position + self.pace.size()]
        self._states = None
        begin = time.perf_counter()
        outcome = self.core.train(
            self.data.train_x[chosen], labels[chosen], self._rate, self.config.batch
        )
        seconds = time.perf_counter() - begin
        self.pace.took(len(chosen), seconds)
        progress.seconds += seconds
        progress.position += len(chosen)
        progress.hits += outcome.hits
        progress.loss += outcome.loss
        if progress.position == len(labels):
            self._close_epoch(progress.epoch + 1)
            self._begin_epoch(progress.epoch + 1)

    def _close_epoch(self, epoch: int) -> None:
        progress, test = self.progress, self.data.test_labels
        hits = self._test()
        # Tests are counted in it.
        self._states = None
        examples = progress.position
        self.history.append(
            {
                "epoch": epoch,
                "test_accuracy": hits / len(test),
                "train_accuracy": progress.hits / examples if examples else None,
                "train_loss": progress.loss / examples if examples else None,
                "examples": examples,
                "seconds": progress.seconds,
                "layers": self._layers(),
            }
        )

    def _state(self) -> list[TileState]:
        """Return the states of all tiles: a board sends each cell, so once is enough."""
        if self._states is None:
            self._states = self.core.state()
        return self._states

    def _layers(self) -> list[dict[str, Any]]:
        """Return how the weights of each layer are distributed."""
        rows = []
        for number, state in enumerate(self._state()):
            histograms = self.bins.histograms(state)
            row = {name: one._asdict() for name, one in histograms.items()}
            rows.append({"at_bounds": part_at_bounds(self.config, number, state), **row})
        return rows

    def _test(self) -> int:
        """Return how many test examples are classified right: in blocks while somebody watches."""
        pixels, labels, hits, done = self.data.test_x, self.data.test_labels, 0, 0
        while done < len(labels):
            block = self.pace.size() if self.pace.watched else len(labels)
            part = slice(done, done + block)
            hits += self.core.count_hits(pixels[part], labels[part])
            done += block
            if done < len(labels):
                self.between_tests()
        return hits

    def run(
        self,
        stop: Callable[[], bool],
        on_block: Callable[[Progress], None],
        on_epoch: Callable[[dict[str, Any]], None],
        on_lost: Callable[[str], None] = lambda line: None,
    ) -> bool:
        """Train until all epochs are done; return False if ``stop()`` became true before.

        Where the engine loses its state, the run goes on from its last checkpoint: its bits are
        those of a run that lost nothing.

        Parameters
        ----------
        stop : callable
            Asked between blocks.
        on_block : callable
            Called after every block.
        on_epoch : callable
            Called with each new row of `history`.
        on_lost : callable
            Called with a line when the engine has lost its state.
        """
        while not self.done:
            if stop():
                return False
            rows = len(self.history)
            try:
                self.advance()
                on_block(self.progress)
                if len(self.history) > rows:
                    on_epoch(self.history[-1])
            except StateLost as lost:
                on_lost(str(lost))
                self._go_back()
        return True

    def look(self, at: Callable[[], T]) -> T:
        """Return what a look at the engine's state gives, if need be at its last checkpoint's."""
        while True:
            try:
                return at()
            except StateLost:
                self._go_back()

    def _go_back(self) -> None:
        """Go on from the last checkpoint, or begin anew where there is none."""
        if self.last is None:
            self.start()
        else:
            self.resume(self.last)

    @property
    def examples_per_s(self) -> float:
        """Training examples a second over all epochs closed so far (tests excluded)."""
        seconds = sum(row["seconds"] for row in self.history)
        return sum(row["examples"] for row in self.history) / seconds if seconds else 0.0

    @property
    def state_sha256(self) -> str:
        """SHA-256 of all tiles' states."""
        return state_sha256(self._state())

    def transfers(self) -> dict[str, list[int]]:
        """Return what transfers took so far; see `ohmgrid.tile.transfers_of`."""
        return transfers_of(self._state())

    def at_bounds(self) -> list[float]:
        """Return the part of each tile's devices that stood at a bound of their own when the last
        epoch ended."""
        return [row["at_bounds"] for row in self.history[-1]["layers"]]

    def counter_warnings(self) -> list[str]:
        """Return a line for each count that decides how the net learns."""
        chance = 1 / self.data.classes
        net, examples = self.plan.net(), sum(row["examples"] for row in self.history)
        learned = self.history[-1]["test_accuracy"] > chance + LEARNED * (1 - chance)
        return warnings_of(self.core.counters, net.shapes, examples, self.at_bounds(), learned)

    def chance_hint(self) -> list[str]:
        """Return lines that say why, where a run is no better than always the same answer.

        By two standard errors of the test examples.
        """
        labels = self.data.test_labels
        share = float(np.bincount(labels).max()) / len(labels)
        limit = share + 2 * math.sqrt(share * (1 - share) / len(labels))
        if self.history[-1]["test_accuracy"] > limit:
            return []
        net, examples = self.plan.net(), sum(row["examples"] for row in self.history)
        bounds = self.at_bounds()
        lines = warnings_of(self.core.counters, net.shapes, examples, bounds, learned=False)
        epochs = self.progress.epoch
        reasons = lines[:-1] or ["no counter says why; try another --lr or --scale"]
        return [f"after {epochs} epochs {lines[-1]}: {reason}" for reason in reasons]

    def initial_states(self) -> list[TileState]:
        """Return the states that the run began with."""
        if self._first is not None:
            return [*self._first]
        return [
            initial_state(self.config, rows, cols, number)
            for number, (rows, cols) in enumerate(self.plan.net().shapes)
        ]
