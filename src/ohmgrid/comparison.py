"""The same training steps on several engines, every output and every cell compared."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ohmgrid.config import Config
from ohmgrid.counters import PulseCounts
from ohmgrid.data import Dataset
from ohmgrid.engines import TileEngine, close_tiles, make_tiles
from ohmgrid.model.trainer import Trainer, epoch_order
from ohmgrid.plan import Plan
from ohmgrid.tile import TileState

__all__ = ["Comparison"]

INTERVAL = 10
"""Steps between two comparisons of all cells; a difference is then replayed step by step."""


class _Recorder:
    """A tile that keeps what its passes returned."""

    def __init__(self, tile: TileEngine, results: list[tuple[int, str, np.ndarray]]) -> None:
        self._tile, self._results = tile, results
        self.rows, self.cols, self.number = tile.rows, tile.cols, tile.number
        self.lsb, self.y_lsb, self.z_lsb = tile.lsb, tile.y_lsb, tile.z_lsb
        self.trainer = tile.trainer
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
        self.tiles = make_tiles(engine, config, net.shapes)
        self.trainer = Trainer(config, [_Recorder(tile, self.results) for tile in self.tiles], net)

    def step(self, pixels: np.ndarray, label: int, lr: float) -> None:
        self.results.clear()
        begin = time.perf_counter()
        self.trainer.train_one(pixels, label, lr)
        self.seconds += time.perf_counter() - begin


def _values(runs: Sequence[_Run], values: Sequence[Any]) -> dict[str, int]:
    return {run.engine: int(value) for run, value in zip(runs, values, strict=True)}


def _first_unequal(one: np.ndarray, other: np.ndarray) -> tuple[int, ...] | None:
    if one.shape != other.shape:
        return (0,) * one.ndim
    places = np.argwhere(one != other)
    return tuple(int(i) for i in places[0]) if len(places) else None


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
        self._seed = config.seed
        self._orders: dict[int, np.ndarray] = {}
        self.runs: list[_Run] = []
        try:
            for engine in engines:
                self.runs.append(_Run(engine, config, plan))
            for run in self.runs:
                run.trainer.initialise()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Release all tiles."""
        for run in self.runs:
            close_tiles(run.tiles)

    def states(self) -> list[TileState]:
        """Return the states of the first engine's tiles."""
        return self.runs[0].trainer.state()

    def _step(self, step: int) -> None:
        """Train every engine on the example of a step."""
        epoch, position = divmod(step, len(self.data.train_labels))
        if epoch not in self._orders:
            order = epoch_order(self._seed, epoch, len(self.data.train_labels))
            self._orders = {epoch: order}
        chosen = self._orders[epoch][position]
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
                    return {
                        "step": step,
                        "tile": tile,
                        "what": f"{verb} output",
                        "row": line if verb == "forward" else None,
                        "col": line if verb == "backward" else None,
                        "values": _values(self.runs, [p[2][line] for p in passes]),
                    }
        return None

    def _cell_difference(self, step: int) -> dict[str, Any] | None:
        """Return the first cell, or count of operations, that is not the same everywhere."""
        states = [run.trainer.state() for run in self.runs]
        for tile, same_tile in enumerate(zip(*states, strict=True)):
            for other in same_tile[1:]:
                place = _first_unequal(same_tile[0].weights, other.weights)
                if place is not None:
                    return {
                        "step": step,
                        "tile": tile,
                        "what": "cell",
                        "row": place[0],
                        "col": place[1],
                        "values": _values(self.runs, [s.weights[place] for s in same_tile]),
                    }
                counts = _first_unequal(np.array(same_tile[0].steps), np.array(other.steps))
                if counts is not None:
                    verb = counts[0]
                    return {
                        "step": step,
                        "tile": tile,
                        "what": f"count of {('forward', 'backward', 'update')[verb]} operations",
                        "row": None,
                        "col": None,
                        "values": _values(self.runs, [s.steps[verb] for s in same_tile]),
                    }
        return None

    def _check(self, step: int) -> dict[str, Any] | None:
        return self._output_difference(step) or self._cell_difference(step)

    def _replay(self, states: Sequence[TileState], first: int, last: int) -> dict[str, Any] | None:
        """Repeat steps with a comparison after each of them."""
        for run in self.runs:
            run.trainer.load(states)
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
        found = self._cell_difference(-1)
        if found is not None:
            return found
        good, good_step = self.states(), 0
        for step in range(steps):
            self._step(step)
            found = self._output_difference(step)
            due = (step + 1) % INTERVAL == 0 or step + 1 == steps
            if found is None and due:
                found = self._cell_difference(step)
            if found is not None:
                # A replay that finds nothing means an engine that does not repeat itself.
                return self._replay(good, good_step, step) or found
            if due:
                good, good_step = self.states(), step + 1
            on_step(step + 1)
        return None
