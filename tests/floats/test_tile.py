"""`ohmgrid.Tile`, and the example that has a part of its net in NumPy."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import devices
from tile_cases import BUILDS

import ohmgrid
from ohmgrid.config import Config
from ohmgrid.doors.checks import ConfigError
from ohmgrid.engines import make_core
from ohmgrid.floats.tile import Tile
from ohmgrid.model.core.core import initial_state
from ohmgrid.net import Net, state_sha256
from ohmgrid.training.data import Preparation, load_data

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


def test_five_lines_of_the_documentation():
    tile = ohmgrid.Tile(2, 3, device="capacitor", seed=7)
    before = tile.get_weights()
    y = tile.forward([0.5, -0.25, 1.0])
    z = tile.backward([0.1, -0.2])
    tile.update([0.5, -0.25, 1.0], [0.1, -0.2], lr=0.5)
    assert (y.shape, z.shape, before.shape) == ((2,), (3,), (2, 3))
    moved = tile.get_weights() - before
    assert moved[0, 0] < 0 < moved[1, 0]


@settings(max_examples=10)
@given(
    device=devices(),
    managed=st.booleans(),
    far=st.sampled_from([1e-3, 1.0, 50.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_tile_is_a_passage_through_one_layer(device, managed, far, seed):
    """What a tile does with floats is what the golden model does with whole nets."""
    rng = np.random.default_rng(seed)
    config = Config(device=device).replace(pulses={"update_management": managed})
    tile = Tile(4, 6, config, seed=seed, engine="model")
    core = make_core("model", config.replace(seed=seed), Net((5, 4)))
    core.initialise()
    lr = 10 * device.unit.granularity
    x, d = rng.normal(0, far, (3, 6)), rng.normal(0, far, (3, 4))
    way = core.passage(x)
    assert tile.forward(x).tobytes() == way.y.tobytes()
    assert tile.backward(d).tobytes() == way.backward(d).tobytes()
    tile.update(x, d, lr)
    way.update([lr])
    assert state_sha256([tile.state()]) == state_sha256(core.state())
    alone = tile.forward(x[0])
    assert alone.tobytes() == core.passage(x[:1]).y[0].tobytes()


def test_gateware_gives_the_same_floats(rng):
    """Arrays alone, and examples through a net with floats at both ends."""
    x, d = rng.normal(0, 1, (2, 6)), rng.normal(0, 0.1, (2, 4))
    found = []
    for engine in ("model", "rtl"):
        tile = Tile(4, 6, CONFIG, seed=5, engine=engine)
        parts = [tile.forward(x).tobytes(), tile.backward(d).tobytes()]
        tile.update(x, d, 0.1)
        core = make_core(engine, CONFIG, Net((5, 3, 4)))
        core.initialise()
        way = core.passage(x)
        parts += [way.y.tobytes(), way.backward(d).tobytes()]
        way.update([0.1, 0.1])
        states = [tile.state(), *core.state()]
        found.append((parts, state_sha256(states)))
        tile.close()
        core.close()
    assert found[0] == found[1]


def test_view_of_a_layer_sees_its_always_on_input():
    core = make_core("model", Config(), Net((3, 2)))
    core.initialise()
    assert Tile.of(core, 0).forward(np.ones(4)).shape == (2,)


def test_weights_are_programmed_and_noise_goes_on():
    tile = Tile(2, 3, "idealized", seed=3, engine="model")
    tile.forward(np.ones(3))
    asked = np.array([[0.25, -0.5, 0.125], [0.0, 0.75, 30.0]])
    assert tile.set_weights(asked) == 1
    held = tile.get_weights()
    assert held[0].tolist() == asked[0].tolist()
    assert held[1, 2] < 2
    assert tile.state().steps == (1, 0, 0)
    state = tile.state()
    y = tile.forward(np.ones(3))
    tile.load(state)
    assert tile.forward(np.ones(3)).tobytes() == y.tobytes()


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: Tile(0, 3), "rows: expected 1"),
        (lambda: Tile(2, 3, "nothing"), "device: expected one of"),
        (
            lambda: Tile(2, 3, 5),  # type: ignore[arg-type]
            "device: expected a name, a file or a Config, got 5",
        ),
        (lambda: Tile(2, 3, engine="gpu"), "engine: expected one of"),
        (lambda: Tile(2, 3, seed=-1), "seed: expected 0"),
    ],
)
def test_what_is_no_tile_is_refused_in_one_line(call, text):
    with pytest.raises(ConfigError, match=text):
        call()


def test_what_does_not_fit_a_tile_is_refused():
    tile = Tile(2, 3, engine="model")
    x, d = np.ones(3), np.ones(2)
    with pytest.raises(ValueError, match=r"x: expected shape \(3,\) or \(examples, 3\), got"):
        tile.forward(d)
    with pytest.raises(ValueError, match="d: expected finite numbers"):
        tile.backward(np.array([np.nan, 0.0]))
    with pytest.raises(ValueError, match="d: expected 1 examples, got 2"):
        tile.update(x, np.ones((2, 2)), 0.1)
    with pytest.raises(ValueError, match="lr: expected a finite number > 0, got 0"):
        tile.update(x, d, 0)
    with pytest.raises(ValueError, match=r"weights: expected shape \(2, 3\), got \(3,\)"):
        tile.set_weights(x)
    with pytest.raises(ValueError, match=r"layer: expected 0\.\.0, got 1"):
        Tile.of(make_core("model", Config(), Net((3, 2))), 1)
    assert tile.state().steps == (0, 0, 0)
