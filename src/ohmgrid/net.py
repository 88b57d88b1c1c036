"""A net: its sizes and functions, what its examples come to, and the hash of its weights."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ohmgrid.doors.checks import ConfigError, check_choice
from ohmgrid.registers.layers import ACTIVATIONS, LOSS_FRAC, MOST_CLASSES
from ohmgrid.tile import TileState

__all__ = ["LOSSES", "SHUFFLE_TILE", "Answer", "Net", "Outcome", "outcome_of", "state_sha256"]

LOSSES = ("cross-entropy", "squared")
"""Softmax with cross-entropy, or half the squared error of the activations."""

MOST_CELLS = 1 << 24
"""Crosspoints of the largest net: far beyond any array, far below any memory."""
SHUFFLE_TILE = 255
"""Tile number of the draws that belong to the whole net: the order of the examples."""


@dataclass(frozen=True)
class Net:
    """Sizes and functions of a net."""

    layers: tuple[int, ...]
    """Lines of each layer, inputs first, without biases."""
    activation: str = "sigmoid"
    """Of hidden layers; with the squared error of the output layer too, but for ReLU (linear)."""
    loss: str = "cross-entropy"

    def __post_init__(self) -> None:
        # No inputs at all: a single array whose bias is its only column.
        sizes = self.layers[1:] if self.layers[:1] == (0,) else self.layers
        if not 2 <= len(self.layers) <= SHUFFLE_TILE or min(sizes) < 1:
            raise ConfigError(
                "layers",
                "expected sizes such as 64-32-10 (two to 255, each >= 1), "
                f"got {'-'.join(map(str, self.layers))}",
            )
        if self.cells > MOST_CELLS:
            raise ConfigError("layers", f"expected at most {MOST_CELLS} cells, got {self.cells}")
        check_choice("activation", self.activation, ACTIVATIONS)
        check_choice("loss", self.loss, LOSSES)
        if self.softmax and self.layers[-1] > MOST_CLASSES:
            raise ConfigError(
                "layers",
                f"expected at most {MOST_CLASSES} outputs with cross-entropy, "
                f"got {self.layers[-1]}",
            )

    @property
    def softmax(self) -> bool:
        """Whether the loss is the cross-entropy."""
        return self.loss == "cross-entropy"

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Rows and columns of each tile."""
        return [
            (outputs, inputs + 1)
            for inputs, outputs in zip(self.layers[:-1], self.layers[1:], strict=True)
        ]

    @property
    def cells(self) -> int:
        """Crosspoints of all tiles."""
        return sum(rows * cols for rows, cols in self.shapes)


class Outcome(NamedTuple):
    """What a row of examples came to."""

    hits: int
    """Examples whose largest output was the label's."""
    loss: float
    """Sum of the losses: for people only, no bit depends on it."""


class Answer(NamedTuple):
    """What one example came to."""

    hit: bool
    """Its largest output was the label's."""
    word: int
    """Cross-entropy: the label's share p, ``d_frac`` fraction bits; squared error: half the sum of
    squares, `LOSS_FRAC` fraction bits, saturated at `LOSS_BITS` bits."""


def outcome_of(net: Net, d_frac: int, hits: int, words: Sequence[int] | np.ndarray) -> Outcome:
    """Return what a row of examples came to, from their answers.

    Parameters
    ----------
    net : Net
    d_frac : int
        Fraction bits of an error.
    hits : int
    words : integers
        As in `Answer`.
    """
    exact = np.asarray(words, np.float64)
    if net.softmax:
        # A share below the last bit counts as half of it: a loss stays finite.
        losses = -np.log(np.maximum(exact, 0.5) / (1 << d_frac))
    else:
        losses = exact / (1 << LOSS_FRAC)
    return Outcome(hits, math.fsum(losses.tolist()))


def state_sha256(states: Sequence[TileState]) -> str:
    """Return the SHA-256 of tile states, in the order of the tiles.

    For each tile: rows and columns (4 bytes each), weights row by row (int32), then the forward,
    backward and update operations so far (8 bytes each); then what else it remembers
    (`ohmgrid.hidden`), each array's name and its bytes, sorted by name; all little endian.
    """
    digest = hashlib.sha256()
    for state in states:
        digest.update(np.array(state.weights.shape, dtype="<u4").tobytes())
        digest.update(np.ascontiguousarray(state.weights, dtype="<i4").tobytes())
        digest.update(np.array(state.steps, dtype="<u8").tobytes())
        for name, array in sorted(state.hidden.items()):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
