"""A net of which a part is on tiles and a part is NumPy of your own, on any engine.

``python examples/mixed.py --engine compiled`` trains digits (4x4 pixels) in two ways:

``between``  tile 16-12, a dense layer with tanh in NumPy, tile 12-10, softmax in NumPy: each tile
             is called by itself
``behind``   tile 16-12, then all the rest in NumPy: the core runs a step table that sends results
             and waits for errors, an example after the other
"""

from collections.abc import Sequence
from typing import NamedTuple

import click
import numpy as np

from ohmgrid.config import Config
from ohmgrid.core import Core
from ohmgrid.engines import CHOICES, make_core
from ohmgrid.model.core.core import Core as RunningCore
from ohmgrid.model.core.order import Order
from ohmgrid.net import Net, state_sha256
from ohmgrid.registers import orders
from ohmgrid.training.data import Dataset, Preparation, load_data
from ohmgrid.training.layers import TileLayer

MIDDLE, CLASSES = 12, 10


class Dense:
    """A layer of your own: ``tanh(W x + b)`` in floats, plain SGD."""

    def __init__(self, inputs: int, outputs: int, seed: int, linear: bool = False) -> None:
        bound = 1 / np.sqrt(inputs)
        self.weights = np.random.default_rng(seed).uniform(-bound, bound, (outputs, inputs))
        self.bias, self.linear = np.zeros(outputs), linear

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.x, pre = x, self.weights @ x + self.bias
        self.y = pre if self.linear else np.tanh(pre)
        return self.y

    def backward_update(self, d: np.ndarray, lr: float) -> np.ndarray:
        d = d if self.linear else d * (1 - self.y**2)
        below = self.weights.T @ d
        self.weights -= lr * np.outer(d, self.x)
        self.bias -= lr * d
        return below


def softmax_error(scores: np.ndarray, label: int) -> np.ndarray:
    """Return the error of the scores: softmax and cross-entropy."""
    d = np.exp(scores - scores.max())
    d /= d.sum()
    d[label] -= 1
    return d


Layers = Sequence[TileLayer | Dense]


def scores_of(layers: Layers, x: np.ndarray) -> np.ndarray:
    """Take one example through all layers."""
    for layer in layers:
        x = layer.forward(x)
    return x


def train_between(layers: Layers, images: np.ndarray, labels: np.ndarray, lr: float) -> None:
    """Train an epoch: forward, own code, backward and update, layer after layer."""
    for x, label in zip(images, labels, strict=True):
        d = softmax_error(scores_of(layers, x), label)
        for layer in reversed(layers):
            d = layer.backward_update(d, lr)


def train_behind(
    core: RunningCore, head: Layers, pixels: np.ndarray, labels: np.ndarray, lr: float
) -> None:
    """Train an epoch by a step table: the core waits for the errors of each example.

    Parameters
    ----------
    core : Core
    head : layers
        Behind the core's.
    pixels : integers, shape (examples, inputs)
        As the core takes them, ``x_frac`` fraction bits.
    """
    unit, frac = core.tiles[-1].y_lsb, core.config.formats.d_frac
    top = (1 << (core.config.formats.edge_bits - 1)) - 1
    left = iter(labels.tolist())

    def host(results: np.ndarray) -> np.ndarray:
        d = softmax_error(scores_of(head, results * unit), next(left))
        for layer in reversed(head):
            d = layer.backward_update(d, lr)
        return np.clip(np.rint(d * (1 << frac)), -top, top).astype(np.int64)

    table = orders.hosted(len(core.tiles), core.net.activation)
    core.run(table, pixels, labels, Order(rate=lr, counters=core.counters, host=host))


def hits(layers: Layers, images: np.ndarray, labels: np.ndarray) -> int:
    """Return how many examples are classified right."""
    return sum(int(scores_of(layers, x).argmax()) == y for x, y in zip(images, labels, strict=True))


def start(engine: str, config: Config, net: Net) -> Core:
    """Return a core with its first weights."""
    core = make_core(engine, config, net)
    core.initialise()
    return core


class Outcome(NamedTuple):
    """What training came to."""

    right: int
    """Test examples that are classified right."""
    state_sha256: str
    """Of the tiles, before the test."""


def run(engine: str, config: Config, data: Dataset, epochs: int, lr: float) -> dict[str, Outcome]:
    """Train both nets; return what each came to."""
    unit = 1 << config.formats.x_frac
    inputs, test = data.inputs, data.test_x / unit
    found = {}
    core = start(engine, config, Net((inputs, MIDDLE, CLASSES)))
    between = (TileLayer(core, 0), Dense(MIDDLE, MIDDLE, 1), TileLayer(core, 1))
    for _ in range(epochs):
        train_between(between, data.train_x / unit, data.train_labels, lr)
    state = state_sha256(core.state())
    found["between"] = Outcome(hits(between, test, data.test_labels), state)
    core.close()
    core = start(engine, config, Net((inputs, MIDDLE)))
    assert isinstance(core, RunningCore)  # every engine's is one
    head = (Dense(MIDDLE, MIDDLE, 1), Dense(MIDDLE, CLASSES, 2, linear=True))
    for _ in range(epochs):
        train_behind(core, head, data.train_x, data.train_labels, lr)
    state = state_sha256(core.state())
    found["behind"] = Outcome(hits((TileLayer(core, 0), *head), test, data.test_labels), state)
    core.close()
    return found


@click.command()
@click.option("--engine", default="compiled", metavar=CHOICES, help="[compiled]")
@click.option("--epochs", type=click.IntRange(1), default=5, help="[5]")
@click.option("--lr", type=float, default=0.05, help="[0.05]")
def main(engine: str, epochs: int, lr: float) -> None:
    """Train nets of which a part is on tiles; see the module's text."""
    config = Config()
    data = load_data("digits", config.formats.x_frac, config.formats.edge_bits, Preparation(pool=2))
    for way, found in run(engine, config, data, epochs, lr).items():
        click.echo(f"{way:8} {found.right} of {len(data.test_labels)} right, {found.state_sha256}")


if __name__ == "__main__":
    main()
