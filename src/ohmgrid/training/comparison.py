"""The same training steps on several engines, every output, cell and counter compared.

Twice: example by example through the golden core, which shows every output of every tile; and
through each engine's own training, in mini-batches, which is what ``ohmgrid train`` runs
(`ohmgrid.training.trainers`). A difference is looked for again until its place is known.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ohmgrid.config import Config
from ohmgrid.counters import PulseCounts
from ohmgrid.engines import make_core
from ohmgrid.model.core.core import Core, epoch_order
from ohmgrid.tile import TileEngine, TileState
from ohmgrid.training.data import Dataset
from ohmgrid.training.differences import (
    Difference,
    at_place,
    first_of,
    first_unequal,
    unequal_states,
)
from ohmgrid.training.plan import Plan
from ohmgrid.training.trainers import Trainers, Update

__all__ = ["Comparison"]

INTERVAL = 10
"""Mini-batches between two comparisons of all cells; a difference is then looked for anew."""


def nothing(done: Any) -> None:
    """Tell nobody."""


class _Recorder:
    """A tile that keeps what its passes returned."""

    def __init__(self, tile: TileEngine, results: list[tuple[int, str, np.ndarray]]) -> None:
        self._tile, self._results = tile, results
        self.rows, self.cols, self.number = tile.rows, tile.cols, tile.number
        self.lsb, self.y_lsb, self.z_lsb = tile.lsb, tile.y_lsb, tile.z_lsb
        self.update, self.state, self.load = tile.update, tile.state, tile.load
        self.close = tile.close

    @property
    def passes(self) -> int:
        return self._tile.passes

    @property
    def saturated(self) -> int:
        return self._tile.saturated

    @property
    def pulses(self) -> PulseCounts:
        return self._tile.pulses

    def _keep(self, verb: str, values: np.ndarray) -> np.ndarray:
        self._results.append((self.number, verb, values))
        return values

    def forward(self, x: np.ndarray) -> np.ndarray:
        return self._keep("forward", self._tile.forward(x))

    def backward(self, d: np.ndarray) -> np.ndarray:
        return self._keep("backward", self._tile.backward(d))

    def backward_update(self, x: np.ndarray, d: np.ndarray, lr: float) -> np.ndarray:
        return self._keep("backward", self._tile.backward_update(x, d, lr))


class _Run:
    """One engine's side of the comparison."""

    def __init__(self, engine: str, config: Config, plan: Plan) -> None:
        self.engine = engine
        self.results: list[tuple[int, str, np.ndarray]] = []
        self.seconds = 0.0
        net = plan.net()
        tiles = make_core(engine, config, net).tiles
        self.core = Core(config, net, tiles=[_Recorder(tile, self.results) for tile in tiles])

    def step(self, pixels: np.ndarray, label: int, lr: float) -> None:
        self.results.clear()
        begin = time.perf_counter()
        self.core.train_one(pixels, label, lr)
        self.seconds += time.perf_counter() - begin


class Comparison:
    """Runs that must be equal.

    Parameters
    ----------
    engines : sequence of str
        The first one is what the others are compared with.
    config : Config
    plan : Plan
    data : Dataset
    """

    def __init__(self, engines: Sequence[str], config: Config, plan: Plan, data: Dataset) -> None:
        self.plan, self.data, self.config = plan, data, config
        self._engines = list(engines)
        self._layers = len(plan.net().shapes)
        self._update = Update(config, self._layers)
        self._orders: dict[int, np.ndarray] = {}
        self.runs: list[_Run] = []
        try:
            for engine in engines:
                self.runs.append(_Run(engine, config, plan))
            for run in self.runs:
                run.core.initialise()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Release all tiles."""
        for run in self.runs:
            run.core.close()

    def states(self) -> list[TileState]:
        """Return the states of the first engine's tiles."""
        return self.runs[0].core.state()

    def examples(self, steps: range) -> tuple[np.ndarray, np.ndarray]:
        """Return the examples of some steps, pixels and labels."""
        chosen = [self._chosen(step) for step in steps]
        return self.data.train_x[chosen], self.data.train_labels[chosen]

    def _chosen(self, step: int) -> int:
        """Return the number of the example of a step."""
        epoch, position = divmod(step, len(self.data.train_labels))
        if epoch not in self._orders:
            order = epoch_order(self.config.seed, epoch, len(self.data.train_labels))
            self._orders = {epoch: order}
        return int(self._orders[epoch][position])

    def _step(self, step: int) -> None:
        """Train every engine on the example of a step."""
        chosen = self._chosen(step)
        for run in self.runs:
            run.step(self.data.train_x[chosen], int(self.data.train_labels[chosen]), self.plan.lr)

    def _output_difference(self, step: int) -> Difference | None:
        """Return the first output of this step that is not the same everywhere."""
        for passes in zip(*(run.results for run in self.runs), strict=True):
            layer, verb, _ = passes[0]
            place = first_unequal([values for _, _, values in passes])
            if place is not None:
                line, forward = place[0], verb == "forward"
                values = {e: p[2] for e, p in zip(self._engines, passes, strict=True)}
                return Difference(
                    step,
                    verb,
                    layer,
                    "output",
                    at_place(values, place),
                    row=line if forward else None,
                    col=None if forward else line,
                )
        return None

    def _state_difference(self, step: int, load: bool = False) -> Difference | None:
        states = {run.engine: run.core.state() for run in self.runs}
        names = ["load"] * self._layers if load else self._update.names(step)
        return first_of(unequal_states(states, step, names), self._layers)

    def replay(self, states: Sequence[TileState], steps: range) -> Difference | None:
        """Train from given states on, with a comparison after each example."""
        for run in self.runs:
            run.core.load(states)
        for step in steps:
            self._step(step)
            found = self._output_difference(step) or self._state_difference(step)
            if found is not None:
                return found
        return None

    def run(
        self,
        steps: int,
        on_step: Callable[[int], None] = nothing,
        say: Callable[[str], None] = nothing,
    ) -> Difference | None:
        """Train ``steps`` examples, verb by verb; return the first difference, if there is one.

        Parameters
        ----------
        steps : int
        on_step : callable
            Called with the number of steps done.
        say : callable
            Called with a line about a difference that is looked for.
        """
        found = self._state_difference(0, load=True)
        if found is not None:
            return found
        good, good_step = self.states(), 0
        for step in range(steps):
            self._step(step)
            found = self._output_difference(step)
            due = (step + 1) % INTERVAL == 0 or step + 1 == steps
            if found is None and due:
                found = self._state_difference(step)
            if found is not None:
                say(f"a difference at example {good_step} or later: again, one by one")
                again = self.replay(good, range(good_step, step + 1))
                return again or replace(found, repeats=False)
            if due:
                good, good_step = self.states(), step + 1
            on_step(step + 1)
        return None

    def run_trainers(
        self,
        steps: int,
        on_step: Callable[[int], None] = nothing,
        say: Callable[[str], None] = nothing,
    ) -> Difference | None:
        """Train ``steps`` examples with each engine's own core, in mini-batches; see `run`."""
        with self._trainers(say) as trainers:
            states = trainers.initial_states()
            block = INTERVAL * self.config.batch
            for first in range(0, steps, block):
                span = range(first, min(first + block, steps))
                found = trainers.check(states, span)
                if found is not None:
                    return trainers.locate(states, span, found)
                states = trainers.states()
                on_step(span.stop)
            return None

    def run_example(self, example: int, say: Callable[[str], None] = nothing) -> Difference | None:
        """Train as far as one example, compare what the engines make of it; see `run`."""
        first = self.batch_of(example).start
        say(f"training {first} examples with engine {self._engines[0]}")
        states = self.states_before(first)
        if self.config.batch == 1:
            found = self.replay(states, range(example, example + 1))
            if found is not None:
                return found
        span = range(first, example + 1)
        with self._trainers(say) as trainers:
            found = trainers.check(states, span)
            return found and trainers.locate(states, span, found)

    def batch_of(self, example: int) -> range:
        """Return the examples of a mini-batch up to one of its examples."""
        return range(example - example % self.config.batch, example + 1)

    def states_before(self, example: int) -> list[TileState]:
        """Return the states of the first engine before the mini-batch that an example begins."""
        core = make_core(self._engines[0], self.config, self.plan.net())
        try:
            core.initialise()
            block = max(1, core.block // self.config.batch) * self.config.batch
            for first in range(0, example, block):
                part = self.examples(range(first, min(first + block, example)))
                core.train(*part, self.plan.lr, self.config.batch)
            return core.state()
        finally:
            core.close()

    def _trainers(self, say: Callable[[str], None]) -> Trainers:
        return Trainers(self._engines, self.config, self.plan, self.examples, say)
