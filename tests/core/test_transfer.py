"""Transfers between two arrays: the golden tile against the equations in floats, step for step."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ohmgrid.compiled.tile import CompiledTile
from ohmgrid.config import Config
from ohmgrid.devices.base import StepDevice
from ohmgrid.devices.presets import NAMED
from ohmgrid.devices.steps import ConstantStep
from ohmgrid.devices.transfer import (
    BufferedTransfer,
    ChoppedTransfer,
    DynamicTransfer,
    Transfer,
)
from ohmgrid.doors.checks import ConfigError
from ohmgrid.model.core.cells import make_tile
from ohmgrid.model.core.core import initial_state
from ohmgrid.model.core.transfer import TransferTile
from ohmgrid.model.core.transfer_laws import averaged, rate_of
from ohmgrid.periphery import ConverterConfig, PulseConfig
from ohmgrid.registers.transfer import AVERAGE_FRAC, BUFFER_FRAC, RATE_FRAC, scaled_rate
from ohmgrid.tile import TileState

ROWS, COLS = 5, 7
EXACT = ConstantStep(
    dw_min=0.002,
    dw_min_dtod=0.0,
    dw_min_std=0.0,
    up_down_dtod=0.0,
    w_max=1.0,
    w_max_dtod=0.0,
    w_min=-1.0,
    w_min_dtod=0.0,
)
READ = ConverterConfig(out_bound=1.5, out_noise=0.0, adc_bits=12, noise_management="none")
ONE = 1 << BUFFER_FRAC


class Floats:
    """A transfer in floats, from what was read: the equations of docs/transfer.md."""

    def __init__(self, device: Transfer, lr: float) -> None:
        self.device, self.lr = device, lr
        self.buffer, self.mean, self.past = (np.zeros((ROWS, COLS)) for _ in range(3))
        self.column_sign, self.row_sign = np.ones(COLS), np.ones(ROWS)
        self.turned = np.zeros(COLS, bool)
        self.reads = 0

    def steps(self, read: np.ndarray) -> np.ndarray:
        """Take a read of the next column; return the steps of the slow array."""
        device = self.device
        turn, column = divmod(self.reads, COLS)
        rate = device.transfer_lr * (self.lr if device.scale_transfer_lr else 1.0)
        self.reads += 1
        if isinstance(device, BufferedTransfer):
            value = read * rate / (device.thres_scale * device.slow.granularity)
        else:
            assert isinstance(device, ChoppedTransfer)
            granularity = device.buffer_granularity * device.fast.granularity
            if device.auto_granularity:
                granularity *= device.auto_granularity / (COLS * abs(device.transfer_every))
            value = self._difference(device, column, read) * rate / granularity
            value = value * self.column_sign[column] * self.row_sign
        omega = self.buffer[:, column] + value
        steps = np.clip(np.trunc(omega), -1, 1)
        if device.forget_buffer:
            left = np.where(steps == 0, omega, device.momentum * omega)
        else:
            left = omega - (1 - device.momentum) * steps
            cap = getattr(device, "buffer_cap", 0.0)
            left = np.where(steps == 0, omega, np.clip(left, -cap, cap) if cap else left)
        self.buffer[:, column] = left
        if isinstance(device, ChoppedTransfer):
            self._turn(device, turn, column)
        if isinstance(device, DynamicTransfer) and turn <= device.reads:
            return np.zeros(ROWS)
        return steps

    def _difference(self, device: ChoppedTransfer, column: int, read: np.ndarray) -> np.ndarray:
        if not isinstance(device, DynamicTransfer):
            return read
        if self.turned[column]:
            self.past[:, column] = self.mean[:, column]
        share = min(device.tail_weightening / device.reads, 1.0)
        self.mean[:, column] = (1 - share) * self.mean[:, column] + share * read
        return read - self.past[:, column]

    def _turn(self, device: ChoppedTransfer, turn: int, column: int) -> None:
        self.turned[column] = bool(device.reads) and turn % device.reads == device.reads - 1
        if self.turned[column]:
            self.column_sign[column] *= -1


DEVICES = {
    "ttv2": BufferedTransfer(EXACT, EXACT, transfer_forward=READ, transfer_lr=0.4, thres_scale=9.0),
    "ttv2, step forgotten": BufferedTransfer(
        EXACT,
        EXACT,
        transfer_forward=READ,
        transfer_lr=0.4,
        thres_scale=9.0,
        forget_buffer=False,
        momentum=0.3,
    ),
    "chopped": ChoppedTransfer(
        EXACT,
        EXACT,
        transfer_forward=READ,
        fast_lr=0.05,
        in_chop_prob=0.3,
        in_chop_random=False,
        auto_granularity=20.0,
        momentum=0.2,
    ),
    "chopped, every third": ChoppedTransfer(
        EXACT,
        EXACT,
        transfer_forward=READ,
        fast_lr=0.05,
        transfer_every=3.0,
        in_chop_prob=0.2,
        in_chop_random=False,
        buffer_granularity=20.0,
    ),
    "agad": DynamicTransfer(
        EXACT,
        EXACT,
        transfer_forward=READ,
        fast_lr=0.05,
        in_chop_prob=0.2,
        auto_granularity=20.0,
        tail_weightening=2.0,
    ),
    "agad, capped": DynamicTransfer(
        EXACT,
        EXACT,
        transfer_forward=READ,
        fast_lr=0.05,
        in_chop_prob=0.2,
        auto_granularity=30.0,
        forget_buffer=False,
        buffer_cap=1.5,
    ),
}


@pytest.mark.parametrize("name", DEVICES)
def test_buffers_signs_and_steps_follow_the_equations_for_a_thousand_updates(name):
    device, lr = DEVICES[name], 0.1
    config = Config(device=device, pulses=PulseConfig(pulse_type="deterministic-implicit"))
    # Arrays of the compiled engine: the same bits, many times as fast.
    tile, floats = TransferTile(config, ROWS, COLS, 0, CompiledTile), Floats(device, lr)
    rng = np.random.default_rng(3)
    every = int(device.transfer_every)
    reads = pulsed = near = 0
    for update in range(1, 1001):
        before = tile.state()
        x, d = rng.integers(-4096, 4097, COLS), rng.integers(-4096, 4097, ROWS)
        tile.update(x, d, lr)
        after = tile.state()
        column = reads % COLS
        fast = after.hidden["fast"] * tile.fast.lsb
        slow = (after.weights - before.weights) * tile.slow.lsb
        others = np.delete(slow, column, axis=1)
        assert not others.any()
        if update % every:
            assert not slow.any()
            continue
        # Without noise a read is the column, to half a code.
        code = READ.out_bound / READ.adc_half
        read = np.rint(fast[:, column] / code) * code
        steps = floats.steps(read)
        reads += 1
        assert after.hidden["transfer_steps"][0] == reads
        moved = after.hidden["slow_pulses"] - before.hidden["slow_pulses"]
        assert moved == np.count_nonzero(slow)
        buffer = after.hidden["buffer"] / ONE
        unsure = np.abs(np.abs(floats.buffer) - 1) < 1e-3
        near += int(unsure.any())
        np.testing.assert_allclose(buffer, floats.buffer, atol=2e-3)
        # The slow device is at no bound: a step is one dw_min.
        np.testing.assert_array_equal(np.rint(slow[:, column] / EXACT.dw_min), steps)
        pulsed += int(np.abs(steps).sum())
        if isinstance(device, ChoppedTransfer):
            turned = (after.hidden["column_signs"] & 1).astype(bool)
            np.testing.assert_array_equal(turned, floats.column_sign < 0)
    assert pulsed > 50
    assert near < 200


def test_tiki_taka_writes_what_it_reads_times_the_rate():
    slow = replace(EXACT, dw_min=0.0001)
    device = Transfer(EXACT, slow, transfer_forward=READ, transfer_lr=0.5, transfer_every=2.0)
    pulses = PulseConfig(pulse_type="deterministic-implicit", desired_bl=31)
    device = replace(device, transfer_update=replace(pulses, desired_bl=127))
    tile = TransferTile(Config(device=device, pulses=pulses), ROWS, COLS)
    rng, lr = np.random.default_rng(5), 0.05
    for update in range(1, 41):
        before = tile.state()
        tile.update(rng.integers(-4096, 4097, COLS), rng.integers(-4096, 4097, ROWS), lr)
        after = tile.state()
        moved = (after.weights - before.weights) * tile.slow.lsb
        column = (update // 2 - 1) % COLS
        if update % 2:
            assert not moved.any()
            continue
        assert not np.delete(moved, column, axis=1).any()
        asked = 0.5 * lr * after.hidden["fast"][:, column] * tile.fast.lsb
        # Trains count pulses: a half at most is lost to rounding, on either side.
        np.testing.assert_allclose(moved[:, column], asked, atol=1.6 * slow.dw_min)


def test_fast_array_learns_as_any_array_does():
    """With nothing transferred, the fast array is a tile of its number."""
    device = Transfer(NAMED["reram-es"].unit, EXACT, transfer_every=0.0)
    config = Config(device=device)
    tile = TransferTile(config, ROWS, COLS, 2)
    alone = make_tile(config.replace(device=device.fast), ROWS, COLS, 34)
    rng = np.random.default_rng(1)
    for _ in range(20):
        x, d = rng.integers(-4096, 4097, COLS), rng.integers(-4096, 4097, ROWS)
        tile.update(x, d, 0.1)
        alone.update(x, d, 0.1)
    state = tile.state()
    np.testing.assert_array_equal(state.hidden["fast"], alone.state().weights)
    assert not state.weights.any()
    assert state.steps == (0, 0, 20)


def test_auto_scale_asks_for_its_part_of_the_longest_train():
    device = ChoppedTransfer(EXACT, EXACT, auto_scale=True, fast_lr=0.5, auto_momentum=0.0)
    config = Config(device=device)
    slots = scaled_rate(config, 0.1)
    for x_max, d_max in ((4096, 16384), (2, 30), (32767, 32767), (17, 3)):
        averages = [averaged(7 << AVERAGE_FRAC, value, 1 << 24) for value in (x_max, d_max)]
        assert averages == [x_max << AVERAGE_FRAC, d_max << AVERAGE_FRAC]
        rate, shift = rate_of(slots, *averages)
        pulses = (x_max * d_max * rate >> shift) / 65536
        assert abs(pulses / (0.5 * config.pulses.desired_bl) - 1) < 2**-16


@settings(max_examples=200)
@given(st.integers(1, 1 << 32), *(st.integers(0, 1 << 31) for _ in range(2)))
def test_rate_is_the_quotient_with_18_bits(slots, x_average, d_average):
    rate, shift = rate_of(slots, x_average, d_average)
    cut = AVERAGE_FRAC - RATE_FRAC
    product = (x_average >> cut) * (d_average >> cut)
    if product == 0:
        assert rate == 0
        return
    exact = slots / product
    if rate == (1 << 18) - 1 and shift == 0:
        assert exact >= (1 << 18) - 1
    else:
        assert 1 << 17 <= rate < 1 << 18
        assert rate / 2**shift <= exact * (1 + 2**-50) < (rate + 1) / 2**shift * (1 + 2**-40)


def test_averages_begin_with_the_first_value_and_pass_over_zeros():
    weight = 1 << 14
    first = averaged(0, 1000, weight)
    assert first == 1000 << AVERAGE_FRAC
    assert averaged(first, 0, weight) == first
    second = averaged(first, 2000, weight)
    assert abs(second / (1 << AVERAGE_FRAC) - (1000 + 1000 * 2**-10)) < 2**-14


@pytest.mark.parametrize("name", ["tiki-taka-ecram", "chopped-ttv2-reram-sb", "agad-capacitor"])
def test_state_taken_over_goes_on_with_the_same_bits(name):
    config = Config(device=NAMED[name])
    rng, lr = np.random.default_rng(7), 0.1
    first, second = (make_tile(config, ROWS, COLS, 1) for _ in range(2))
    first.load(initial_state(config, ROWS, COLS, 1))
    updates = [
        (rng.integers(-4096, 4097, COLS), rng.integers(-4096, 4097, ROWS)) for _ in range(60)
    ]
    for x, d in updates[:40]:
        first.update(x, d, lr)
    second.load(first.state())
    for x, d in updates[40:]:
        first.update(x, d, lr)
        second.update(x, d, lr)
    one, other = first.state(), second.state()
    assert one.steps == other.steps
    np.testing.assert_array_equal(one.weights, other.weights)
    assert one.hidden.keys() == other.hidden.keys()
    for key, array in one.hidden.items():
        np.testing.assert_array_equal(array, other.hidden[key])


def test_states_that_do_not_fit_are_refused_whole():
    config = Config(device=NAMED["agad-ecram"])
    tile = make_tile(config, ROWS, COLS)
    good = tile.state()
    with pytest.raises(ValueError, match=r"hidden: expected fast, transfer_steps, .* got nothing"):
        tile.load(TileState(good.weights, good.steps))
    worse = dict(good.hidden) | {"buffer": np.zeros((ROWS, COLS + 1), np.int32)}
    with pytest.raises(ValueError, match=r"buffer: expected integers of shape \(5, 7\)"):
        tile.load(TileState(good.weights, good.steps, worse))
    worse = dict(good.hidden) | {"column_signs": np.full(COLS, 4, np.uint8)}
    with pytest.raises(ValueError, match=r"column_signs: expected values of 0\.\.3"):
        tile.load(TileState(good.weights, good.steps, worse))
    plain = make_tile(Config(), ROWS, COLS)
    with pytest.raises(ValueError, match="hidden: expected nothing, got fast"):
        plain.load(good)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fast": 3}, "fast: expected a step device, got 3"),
        ({"transfer_every": 0.0}, "transfer_every: expected other than 0"),
        ({"transfer_update": PulseConfig()}, "transfer_update: expected desired_bl 1 and no manag"),
        ({"auto_scale": True, "fast_lr": 0.0}, "fast_lr: expected more than 0 with auto_scale"),
        ({"n_reads_per_transfer": 2}, "n_reads_per_transfer: expected 1 column, got 2"),
        ({"in_chop_prob": 1.5}, r"in_chop_prob: expected 0\.\.1, got 1\.5"),
        ({"momentum": -0.1}, r"momentum: expected 0\.\.1, got -0\.1"),
    ],
)
def test_device_that_cannot_be_is_refused(changes, message):
    values: dict = {"fast": EXACT, "slow": EXACT, **changes}
    with pytest.raises(ConfigError, match=message):
        ChoppedTransfer(**values)


def test_rates_beyond_a_buffer_are_refused_before_anything_changes():
    device = ChoppedTransfer(EXACT, EXACT, transfer_lr=1000.0, buffer_granularity=1e-6)
    tile = make_tile(Config(device=device), ROWS, COLS)
    with pytest.raises(ConfigError, match="transfer_lr: expected a rate at which the smallest"):
        tile.update(np.ones(COLS, int), np.ones(ROWS, int), 10.0)
    assert tile.state().steps == (0, 0, 0)
    unmanaged = PulseConfig(update_management=False, update_bl_management=False)
    config = Config(device=ChoppedTransfer(EXACT, EXACT, auto_scale=True), pulses=unmanaged)
    with pytest.raises(ConfigError, match="update_management: expected true with auto_scale"):
        make_tile(config, ROWS, COLS)


def test_number_of_a_fast_array_is_free_of_layers():
    assert isinstance(EXACT, StepDevice)
    with pytest.raises(ValueError, match=r"number: expected 0\.\.31 of a tile with transfers"):
        make_tile(Config(device=NAMED["agad-ecram"]), ROWS, COLS, 32)
