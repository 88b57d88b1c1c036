"""Random tables, registers, truncated streams, resets; and values at the edge of what there is."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from tile_cases import BUILDS

from ohmgrid.config import Config
from ohmgrid.devices.cells import OneSided
from ohmgrid.devices.steps import ConstantStep
from ohmgrid.devices.transfer import DynamicTransfer, Transfer
from ohmgrid.host.protocol import Error, Op, command
from ohmgrid.model.core.order import IllegalStep
from ohmgrid.model.core.tile import Tile
from ohmgrid.periphery import PulseConfig
from ohmgrid.registers.edge import PulseRegisters
from ohmgrid.registers.steps import Step, StepVerb
from ohmgrid.sim.rtl import RtlTile
from ohmgrid.studies.fuzzing import Fault
from ohmgrid.studies.step_fuzz import StepFuzz
from ohmgrid.tile import TileBase, TileState

BUILD = BUILDS[4]
AGING = OneSided(
    ConstantStep(dw_min=0.02, dw_min_std=2.0, w_min=0.0, lifetime=40.0, time_every=2),
    refresh_every=3,
    refresh_bl=3,
)
"""Pulsed slot by slot, leaking and refreshed: of all devices the one whose updates want most."""


MOVED = Transfer(
    ConstantStep(dw_min=0.02, dw_min_std=2.0, lifetime=30.0, time_every=3),
    ConstantStep(dw_min=0.01, dw_min_std=1.0, lifetime=40.0, time_every=2),
    transfer_every=2.0,
    n_reads_per_transfer=2,
    units_in_mbatch=False,
    transfer_update=PulseConfig(desired_bl=40),
)
"""Weights of two arrays, which leak at their own pace."""
BUFFERED = DynamicTransfer(
    ConstantStep(dw_min=0.02, dw_min_std=2.0),
    ConstantStep(dw_min=0.01, lifetime=40.0, time_every=2),
    transfer_every=1.0,
    units_in_mbatch=False,
    in_chop_prob=0.4,
    out_chop_prob=0.3,
    buffer_granularity=0.1,
    auto_scale=True,
)
"""What is read goes through buffers, choppers and averages."""


def test_random_tables_registers_and_truncated_streams(rng):
    for _ in range(2):
        StepFuzz(int(rng.integers(1 << 32)), BUILD).block(20)


@pytest.mark.parametrize("lanes", [3, 4])
def test_random_tables_of_devices_that_leak_and_are_refreshed(lanes, rng):
    turned = ((), (0,), (1,), (0, 1))[rng.integers(4)]
    StepFuzz(int(rng.integers(1 << 32)), BUILDS[lanes], AGING, turned).block(10)


@pytest.mark.parametrize("device", [MOVED, BUFFERED], ids=["moved", "buffered"])
def test_random_tables_of_weights_of_two_arrays(device, rng):
    turned = ((), (0,), (1,), (0, 1))[rng.integers(4)]
    StepFuzz(int(rng.integers(1 << 32)), BUILD, device, turned).block(20)


@pytest.mark.slow
@pytest.mark.parametrize(
    "device", [None, AGING, MOVED, BUFFERED], ids=["plain", "aging", "moved", "buffered"]
)
def test_ten_thousand_random_tables(device, rng):
    kinds = np.zeros(5, np.int64)
    for _ in range(400):
        fuzz = StepFuzz(int(rng.integers(1 << 32)), BUILD, device)
        fuzz.block(25)
        kinds += [*fuzz.kinds.values()]
    assert kinds.min() > 400


def test_the_fuzz_sees_a_fault(monkeypatch):
    """Of cells, answers, counters and error bits."""
    fuzz = StepFuzz(1, BUILD)
    fuzz.golden.tiles[0].load(TileState(fuzz.golden.tiles[0].state().weights + 1, (0, 0, 0)))
    with pytest.raises(Fault, match=r"^cells of layer 0: "):
        fuzz.compare()
    fuzz.reload()
    fuzz.golden.counters.add(1, passes=1)
    with pytest.raises(Fault, match=r"^counters: "):
        fuzz.compare()
    fuzz.reload()
    real = fuzz.golden.answers
    wrong = lambda *args: [answer._replace(word=answer.word + 1) for answer in real(*args)]  # noqa: E731
    monkeypatch.setattr(fuzz.golden, "answers", wrong)
    with pytest.raises(Fault, match=r"^answers of training: "):
        fuzz.train()
    fuzz.reload()

    def refused(*arguments):
        raise IllegalStep(0, "so it is said", [], no_array=False)

    monkeypatch.setattr(fuzz._golden, "run", refused)
    monkeypatch.setattr(fuzz, "random_table", lambda: [Step()])
    with pytest.raises(Fault, match=r"^error bits: expected 1, got 0"):
        fuzz.table()


@pytest.mark.parametrize("size", [0, BUILD.edge + 1])
def test_a_mini_batch_that_there_is_no_room_for_is_an_error(size):
    fuzz = StepFuzz(1, BUILD)
    fuzz.found.load_table([Step(StepVerb.END)], 0.1)
    assert fuzz.answer(command(Op.RUN, 0, size << 32 | 1)) == Error.ILLEGAL
    fuzz.train()


def test_what_is_refused_is_answered_once():
    """Also of commands that are silent; and the next one is well."""
    fuzz = StepFuzz(1, BUILD)
    assert fuzz.answer(command(Op.ENTRY, 200)) == Error.ILLEGAL
    assert fuzz.answer(command(Op.SETUP, 5)) == Error.SHAPE
    fuzz.found.load_table([Step(StepVerb.END)], 0.1)
    # No array is at work: what was wrong before is not said again.
    assert fuzz.answer(command(Op.RUN, 0, 1 << 32 | 1)) == 0
    fuzz.answer(command(Op.SET, 239))
    assert fuzz.answer(command(Op.RUN, 0, 1 << 32 | 1)) == Error.ILLEGAL
    assert fuzz.answer(command(Op.RUN, 0, 1 << 32 | 1)) == 0


# Values that a host refuses ----------------------------------------------------------------------


@pytest.fixture
def no_door(monkeypatch):
    """Let everything through to model and gateware."""
    monkeypatch.setattr(TileBase, "_edge", lambda self, name, values, lines: np.array(values))
    monkeypatch.setattr(
        TileBase, "_state", lambda self, state: (state.weights, list(state.steps), {})
    )


ROWS, COLS = 4, 5
X, D = np.arange(COLS) * 900, np.arange(ROWS) * 900 - 300


def both(weights: np.ndarray) -> tuple[Tile, RtlTile]:
    config = Config(seed=3, build=BUILD)
    tiles = Tile(config, ROWS, COLS), RtlTile(config, ROWS, COLS)
    for tile in tiles:
        tile.load(TileState(weights.copy(), (0, 0, 0)))
    return tiles


def test_inputs_and_errors_beyond_the_edge_are_clipped(no_door, rng):
    """-2**15 has no magnitude there; a link may bring any word."""
    x = np.array([-(1 << 15), 100, 0, 70000, 32767])
    d = np.array([-(1 << 17), 3, 0, -(1 << 15)])
    top = (1 << 15) - 1
    golden, found = both(rng.integers(-90000, 90000, (ROWS, COLS)).astype(np.int32))
    x_in, d_in = np.clip(x, -top, top), np.clip(d, -top, top)
    assert_array_equal(found.forward(x), golden.forward(x_in))
    assert_array_equal(found.backward(d), golden.backward(d_in))
    # The gateware counts nothing of an update by a host: the model's function does.
    golden.update(x_in, d_in, 0.1)
    found.update(x_in, d_in, 0.1)
    assert_array_equal(found.state().weights, golden.state().weights)
    golden.update(x_in, d_in, 0.1)
    found.gateware.driver.run([command(Op.LOAD_X), x, command(Op.LOAD_D), d, command(Op.UPDATE)])
    assert_array_equal(found.state().weights, golden.state().weights)


def test_the_lowest_weight_is_the_one_above_it(no_door, rng):
    """-2**17 has no magnitude; a host refuses it, a link may bring it."""
    weights = rng.integers(-90000, 90000, (ROWS, COLS)).astype(np.int32)
    weights[1, 2] = -(1 << 17)
    golden, found = both(weights)
    weights[1, 2] = 1 - (1 << 17)
    golden.load(TileState(weights.copy(), (0, 0, 0)))
    for tile in (golden, found):
        assert_array_equal(tile.state().weights, weights)
    assert_array_equal(found.forward(X), golden.forward(X))
    assert_array_equal(found.backward(D), golden.backward(D))
    for tile in (golden, found):
        tile.update(X, D, 0.5)
    assert_array_equal(found.state().weights, golden.state().weights)


@pytest.mark.parametrize("shift", [0, 20, 50, 51, 63])
@pytest.mark.parametrize("rate", [0, 5, (1 << 18) - 1])
def test_any_rate_is_one(no_door, monkeypatch, rng, shift, rate):
    given = PulseRegisters(rate, shift, int(rng.integers(128)), int(rng.integers(1 << 22)))
    monkeypatch.setattr(TileBase, "_pulse_registers", lambda self, lr: given)
    golden, found = both(rng.integers(-90000, 90000, (ROWS, COLS)).astype(np.int32))
    for tile in (golden, found):
        tile.update(X, D, 0.1)
    assert_array_equal(found.state().weights, golden.state().weights)
