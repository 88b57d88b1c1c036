"""Golden and compiled core beside each other: training, single operations, states taken over."""

import numpy as np
from strategies import operate

from ohmgrid.config import Config
from ohmgrid.engines import make_core
from ohmgrid.net import Net, state_sha256

__all__ = ["train_alike"]


def train_alike(config: Config, lr: float, threads: int) -> None:
    """Train a small net with both engines, in all ways that a core offers, and compare.

    Parameters
    ----------
    config : Config
        Its seed is also that of the examples.
    lr : float
        Learning rate.
    threads : int
        Of the compiled engine.
    """
    net, batch = Net((9, 6, 4)), config.batch
    golden, compiled = cores = [
        make_core(engine, config, net, threads) for engine in ("model", "compiled")
    ]
    rng = np.random.default_rng(config.seed)
    pixels, labels = rng.integers(-4096, 4097, (10, 9)), rng.integers(0, 4, 10)
    for core in cores:
        core.initialise()
        core.train(pixels, labels, lr, batch)
    assert state_sha256(golden.state()) == state_sha256(compiled.state())
    assert golden.counters.as_dict() == compiled.counters.as_dict()
    assert golden.count_hits(pixels, labels) == compiled.count_hits(pixels, labels)
    x, d = rng.integers(-4096, 4097, 10), rng.integers(-4096, 4097, 6)
    for verb in ("update", "forward", "backward", "backward_update"):
        one, other = (operate(core.tiles[0], verb, x, d, lr) for core in cores)
        assert one == other
    state = golden.state()
    compiled.initialise()
    compiled.load(state)
    assert state_sha256(compiled.state()) == state_sha256(state)
    for core in cores:
        core.train(pixels, labels, lr, batch)
    assert state_sha256(golden.state()) == state_sha256(compiled.state())
