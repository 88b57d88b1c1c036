"""The cell of two phase-change devices and a capacitor: closed forms, and what a transfer keeps."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ohmgrid.config import Config
from ohmgrid.devices.pcm_capacitor import Pcm, PcmCapacitor
from ohmgrid.devices.presets import preset
from ohmgrid.devices.steps import ConstantStep
from ohmgrid.doors.checks import ConfigError
from ohmgrid.engines import make_core
from ohmgrid.hidden import WRITTEN
from ohmgrid.model.core.core import initial_state, programmed_state
from ohmgrid.model.core.pcm_capacitor import PcmCapacitorTile
from ohmgrid.model.device.pcm import cleared, pulsed, read, write
from ohmgrid.net import Net, state_sha256
from ohmgrid.periphery import PulseConfig
from ohmgrid.registers.device import device_registers
from ohmgrid.registers.pcm import MOST_COUNT, PcmRegisters, pcm_registers
from ohmgrid.tile import WEIGHTS, parts_of

EXACT = ConstantStep(
    dw_min=2**-9,
    dw_min_dtod=0.0,
    dw_min_std=0.0,
    up_down_dtod=0.0,
    w_max=1.0,
    w_max_dtod=0.0,
    w_min=-1.0,
    w_min_dtod=0.0,
)


def paper(**changes) -> PcmCapacitor:
    """Return the preset of the cell with single parameters replaced."""
    device = preset("pcm-3t1c")
    assert isinstance(device, PcmCapacitor)
    return replace(device, **changes)


def registers(device: PcmCapacitor) -> tuple[PcmRegisters, float]:
    """Return the registers of a device, and microsiemens of one LSB."""
    config = Config(device=device)
    formats = config.formats
    lsb = device_registers(device.unit, formats.weight_bits, formats.curve_segments).lsb
    return pcm_registers(config, lsb), lsb / device.scale


def words(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 1 << 32, shape, dtype=np.uint32)


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_first_pulse_and_its_spread_are_those_of_the_paper(seed):
    print(f"seed={seed}")
    regs, us = registers(PcmCapacitor(EXACT))
    number = 40000
    g = np.full(number, round(0.1 / us), np.int64)
    wide = replace(regs, g_min=-(1 << 24), g_max=1 << 24)
    moved = (pulsed(g, np.ones(number, np.int64), words(seed, (number,)), wide) - g) * us
    error = 1.733 / number**0.5
    assert abs(moved.mean() - 1.825) < 4 * error
    assert abs(moved.std() - 1.733) < 4 * error


def test_mean_pulses_lead_to_their_fixed_point():
    quiet = Pcm(spread=0.0, spread_slope=0.0, spread_memory=0.0)
    regs, us = registers(PcmCapacitor(EXACT, pcm=quiet))
    g = np.array([0], np.int64)
    for count in range(1, 400):
        g = pulsed(g, np.array([min(count, MOST_COUNT)]), words(count, (1,)), regs)
    assert abs(g[0] * us - 0.880 / 0.084) < 0.01


def test_reset_and_read_have_their_spread():
    regs, us = registers(PcmCapacitor(EXACT, pcm=Pcm(reset_std=0.05)))
    number = 40000
    low = cleared(words(1, (number,)), regs) * us
    assert abs(low.mean() - 0.1) < 4 * 0.05 / number**0.5 + 0.02 * 0.05
    g = np.full(number, round(8 / us), np.int64)
    found = read(g, words(2, (number,)), regs) * us - 8
    assert abs(found.std() / (0.13 + 0.03 * 8) - 1) < 4 / (2 * number) ** 0.5 + 0.002


def test_closed_loop_ends_within_its_tolerance_or_its_pulses():
    device = PcmCapacitor(EXACT, pcm=Pcm(read_noise=0.0, read_noise_slope=0.0), most_pulses=60)
    regs, us = registers(device)
    shape, rng = (40, 50), np.random.default_rng(4)
    target = rng.integers(0, round(9 / us), shape)
    g, counts, taken = write(
        np.zeros(shape, np.int64),
        np.zeros(shape, np.int64),
        target,
        lambda pulse: words(pulse, shape),
        regs,
    )
    near = np.abs(g - target) <= regs.tolerance
    assert near.mean() > 0.99
    assert g.min() >= 0
    assert g.max() <= regs.g_max
    assert counts.max() <= MOST_COUNT
    # Of few pulses more are left to the capacitor.
    few, _, less = write(
        np.zeros(shape, np.int64),
        np.zeros(shape, np.int64),
        target,
        lambda pulse: words(pulse, shape),
        replace(regs, most_pulses=4),
    )
    assert (np.abs(few - target) <= regs.tolerance).mean() < 0.9
    # Every pulse is read back, and every device once before.
    assert taken.reads == target.size + taken.sets + taken.resets
    assert taken.sets >= counts.sum()
    assert less.sets + less.resets <= 4 * target.size < taken.sets


@settings(max_examples=8)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_transfer_keeps_a_weight_up_to_a_step_of_the_capacitor(seed, inversion):
    print(f"seed={seed}")
    device = PcmCapacitor(EXACT, transfer_every=1, polarity_inversion=inversion)
    config = Config(device=device, seed=seed)
    tile, rng = PcmCapacitorTile(config, 12, 9), np.random.default_rng(seed)
    state = initial_state(config, 12, 9, 0)
    g = rng.integers(-60000, 60001, (12, 9)).astype(np.int32)
    tile.load(state._replace(weights=g))
    for _ in range(4):
        tile.update(rng.integers(-4096, 4097, 9), rng.integers(-900, 901, 12), 0.01)
        before, state = tile.read(), tile.state()
        tile.settle()
        step = round(EXACT.dw_min / tile.lsb)
        left = tile.state().weights
        # A write may miss by more than a capacitor holds.
        held = np.abs(left) < (1 << 17) - 1
        assert held.mean() > 0.98
        assert np.abs(tile.read() - before)[held].max() <= (step + 1) // 2
        written = dict(zip(WRITTEN, tile.cells.written - state.hidden["written"], strict=True))
        moved = np.abs(left.astype(np.int64) - state.weights).sum()
        assert written["residue_steps"] == moved // step
        pulses = written["set_pulses"] + written["resets"]
        assert written["devices_read"] == 2 * left.size + pulses > 2 * left.size
        assert not np.array_equal(tile.state().weights, before)


@pytest.mark.parametrize("intervals", [1, 2, 3, 4, 7, 8])
@pytest.mark.parametrize("inversion", [True, False])
def test_spurious_weight_of_as_many_up_as_down_pulses(intervals, inversion):
    """Without inversion ``K n (s+ - s-)``; with it 0 of even K, one interval's of odd ones."""
    up_down, pulses = 0.25, 40
    capacitor = replace(EXACT, up_down=up_down)
    device = PcmCapacitor(
        capacitor, transfer_every=2 * pulses, polarity_inversion=inversion, offset=0.0
    )
    one = PulseConfig(desired_bl=1, update_management=False, update_bl_management=False)
    config = Config(device=device, pulses=one)
    tile = PcmCapacitorTile(config, 6, 5)
    x, d = np.full(5, 4096), np.full(6, 16384)
    for _ in range(intervals):
        for _ in range(pulses):
            tile.update(x, -d, capacitor.dw_min)
            tile.update(x, d, capacitor.dw_min)
        tile.settle()
    spurious = tile.read() * tile.lsb
    # The weaker direction is lowered: ups by 1, downs by 1 - up_down.
    interval = pulses * up_down * capacitor.dw_min
    expected = interval * (intervals % 2 if inversion else intervals)
    # Each transfer rounds to a step of the capacitor.
    assert np.abs(spurious - expected).max() <= 0.51 * intervals * capacitor.dw_min


@pytest.mark.parametrize("inversion", [True, False])
def test_leaks_of_two_intervals_cancel_with_inversion(inversion, fixed_rng):
    """g begins each at the offset, whatever its sign; without inversion all leaks add up."""
    capacitor = replace(EXACT, lifetime=1000.0, reset=0.4)
    device = PcmCapacitor(
        capacitor, transfer_every=100, polarity_inversion=inversion, offset=0.1, tolerance=0.2
    )
    config = Config(device=device)
    tile = PcmCapacitorTile(config, 40, 30)
    state = initial_state(config, 40, 30, 0)
    lsb = tile.lsb
    tile.load(
        state._replace(weights=(fixed_rng.uniform(-0.6, 0.6, (40, 30)) / lsb).astype(np.int32))
    )
    begins, leaks = [], []
    for _ in range(5):
        before = tile.read()
        begins.append(tile.state().weights.mean() * lsb)
        for _ in range(100):
            tile.update(np.zeros(30, int), np.zeros(40, int), 0.01)
        leaks.append((tile.read() - before).mean() * lsb)
        tile.settle()
    # The first interval begins with weights as they came.
    assert begins[1:] == pytest.approx([0.1] * 4, abs=0.02)
    leak = (0.4 - np.array(begins[1:])) * (1 - (1 - 1 / 1000) ** 100)
    signs = [-1, 1, -1, 1] if inversion else [1] * 4
    assert leaks[1:] == pytest.approx(signs * leak, rel=0.02)
    assert abs(leaks[1] + leaks[2]) < 0.1 * abs(leaks[1]) or not inversion


def test_leak_leads_to_its_target_in_its_time():
    capacitor = replace(EXACT, lifetime=500.0, reset=0.4)
    device = PcmCapacitor(capacitor, transfer_every=0)
    tile = PcmCapacitorTile(Config(device=device), 30, 20)
    for _ in range(500):
        tile.update(np.zeros(20, int), np.zeros(30, int), 0.01)
    found = (tile.read() * tile.lsb).mean()
    assert abs(found - 0.4 * (1 - (1 - 1 / 500) ** 500)) < 2e-3


def test_weights_are_the_parts_of_a_state():
    config = Config(device=paper(transfer_every=3))
    tile, rng = PcmCapacitorTile(config, 7, 5, 2), np.random.default_rng(1)
    tile.load(initial_state(config, 7, 5, 2))
    for _ in range(10):
        tile.update(rng.integers(-4096, 4097, 5), rng.integers(-9000, 9001, 7), 0.3)
        tile.settle()
        np.testing.assert_array_equal(parts_of(config.device, tile.state())[WEIGHTS], tile.read())


def test_programmed_weights_are_held_exactly_within_the_pair():
    config = Config(device=PcmCapacitor(EXACT))
    weights = np.random.default_rng(2).uniform(-2.0, 2.0, (9, 6))
    state, lost = programmed_state(config, 0, weights)
    tile = PcmCapacitorTile(config, 9, 6)
    tile.load(state)
    assert lost == 0
    np.testing.assert_allclose(tile.read() * tile.lsb, weights, atol=tile.lsb)
    _, lost = programmed_state(config, 0, np.full((2, 2), 7.0))
    assert lost == 4


@settings(max_examples=6)
@given(
    every=st.integers(1, 30),
    inversion=st.booleans(),
    noise=st.sampled_from([0.0, 0.02]),
    batch=st.integers(1, 7),
    threads=st.integers(1, 2),
    seed=st.integers(0, 2**32 - 1),
)
def test_compiled_engine_has_the_same_bits(every, inversion, noise, batch, threads, seed):
    print(f"seed={seed}")
    device = paper(
        transfer_every=every,
        polarity_inversion=inversion,
        read_noise=noise,
    )
    config, net = Config(device=device, seed=seed), Net((9, 6, 4))
    cores = [make_core(engine, config, net, threads) for engine in ("model", "compiled")]
    rng = np.random.default_rng(seed)
    pixels, labels = rng.integers(-4096, 4097, (40, 9)), rng.integers(0, 4, 40)
    for core in cores:
        core.initialise()
        core.train(pixels, labels, 0.1, batch)
    one, other = (core.state() for core in cores)
    assert state_sha256(one) == state_sha256(other)
    assert one[0].hidden["transfers"][0] == (40 - 1) // batch * batch // every
    assert cores[0].counters.as_dict() == cores[1].counters.as_dict()
    assert cores[0].count_hits(pixels, labels) == cores[1].count_hits(pixels, labels)
    cores[1].load(one)
    cores[0].load(one)
    for core in cores:
        core.train(pixels, labels, 0.1, batch)
    assert state_sha256(cores[0].state()) == state_sha256(cores[1].state())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PcmCapacitor(3), "capacitor: expected a step device, got 3"),  # type: ignore[arg-type]
        (lambda: PcmCapacitor(preset("reram-es").unit), "capacitor: expected a device without wr"),
        (lambda: PcmCapacitor(EXACT, gain=0), r"gain: expected 1\.\.16, got 0"),
        (lambda: PcmCapacitor(EXACT, pcm=3), "pcm: expected a table, got 3"),  # type: ignore[arg-type]
        (lambda: Pcm(g_min=20.0), "g_min: expected 0"),
    ],
)
def test_cells_that_cannot_be_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_what_does_not_fit_a_word_or_is_not_modelled_is_refused():
    with pytest.raises(ConfigError, match=r"device\.scale: expected at most 0\.083"):
        PcmCapacitorTile(Config(device=PcmCapacitor(EXACT, scale=0.1)), 3, 3)
    config = Config(device=PcmCapacitor(EXACT)).replace(forward={"ir_drop": 1.0})
    with pytest.raises(ConfigError, match=r"forward\.ir_drop: expected to be off with a PcmCap"):
        PcmCapacitorTile(config, 3, 3)
