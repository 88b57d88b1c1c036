"""The golden device against the equations of docs/physics.md, section 4, in floating point.

The statistical tests have fixed seeds: four standard errors would fail one run in a thousand.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ohmgrid.config import Config
from ohmgrid.devices import ConstantStep, LinearStep, SoftBounds, StepDevice
from ohmgrid.model.device import Cells, Static, static_properties, visit
from ohmgrid.model.noise import gaussian
from ohmgrid.model.tile import Tile, TileState
from ohmgrid.registers import DeviceRegisters, device_registers

ONE = 1024
"""1.0 of relative quantities."""
BITS = 18
CELLS = 4000


def sigma(word: np.ndarray, field: int) -> np.ndarray:
    """Return the standard normal draw that the model takes from a noise word."""
    return gaussian((word >> np.uint32(10 * field)) & np.uint32(0x3FF)) / 64


def words(rng: np.random.Generator, count: int = CELLS) -> np.ndarray:
    return rng.integers(0, 1 << 32, count, dtype=np.uint32)


def population(regs: DeviceRegisters, word0: np.ndarray, word1: np.ndarray) -> dict:
    """Section 4.1 in floats, with the spreads that the registers really hold.

    Steps and slopes relative to dw_min, bounds in weight LSB.
    """
    common = regs.k_step / 256 * sigma(word0, 0)
    balance = regs.k_updown / 256 * sigma(word0, 1)
    upper = regs.b_max + regs.k_max * 16 * sigma(word1, 0)
    lower = regs.b_min + regs.k_min * 16 * sigma(word1, 1)
    return {
        "up": np.abs(regs.rel_up / ONE + common + balance),
        "down": np.abs(regs.rel_down / ONE + common - balance),
        "b_max": np.abs(np.maximum(upper, lower)),
        "b_min": -np.abs(np.minimum(upper, lower)),
        "gamma_up": np.abs(regs.gamma_up / ONE + regs.k_gamma_up / 256 * sigma(word0, 2)),
        "gamma_down": np.abs(regs.gamma_down / ONE + regs.k_gamma_down / 256 * sigma(word1, 2)),
    }


devices = st.one_of(
    st.builds(ConstantStep, dw_min=st.floats(1e-4, 0.02), up_down=st.floats(-0.5, 0.5)),
    st.builds(
        LinearStep,
        dw_min=st.floats(1e-4, 0.02),
        gamma_up=st.floats(0, 1),
        gamma_down=st.floats(0, 1),
        mean_bound_reference=st.booleans(),
        mult_noise=st.booleans(),
        w_max_dtod=st.floats(0, 0.15),
        w_min_dtod=st.floats(0, 0.15),
    ),
    st.builds(SoftBounds, dw_min=st.floats(1e-4, 0.02), mult_noise=st.booleans()),
)


@given(device=devices, pulses=st.integers(1, 31), seed=st.integers(0, 2**32 - 1))
def test_a_visit_is_the_formula_within_its_quantisation(device, pulses, seed):
    rng = np.random.default_rng(seed)
    regs = device_registers(device, BITS)
    word0, word1, noise = words(rng), words(rng), words(rng)
    cells = population(regs, word0, word1)
    down = rng.integers(0, 2, CELLS).astype(bool)
    # Inside the bounds: beyond them, positions saturate.
    inside = np.minimum(cells["b_max"], -cells["b_min"]).clip(2000) * 0.95
    reference = min(regs.b_max, -regs.b_min)
    weight = np.rint(np.minimum(inside, reference) * rng.uniform(-1, 1, CELLS)).astype(np.int64)
    keep = inside > 2000

    s = np.where(down, cells["down"], cells["up"])
    gamma = np.where(down, cells["gamma_down"], cells["gamma_up"])
    own = np.where(down, cells["b_min"], cells["b_max"])
    bound = own if device.own_bounds else np.where(down, regs.b_min, regs.b_max)
    position = weight / bound
    curve = 1 - gamma * position
    c2c = regs.c2c[pulses] / 512
    xi = sigma(noise, 0)
    scale = curve if device.multiplicative else 1.0
    change = s * (pulses * curve + scale * c2c * xi) * regs.dw / 2.0 ** (2 + regs.dw_shift)
    expected = weight + np.where(down, -change, change)

    # Errors in units of 1/ONE: each rounding is half a unit, a position is cut (one unit).
    e_position = 1 + ONE * np.abs(position / bound) * 0.5
    e_curve = 0.5 * np.abs(position) + gamma * e_position + 0.5 + 1 / ONE
    e_local = 0.5 * np.abs(curve) + s * e_curve + 0.5 + 1 / ONE
    e_scale = e_local if device.multiplicative else 0.5
    e_total = pulses * e_local + c2c * np.abs(xi) * e_scale + s * np.abs(scale) * 0.5 + 1.5
    allowed = e_total / ONE * regs.dw / 2.0 ** (2 + regs.dw_shift) + 1
    clipped = np.clip(expected, cells["b_min"], cells["b_max"])

    static = static_properties(word0, word1, regs, BITS)
    count = np.full(CELLS, pulses)
    got = visit(Cells(weight, count, down), static, noise, regs)
    worst = (np.abs(got - clipped) - allowed - 0.5)[keep].max(initial=-1.0)
    assert worst <= 0, f"error beyond its bound by {worst} LSB (seed {seed})"
    assert np.all((static.b_min <= got) & (got <= static.b_max))


def moments_agree(values: np.ndarray, mean: float, std: float, lsb: float, errors: float = 4):
    """Check mean and deviation to ``errors`` standard errors and the register's rounding."""
    n = values.size
    assert abs(values.mean() - mean) <= errors * std / np.sqrt(n) + lsb
    # The distribution is Gaussian to 1e-3 in its variance.
    assert abs(values.std() - std) <= (errors / np.sqrt(2 * n) + 1e-3) * std + lsb


@pytest.mark.parametrize("seed", [1, 2])
def test_population_of_section_4_1(seed):
    device = LinearStep(
        dw_min=0.002,
        dw_min_dtod=0.2,
        up_down=0.1,
        up_down_dtod=0.05,
        w_max=1.0,
        w_max_dtod=0.2,
        w_min=-0.8,
        w_min_dtod=0.1,
        gamma_up=0.4,
        gamma_down=0.6,
        gamma_up_dtod=0.1,
        gamma_down_dtod=0.05,
    )
    tile = Tile(Config(seed=seed, device=device), 256, 256)
    static = tile.static
    up, down = static.rel_up / ONE, static.rel_down / ONE
    step = np.hypot(0.2, 0.05)
    moments_agree(up, 1.0, step, 2 / ONE)
    moments_agree(down, 0.9, step, 2 / ONE)
    moments_agree(up - down, 0.1, 2 * 0.05, 4 / ONE)
    moments_agree(static.b_max * tile.lsb, 1.0, 0.2, 1e-3)
    moments_agree(static.b_min * tile.lsb, -0.8, 0.08, 1e-3)
    moments_agree(static.gamma_up / ONE, 0.4, 0.1, 2 / ONE)
    moments_agree(static.gamma_down / ONE, 0.6, 0.05, 2 / ONE)
    fields = (up + down, up - down, *static[2:])
    correlations = np.corrcoef([field.ravel() for field in fields]) - np.eye(6)
    assert np.abs(correlations).max() < 5 / 256


@pytest.mark.parametrize("device", [ConstantStep(), LinearStep(), SoftBounds()])
def test_draws_with_the_wrong_sign_are_made_consistent(device, rng):
    wide = type(device)(dw_min_dtod=1.0, w_max_dtod=1.0, w_min_dtod=1.0, w_max=0.1, w_min=-1.0)
    static = static_properties(words(rng), words(rng), device_registers(wide, BITS), BITS)
    assert np.all(static.b_max >= 0)
    assert np.all(static.b_min <= 0)
    assert np.all(static.rel_up >= 0)
    assert np.all(static.rel_down >= 0)


@pytest.mark.parametrize("pulses", [1, 2, 7, 31])
@pytest.mark.parametrize("down", [False, True])
def test_cycle_to_cycle_noise_has_the_variance_of_its_pulses(pulses, down):
    device = ConstantStep(
        dw_min=0.002, dw_min_dtod=0, dw_min_std=0.3, up_down_dtod=0, w_max_dtod=0, w_min_dtod=0
    )
    regs = device_registers(device, BITS)
    rng, count = np.random.default_rng(17), 40_000
    zero = np.zeros(count, np.int64)
    static = static_properties(words(rng, count), words(rng, count), regs, BITS)
    cells = Cells(zero, zero + pulses, np.full(count, down))
    moved = visit(cells, static, words(rng, count), regs) * regs.lsb / regs.granularity
    # c sqrt(n) is rounded to 1/512.
    moments_agree(moved, -pulses if down else pulses, 0.3 * np.sqrt(pulses), 1 / 512)


@pytest.mark.parametrize("dw_min", [2e-6, 0.001])
def test_rounding_is_unbiased_and_the_update_has_its_variance(dw_min):
    """Section 3: E[dw] = -lr d x, Var = g^2 BL P (1 - P), and rounding adds less than 1/4 LSB^2."""
    device = ConstantStep(
        dw_min=dw_min, dw_min_dtod=0, dw_min_std=0, up_down_dtod=0, w_max_dtod=0, w_min_dtod=0
    )
    # Copies of one small array along the diagonal share no line, so their pulses are independent.
    copies, updates, bl = 25, 800, 10
    x = np.array([4096, -2048, 1024, 3000])
    d = np.array([16384, -9000, 4000])
    tile = Tile(Config(seed=5, device=device), copies * len(d), copies * len(x))
    g = tile.device.granularity
    lr = 9.7 * g
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
    # One draw decides between two neighbours: at most 1/4 LSB^2.
    most = np.sqrt(pulses**2 + tile.lsb**2 / 4)
    mean = sums / draws
    assert np.all(np.abs(mean + lr * product) <= 4 * most / np.sqrt(draws))
    variance = squares / draws - mean**2
    # The standard error of a variance, for a kurtosis of up to 3 + 1 / (BL P (1 - P)).
    kurtosis = 3 + 1 / (bl * probability * (1 - probability))
    error = 4 * most**2 * np.sqrt((kurtosis - 1) / draws)
    assert np.all(variance >= pulses**2 - error)
    assert np.all(variance <= most**2 + error)


def test_devices_without_spread_are_the_same_everywhere(rng):
    device: StepDevice = ConstantStep(
        dw_min_dtod=0, up_down=0.2, up_down_dtod=0, w_max_dtod=0, w_min_dtod=0
    )
    regs = device_registers(device, BITS)
    static = static_properties(words(rng), words(rng), regs, BITS)
    expected = (1024, 819, regs.b_max, regs.b_min, 0, 0)
    for name, values, value in zip(Static._fields, static, expected, strict=True):
        assert np.all(values == value), name
