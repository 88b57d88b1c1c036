"""A core: what every engine offers, a net on its arrays, trained in place."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from ohmgrid.config import Config
from ohmgrid.counters import Counters
from ohmgrid.doors.checks import OhmgridError
from ohmgrid.net import Answer, Net, Outcome
from ohmgrid.tile import TileEngine, TileState

__all__ = ["Core", "Seen", "StateLost"]


class StateLost(OhmgridError):
    """An engine has lost what it held: nothing is wrong with it, but a state is to be loaded."""


class Seen(NamedTuple):
    """What one step of the step table left, as far as an engine shows it."""

    step: str
    """``take``, ``forward``, ``loss`` or ``backward``."""
    layer: int
    what: str
    """``input``, ``output`` (results of an array), ``activation``, ``error``, or of the answer
    ``hit`` and ``word``."""
    values: np.ndarray
    """Integers, a value for each line."""


class Core(Protocol):
    """A net on tiles, wherever its bits are computed.

    Every engine gives the same bits for the same configuration, net and calls. Layers are numbered
    from 0, the inputs' first; layer l has `Net.shapes` [l] rows and columns.
    """

    config: Config
    net: Net
    tiles: list[TileEngine]
    """Views of the layers: each calls the core's verbs for one of them."""
    counters: Counters
    """What training has counted so far."""
    clock: dict[str, Any]
    """What an engine with a clock has counted in training beside them
    (`ohmgrid.registers.meters`), lists with an entry for each layer; empty without a clock."""
    block: int
    """Examples that `train` takes in a fraction of a second: how often to look for Ctrl-C. Engines
    may learn it."""

    def prepare(self) -> None:
        """Do what the first training would have to do, such as compiling: no clock runs yet."""
        ...

    def keep(self, sets: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
        """Say which examples will come again and again: an engine behind a link may hold them.

        No bit depends on it, and others may come too.

        Parameters
        ----------
        sets : sequence of (pixels, labels)
            As `train` takes them; where not all have room, the first ones count more.
        """
        ...

    def forward(self, layer: int, x: np.ndarray) -> np.ndarray:
        """Return ``W x`` of a layer; see `TileEngine.forward`."""
        ...

    def backward(self, layer: int, d: np.ndarray) -> np.ndarray:
        """Return ``W^T d`` of a layer; see `TileEngine.backward`."""
        ...

    def update(self, layer: int, x: np.ndarray, d: np.ndarray, lr: float) -> None:
        """Apply ``W -= lr d x^T`` to a layer by coincident pulses."""
        ...

    def backward_update(self, layer: int, x: np.ndarray, d: np.ndarray, lr: float) -> np.ndarray:
        """Return `backward` of a layer's old weights, then `update` it."""
        ...

    def initialise(self) -> None:
        """Load the initial weights into every layer."""
        ...

    def state(self) -> list[TileState]:
        """Return a copy of the state of every layer."""
        ...

    def load(self, states: Sequence[TileState]) -> None:
        """Take over the states of all layers; raise `ValueError` where one does not fit."""
        ...

    def set_gains(self, gains: Sequence[float]) -> None:
        """Multiply what each layer's results are turned into activations with.

        A digital factor behind the converter: neither results nor backward results change. A core
        begins with 1.0 for each layer; each call replaces what an earlier one set.

        Parameters
        ----------
        gains : sequence of float
            One for each layer, > 0.

        Raises
        ------
        ValueError
            There are not as many as layers.
        ConfigError
            A scale with its gain does not fit its register.
        """
        ...

    def train(self, pixels: np.ndarray, labels: np.ndarray, lr: float, batch: int = 1) -> Outcome:
        """Train on examples in their order.

        Parameters
        ----------
        pixels : integers, shape (examples, inputs)
            ``x_frac`` fraction bits.
        labels : integers, shape (examples,)
        lr : float
            Learning rate for each example (its error is not divided by ``batch``).
        batch : int
            Examples of a mini-batch; the last one may have fewer.
        """
        ...

    def answers(
        self, pixels: np.ndarray, labels: np.ndarray, lr: float, batch: int = 1
    ) -> list[Answer]:
        """Train as `train` does; return what each example came to."""
        ...

    def train_one(self, pixels: np.ndarray, label: int, lr: float) -> Answer:
        """Train on one example."""
        ...

    def sense(self, pixels: np.ndarray, label: int, lr: float) -> list[Seen]:
        """Take one example forward and backward; return what the steps left.

        An engine shows what its own training can show: other engines may show more, or less. It may
        also train: the state afterwards is not said, and another is to be loaded.
        """
        ...

    def predict(self, pixels: np.ndarray) -> int:
        """Return the class of one example: the largest result, the first of equals."""
        ...

    def count_hits(self, pixels: np.ndarray, labels: np.ndarray) -> int:
        """Return how many examples are classified right. The layers count these passes too."""
        ...

    def close(self) -> None:
        """Release what the core holds; it is not used afterwards."""
        ...
