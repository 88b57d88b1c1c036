"""The golden device against the equations of docs/devices.md, in floating point.

How properties spread over devices is in ``test_population.py``. The statistical tests have fixed
seeds: four standard errors would fail one run in a thousand.
"""

import numpy as np
import pytest
from hypothesis import assume, given, reject
from hypothesis import strategies as st

from ohmgrid.config import Config
from ohmgrid.devices.base import Device, StepDevice
from ohmgrid.devices.laws import Law
from ohmgrid.devices.presets import PRESETS
from ohmgrid.devices.steps import ConstantStep, ExpStep, PiecewiseStep, PowStep
from ohmgrid.devices.table_step import TableStep
from ohmgrid.doors.checks import ConfigError
from ohmgrid.model.base.noise import gaussian
from ohmgrid.model.core.tile import Tile, TileState
from ohmgrid.model.device.step import Cells, Static, static_properties, visit
from ohmgrid.model.periphery.pulses import chunks
from ohmgrid.periphery import PulseConfig
from ohmgrid.registers.curves import BOUND_FRAC, POSITION_BITS, RANGE_FRAC
from ohmgrid.registers.device import (
    CURVE_BITS,
    DITHER_BITS,
    REL_FRAC,
    STEP_FRAC,
    TOTAL_BITS,
    DeviceRegisters,
    device_registers,
)
from ohmgrid.registers.powers import LOG_FRAC, TABLE_BITS

ONE = 1 << REL_FRAC
BITS, SEGMENTS = 18, 128
CELLS = 1000
TOP = (1 << (BITS - 1)) - 1


def words(rng: np.random.Generator, count: int = CELLS) -> np.ndarray:
    return rng.integers(0, 1 << 32, count, dtype=np.uint32)


def properties(rng: np.random.Generator, regs: DeviceRegisters, count: int = CELLS) -> Static:
    """Draw the fixed properties of cells."""
    return static_properties(
        (words(rng, count), words(rng, count), words(rng, count)),
        np.zeros(count, bool),
        np.asarray(regs.reference)[rng.integers(0, 1024, count)],
        regs,
        BITS,
    )


def line(law: Law, side: int, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return f of the law at places and how far its table may be from it.

    The table is straight between nodes; a place is cut to an integer, nodes and results are
    rounded to integers, which the caller adds.
    """
    f = (law.up, law.down)[side]
    width = (1 << POSITION_BITS) // SEGMENTS
    centre = 0 if law.position == "room" else 1 << (POSITION_BITS - 1)
    scale = {"bound": 1 << BOUND_FRAC, "range": 1 << RANGE_FRAC, "room": 1 << POSITION_BITS}
    unit = scale[law.position]
    nodes = np.array([f((n * width - centre) / unit) for n in range(SEGMENTS + 1)])
    index = place * unit + centre
    segment = np.clip((index // width).astype(int), 1, SEGMENTS - 2)
    straight = np.interp(index, np.arange(SEGMENTS + 1) * width, nodes)
    exact = np.array([f(p) for p in place])
    change = np.max([np.abs(nodes[segment + k + 1] - nodes[segment + k]) for k in (-1, 0, 1)], 0)
    return exact, np.abs(straight - exact) + change / width


def curve(
    law: Law, gamma: np.ndarray, place: np.ndarray, down: np.ndarray, frac: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the curve of the law, and the largest error of its integers, in steps at w = 0."""
    unit = 2.0**-frac
    if law.power:
        exact = np.maximum(place, 0) ** gamma
        # Half a table interval in the mantissa, one cut place; half an interval in the power.
        steps = 2.0**-TABLE_BITS / 2
        logarithm = steps / np.log(2) + 2.0**-LOG_FRAC
        cut = 2.0**-POSITION_BITS / np.maximum(place - 2.0**-POSITION_BITS, 2.0**-POSITION_BITS)
        exponent = gamma * logarithm + steps + 2.0**-LOG_FRAC
        relative = (1 + cut) ** gamma * 2.0**exponent - 1
        return exact, exact * relative + 2 * unit
    sides = [line(law, side, place) for side in (0, 1)]
    f, error = (np.where(down, second, first) for first, second in zip(*sides, strict=True))
    return law.offset + gamma * f, np.abs(gamma) * (error + unit) + unit


EXAMPLES: dict[str, Device] = {
    **PRESETS,
    "exponential": ExpStep(dw_min=0.002, write_noise_std=1.0),
    "power": PowStep(dw_min=0.002, pow_gamma=1.7, pow_up_down=0.2),
    "piecewise": PiecewiseStep(piecewise_up=(2.0, 1.0, 0.2), piecewise_down=(0.5, 1.0, 1.5)),
    "log-normal": ConstantStep(dw_min_dtod=0.7, dw_min_dtod_log_normal=True),
}


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("pulses", [1, 31])
def test_a_visit_is_the_formula_within_its_quantisation(name, pulses):
    assert check_visit(EXAMPLES[name].unit, pulses, seed=1) > CELLS / 3


@given(data=st.data(), pulses=st.integers(1, 31), seed=st.integers(0, 2**32 - 1))
def test_any_device_is_the_formula_within_its_quantisation(devices, data, pulses, seed):
    device = data.draw(devices)
    # What is drawn from tables has no formula; `test_table_step.py` has its statistics.
    assume(not isinstance(device, TableStep))
    check_visit(device, pulses, seed)


def check_visit(device: StepDevice, pulses: int, seed: int) -> int:
    """Visit cells inside of their bounds, compare with floats; return how many were compared."""
    rng = np.random.default_rng(seed)
    try:
        regs = device_registers(device, BITS, SEGMENTS)
    except ConfigError:
        reject()
    law = device.law()
    # The tile gives such a device its pulses one by one.
    pulses = 1 if regs.serial else pulses
    static, noise = properties(rng, regs), words(rng)
    down = rng.integers(0, 2, CELLS).astype(bool)
    low, high = static.b_min, static.b_max
    if not law.own_bounds:
        low, high = np.maximum(low, regs.b_min), np.minimum(high, regs.b_max)
    value = np.rint(low + (high - low) * rng.uniform(0.02, 0.98, CELLS)).astype(np.int64)
    weight = value - static.reference
    keep = (high - low > 4000) & (np.abs(weight) <= TOP) & (np.abs(value) <= TOP)

    rel = np.where(down, static.rel_down, static.rel_up) / ONE
    gamma = np.where(down, static.gamma_down, static.gamma_up) / ONE
    if not law.own_bounds:
        low, high = np.full(CELLS, regs.b_min), np.full(CELLS, regs.b_max)
    span = np.maximum(high - low, 1)
    behind = np.where(down, law.behind_down, law.behind_up)
    ahead = np.maximum(np.where(down ^ behind, -low, high), 1)
    place = {
        "bound": np.where(down, -value, value) / ahead,
        "range": value / span,
        "room": np.where(down, value - low, high - value) / span,
    }[law.position]
    if law.position == "bound":
        # Beyond four bounds positions saturate.
        keep &= np.abs(place) < 3.9
    step, e_step = curve(law, gamma, place, down, regs.curve_frac)
    unit = 2.0**-regs.curve_frac
    local, e_local = rel * step, rel * e_step + unit
    xi = gaussian((noise & np.uint32(1023)).astype(np.int64)) / 64
    c2c = device.dw_min_std * np.sqrt(pulses)
    amplitude, e_amplitude = {
        "multiplicative": (np.abs(local), e_local),
        "additive": (rel, unit),
        "complex": (
            np.abs(local)
            + (law.noise_add + law.noise_slope * np.abs(value) * regs.lsb) / device.dw_min,
            e_local + unit * (3 + np.abs(value) / 2.0**17),
        ),
    }[law.noise]
    total = pulses * local + amplitude * c2c * xi
    # The table of sqrt(n) c is rounded to 1/512, its product with a draw to 1/1024.
    e_noise = amplitude * (np.abs(xi) / ONE + 0.5 / ONE) + c2c * np.abs(xi) * e_amplitude
    e_total = pulses * e_local + e_noise + 2 * unit
    # Nothing saturates: neither table entries nor what is computed from them.
    limit = (1 << (CURVE_BITS - 1)) * unit * 0.99
    keep &= (np.abs(step) < limit) & (np.abs(local) < limit) & (amplitude < limit)
    keep &= (np.abs(total) < (1 << (TOTAL_BITS - 1)) * unit * 0.99) & (c2c < 7.9)
    keep &= np.abs(step) < limit / 4
    dw = device.dw_min / regs.lsb
    e_dw = 0.5 * 2.0 ** (regs.curve_frac - STEP_FRAC - regs.dw_shift)
    allowed = e_total * dw + np.abs(total) * e_dw + 1.5
    expected = value + np.where(down, -1, 1) * total * dw
    dither = (1 << DITHER_BITS) if regs.visible else 0
    got = visit(Cells(weight, np.full(CELLS, pulses), down), static, noise, regs, BITS)
    keep &= ~static.stuck & (np.abs(got) < TOP)
    clipped = np.clip(expected, static.b_min, static.b_max)
    error = np.abs(got + static.reference - clipped) - allowed - dither
    assert error[keep].max(initial=-1.0) <= 0, f"seed {seed}: {error[keep].max()} LSB too far"
    return int(keep.sum())


def moments_agree(values: np.ndarray, mean: float, std: float, lsb: float):
    """Check mean and deviation to four standard errors and the register's rounding."""
    n = values.size
    assert abs(values.mean() - mean) <= 4 * std / np.sqrt(n) + lsb
    # The distribution is Gaussian to 1e-3 in its variance.
    assert abs(values.std() - std) <= (4 / np.sqrt(2 * n) + 1e-3) * std + lsb


@pytest.mark.parametrize("pulses", [1, 2, 7, 31])
@pytest.mark.parametrize("down", [False, True])
def test_cycle_to_cycle_noise_has_the_variance_of_its_pulses(pulses, down):
    device = ConstantStep(
        dw_min=0.002, dw_min_dtod=0, dw_min_std=0.3, up_down_dtod=0, w_max_dtod=0, w_min_dtod=0
    )
    regs = device_registers(device, BITS, SEGMENTS)
    rng, count = np.random.default_rng(17), 40_000
    zero = np.zeros(count, np.int64)
    static = properties(rng, regs, count)
    cells = Cells(zero, zero + pulses, np.full(count, down))
    moved = visit(cells, static, words(rng, count), regs, BITS) * regs.lsb / regs.granularity
    # c sqrt(n) is rounded to 1/512.
    moments_agree(moved, -pulses if down else pulses, 0.3 * np.sqrt(pulses), 1 / 512)


def test_a_stuck_device_stays_where_it_is(rng):
    regs = device_registers(ConstantStep(corrupt_devices_prob=1.0), BITS, SEGMENTS)
    weight = rng.integers(-TOP, TOP + 1, CELLS)
    cells = Cells(weight, np.full(CELLS, 31), rng.integers(0, 2, CELLS).astype(bool))
    moved = visit(cells, properties(rng, regs), words(rng), regs, BITS)
    np.testing.assert_array_equal(moved, weight)


@pytest.mark.parametrize(("dw_min", "bl"), [(2e-6, 10), (0.001, 10), (0.001, 100)])
def test_rounding_is_unbiased_and_the_update_has_its_variance(dw_min, bl):
    """Section 3: E[dw] = -lr d x, Var = g^2 BL P (1 - P), and rounding adds less than 1/4 LSB^2
    with each chunk of a train."""
    device = ConstantStep(
        dw_min=dw_min, dw_min_dtod=0, dw_min_std=0, up_down_dtod=0, w_max_dtod=0, w_min_dtod=0
    )
    # Copies of one small array along the diagonal share no line, so their pulses are independent.
    copies, updates = 25, 8000 // bl
    x = np.array([4096, -2048, 1024, 3000])
    d = np.array([16384, -9000, 4000])
    config = Config(seed=5, device=device, pulses=PulseConfig(desired_bl=bl))
    tile = Tile(config, copies * len(d), copies * len(x))
    g = tile.device.granularity
    lr = (bl - 0.3) * g
    start = tile.state().weights
    sums, squares = np.zeros((3, 4)), np.zeros((3, 4))
    for _ in range(updates):
        tile.update(np.tile(x, copies), np.tile(d, copies), lr)
        blocks = tile.weights.reshape(copies, 3, copies, 4)
        moved = blocks[np.arange(copies), :, np.arange(copies), :] * tile.lsb
        sums += moved.sum(axis=0)
        squares += (moved**2).sum(axis=0)
        tile.load(TileState(start, tile.state().steps))
    draws = copies * updates
    product = np.outer(d / 16384, x / 4096)
    probability = np.abs(lr * product) / (g * bl)
    pulses = g * np.sqrt(bl * probability * (1 - probability))
    # One draw a chunk decides between two neighbours: at most 1/4 LSB^2.
    most = np.sqrt(pulses**2 + chunks(bl) * tile.lsb**2 / 4)
    mean = sums / draws
    assert np.all(np.abs(mean + lr * product) <= 4 * most / np.sqrt(draws))
    variance = squares / draws - mean**2
    # The standard error of a variance, for a kurtosis of up to 3 + 1 / (BL P (1 - P)).
    kurtosis = 3 + 1 / (bl * probability * (1 - probability))
    error = 4 * most**2 * np.sqrt((kurtosis - 1) / draws)
    assert np.all(variance >= pulses**2 - error)
    assert np.all(variance <= most**2 + error)
