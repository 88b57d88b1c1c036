"""Tiles and nets of the golden model and of simulated gateware beside each other."""

from typing import Any

import numpy as np
from hypothesis import assume
from numpy.testing import assert_array_equal
from strategies import operate
from tile_cases import vectors

from ohmgrid.config import Config
from ohmgrid.doors.checks import ConfigError
from ohmgrid.model.core.cells import make_tile
from ohmgrid.model.core.core import Core, initial_state
from ohmgrid.net import Net
from ohmgrid.sim.gateware import SimulatedGateware
from ohmgrid.sim.rtl import RtlCore
from ohmgrid.tile import TileState

__all__ = ["same_states", "tile_alike", "trained_alike"]

LR = 0.1


def same_states(found: TileState, golden: TileState) -> None:
    assert found.steps == golden.steps
    assert_array_equal(found.weights, golden.weights)
    for name, array in golden.hidden.items():
        assert_array_equal(found.hidden[name], array, err_msg=name)


def tile_alike(kind: Any, config: Config, rows: int, cols: int, seed: int) -> None:
    """Compare a tile of a core, the second of two, with the golden one; load it in between."""
    rng = np.random.default_rng(seed)
    try:
        golden = make_tile(config, rows, cols, 1)
        golden.update(np.zeros(cols, np.int64), np.zeros(rows, np.int64), LR)
    except ConfigError:
        # What no register holds is refused by every engine.
        assume(False)
        raise
    found = kind(config, rows, cols, 1, SimulatedGateware(config, [(3, 4), (rows, cols)]))
    start = initial_state(config, rows, cols, 1)
    for tile in (golden, found):
        tile.load(start)
    x, d = vectors(rng, cols, rows)
    for step in range(12):
        if step == 6:
            found.load(golden.state())
        if rng.random() < 0.7:
            x, d = vectors(rng, cols, rows)
        verb = str(rng.choice(["forward", "backward", "update", "update", "backward_update"]))
        wanted, came = (operate(tile, verb, x, d, LR) for tile in (golden, found))
        assert_array_equal(came, wanted, err_msg=verb)
    same_states(found.state(), golden.state())


def trained_alike(config: Config, net: Net, seed: int, batches: tuple[int, ...]) -> RtlCore:
    """Train a net in the golden model and in gateware, and compare; return the latter."""
    rng = np.random.default_rng(seed)
    try:
        golden = Core(config, net)
        rows, cols = net.shapes[0]
        golden.tiles[0].update(np.zeros(cols, np.int64), np.zeros(rows, np.int64), LR)
    except ConfigError:
        assume(False)
        raise
    found = RtlCore(config, net)
    one = 1 << config.formats.x_frac
    for core in (golden, found):
        core.initialise()
    for batch in batches:
        pixels = rng.integers(-one + 1, one, (7, net.layers[0]))
        labels = rng.integers(0, net.layers[-1], 7)
        wanted, came = (core.train(pixels, labels, LR, batch) for core in (golden, found))
        assert came == wanted
        assert found.counters.counts.tolist() == golden.counters.counts.tolist()
        hits = [core.count_hits(pixels, labels) for core in (golden, found)]
        assert hits[0] == hits[1]
    for one_tile, other in zip(found.state(), golden.state(), strict=True):
        same_states(one_tile, other)
    return found
