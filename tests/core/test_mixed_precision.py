"""Mixed precision: the golden tile against equations in floats, and the compiled engine's bits."""

from dataclasses import replace

import numpy as np
import pytest
from alike import train_alike
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import mixed_precisions

from ohmgrid.compiled.tile import CompiledTile
from ohmgrid.config import Config
from ohmgrid.devices.mixed_precision import MixedPrecision
from ohmgrid.devices.presets import NAMED
from ohmgrid.devices.steps import ConstantStep
from ohmgrid.doors.checks import ConfigError
from ohmgrid.model.core.cells import make_tile
from ohmgrid.model.core.core import initial_state
from ohmgrid.model.core.mixed_laws import binned, drawn_bin, left_of, near_bin, whole_steps
from ohmgrid.model.core.mixed_precision import MixedPrecisionTile
from ohmgrid.periphery import PulseConfig
from ohmgrid.registers.mixed import CHI_FRAC, CHI_TOP
from ohmgrid.tile import TileState

ROWS, COLS = 5, 7
ONE = 1 << CHI_FRAC
# A step is 256 LSB: nothing is rounded at random, and no bound is met.
EXACT = ConstantStep(
    dw_min=2**-7,
    dw_min_dtod=0.0,
    dw_min_std=0.0,
    up_down_dtod=0.0,
    w_max=3.9,
    w_max_dtod=0.0,
    w_min=-3.9,
    w_min_dtod=0.0,
)
COUNTED = PulseConfig(pulse_type="deterministic-implicit")


def vectors(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.integers(-4096, 4097, COLS), rng.integers(-4096, 4097, ROWS)


class Floats:
    """Mixed precision in floats: the equations of docs/cells.md."""

    def __init__(self, device: MixedPrecision, lr: float) -> None:
        self.device, self.lr = device, lr
        self.chi, self.row, self.updates = np.zeros((ROWS, COLS)), 0, 0

    def update(self, x: np.ndarray, d: np.ndarray) -> np.ndarray:
        """Take an update; return the steps that are written."""
        device, steps = self.device, np.zeros((ROWS, COLS))
        x, d = self._binned(x / 4096, device.n_x_bins), self._binned(d / 16384, device.n_d_bins)
        self.chi += self.lr * np.outer(d, x) / device.step
        self.updates += 1
        if self.updates % device.transfer_every == 0:
            count = device.n_rows_per_transfer
            for _ in range(ROWS if count < 0 else count):
                steps[self.row] = np.trunc(self.chi[self.row])
                self.chi[self.row] -= steps[self.row]
                self.row = (self.row + 1) % ROWS
        return steps

    @staticmethod
    def _binned(values: np.ndarray, bins: int) -> np.ndarray:
        if bins == 0:
            return values
        width = np.abs(values).max() / (bins // 2)
        return np.rint(values / width) * width


DEVICES = {
    "plain": MixedPrecision(EXACT),
    "every third": MixedPrecision(EXACT, transfer_every=3),
    "two rows": MixedPrecision(EXACT, n_rows_per_transfer=2),
    "bins": MixedPrecision(
        EXACT, n_x_bins=15, n_d_bins=254, stoc_round_x=False, stoc_round_d=False
    ),
    "coarse": MixedPrecision(EXACT, granularity=2**-5, transfer_lr=0.5),
}


@pytest.mark.parametrize("name", DEVICES)
def test_sums_and_writes_follow_the_equations_for_a_thousand_updates(name):
    device, lr = DEVICES[name], 0.03
    config = Config(device=device, pulses=COUNTED)
    # The array of the compiled engine: the same bits, many times as fast.
    tile, floats = MixedPrecisionTile(config, ROWS, COLS, 0, CompiledTile), Floats(device, lr)
    rng, near, written = np.random.default_rng(3), 0, 0
    for _ in range(1000):
        before = tile.state().weights
        x, d = vectors(rng)
        tile.update(x, d, lr)
        steps = floats.update(x, d)
        state = tile.state()
        moved = (before - state.weights) * tile.lsb / (device.step * device.transfer_lr)
        chi = state.hidden["chi"] / ONE
        # Where floats are at a step, integers may be there an update sooner or later.
        sure = np.abs(chi - floats.chi) < 0.5
        near += int((~sure).sum())
        np.testing.assert_allclose((chi + moved)[sure], (floats.chi + steps)[sure], atol=1e-3)
        np.testing.assert_array_equal(moved[sure], steps[sure])
        floats.chi[~sure] = chi[~sure]
        written += int(np.abs(moved).sum())
    assert written > 200
    assert near < 5


@settings(max_examples=200)
@given(st.integers(-CHI_TOP, CHI_TOP), st.sampled_from([255, 2047, 32767]))
def test_what_is_written_and_what_is_left_make_the_sum(chi, top):
    steps = int(whole_steps(np.int64(chi), top))  # type: ignore[arg-type]
    left = int(left_of(np.int64(chi), np.int64(steps)))  # type: ignore[arg-type]
    assert left + steps * ONE == chi
    assert steps == max(-top, min(top, int(chi / ONE)))
    assert abs(steps) == top or abs(left) < ONE


@settings(max_examples=100)
@given(st.integers(-32767, 32767), st.integers(1, 32767), st.integers(1, 128))
def test_rounding_to_bins_is_unbiased_and_within(value, largest, half):
    value = max(-largest, min(largest, value))
    draws = np.arange(1 << 16)
    bins = drawn_bin(np.int64(value), largest, half, draws)  # type: ignore[arg-type]
    exact = abs(value) * half / largest
    assert bins.min() >= int(exact)
    assert bins.max() <= min(int(exact) + 1, half)
    assert abs(bins.mean() - exact) <= 2**-16
    near = near_bin(np.int64(value), largest, half)  # type: ignore[arg-type]
    assert abs(near - exact) <= 0.5
    assert int(binned(np.int64(value), near, largest)) == np.sign(value) * near * largest  # type: ignore[arg-type]


def test_rows_that_are_drawn_follow_one_another():
    device = MixedPrecision(EXACT, n_rows_per_transfer=2, random_row=True)
    tile = make_tile(Config(device=device, pulses=COUNTED), ROWS, COLS)
    firsts = []
    for _ in range(200):
        before = tile.state().weights
        tile.update(np.full(COLS, 4096), np.full(ROWS, 16384), 0.02)
        rows = np.flatnonzero((tile.state().weights != before).any(axis=1))
        assert len(rows) <= 2
        if len(rows) == 2:
            assert (rows[1] - rows[0]) % ROWS in (1, ROWS - 1)
            firsts.append(rows[0] if rows[1] - rows[0] == 1 else rows[1])
    assert all(15 < firsts.count(row) < 100 for row in range(ROWS))


def test_a_write_has_both_managements_and_as_many_pulses_as_steps():
    device = MixedPrecision(replace(EXACT, dw_min=2**-9))
    unmanaged = PulseConfig(update_management=False, update_bl_management=False)
    tile = make_tile(Config(device=device, pulses=unmanaged), ROWS, COLS)
    x, d = np.zeros(COLS, int), np.zeros(ROWS, int)
    x[2], d[1] = 4096, 16384
    tile.update(x, d, 20.5 * device.step)
    assert tile.pulses == (0, 20, 1, 0, 0)
    weights, hidden = tile.state().weights, tile.state().hidden
    assert weights[1, 2] * tile.lsb == -20 * device.step
    assert np.count_nonzero(weights) == 1
    assert abs(hidden["chi"][1, 2] / ONE - 0.5) < 2e-4
    tile.update(x, d, 0.25 * device.step)
    assert tile.pulses == (0, 0, 1, 1, 0)
    assert hidden["writes"].tolist() == tile.state().hidden["writes"].tolist() == [1]
    tile.update(x, d, 40 * device.step)
    assert tile.pulses == (0, 31, 1, 0, 1)


@settings(max_examples=5)
@given(mixed_precisions(), st.integers(1, 7), st.integers(1, 2), st.integers(0, 2**32 - 1))
def test_compiled_engine_has_the_same_bits(device, batch, threads, seed):
    print(f"seed={seed}")
    train_alike(Config(device=device, seed=seed, batch=batch), 3 * device.step, threads)


def test_states_that_do_not_fit_are_refused():
    tile = make_tile(Config(device=NAMED["mixed-precision-pcm"]), ROWS, COLS)
    good = initial_state(tile.config, ROWS, COLS, 0)
    tile.load(good)
    assert good.weights.shape == (2 * ROWS, COLS)
    with pytest.raises(ValueError, match="hidden: expected chi, writes, got nothing"):
        tile.load(TileState(good.weights, good.steps))
    worse = dict(good.hidden) | {"writes": np.array([-1])}
    with pytest.raises(ValueError, match=r"writes: expected values of 0\.\."):
        tile.load(good._replace(hidden=worse))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"device": 3}, "device: expected a step device or a pair of them, got 3"),
        ({"device": NAMED["ecram2"]}, "device: expected a step device or a pair of them, got Vec"),
        ({"n_x_bins": 1}, r"n_x_bins: expected 2\.\.256, got 1"),
        ({"n_rows_per_transfer": -2}, r"n_rows_per_transfer: expected -1\.\.65536, got -2"),
        ({"transfer_lr": 0.0}, r"transfer_lr: expected 0\.001\.\.1000, got 0"),
        ({"stoc_round_d": 1}, "stoc_round_d: expected true or false, got 1"),
    ],
)
def test_device_that_cannot_be_is_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        MixedPrecision(**{"device": EXACT} | values)


def test_rates_beyond_a_sum_are_refused_before_anything_changes():
    tile = make_tile(Config(device=MixedPrecision(EXACT)), ROWS, COLS)
    x, d = np.ones(COLS, int), np.ones(ROWS, int)
    for lr in (1e-30, 1e12):
        with pytest.raises(ConfigError, match="lr: expected a learning rate at which products"):
            tile.backward_update(x, d, lr)
    assert tile.state().steps == (0, 0, 0)
    device = MixedPrecision(EXACT, granularity=8.0, transfer_lr=1000.0)
    with pytest.raises(ConfigError, match=r"device\.transfer_lr: expected a rate at which"):
        make_tile(Config(device=device).replace(formats={"d_frac": 4}), ROWS, COLS)
