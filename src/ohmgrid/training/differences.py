"""Where two engines differ: example, step of the step table, layer, line, and the values."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ohmgrid.net import Answer
from ohmgrid.registers.meters import FIELDS
from ohmgrid.tile import TileState

__all__ = [
    "Difference",
    "answer_names",
    "at_place",
    "first_of",
    "first_unequal",
    "unequal_answers",
    "unequal_counters",
    "unequal_states",
]

VERBS = ("forward", "backward", "update")


@dataclass(frozen=True)
class Difference:
    """One value that is not the same everywhere."""

    example: int
    """Place in the run, from 0."""
    step: str
    """``load``, ``take``, ``forward``, ``loss``, ``backward`` or ``update``; behind an update what
    an array does after it (``update, refresh``)."""
    layer: int
    what: str
    """``cell``, ``output``, ``counter passes[1]`` (that of layer 1) and the like."""
    values: dict[str, int]
    """By engine: of those that show it."""
    row: int | None = None
    """Line of the layer, of a pair's cell that of its device; None where there is none."""
    col: int | None = None
    found_in: str = "verbs"
    """``verbs``: one verb after the other; ``trainers``: in the engines' own training."""
    repeats: bool = True
    """It came again when the examples were trained once more."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as a result's JSON has it."""
        return asdict(self)

    def place(self, layers: int) -> int:
        """Return where its step stands among those of an example, in a net of so many layers."""
        back = layers - self.layer
        return {
            "load": -1,
            "take": 0,
            "forward": 1 + self.layer,
            "loss": 1 + layers,
            "backward": 1 + layers + back,
            "update": 1 + 2 * layers + back,
        }[self.step.partition(",")[0]]

    def __str__(self) -> str:
        lines = [f"{n} {at}" for n, at in (("row", self.row), ("col", self.col)) if at is not None]
        values = ", ".join(f"{engine}: {value}" for engine, value in self.values.items())
        place = " ".join([self.what, *lines])
        again = "" if self.repeats else " (it did not come again in a second run)"
        return (
            f"example {self.example}, {self.step} of layer {self.layer}, {place}: {values}{again}"
        )


def first_of(differences: Iterable[Difference], layers: int) -> Difference | None:
    """Return the one whose example, then step, comes first; of one step the first given."""
    return min(differences, key=lambda d: (d.example, d.place(layers)), default=None)


def first_unequal(arrays: Sequence[np.ndarray]) -> tuple[int, ...] | None:
    """Return the first place at which arrays are not all equal; None if there is none."""
    one, *others = arrays
    if any(one.shape != other.shape for other in others):
        return (0,) * one.ndim
    places = np.argwhere(np.any([one != other for other in others], axis=0))
    return tuple(int(i) for i in places[0]) if len(places) else None


def at_place(arrays: Mapping[str, np.ndarray], place: tuple[int, ...]) -> dict[str, int]:
    """Return the value that each engine has at a place; arrays of other shapes have none."""
    return {
        engine: int(array[place])
        for engine, array in arrays.items()
        if all(i < n for i, n in zip(place, array.shape, strict=False))
    }


def unequal_states(
    states: Mapping[str, Sequence[TileState]], example: int, steps: Sequence[str]
) -> list[Difference]:
    """Return the first cell of each layer that differs, and counts of operations that do.

    Parameters
    ----------
    states : mapping
        Of each engine.
    example : int
    steps : sequence of str
        What the update of each layer is called.
    """
    found = []
    for layer, update in enumerate(steps):
        weights = {engine: each[layer].weights for engine, each in states.items()}
        place = first_unequal([*weights.values()])
        if place is not None:
            row, col = place
            values = at_place(weights, place)
            found.append(Difference(example, update, layer, "cell", values, row, col))
        for name in next(iter(states.values()))[layer].hidden:
            arrays = {engine: each[layer].hidden[name] for engine, each in states.items()}
            place = first_unequal([*arrays.values()])
            if place is not None:
                values = at_place(arrays, place)
                row, col = place if len(place) == 2 else (place[0], None)
                found.append(Difference(example, update, layer, name, values, row, col))
        counts = {engine: np.array(each[layer].steps) for engine, each in states.items()}
        place = first_unequal([*counts.values()])
        if place is not None:
            verb = VERBS[place[0]]
            values = at_place(counts, place)
            found.append(Difference(example, verb, layer, f"count of {verb} operations", values))
    return found


def unequal_counters(counts: Mapping[str, np.ndarray], example: int) -> list[Difference]:
    """Return all counters that differ, at the steps that count them.

    Parameters
    ----------
    counts : mapping
        `ohmgrid.counters.Counters.counts` of each engine.
    example : int
    """
    first, found = next(iter(counts.values())), []
    last = len(first) - 1
    for layer, field in np.ndindex(first.shape):
        name, values = list(FIELDS)[field], at_place(counts, (layer, field))
        if len({*values.values()}) == 1:
            continue
        # Errors are counted where they come to, activations where they come from.
        step, of = {
            "adc_forward": ("forward", layer),
            "passes": ("forward", layer),
            "activation": ("loss" if layer == last else "forward", layer),
            "adc_backward": ("backward", layer),
            "error": ("loss", layer) if layer == last else ("backward", layer + 1),
        }.get(name, ("update", layer))
        found.append(Difference(example, step, of, f"counter {name}[{layer}]", values))
    return found


def answer_names(softmax: bool) -> dict[str, str]:
    """Return what the parts of an answer are called."""
    return {"hit": "hit", "word": "p[label]" if softmax else "half the squared error"}


def unequal_answers(
    answers: Mapping[str, Sequence[Answer]], first: int, layers: int, softmax: bool
) -> list[Difference]:
    """Return the answers that differ, of examples from number ``first`` on."""
    found = []
    for offset, same in enumerate(zip(*answers.values(), strict=True)):
        for part, name in answer_names(softmax).items():
            values = {e: int(getattr(a, part)) for e, a in zip(answers, same, strict=True)}
            if len({*values.values()}) > 1:
                found.append(Difference(first + offset, "loss", layers - 1, name, values))
    return found
