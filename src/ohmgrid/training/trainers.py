"""Each engine's own training, compared; and where in it the first difference lies.

Cells, counters and answers are compared after a block of mini-batches. If they differ, the block is
trained again from the states before it, mini-batch by mini-batch; then the mini-batch, with fewer
and fewer examples, until one example more makes the difference. That example is taken forward and
backward once more, and what the steps left is compared with the golden model.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ohmgrid.config import Config
from ohmgrid.core import Core
from ohmgrid.counters import Counters
from ohmgrid.engines import make_core
from ohmgrid.host.registers import core_values, countdowns
from ohmgrid.net import Answer
from ohmgrid.tile import TileState
from ohmgrid.training.differences import (
    Difference,
    answer_names,
    at_place,
    first_of,
    first_unequal,
    unequal_answers,
    unequal_counters,
    unequal_states,
)
from ohmgrid.training.plan import Plan

__all__ = ["Trainers", "Update"]

GOLDEN = "model"
"""The engine that decides what a step leaves."""

AFTER = {"time_left": "ageing", "refresh_left": "refresh"}
"""What an array does after an update whose countdown ends."""


class Update:
    """What an update is called: after some of them, cells leak, diffuse or are refreshed.

    Parameters
    ----------
    config : Config
    layers : int
    """

    def __init__(self, config: Config, layers: int) -> None:
        self._values, self._layers = core_values(config), layers

    def names(self, example: int) -> list[str]:
        """Return the name of the update with an example, for each layer."""
        due = [AFTER[name] for name, left in countdowns(self._values, example).items() if left == 1]
        return [", ".join(["update", *due])] * self._layers


class Trainers:
    """Cores of several engines, each trained by its own means.

    Parameters
    ----------
    engines : sequence of str
    config : Config
    plan : Plan
    examples : callable
        Returns pixels and labels of some examples, by their places in the run.
    say : callable
        Called with a line about a difference that is looked for.
    """

    def __init__(
        self,
        engines: Sequence[str],
        config: Config,
        plan: Plan,
        examples: Callable[[range], tuple[np.ndarray, np.ndarray]],
        say: Callable[[str], None],
    ) -> None:
        self._config, self._net, self._lr = config, plan.net(), plan.lr
        self._examples, self._say = examples, say
        self._layers = len(self._net.shapes)
        self._update = Update(config, self._layers)
        self._cores: dict[str, Core] = {}
        try:
            for engine in engines:
                self._cores[engine] = make_core(engine, config, self._net)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Trainers":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Release all cores."""
        for core in self._cores.values():
            core.close()

    def states(self) -> list[TileState]:
        """Return the state of the first engine."""
        return next(iter(self._cores.values())).state()

    def initial_states(self) -> list[TileState]:
        """Return the states that the first engine begins with."""
        core = next(iter(self._cores.values()))
        core.initialise()
        return core.state()

    def check(self, states: Sequence[TileState], span: range) -> Difference | None:
        """Train all engines on some examples; return what differs then, the first step of it.

        Parameters
        ----------
        states : sequence of TileState
            To begin with.
        span : range
            The examples: whole mini-batches, but the last one. A difference of cells or counters is
            said to be of the last example.
        """
        pixels, labels = self._examples(span)
        answers: dict[str, list[Answer]] = {}
        for engine, core in self._cores.items():
            core.load(states)
            core.counters = Counters(self._layers)
            answers[engine] = core.answers(pixels, labels, self._lr, self._config.batch)
        last, softmax = span[-1], self._net.softmax
        found = unequal_answers(answers, span.start, self._layers, softmax)
        counts = {engine: core.counters.counts for engine, core in self._cores.items()}
        found += unequal_counters(counts, last)
        now = {engine: core.state() for engine, core in self._cores.items()}
        found += unequal_states(now, last, self._update.names(last))
        first = first_of(found, self._layers)
        return first and replace(first, found_in="trainers")

    def locate(self, states: Sequence[TileState], span: range, found: Difference) -> Difference:
        """Return the first difference of all, by training the examples again.

        Parameters
        ----------
        states : sequence of TileState
            Before the examples.
        span : range
        found : Difference
            What `check` found there.
        """
        batch = self._config.batch
        self._say(f"a difference in examples {span.start} to {span[-1]}: again, batch by batch")
        states, before = [*states], found
        for first in range(span.start, span.stop, batch):
            part = range(first, min(first + batch, span.stop))
            found_here = self.check(states, part)
            if found_here is not None:
                break
            states = self.states()
        else:
            # An engine that does not repeat itself.
            return replace(before, repeats=False)
        equal, differs = 0, len(part)
        while differs - equal > 1:
            middle = (equal + differs) // 2
            self._say(f"again with the first {middle} of {len(part)} examples of a mini-batch")
            other = self.check(states, part[:middle])
            if other is None:
                equal = middle
            else:
                differs, found_here = middle, other
        example = part[differs - 1]
        self._say(f"again, step by step of example {example}")
        steps = self._seen_differences(states, part, example)
        # Fewer examples may have been equal, and yet answers of these not.
        return first_of([*steps, replace(found_here, example=example)], self._layers) or found_here

    def _seen_differences(
        self, states: Sequence[TileState], part: range, example: int
    ) -> list[Difference]:
        """Return what steps of an example left that is not what the golden model's did."""
        before = example - part.start
        # Noise is counted by operations; those of the examples before are over.
        advanced = []
        for layer, state in enumerate(states):
            forward, backward, update = state.steps
            counts = forward + before, backward + (before if layer else 0), update + before
            advanced.append(TileState(state.weights, counts, state.hidden))
        pixels, labels = self._examples(range(example, example + 1))
        cores = dict(self._cores)
        if GOLDEN not in cores:
            cores = {GOLDEN: make_core(GOLDEN, self._config, self._net), **cores}
        seen: dict[str, dict[tuple[str, int, str], np.ndarray]] = {}
        for engine, core in cores.items():
            core.load(advanced)
            parts = core.sense(pixels[0], int(labels[0]), self._lr)
            seen[engine] = {(one.step, one.layer, one.what): one.values for one in parts}
        found = []
        for key in seen[GOLDEN]:
            values = {engine: parts[key] for engine, parts in seen.items() if key in parts}
            place = first_unequal([*values.values()])
            if place is not None:
                found.append(self._seen_difference(key, example, at_place(values, place), place[0]))
        return found

    def _seen_difference(
        self, key: tuple[str, int, str], example: int, values: dict[str, int], line: int
    ) -> Difference:
        step, layer, what = key
        names = answer_names(self._net.softmax)
        by_row = step in ("forward", "loss")
        return Difference(
            example,
            step,
            layer,
            names.get(what, what),
            values,
            row=line if by_row and what not in names else None,
            col=None if by_row else line,
            found_in="trainers",
        )
