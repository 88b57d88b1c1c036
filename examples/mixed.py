"""A net of which a part is on tiles and a part is NumPy of your own, on any engine.

``python examples/mixed.py --engine compiled`` trains digits (4x4 pixels) in two ways:

``between``  tile 16-12, a dense layer with tanh in NumPy, tile 12-10, softmax in NumPy: each tile
             is called by itself
``behind``   tile 16-12, then all the rest in NumPy: the core runs a step table that sends results
             and waits for errors, an example after the other
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import click
import numpy as np

from ohmgrid.config import Config
from ohmgrid.core import Core
from ohmgrid.engines import CHOICES, make_core
from ohmgrid.floats.tile import Tile
from ohmgrid.model.core.core import Core as RunningCore
from ohmgrid.model.core.order import Order
from ohmgrid.net import Net, state_sha256
from ohmgrid.registers import orders
from ohmgrid.training.data import Dataset, Preparation, load_data

MIDDLE, CLASSES = 12, 10


class Dense:
    """A layer of your own: ``tanh(W x + b)`` in floats, plain SGD."""

    def __init__(self, inputs: int, outputs: int, seed: int, linear: bool = False) -> None:
        bound = 1 / np.sqrt(inputs)
        self.weights = np.random.default_rng(seed).uniform(-bound, bound, (outputs, inputs))
        self.bias, self.linear = np.zeros(outputs), linear

    def forward(self, x: np.ndarray) -> np.ndarray:
        pre = self.weights @ x + self.bias
        self.y = pre if self.linear else np.tanh(pre)
        return self.y

    def _inside(self, d: np.ndarray) -> np.ndarray:
        return d if self.linear else d * (1 - self.y**2)

    def backward(self, d: np.ndarray) -> np.ndarray:
        return self.weights.T @ self._inside(d)

    def update(self, x: np.ndarray, d: np.ndarray, lr: float) -> None:
        self.weights -= lr * np.outer(self._inside(d), x)
        self.bias -= lr * self._inside(d)


def softmax_error(scores: np.ndarray, label: int) -> np.ndarray:
    """Return the error of the scores: softmax and cross-entropy."""
    d = np.exp(scores - scores.max())
    d /= d.sum()
    d[label] -= 1
    return d


class Array:
    """A layer on a tile of a core; its last column is the bias."""

    def __init__(self, core: Core, layer: int) -> None:
        self.tile = Tile.of(core, layer)

    def forward(self, x: np.ndarray) -> np.ndarray:
        return self.tile.forward(np.append(x, 1.0))

    def backward(self, d: np.ndarray) -> np.ndarray:
        return self.tile.backward(d)[:-1]

    def update(self, x: np.ndarray, d: np.ndarray, lr: float) -> None:
        self.tile.update(np.append(x, 1.0), d, lr)


Layers = Sequence[Array | Dense]


def scores_of(layers: Layers, x: np.ndarray) -> np.ndarray:
    """Take one example through all layers."""
    for layer in layers:
        x = layer.forward(x)
    return x


def learn(
    layers: Layers, x: np.ndarray, error: Callable[[np.ndarray], np.ndarray], lr: float
) -> np.ndarray:
    """Train on one example whose scores have an error; return what that is below all layers."""
    inputs = [x]
    for layer in layers:
        inputs.append(layer.forward(inputs[-1]))
    d = error(inputs.pop())
    for layer in reversed(layers):
        below = layer.backward(d)
        layer.update(inputs.pop(), d, lr)
        d = below
    return d


def train_between(layers: Layers, images: np.ndarray, labels: np.ndarray, lr: float) -> None:
    """Train an epoch: forward, own code, backward and update, layer after layer."""
    for x, label in zip(images, labels, strict=True):
        learn(layers, x, lambda scores, label=label: softmax_error(scores, label), lr)


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
        label = next(left)
        d = learn(head, results * unit, lambda scores: softmax_error(scores, label), lr)
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
    between = (Array(core, 0), Dense(MIDDLE, MIDDLE, 1), Array(core, 1))
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
    found["behind"] = Outcome(hits((Array(core, 0), *head), test, data.test_labels), state)
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
