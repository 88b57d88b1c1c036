"""Residual learning: the golden tile against the equations in floats, and engines that agree."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import sums

from ohmgrid.compiled.core import CompiledCore
from ohmgrid.compiled.residual_tile import CompiledResidualTile
from ohmgrid.config import Config
from ohmgrid.devices.residual import ResidualLearning
from ohmgrid.devices.steps import ConstantStep
from ohmgrid.doors.checks import ConfigError
from ohmgrid.model.core.cells import make_tile
from ohmgrid.model.core.core import Core, initial_state
from ohmgrid.net import Net, state_sha256
from ohmgrid.periphery import PULSE_TYPES, ConverterConfig, PulseConfig
from ohmgrid.registers.residual import SUM_FRAC, residual_registers
from ohmgrid.tile import WEIGHTS, TileState, parts_of, transfers_of


@settings(max_examples=12)
@given(
    device=sums(),
    sizes=st.lists(st.integers(1, 20), min_size=2, max_size=4),
    pulse_type=st.sampled_from(PULSE_TYPES),
    desired_bl=st.sampled_from([1, 31, 40]),
    batch=st.integers(1, 4),
    threads=st.integers(1, 2),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_net_trains_to_the_same_bits(
    device, sizes, pulse_type, desired_bl, batch, threads, seed
):
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    pulses = PulseConfig(pulse_type=pulse_type, desired_bl=desired_bl)
    config, net = Config(seed=seed, device=device, pulses=pulses, batch=batch), Net(tuple(sizes))
    golden, compiled = Core(config, net), CompiledCore(config, net, threads)
    pixels = rng.integers(-4096, 4097, (12, sizes[0])) * rng.integers(0, 2, (12, sizes[0]))
    labels, lr = rng.integers(0, sizes[-1], 12), 40 * device.cell.granularity
    for core in (golden, compiled):
        core.initialise()
    try:
        compiled.train(pixels[:0], labels[:0], lr, batch)
    except ConfigError:  # a read is a step too small or too large for a register
        assume(False)
    for _ in range(2):
        assert golden.train(pixels, labels, lr, batch) == compiled.train(pixels, labels, lr, batch)
        # Layer by layer, what a core does in one call.
        x, d = pixels[3], rng.integers(-900, 901, sizes[1])
        x = np.append(x, 4096)
        for core in (golden, compiled):
            core.update(0, x, d, lr)
        np.testing.assert_array_equal(golden.forward(0, x), compiled.forward(0, x))
        assert golden.count_hits(pixels, labels) == compiled.count_hits(pixels, labels)
        assert state_sha256(golden.state()) == state_sha256(compiled.state())
        assert golden.counters == compiled.counters


ROWS, COLS, LR = 5, 7, 0.05
STEP, BOUND = 0.125, 0.875
EXACT = ConstantStep(
    dw_min=STEP,
    dw_min_dtod=0.0,
    dw_min_std=0.0,
    up_down_dtod=0.0,
    w_max=BOUND,
    w_max_dtod=0.0,
    w_min=-BOUND,
    w_min_dtod=0.0,
)
READ = ConverterConfig(out_bound=1.5, out_noise=0.0, adc_bits=12, noise_management="none")
CHAIN = ResidualLearning(
    EXACT,
    count=4,
    transfer_every=2.0,
    every_growth=3.0,
    transfer_lr=0.3,
    fast_lr=0.4,
    scale_fast_lr=False,
    transfer_forward=READ,
)
DETERMINISTIC = PulseConfig(pulse_type="deterministic-implicit")


def halfway(values):
    """Return where a little more or less would be rounded the other way."""
    return np.abs(np.abs(values - np.rint(values)) - 0.5) < 2e-3


class Floats:
    """The equations of docs/residual.md in floats, without noise."""

    def __init__(self, device: ResidualLearning) -> None:
        self.device = device
        self.weights = np.zeros((device.count, ROWS, COLS))
        self.unsure = np.zeros(self.weights.shape, bool)
        self.turns = [0] * (device.count - 1)
        self.updates = 0

    def _move(self, array: int, columns: slice, x: np.ndarray, d: np.ndarray, lr: float) -> None:
        """Pulse some columns of an array: ``rint(p_d rint(BL p_x))`` steps (docs/physics.md)."""
        largest = np.abs(x).max(), np.abs(d).max()
        asked = lr * largest[0] * largest[1] / STEP
        if asked == 0:
            return
        slots = min(np.ceil(asked), DETERMINISTIC.desired_bl)
        factor, ratio = np.sqrt(lr / (STEP * slots)), np.sqrt(largest[1] / largest[0])
        counts = slots * np.minimum(factor * ratio * np.abs(x), 1)
        steps = np.minimum(factor / ratio * np.abs(d), 1)[:, None] * np.rint(counts)
        self.unsure[array][:, columns] |= halfway(counts) | halfway(steps) | halfway(asked - 0.5)
        sign = -np.sign(d)[:, None] * np.sign(x)
        moved = self.weights[array][:, columns] + sign * np.rint(steps) * STEP
        self.weights[array][:, columns] = np.clip(moved, -BOUND, BOUND)

    def update(self, x: np.ndarray, d: np.ndarray) -> list[tuple[int, int]]:
        """Do an update; return which array handed on to which one."""
        device, last = self.device, self.device.count - 1
        self._move(0, slice(None), x, d, device.fast_lr)
        self.updates += 1
        stage = (self.updates - 1) // device.warm_updates if device.warm_updates else last
        if stage < last:
            every = device.transfer_every * device.every_growth
            due = [(0, last - stage)] if self.updates % every == 0 else []
        else:
            due = [
                (k, k + 1)
                for k in range(last)
                if self.updates % (device.transfer_every * device.every_growth**k) == 0
            ]
        for source, target in due:
            column = self.turns[source] % COLS
            self.turns[source] += 1
            code = READ.out_bound / READ.adc_half
            read = np.rint(self.weights[source][:, column] / code) * code
            rate = device.transfer_lr * device.lr_growth ** (last - source)
            self._move(target, slice(column, column + 1), np.ones(1), -read, rate)
        return due


@pytest.mark.parametrize("warm", [0, 150])
def test_arrays_follow_the_equations_for_a_thousand_updates(warm):
    device = replace(CHAIN, warm_updates=warm)
    config = Config(device=device, pulses=DETERMINISTIC)
    # Arrays of the compiled engine: the same bits, many times as fast.
    tile, floats = CompiledResidualTile(config, ROWS, COLS), Floats(device)
    gains = np.array(device.gains())
    rng, moved, handed = np.random.default_rng(5), np.zeros(device.count, int), set()
    before, sure, state = np.zeros_like(floats.weights), 0.0, tile.state()
    for _ in range(1000):
        x, d = rng.integers(-4096, 4097, COLS), rng.integers(-16384, 16385, ROWS)
        tile.update(x, d, LR)
        handed |= set(floats.update(x / 4096, d / 16384))
        state = tile.state()
        wide = np.concatenate([state.weights, state.hidden["finer"]], axis=1) * tile.lsb
        found = np.stack(np.split(wide, device.count, axis=1)[::-1])
        # Where a half decides, either way is right.
        near = np.abs(found - floats.weights) < 1.01 * STEP
        assert near[floats.unsure].all()
        floats.weights[floats.unsure] = found[floats.unsure]
        sure += 1 - floats.unsure.mean()
        floats.unsure[:] = False
        # A step is a whole number of LSB.
        np.testing.assert_array_equal(found, floats.weights)
        moved += (found != before).sum(axis=(1, 2))
        before = found
        total = np.tensordot(gains, found, 1) / tile.lsb
        shown = parts_of(device, state)[WEIGHTS]
        assert np.abs(shown - total).max() <= 0.5 + 2 * 2.0**17 / 2**SUM_FRAC / 2
        np.testing.assert_array_equal(shown, tile.read())
    assert moved.min() >= 20
    assert sure > 970
    assert state.hidden["transfer_steps"][:-1].tolist() == floats.turns
    chain = {(k, k + 1) for k in range(3)}
    assert handed == (chain | {(0, 3), (0, 2)} if warm else chain)
    assert transfers_of([state])["columns_read"] == [sum(floats.turns)]
    assert transfers_of([state])["slow_pulses"][0] > 0


def test_state_taken_over_goes_on_with_the_same_bits():
    config = Config(device=ResidualLearning(EXACT, count=3, warm_updates=20))
    rng = np.random.default_rng(7)
    first, second = (make_tile(config, ROWS, COLS, 1) for _ in range(2))
    first.load(initial_state(config, ROWS, COLS, 1))
    pairs = [(rng.integers(-4096, 4097, COLS), rng.integers(-4096, 4097, ROWS)) for _ in range(50)]
    for x, d in pairs[:30]:
        first.update(x, d, LR)
    second.load(first.state())
    for x, d in pairs[30:]:
        first.update(x, d, LR)
        second.update(x, d, LR)
    assert state_sha256([first.state()]) == state_sha256([second.state()])
    good = first.state()
    worse = dict(good.hidden) | {"finer": good.hidden["finer"][:, 1:]}
    with pytest.raises(ValueError, match=r"finer: expected integers of shape \(5, 14\)"):
        second.load(TileState(good.weights, good.steps, worse))


def test_first_weights_are_on_the_last_array_within_its_own_bounds():
    cell = replace(EXACT, w_max_dtod=0.9, w_min_dtod=0.9)
    config = Config(device=ResidualLearning(cell, count=3))
    state = initial_state(config, ROWS, COLS, 2)
    alone = initial_state(config.replace(device=cell), ROWS, COLS, 2)
    np.testing.assert_array_equal(state.weights, alone.weights)
    assert not state.hidden["finer"].any()
    tile = make_tile(config, ROWS, COLS, 2)
    tile.load(state)
    # Nothing is asked: no cell is at a place that its bounds forbid.
    tile.update(np.zeros(COLS, int), np.zeros(ROWS, int), LR)
    np.testing.assert_array_equal(tile.state().weights, state.weights)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cell": 3}, "cell: expected a step device, got 3"),
        ({"count": 1}, r"count: expected 2\.\.16, got 1"),
        ({"gamma": 1.5}, r"gamma: expected 0\.05\.\.1, got 1\.5"),
        ({"cell": replace(EXACT, perfect_bias=True)}, "cell: expected a device without perfect"),
        (
            {"transfer_forward": replace(READ, ir_drop=1.0)},
            r"transfer_forward\.ir_drop: expected 0",
        ),
    ],
)
def test_device_that_cannot_be_is_refused(changes, message):
    values: dict = {"cell": EXACT, **changes}
    with pytest.raises(ConfigError, match=message):
        ResidualLearning(**values)


def test_weight_that_rounds_to_nothing_is_refused():
    config = Config(device=ResidualLearning(EXACT, count=8, gamma=0.1))
    with pytest.raises(ConfigError, match=r"gamma: expected a power of at least 2\*\*-13"):
        residual_registers(config)
