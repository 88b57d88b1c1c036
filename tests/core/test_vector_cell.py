"""Cells of several devices: closed forms, policies, and the compiled engine's bits."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from alike import train_alike
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import physics, unit_cells

from ohmgrid.config import Config
from ohmgrid.devices.base import StepDevice
from ohmgrid.devices.presets import NAMED
from ohmgrid.devices.steps import ConstantStep
from ohmgrid.devices.vector_cell import ReferenceUnitCell, VectorUnitCell
from ohmgrid.doors.checks import ConfigError
from ohmgrid.engines import make_core
from ohmgrid.model.core.cells import make_tile
from ohmgrid.model.core.core import initial_state, programmed_state
from ohmgrid.model.core.vector_cell import VectorCellTile
from ohmgrid.net import Net
from ohmgrid.registers.cells import cell_number, device_name
from ohmgrid.tile import WEIGHTS, TileState, parts_of
from ohmgrid.training.distributions import part_at_bounds

ROWS, COLS = 6, 5
# A step is 64 LSB: nothing is rounded at random.
EXACT = ConstantStep(
    dw_min=2**-11,
    dw_min_dtod=0.0,
    dw_min_std=0.0,
    up_down_dtod=0.0,
    w_max=1.0,
    w_max_dtod=0.0,
    w_min=-1.0,
    w_min_dtod=0.0,
)


def vectors(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.integers(-4096, 4097, COLS), rng.integers(-4096, 4097, ROWS)


def held(tile) -> list[np.ndarray]:
    """Return the conductances of all devices, weight LSB of each."""
    state = tile.state()
    return [state.weights, *(state.hidden[key] for key in sorted(state.hidden))]


def tile_of(device: VectorUnitCell, number: int = 0, **more) -> VectorCellTile:
    tile = make_tile(Config(device=device, **more), ROWS, COLS, number)
    assert isinstance(tile, VectorCellTile)
    return tile


@pytest.mark.parametrize("count", [2, 4, 8])
def test_equal_devices_without_noise_move_like_one(count):
    config = Config(device=EXACT)
    cells, one = tile_of(VectorUnitCell((EXACT,) * count), 3), make_tile(config, ROWS, COLS, 3)
    start = initial_state(config, ROWS, COLS, 3)
    every = {device_name(place): start.weights for place in range(1, count)}
    one.load(start)
    cells.load(start._replace(hidden=every))
    rng = np.random.default_rng(2)
    updates = [vectors(rng) for _ in range(30)]
    for x, d in updates:
        cells.update(x, d, 0.02)
        one.update(x, d, 0.02)
        assert cells.pulses == one.pulses
    np.testing.assert_array_equal(cells.read(), one.state().weights)
    assert (cells.read() != start.weights).any()
    x, d = updates[0]
    np.testing.assert_array_equal(cells.forward(x), one.forward(x))
    np.testing.assert_array_equal(cells.backward(d), one.backward(d))


@pytest.mark.parametrize("policy", ["single-fixed", "single-sequential", "single-random"])
def test_single_policies_move_the_device_that_is_named(policy):
    count, first, updates = 4, 2, 240
    tile, rng = tile_of(VectorUnitCell((EXACT,) * count, policy, first)), np.random.default_rng(5)
    moved = []
    for _ in range(updates):
        before = held(tile)
        tile.update(*vectors(rng), 0.05)
        changed = [(a != b).any() for a, b in zip(before, held(tile), strict=True)]
        assert sum(changed) == 1
        moved.append(changed.index(True))
    if policy == "single-fixed":
        assert moved == [first] * updates
    elif policy == "single-sequential":
        assert moved == [(first + 1 + update) % count for update in range(updates)]
    else:
        # Binomial: 60 each, standard deviation 6.7.
        assert all(abs(moved.count(place) - updates / count) < 30 for place in range(count))
        same = sum(one == other for one, other in pairwise(moved))
        assert abs(same - updates / count) < 30


@settings(max_examples=6)
@given(unit_cells(), st.integers(0, 2**32 - 1))
def test_weight_is_the_sum_of_what_the_devices_count_for(device, seed):
    print(f"seed={seed}")
    tile, rng = tile_of(device, seed=seed), np.random.default_rng(seed)
    every = [rng.integers(-131071, 131072, (ROWS, COLS), np.int32) for _ in tile.arrays]
    hidden = {device_name(place): one for place, one in enumerate(every)}
    tile.load(TileState(hidden.pop(device_name(0)), (0, 0, 0), hidden))
    exact = sum(
        gamma * array.read() * array.lsb
        for gamma, array in zip(device.gammas, tile.arrays, strict=True)
    )
    # A gain is rounded by 2**-16 of a word at most, a sum to half an LSB.
    bound = (2 * len(every) + 0.5) * tile.lsb
    assert np.abs(tile.read() * tile.lsb - exact).max() <= bound
    assert np.abs(tile.read()).max() < 1 << 17
    if not any(unit.write_noise for unit in device.unit_cell_devices):
        parts = parts_of(device, tile.state())
        np.testing.assert_array_equal(parts[WEIGHTS], tile.read())
        assert list(parts)[1:] == [f"g{place}" for place in range(device.arrays)]


def test_reference_stays_and_is_taken_from_the_weight():
    device = ReferenceUnitCell((EXACT, replace(EXACT, w_max=0.5, w_min=-0.5)))
    tile, rng = tile_of(device), np.random.default_rng(1)
    begun = initial_state(tile.config, ROWS, COLS, 0)
    assert not begun.hidden["device_1"].any()
    reference = rng.integers(-30000, 30001, (ROWS, COLS), np.int32)
    tile.load(begun._replace(hidden={"device_1": reference}))
    for _ in range(20):
        tile.update(*vectors(rng), 0.05)
    own, same = held(tile)
    np.testing.assert_array_equal(same, reference)
    assert (own != begun.weights).any()
    first, second = tile.arrays
    difference = own * first.lsb - reference * second.lsb
    assert np.abs(tile.read() * tile.lsb - difference).max() <= tile.lsb / 2


def test_time_passes_on_devices_that_no_update_reaches():
    leaking = replace(EXACT, lifetime=100.0)
    tile = tile_of(ReferenceUnitCell((EXACT, leaking)))
    start = np.full((ROWS, COLS), 60000, np.int32)
    tile.load(TileState(start, (0, 0, 0), {"device_1": start}))
    for _ in range(100):
        tile.update(np.zeros(COLS, int), np.zeros(ROWS, int), 0.1)
    own, reference = held(tile)
    np.testing.assert_array_equal(own, start)
    assert abs(reference.mean() / 60000 - 0.99**100) < 2e-3


def test_programmed_weights_are_what_passes_see():
    weights = np.random.default_rng(2).uniform(-0.2, 0.2, (ROWS, COLS))
    for device in (
        VectorUnitCell((EXACT, replace(EXACT, w_max=2.0, w_min=-2.0)), "all", 0, (0.5, 3.0)),
        VectorUnitCell((EXACT,) * 3, "single-fixed", 1),
        ReferenceUnitCell((EXACT, EXACT)),
    ):
        tile = tile_of(device)
        state, lost = programmed_state(tile.config, 0, weights)
        tile.load(state)
        assert lost == 0
        np.testing.assert_allclose(tile.read() * tile.lsb, weights, atol=4 * tile.lsb)
        assert {name for name, one in state.hidden.items() if one.any()} == {
            device_name(place) for place in device.updated if place
        }
    narrow = ReferenceUnitCell((replace(EXACT, w_max=0.75, w_min=-0.75), EXACT))
    _, lost = programmed_state(Config(device=narrow), 0, weights * 5)
    assert lost == np.count_nonzero(np.abs(weights * 5) > 0.75) > 0


def test_bounds_of_all_devices_count():
    device = VectorUnitCell((EXACT, EXACT))
    top = np.full((ROWS, COLS), (1 << 17) - 1, np.int32)
    state = TileState(top, (0, 0, 0), {"device_1": np.zeros((ROWS, COLS), np.int32)})
    assert part_at_bounds(Config(device=device), 0, state) == 0.5
    assert device.bounds == (-1.0, 1.0)
    assert ReferenceUnitCell((EXACT, replace(EXACT, w_max=0.5))).bounds == (-1.5, 2.0)


@settings(max_examples=5)
@given(unit_cells(), physics(), st.integers(1, 7), st.integers(1, 2), st.integers(0, 2**32 - 1))
def test_compiled_engine_has_the_same_bits(device, read, batch, threads, seed):
    print(f"seed={seed}")
    config = Config(device=device, seed=seed, batch=batch).replace(forward=read)
    train_alike(config, 5 * device.granularity, threads)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"unit_cell_devices": (EXACT,)}, r"unit_cell_devices: expected 2\.\.8 step devices"),
        ({"unit_cell_devices": (EXACT, 3)}, r"unit_cell_devices\[1\]: expected a step dev.*got 3"),
        ({"unit_cell_devices": (NAMED["pcm"],) * 2}, r"unit_cell_devices\[0\]: expected a step"),
        ({"update_policy": "some"}, "update_policy: expected one of all, single-fixed, "),
        ({"first_update_idx": 2}, r"first_update_idx: expected 0\.\.1, got 2"),
        ({"gamma_vec": (1.0,)}, "gamma_vec: expected a number for each of 2 devices"),
        ({"gamma_vec": (1.0, "a")}, r"gamma_vec\[1\]: expected a finite number"),
        ({"gamma_vec": (1.0, -1.0)}, "gamma_vec: expected a sum of 1/256 at least"),
    ],
)
def test_cells_that_cannot_be_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        VectorUnitCell(**{"unit_cell_devices": (EXACT, EXACT)} | values)


def test_references_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match="unit_cell_devices: expected 2 step devices, got"):
        ReferenceUnitCell((EXACT,) * 3)
    with pytest.raises(ConfigError, match="update_policy: expected one of single-fixed, got 'all'"):
        ReferenceUnitCell((EXACT, EXACT), "all")


def test_numbers_of_arrays_are_free_of_layers():
    assert isinstance(EXACT, StepDevice)
    numbers = {cell_number(tile, place) for tile in range(32) for place in range(8)}
    assert numbers == set(range(256))
    with pytest.raises(ValueError, match=r"number: expected 0\.\.31 of a tile of cells, got 32"):
        tile_of(VectorUnitCell((EXACT, EXACT)), 32)
    with pytest.raises(ConfigError, match="expected model or compiled for a device of class Vec"):
        make_core("rtl", Config(device=NAMED["ecram2"]), Net((4, 3)))
