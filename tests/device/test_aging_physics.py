"""Leak, diffusion and reset: what time does to the cells."""

from typing import Any

import numpy as np
import pytest

from ohmgrid.config import Config
from ohmgrid.devices.steps import ConstantStep, SoftBoundsReference
from ohmgrid.model.core.tile import Tile
from ohmgrid.model.device.aging import reset
from ohmgrid.registers.time import aging_registers
from ohmgrid.tile import TileState

ROWS, COLS = 40, 50
CELLS = ROWS * COLS


def aged(
    device: ConstantStep, weight: float, updates: int, batch: int = 1
) -> tuple[Tile, np.ndarray]:
    """Return a tile after updates that move nothing, and its weights in weight units."""
    tile = Tile(Config(device=device, batch=batch), ROWS, COLS)
    start = np.full((ROWS, COLS), round(weight / tile.lsb), np.int32)
    tile.load(TileState(start, (0, 0, 0)))
    x, d = np.zeros(COLS, np.int64), np.zeros(ROWS, np.int64)
    for _ in range(updates):
        tile.update(x, d, 0.1)
    return tile, tile.weights * tile.lsb


@pytest.mark.parametrize("every", [1, 4, 0])
def test_a_leak_takes_the_part_that_its_lifetime_says(every: int):
    device = ConstantStep(w_max=2.0, w_min=-2.0, w_max_dtod=0, lifetime=200.0, time_every=every)
    tile, weights = aged(device, 0.5, 100)
    assert tile.aging.every == (every or 1)
    expected = 0.5 * (1 - 1 / 200) ** 100
    assert abs(weights.mean() - expected) < 4.5 * weights.std() / np.sqrt(CELLS) + 5e-5
    # Every rounding is random: a hundred of them spread a cell by less than ten LSB.
    assert weights.std() < 10 * tile.lsb


def test_a_long_lifetime_leaks_seldom_and_no_less():
    device = ConstantStep(w_max=2.0, w_min=-2.0, w_max_dtod=0, lifetime=1e5)
    tile, weights = aged(device, 0.5, 256)
    assert tile.aging.every == 64
    expected = 0.5 * (1 - 1e-5) ** 256
    assert abs(weights.mean() - expected) < 4.5 * weights.std() / np.sqrt(CELLS) + 2e-6


def test_lifetimes_spread_over_devices():
    device = ConstantStep(
        w_max=2.0, w_min=-2.0, w_max_dtod=0, lifetime=50.0, lifetime_dtod=0.2, time_every=1
    )
    _, weights = aged(device, 1.0, 20)
    lives = -20 / np.log(weights)
    # ln(1 - 1/t) is -1/t to within 1/(2 t): 1 % of a lifetime of 50.
    assert np.median(lives) == pytest.approx(49.5, rel=0.02)
    assert np.std(lives) == pytest.approx(10.0, rel=0.08)


def test_a_leak_leads_to_the_reset_bias():
    device = ConstantStep(
        w_max=2.0, w_min=-2.0, w_max_dtod=0, lifetime=2.0, reset=0.2, reset_dtod=0.1, time_every=1
    )
    _, weights = aged(device, 1.0, 30)
    assert weights.mean() == pytest.approx(0.2, abs=4.5 * 0.1 / np.sqrt(CELLS))
    assert weights.std() == pytest.approx(0.1, rel=0.08)


def test_diffusion_is_a_random_walk():
    device = ConstantStep(w_max=2.0, w_min=-2.0, w_max_dtod=0, diffusion=0.003, time_every=1)
    _, weights = aged(device, 0.0, 100)
    assert abs(weights.mean()) < 4.5 * 0.03 / np.sqrt(CELLS)
    assert weights.std() == pytest.approx(0.03, rel=4.5 / np.sqrt(2 * CELLS))


def test_a_minibatch_is_one_tick():
    device = ConstantStep(w_max=2.0, w_min=-2.0, w_max_dtod=0, lifetime=20.0, time_every=1)
    _, single = aged(device, 0.5, 10)
    tile, batched = aged(device, 0.5, 40, batch=4)
    assert tile.aging.every == 4
    assert batched.mean() == pytest.approx(single.mean(), abs=2e-5)


def test_stuck_devices_do_not_age():
    device = ConstantStep(corrupt_devices_prob=0.3, lifetime=2.0, diffusion=0.1, time_every=1)
    tile, _ = aged(device, 0.5, 5)
    stuck = tile.population.static.stuck
    assert stuck.any()
    assert np.array_equal(tile.weights[stuck], tile.population.stuck_weight[stuck])


def test_a_reset_goes_to_the_bias_of_each_device():
    device = SoftBoundsReference(
        w_max=1.0, w_min=-1.0, reset=0.01, reset_std=0.02, subtract_symmetry_point=True
    )
    tile = Tile(Config(device=device), ROWS, COLS)
    chosen = np.zeros((ROWS, COLS), bool)
    chosen[:, ::2] = True
    start = np.full((ROWS, COLS), 4000, np.int32)
    weights = reset(start, chosen, tile.population, tile.aging, 99)
    assert (weights[~chosen] == 4000).all()
    bias = tile.population.symmetry_point[chosen] * tile.lsb + 0.01
    left = weights[chosen] * tile.lsb - bias
    assert abs(left.mean()) < 4.5 * 0.02 / np.sqrt(left.size)
    assert left.std() == pytest.approx(0.02, rel=0.1)


def test_the_period_is_the_longest_that_changes_a_thousandth():
    def every(**given: Any) -> int:
        return aging_registers(ConstantStep(w_max=1.0, w_min=-1.0, **given), 1e-5, 18, 1).every

    assert every() == 0
    assert every(lifetime=1e6) == 512
    assert every(lifetime=100.0) == 1
    assert every(diffusion=1e-4) == 256
    assert every(lifetime=1e6, diffusion=1e-4) == 256
    assert every(lifetime=1e6, time_every=7) == 7


def test_the_tiniest_diffusion_is_none():
    registers = aging_registers(ConstantStep(diffusion=5e-324), 1e-5, 18, 1)
    assert registers.every == 1 << 20
    assert not any(registers.diffusion)
