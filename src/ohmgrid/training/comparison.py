"""The same training steps on several engines, every output, cell and counter compared.

Twice: example by example through the golden core, which shows every output of every tile; and
through each engine's own core, in mini-batches, which is what ``ohmgrid train`` runs.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ohmgrid.config import Config
from ohmgrid.counters import PulseCounts
from ohmgrid.engines import make_core
from ohmgrid.model.core.core import Core, epoch_order
from ohmgrid.registers.meters import FIELDS
from ohmgrid.tile import TileEngine, TileState
from ohmgrid.training.data import Dataset
from ohmgrid.training.plan import Plan

__all__ = ["Comparison"]

INTERVAL = 10
"""Steps between two comparisons of all cells; a difference is then replayed step by step."""


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


class _Loop:
    """One engine's own training."""

    def __init__(self, engine: str, config: Config, plan: Plan) -> None:
        self.engine = engine
        self.core = make_core(engine, config, plan.net())
        self.core.initialise()


def _values(runs: "Sequence[_Run | _Loop]", values: Sequence[Any]) -> dict[str, int]:
    return {run.engine: int(value) for run, value in zip(runs, values, strict=True)}


def _first_unequal(one: np.ndarray, other: np.ndarray) -> tuple[int, ...] | None:
    if one.shape != other.shape:
        return (0,) * one.ndim
    places = np.argwhere(one != other)
    return tuple(int(i) for i in places[0]) if len(places) else None


def _difference(
    step: int,
    tile: int,
    what: str,
    values: dict[str, int],
    row: int | None = None,
    col: int | None = None,
) -> dict[str, Any]:
    """Return one difference as `Comparison` reports it."""
    return {"step": step, "tile": tile, "what": what, "row": row, "col": col, "values": values}


def _cell_difference(runs: "Sequence[_Run | _Loop]", step: int) -> dict[str, Any] | None:
    """Return the first cell, or count of operations, that is not the same everywhere."""
    states = [run.core.state() for run in runs]
    for tile, same_tile in enumerate(zip(*states, strict=True)):
        for other in same_tile[1:]:
            place = _first_unequal(same_tile[0].weights, other.weights)
            if place is not None:
                values = _values(runs, [state.weights[place] for state in same_tile])
                return _difference(step, tile, "cell", values, *place)
            counts = _first_unequal(np.array(same_tile[0].steps), np.array(other.steps))
            if counts is not None:
                what = f"count of {('forward', 'backward', 'update')[counts[0]]} operations"
                values = _values(runs, [state.steps[counts[0]] for state in same_tile])
                return _difference(step, tile, what, values)
    return None


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
        self.plan, self.data = plan, data
        self._config = config
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

    def _chosen(self, step: int) -> int:
        """Return the number of the example of a step."""
        epoch, position = divmod(step, len(self.data.train_labels))
        if epoch not in self._orders:
            order = epoch_order(self._config.seed, epoch, len(self.data.train_labels))
            self._orders = {epoch: order}
        return int(self._orders[epoch][position])

    def _step(self, step: int) -> None:
        """Train every engine on the example of a step."""
        chosen = self._chosen(step)
        for run in self.runs:
            run.step(self.data.train_x[chosen], int(self.data.train_labels[chosen]), self.plan.lr)

    def _output_difference(self, step: int) -> dict[str, Any] | None:
        """Return the first output of this step that is not the same everywhere."""
        for passes in zip(*(run.results for run in self.runs), strict=True):
            tile, verb, values = passes[0]
            for _, _, others in passes[1:]:
                place = _first_unequal(values, others)
                if place is not None:
                    line = place[0]
                    return _difference(
                        step,
                        tile,
                        f"{verb} output",
                        _values(self.runs, [p[2][line] for p in passes]),
                        row=line if verb == "forward" else None,
                        col=line if verb == "backward" else None,
                    )
        return None

    def _check(self, step: int) -> dict[str, Any] | None:
        return self._output_difference(step) or _cell_difference(self.runs, step)

    def _loop_difference(self, loops: Sequence[_Loop], steps: range) -> dict[str, Any] | None:
        """Train every loop on the examples of some steps; return what is not the same then."""
        chosen = [self._chosen(step) for step in steps]
        examples = self.data.train_x[chosen], self.data.train_labels[chosen]
        found = [loop.core.train(*examples, self.plan.lr, self._config.batch) for loop in loops]
        different = _cell_difference(loops, steps[-1])
        if different is not None:
            return different
        counted = [loop.core.counters.counts for loop in loops]
        for counts, outcome in zip(counted[1:], found[1:], strict=True):
            place = _first_unequal(counted[0], counts)
            if place is not None:
                what = f"counter {list(FIELDS)[place[1]]}"
                values = _values(loops, [each[place] for each in counted])
                return _difference(steps[-1], place[0], what, values)
            if outcome.hits != found[0].hits:
                values = _values(loops, [each.hits for each in found])
                return _difference(steps[-1], len(counts) - 1, "hits", values)
        return None

    def run_loops(self, steps: int) -> dict[str, Any] | None:
        """Train ``steps`` examples with each engine's own core, in mini-batches.

        Returns
        -------
        dict or None
            The first difference; its step is the last one of the examples trained in one call.
        """
        loops: list[_Loop] = []
        try:
            for run in self.runs:
                # One by one: what has started is closed where the next one cannot start.
                loops.append(_Loop(run.engine, self._config, self.plan))  # noqa: PERF401
            block = INTERVAL * self._config.batch
            for first in range(0, steps, block):
                found = self._loop_difference(loops, range(first, min(first + block, steps)))
                if found is not None:
                    return found
            return None
        finally:
            for loop in loops:
                loop.core.close()

    def _replay(self, states: Sequence[TileState], first: int, last: int) -> dict[str, Any] | None:
        """Repeat steps with a comparison after each of them."""
        for run in self.runs:
            run.core.load(states)
        for step in range(first, last + 1):
            self._step(step)
            found = self._check(step)
            if found is not None:
                return found
        return None

    def run(self, steps: int, on_step: Callable[[int], None]) -> dict[str, Any] | None:
        """Train ``steps`` examples; return the first difference, or None if all is equal.

        Parameters
        ----------
        steps : int
        on_step : callable
            Called with the number of steps done.
        """
        found = _cell_difference(self.runs, -1)
        if found is not None:
            return found
        good, good_step = self.states(), 0
        for step in range(steps):
            self._step(step)
            found = self._output_difference(step)
            due = (step + 1) % INTERVAL == 0 or step + 1 == steps
            if found is None and due:
                found = _cell_difference(self.runs, step)
            if found is not None:
                # A replay that finds nothing means an engine that does not repeat itself.
                return self._replay(good, good_step, step) or found
            if due:
                good, good_step = self.states(), step + 1
            on_step(step + 1)
        return None
