"""Layers with floats on both sides, and the example that has a part of its net in NumPy."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tile_cases import BUILDS

from ohmgrid.config import Config
from ohmgrid.engines import make_core
from ohmgrid.model.core.core import initial_state
from ohmgrid.net import Net, state_sha256
from ohmgrid.training.data import Preparation, load_data
from ohmgrid.training.layers import TileLayer

EXAMPLE = Path(__file__).parents[2] / "examples" / "mixed.py"
# The build of other tests of the rtl engine: compiled once.
CONFIG = Config(build=BUILDS[4])
ENGINES = ("model", "compiled", "rtl")


@pytest.fixture(scope="module")
def mixed():
    """Return the example as a module."""
    spec = importlib.util.spec_from_file_location("mixed", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_example_trains_to_the_same_bits_on_every_engine(mixed):
    formats = CONFIG.formats
    data = load_data("digits", formats.x_frac, formats.edge_bits, Preparation(pool=2))
    few = replace(
        data,
        train_x=data.train_x[:8],
        train_labels=data.train_labels[:8],
        test_x=data.test_x[:20],
        test_labels=data.test_labels[:20],
    )
    golden, *others = (mixed.run(engine, CONFIG, few, 2, 0.05) for engine in ENGINES)
    assert set(golden) == {"between", "behind"}
    for found in others:
        assert found == golden
    # Tiles have learned: they are not as they began.
    fresh = [initial_state(CONFIG, 12, 17, 0)]
    assert golden["behind"].state_sha256 != state_sha256(fresh)


def test_example_learns(mixed):
    formats = CONFIG.formats
    data = load_data("digits", formats.x_frac, formats.edge_bits, Preparation(pool=2))
    part = replace(data, train_x=data.train_x[:500], train_labels=data.train_labels[:500])
    part = replace(part, test_x=data.test_x[:100], test_labels=data.test_labels[:100])
    for outcome in mixed.run("compiled", CONFIG, part, 2, 0.1).values():
        assert outcome.right > 30


def test_layer_rounds_clips_and_adds_the_bias():
    config = Config(seed=5)
    core, twin = (make_core("model", config, Net((3, 2))) for _ in range(2))
    for each in (core, twin):
        each.initialise()
    layer, tile = TileLayer(core, 0), core.tiles[0]
    x, d = np.array([0.5, -1.25, 100.0]), np.array([0.25, -0.5])
    formats = config.formats
    top = (1 << (formats.edge_bits - 1)) - 1
    edge = np.array([1 << 11, -5 << 10, top, 1 << 12])
    errors = np.array([1, -2]) << (formats.d_frac - 2)
    np.testing.assert_array_equal(layer.forward(x), twin.forward(0, edge) * tile.y_lsb)
    assert layer.clipped == 1
    np.testing.assert_array_equal(
        layer.backward_update(d, 0.1), twin.backward_update(0, edge, errors, 0.1)[:-1] * tile.z_lsb
    )
    np.testing.assert_array_equal(layer.backward(d), twin.backward(0, errors)[:-1] * tile.z_lsb)
    layer.update(d, 0.1)
    twin.update(0, edge, errors, 0.1)
    assert state_sha256(core.state()) == state_sha256(twin.state())


def test_what_does_not_fit_a_layer_is_refused():
    core = make_core("model", Config(), Net((3, 2)))
    with pytest.raises(ValueError, match=r"layer: expected 0\.\.0, got 1"):
        TileLayer(core, 1)
    layer = TileLayer(core, 0)
    with pytest.raises(ValueError, match="update: expected a forward before it"):
        layer.update(np.zeros(2), 0.1)
    with pytest.raises(ValueError, match=r"x: expected 3 finite numbers, got shape \(2,\)"):
        layer.forward(np.zeros(2))
    with pytest.raises(ValueError, match="d: expected 2 finite numbers"):
        layer.backward(np.array([np.nan, 0.0]))
    assert core.state()[0].steps == (0, 0, 0)
