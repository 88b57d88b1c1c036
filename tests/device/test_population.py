"""The devices of an array: distributions, stuck cells, references, symmetry points, write noise."""

import math

import numpy as np
import pytest

from ohmgrid.devices.presets import PRESETS
from ohmgrid.devices.steps import (
    ConstantStep,
    LinearStep,
    PowStep,
    PowStepReference,
    SoftBoundsReference,
    StepDevice,
)
from ohmgrid.doors.checks import ConfigError
from ohmgrid.model.base.noise import op_key, seed_key
from ohmgrid.model.device.population import Population, populate
from ohmgrid.model.device.step import step_curve
from ohmgrid.registers.device import REL_FRAC, device_registers
from ohmgrid.registers.noise import Verb

SIDE = 160
CELLS = SIDE * SIDE


def population(device: StepDevice, seed: int = 1, side: int = SIDE) -> Population:
    key = op_key(seed_key(seed), Verb.STATIC, 0, 0)
    return populate(key, side, side, device_registers(device, 18, 128), 18)


def close_moments(values: np.ndarray, mean: float, std: float) -> None:
    """Hold mean and standard deviation to within 4.5 standard errors."""
    error = std / np.sqrt(values.size)
    assert abs(values.mean() - mean) <= 4.5 * error + 1e-3 * abs(mean)
    assert abs(values.std() - std) <= 4.5 * error + 2e-3 * std


def test_spreads_are_those_of_the_parameters():
    device = LinearStep(
        dw_min_dtod=0.1, up_down=0.2, up_down_dtod=0.05, w_max=1.0, w_max_dtod=0.1, w_min=-0.5,
        w_min_dtod=0.2, gamma_up=0.5, gamma_up_dtod=0.08, gamma_down=0.9, gamma_down_dtod=0.02,
    )  # fmt: skip
    found = population(device)
    static, lsb = found.static, found.registers.lsb
    one = 1 << REL_FRAC
    close_moments(static.rel_up / one, 1.0, np.hypot(0.1, 0.05))
    close_moments(static.rel_down / one, 0.8, np.hypot(0.1, 0.05))
    close_moments((static.rel_up - static.rel_down) / one, 0.2, 0.1)
    close_moments(static.b_max * lsb, 1.0, 0.1)
    close_moments(static.b_min * lsb, -0.5, 0.1)
    close_moments(static.gamma_up / one, 0.5, 0.08)
    close_moments(static.gamma_down / one, 0.9, 0.02)
    assert abs(np.corrcoef(static.gamma_up.ravel(), static.gamma_down.ravel())[0, 1]) < 0.03


def test_a_log_normal_step_has_the_mean_and_spread_of_its_logarithm():
    static = population(PRESETS["reram-array-om"].unit).static
    logs = np.log(np.maximum((static.rel_up + static.rel_down) / 2 / (1 << REL_FRAC), 1e-3))
    close_moments(logs, 0.0, 0.7829)


def test_exponents_of_both_directions_deviate_together():
    device = PowStep(pow_gamma=1.5, pow_gamma_dtod=0.1, pow_up_down=0.3, pow_up_down_dtod=0.05)
    static = population(device).static
    up, down = (g / (1 << REL_FRAC) for g in (static.gamma_up, static.gamma_down))
    close_moments(up, 1.5, 1.5 * np.hypot(0.1, 0.05))
    close_moments(down, 1.5 * 0.7, 1.5 * np.hypot(0.1, 0.05))
    close_moments(up + down, 1.5 * 1.7, 1.5 * 0.2)


def test_divided_bounds_have_the_distribution_of_the_quotient():
    device = SoftBoundsReference(w_max=1.0, w_max_dtod=0.1, slope_up_dtod=0.15)
    found = population(device)
    bounds = found.static.b_max * found.registers.lsb
    rng = np.random.default_rng(7)
    drawn = (1 + 0.1 * rng.standard_normal(10**6)) / np.abs(1 + 0.15 * rng.standard_normal(10**6))
    for part in (0.05, 0.25, 0.5, 0.75, 0.95):
        assert np.quantile(bounds, part) == pytest.approx(np.quantile(drawn, part), rel=0.015)


def test_without_consistency_negative_draws_count_as_zero():
    found = population(
        ConstantStep(
            enforce_consistency=False,
            dw_min_dtod=0.5,
            up_down_dtod=0.0,
            w_max_dtod=0.5,
            w_min_dtod=0.5,
        )
    )
    share = 0.5 * (1 - math.erf(2 / math.sqrt(2)))
    for field in (found.static.rel_up, found.static.b_max, found.static.b_min):
        assert abs((field == 0).mean() - share) < 4.5 * np.sqrt(share / CELLS) + 1 / 1024
    rel = found.static.rel_up / (1 << REL_FRAC)
    drawn = np.maximum(1 + 0.5 * np.random.default_rng(7).standard_normal(10**6), 0)
    close_moments(rel, drawn.mean(), drawn.std())
    with pytest.raises(ConfigError, match=r"w_max_dtod: expected .*0\.5.*, got 0\.6"):
        ConstantStep(enforce_consistency=False, w_max_dtod=0.6)


def test_reversed_slopes_refer_to_the_other_bound_of_the_cell():
    device = LinearStep(
        w_max=0.7,
        w_min=-0.9,
        w_max_dtod=0.2,
        w_min_dtod=0.2,
        gamma_up=0.6,
        gamma_up_dtod=0.0,
        reverse_up=True,
        reverse_offset=1e-6,
        mean_bound_reference=False,
    )
    found = population(device)
    static, registers = found.static, found.registers
    value, up = static.b_max // 2, np.zeros((SIDE, SIDE), bool)
    curve = step_curve(value, up, static, registers) / (1 << registers.curve_frac)
    expected = 1 - 0.6 * value / np.minimum(static.b_min, -1)
    near = np.abs(value) < 3.9 * -static.b_min  # positions end at four bounds
    np.testing.assert_allclose(curve[near], expected[near], atol=2e-3)
    with pytest.raises(ConfigError, match="expected mult_noise with them, got false"):
        LinearStep(reverse_down=True, mult_noise=False)


def test_stuck_devices_have_their_share_and_their_range():
    device = ConstantStep(corrupt_devices_prob=0.1348, corrupt_devices_range=0.01, w_max=1.0)
    found = population(device)
    stuck = found.static.stuck
    assert abs(stuck.mean() - 0.1348) < 4.5 * np.sqrt(0.1348 * 0.8652 / CELLS)
    values = found.stuck_weight[stuck] * found.registers.lsb
    assert np.abs(values).max() <= 0.01
    assert abs(values.mean()) < 4.5 * 0.01 / np.sqrt(3 * values.size)
    held = found.hold_stuck(np.full((SIDE, SIDE), 12345, np.int32))
    assert (held[~stuck] == 12345).all()
    assert (held[stuck] == found.stuck_weight[stuck]).all()


def test_a_perfect_bias_column_has_the_mean_step_and_no_bounds():
    static = population(ConstantStep(perfect_bias=True)).static
    assert (static.rel_up[:, -1] == 1 << REL_FRAC).all()
    assert (static.b_max[:, -1] == (1 << 17) - 1).all()
    assert static.rel_up[:, :-1].std() > 0


@pytest.mark.parametrize(
    "device",
    [
        PRESETS["reram-array-om"].unit,
        PRESETS["reram-array-hfo2"].unit,
        PowStepReference(pow_gamma=1.5, up_down_dtod=0.1, subtract_symmetry_point=True),
    ],
    ids=lambda device: device.kind,
)
def test_at_the_symmetry_point_up_and_down_steps_are_equal(device: StepDevice):
    found = population(device, side=60)
    registers, static = found.registers, found.static
    inside = (static.b_min < -8000) & (static.b_max > 8000)
    point = found.symmetry_point
    up, down = np.zeros(point.shape, bool), np.ones(point.shape, bool)
    rise = static.rel_up * step_curve(point, up, static, registers)
    fall = static.rel_down * step_curve(point, down, static, registers)
    scale = static.rel_up.astype(float) * (1 << registers.curve_frac)
    # Powers come from tables of eight bits (0.14 % an entry, for logarithm and power, up and down);
    # straight lines are good to the last of their ten fraction bits, and to a bound's LSB.
    worst = 0.012 if registers.power else 0.006
    assert (np.abs(rise - fall)[inside] / scale[inside]).max() < worst
    if device.kind == "SoftBoundsReference":
        b_max, b_min = static.b_max.astype(float), static.b_min.astype(float)
        exact = (static.rel_up - static.rel_down) / (
            static.rel_up / np.maximum(b_max, 1) - static.rel_down / np.minimum(b_min, -1)
        )
        assert np.abs(point - exact)[inside].max() < 0.003 * (1 << 17)


def test_write_noise_has_its_spread_and_stays_until_a_weight_moves():
    found = population(PRESETS["reram-es"].unit)
    weights = np.full((SIDE, SIDE), 1000, np.int32)
    seen = found.read(weights)
    noise = (seen - weights) * found.registers.lsb
    close_moments(noise, 0.0, 75 * 0.00135)
    assert np.array_equal(found.read(weights), seen)
    for step in (1, 2, 16, 100):
        other = (found.read(weights + step) - weights - step) * found.registers.lsb
        assert abs(np.corrcoef(noise.ravel(), other.ravel())[0, 1]) < 0.006 + 4.5 / SIDE
    assert abs(np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]) < 4.5 / SIDE


def test_a_device_without_write_noise_is_read_as_it_is():
    found = population(PRESETS["ecram"].unit)
    weights = np.arange(CELLS, dtype=np.int32).reshape(SIDE, SIDE)
    assert found.read(weights) is weights
