"""The rtl engine: errors said in one line, states in and out, a run that is taken up again."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from tile_cases import BUILDS

from ohmgrid.compiled.tile import CompiledTile
from ohmgrid.config import Config
from ohmgrid.devices.presets import PRESETS
from ohmgrid.doors.checks import ConfigError
from ohmgrid.host.driver import CoreDriver
from ohmgrid.host.protocol import Op, command
from ohmgrid.model.core.tile import Tile
from ohmgrid.net import Net
from ohmgrid.registers.edge import pulse_registers
from ohmgrid.sim.gateware import Simulation, build_core
from ohmgrid.sim.rtl import RtlCore, RtlTile
from ohmgrid.tile import TileState

# The build of test_gateware.py: compiled once.
CONFIG = Config(build=BUILDS[4])
ROWS, COLS = 5, 7


@pytest.fixture(scope="module")
def tile() -> RtlTile:
    return RtlTile(CONFIG, ROWS, COLS)


def same(state: TileState, other: TileState) -> bool:
    return state.steps == other.steps and np.array_equal(state.weights, other.weights)


def random_state(rng: np.random.Generator, rows: int = ROWS, cols: int = COLS) -> TileState:
    weights = rng.integers(-(1 << 16), 1 << 16, (rows, cols), dtype=np.int32)
    return TileState(weights, (3, 1, 1 << 47))


def test_a_shape_beyond_the_build_is_refused():
    for shape, field, needed in (
        ((81, 1), "outputs", "81 lines of output devices"),
        ((1, 61), "inputs", "61 input lines"),
        ((70, 60), "words", "1050 words in each of 4 lanes"),
    ):
        build = BUILDS[4]
        with pytest.raises(
            ConfigError,
            match=rf"build\.{field}: expected room for the {needed} that this net takes, "
            rf"got {getattr(build, field)}$",
        ):
            RtlTile(CONFIG, *shape)
    with pytest.raises(ValueError, match=r"rows: expected 1\.\.65536, got 0"):
        RtlTile(CONFIG, 0, 1)
    with pytest.raises(ValueError, match=r"number: expected 0\.\.255, got 256"):
        RtlTile(CONFIG, 1, 1, 256)


def test_more_layers_than_the_array_table_has_entries_are_refused():
    with pytest.raises(ConfigError, match=r"layers: expected at most 24 arrays, got 25"):
        RtlCore(CONFIG, Net((1,) * 26, "relu", "squared"))


def test_a_pair_takes_two_rows():
    pair = CONFIG.replace(device=PRESETS["pcm"])
    assert RtlTile(pair, 8, 2).state().weights.shape == (16, 2)
    with pytest.raises(ValueError, match=r"expected room for the 82 lines of output devices"):
        RtlTile(pair, 41, 2)


def test_pairs_are_read_with_all_that_wires_and_devices_do(rng):
    physics = {"ir_drop": 1.0, "w_noise": 0.05, "w_noise_type": "pcm-read", "inp_noise": 0.02}
    pair = CONFIG.replace(device=PRESETS["pcm"], forward=physics, backward=physics)
    engines = [engine(pair, 6, COLS) for engine in (Tile, CompiledTile, RtlTile)]
    # Conductances of both signs, whose difference is more than one device can hold.
    start = TileState(rng.integers(-(1 << 17) + 1, 1 << 17, (12, COLS), dtype=np.int32), (0, 0, 0))
    x, d = rng.integers(-4096, 4096, COLS), rng.integers(-9000, 9000, 6)
    seen = []
    for engine in engines:
        engine.load(start)
        seen.append([*engine.forward(x), *engine.backward(d), *engine.backward_update(x, d, 0.05)])
    assert seen[0] == seen[1] == seen[2]
    assert same(engines[1].state(), engines[0].state())
    assert same(engines[2].state(), engines[0].state())


@pytest.mark.parametrize(
    ("name", "flag"),
    [
        ("ecram", "curve"),
        ("reram-es", "write_noise"),
        ("reram-array-om", "references"),
        ("capacitor", "time"),
        ("pcm", "time"),
    ],
)
def test_a_device_that_the_build_lacks_is_refused(name, flag):
    config = CONFIG.replace(
        device=PRESETS[name], build={flag: False} | ({"power": False} if flag == "curve" else {})
    )
    with pytest.raises(ConfigError, match=rf"build\.{flag}: expected true for this device"):
        RtlTile(config, ROWS, COLS)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros(COLS - 1, int), r"x: expected 7 integers, got int64 of shape \(6,\)"),
        (np.zeros((1, COLS), int), r"x: expected 7 integers, got int64 of shape \(1, 7\)"),
        (np.zeros(COLS), r"x: expected 7 integers, got float64 of shape \(7,\)"),
        (np.full(COLS, 1 << 15), r"x: expected values in \+-32767, got 32768\.\.32768"),
    ],
)
def test_wrong_vectors_change_nothing(tile, x, message):
    before = tile.state()
    d = np.ones(ROWS, int)
    for call in (
        lambda: tile.forward(x),
        lambda: tile.update(x, d, 0.1),
        lambda: tile.backward_update(x, d, 0.1),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(ValueError, match="d: expected 5 integers"):
        tile.backward(np.ones(ROWS + 1, int))
    assert same(tile.state(), before)


@pytest.mark.parametrize("lr", [0.0, -1.0, np.nan, np.inf, 1e9])
def test_wrong_learning_rates_change_nothing(tile, lr):
    before = tile.state()
    with pytest.raises(ValueError, match="lr: expected"):
        tile.update(np.ones(COLS, int), np.ones(ROWS, int), lr)
    assert same(tile.state(), before)


def test_wrong_states_change_nothing(tile):
    before = tile.state()
    good = np.zeros((ROWS, COLS), np.int32)
    for state, message in (
        (TileState(good.T, (0, 0, 0)), r"weights: expected shape \(5, 7\), got \(7, 5\)"),
        (TileState(good + 0.5, (0, 0, 0)), "weights: expected integers"),
        (TileState(good + (1 << 17), (0, 0, 0)), r"weights: expected values in \+-131071"),
        (TileState(good, (0, -1, 0)), r"steps: expected three counts below 2\*\*48"),
    ):
        with pytest.raises(ValueError, match=message):
            tile.load(state)
    assert same(tile.state(), before)


def test_states_come_back_as_they_went_in(tile, rng):
    state = random_state(rng)
    tile.load(state)
    assert same(tile.state(), state)
    other = RtlTile(CONFIG, 8, 12, 3)
    assert same(other.state(), TileState(np.zeros((8, 12), np.int32), (0, 0, 0)))
    full = random_state(rng, 8, 12)
    other.load(full)
    assert same(other.state(), full)
    assert same(tile.state(), state)


def test_a_run_taken_up_again_equals_one_that_was_not_stopped(rng):
    inputs = [(rng.integers(-4096, 4096, COLS), rng.integers(-9000, 9000, ROWS)) for _ in range(20)]

    def steps(tile, pairs):
        results = []
        for x, d in pairs:
            results += [*tile.forward(x), *tile.backward_update(x, d, 0.05)]
        return results

    whole = RtlTile(CONFIG, ROWS, COLS, 9)
    whole.load(random_state(rng))
    start = whole.state()
    results = steps(whole, inputs)

    first = RtlTile(CONFIG, ROWS, COLS, 9)
    first.load(start)
    seen = steps(first, inputs[:8])
    # The other half in a new instance, and once more on the model.
    for engine in (RtlTile, Tile):
        second = engine(CONFIG, ROWS, COLS, 9)
        second.load(first.state())
        assert_array_equal(seen + steps(second, inputs[8:]), results)
        assert same(second.state(), whole.state())


def test_the_driver_refuses_what_a_register_cannot_hold():
    driver = CoreDriver(Simulation(build_core(CONFIG).instance()))
    with pytest.raises(ValueError, match="register desired_bl: expected 7 bits, got 128"):
        driver.registers({"desired_bl": 128})
    with pytest.raises(ValueError, match="register seed: expected 64 bits, got -1"):
        driver.registers({"seed": -1})
    with pytest.raises(ValueError, match="array table, bl: expected 7 bits, got 128"):
        driver.entry(0, {"bl": 128}, True)
    with pytest.raises(ValueError, match="array table: unknown field blue"):
        driver.entry(0, {"blue": 1}, True)


def test_the_driver_raises_what_the_core_reports():
    driver = CoreDriver(Simulation(build_core(CONFIG).instance()))
    with pytest.raises(RuntimeError, match="core: op 77 reported ILLEGAL"):
        driver.run([77])
    driver.run(driver.entry(3, {"rows": 81, "cols": 1}, True))
    with pytest.raises(RuntimeError, match="core: op 5 reported SHAPE"):
        driver.run([command(Op.FORWARD, 3)])


@pytest.mark.parametrize(("lr", "granularity"), [(1.0, 1e-320), (1e-320, 1.0)])
def test_learning_rates_beyond_floats_get_their_line(lr, granularity):
    with pytest.raises(ValueError, match="lr: expected a learning rate of"):
        pulse_registers(CONFIG, granularity, lr)


@pytest.mark.parametrize("error", [TimeoutError, RuntimeError, KeyboardInterrupt])
def test_after_an_error_of_the_gateware_a_tile_takes_a_state_and_nothing_else(rng, error):
    """What was sent before the error may have arrived or not: the rate and the activations too."""
    golden, tile = Tile(CONFIG, ROWS, COLS), RtlTile(CONFIG, ROWS, COLS)
    x, d = rng.integers(-4096, 4096, COLS), rng.integers(-9000, 9000, ROWS)
    for engine in (golden, tile):
        engine.backward_update(x, d, 0.02)
    start = tile.state()

    def broken(*arguments, **more):
        raise error("no answer")

    tile.gateware.driver.way.transact = broken
    with pytest.raises(error, match="no answer"):
        tile.backward_update(-x, d, 0.5)
    line = f"tile: expected a state to be loaded after the error: {error.__name__}: no answer"
    for call in (lambda: tile.forward(x), lambda: tile.update(x, d, 0.5), tile.state):
        with pytest.raises(RuntimeError, match=line):
            call()
    tile.load(start)
    for lr in (0.5, 0.02):
        assert_array_equal(tile.backward_update(x, d, lr), golden.backward_update(x, d, lr))
    assert same(tile.state(), golden.state())


def test_after_an_error_each_array_of_a_core_waits_for_its_state(rng):
    """A new start has forgotten all arrays: none of them answers from what it no longer holds."""
    core = RtlCore(CONFIG, Net((COLS - 1, 4, ROWS), "sigmoid", "cross-entropy"))
    start = core.state()
    lower, upper = core.tiles

    def broken(*arguments, **more):
        raise TimeoutError("no answer")

    lower.gateware.driver.way.transact = broken
    with pytest.raises(TimeoutError):
        lower.forward(rng.integers(-4096, 4096, COLS))
    lower.load(start[0])
    with pytest.raises(RuntimeError, match="the gateware was started anew after an error"):
        upper.state()
    upper.load(start[1])
    assert all(same(one, other) for one, other in zip(core.state(), start, strict=True))


def with_steps(steps: Any) -> TileState:
    return TileState(np.zeros((ROWS, COLS), int), steps)


@pytest.mark.parametrize(
    ("state", "error", "message"),
    [
        (None, TypeError, "state: expected a TileState, got NoneType"),
        (with_steps((0, 1.5, 0)), ValueError, "steps: expected three"),
        (with_steps(3), ValueError, "steps: expected three"),
    ],
)
def test_what_is_no_state_is_refused(tile, state, error, message):
    with pytest.raises(error, match=message):
        tile.load(state)


@pytest.mark.parametrize("lr", ["0.1", None, True, [0.1], 1j])
def test_what_is_no_learning_rate_is_refused(tile, lr):
    with pytest.raises(ValueError, match="lr: expected a finite number > 0, got"):
        tile.update(np.zeros(COLS, int), np.zeros(ROWS, int), lr)
