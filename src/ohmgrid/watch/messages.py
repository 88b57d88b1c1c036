"""What a run tells those who watch it, and what they may ask: a JSON object a line.

First comes a `Hello`, then `Update` and `Weights` as time allows, at the end an `End`. Whoever
reads too slowly misses some of them, and loses nothing: each says how things stand, and rows of
the history wait until they are taken.
"""

from typing import Any

import msgspec

__all__ = ["PROTOCOL", "Ask", "End", "Hello", "Message", "Part", "Picture", "Update", "Weights"]

PROTOCOL = 1
"""Number of this form; a run and a page of different numbers do not understand each other."""

Row = dict[str, Any]
"""A row of the history, as `ohmgrid.training.session.Session` has it."""


class Part(msgspec.Struct, frozen=True):
    """Conductances of one device of each pair of a layer."""

    name: str
    first: int
    """As of `Picture`."""
    counts: list[int]


class Picture(msgspec.Struct, frozen=True):
    """Weights of one layer, for the eye.

    Of pairs of devices the weights are differences of both.
    """

    rows: int
    """Lines of the map, at most `ohmgrid.watch.pictures.MOST_LINES`."""
    cols: int
    reach: float
    """Weight units of the map's 127."""
    map: str
    """Base64 of ``rows * cols`` signed bytes, row by row: means of blocks of weights."""
    first: int
    """Number of the first bin of `counts` in a histogram of `Hello.bins` bins."""
    counts: list[int]
    """Weights in each bin, from the first to the last that holds any."""
    devices: list[Part] = []
    """Of pairs, histograms of their devices."""


class Hello(msgspec.Struct, frozen=True, tag_field="kind", tag="hello"):
    """What is to be known of a run before anything of it is shown."""

    protocol: int
    engine: str
    """Empty where nobody knows: of a run that is not running."""
    folder: str
    """Of the run, absolute; empty without one."""
    data: str
    device: str
    net: str
    """Sizes of the layers as in ``64-32-10``."""
    activation: str
    loss: str
    shapes: list[tuple[int, int]]
    """Rows and columns of weights of each layer; the last column is the bias."""
    lr: float
    batch: int
    seed: int
    epochs: int
    examples: int
    """Training examples of an epoch."""
    chance: float
    """Accuracy of always the same answer, the best one; 0 where nobody knows."""
    bins: int
    """Bins of a whole histogram."""
    full: float
    """Weight units of its right edge; the left one is minus that."""
    start: list[Picture]
    """What the run began with; empty where nobody knows."""


class Update(msgspec.Struct, frozen=True, tag_field="kind", tag="update"):
    """How far a run is."""

    paused: bool
    epoch: int
    """Epochs done."""
    position: int
    """Examples done in the epoch under way."""
    hits: int
    """Of these, those classified right."""
    loss: float
    """Sum of their losses."""
    examples: int
    """Training examples of all epochs."""
    seconds: float
    """Training time of all epochs, without tests and pauses."""
    counters: dict[str, list[int]]
    """Counts of each layer, by name (`ohmgrid.registers.meters.FIELDS`)."""
    first: int
    """Place of the first of `rows` in the history: whatever was there is not any more."""
    rows: list[Row]
    """New rows of the history."""


class Weights(msgspec.Struct, frozen=True, tag_field="kind", tag="weights"):
    """The weights of all layers."""

    examples: int
    """After so many training examples."""
    layers: list[Picture]


class End(msgspec.Struct, frozen=True, tag_field="kind", tag="end"):
    """The last message of a run."""

    state: str
    """``finished``, ``stopped`` (it can go on) or ``failed``."""


class Ask(msgspec.Struct, frozen=True):
    """What a watcher asks for."""

    ask: str
    """``pause`` or ``resume``."""


Message = Hello | Update | Weights | End
