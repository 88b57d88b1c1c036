"""The tile counts to leak, diffusion and refresh by itself: when they happen, and their bits."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from tile_cases import BUILDS, COLS, ROWS, SEEDS, random_weights, vectors

from ohmgrid.config import Config
from ohmgrid.devices.cells import OneSided
from ohmgrid.devices.presets import PRESETS
from ohmgrid.devices.steps import ConstantStep
from ohmgrid.doors.checks import ConfigError
from ohmgrid.model.core.tile import Tile
from ohmgrid.sim.rtl import RtlTile, countdowns
from ohmgrid.tile import TileState

AGES: dict[str, Any] = {
    "lifetime": 40.0,
    "lifetime_dtod": 0.3,
    "diffusion": 0.01,
    "reset_dtod": 0.05,
}


def test_the_tile_counts_down_from_the_updates_so_far():
    values = {"time_every": 3, "refresh_every": 4}
    assert countdowns(values, 0) == {"time_left": 3, "refresh_left": 4}
    assert countdowns(values, 5) == {"time_left": 1, "refresh_left": 3}
    assert countdowns({"time_every": 0}, 5) == {}


@settings(max_examples=10)
@given(
    seed=SEEDS,
    rows=ROWS,
    cols=COLS,
    lanes=st.sampled_from([3, 4]),
    periods=st.tuples(st.integers(1, 3), st.integers(0, 3)),
    serial=st.booleans(),
    first=st.integers(0, 1 << 40),
)
def test_leak_and_refresh_in_one_run(seed, rows, cols, lanes, periods, serial, first):
    """Conductances after each update, from any number of updates on; few pairs due, or most."""
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    time_every, refresh_every = periods
    unit = ConstantStep(dw_min=0.05, w_max=1.0, w_min=0.0, time_every=time_every, **AGES)
    device = OneSided(
        replace(unit, dw_min_std=2.0) if serial else unit,
        refresh_every=refresh_every,
        refresh_upper_thres=float(rng.uniform(0.2, 0.9)),
        refresh_lower_thres=0.1,
        refresh_bl=int(rng.integers(1, 32)),
    )
    config = Config(seed=seed, build=BUILDS[lanes], device=device)
    tiles = [engine(config, rows, cols) for engine in (Tile, RtlTile)]
    assert tiles[0].device.serial == serial
    start = np.abs(random_weights(rng, tiles[0]))
    for tile in tiles:
        tile.load(TileState(start, (0, 0, first)))
    # The same activations again and again: a refresh leaves others in the tile.
    x, d = vectors(rng, cols, rows)
    for update in range(6):
        golden, found = ([*tile.forward(x), *tile.backward_update(x, d, 0.1)] for tile in tiles)
        assert_array_equal(found, golden, err_msg=f"update {update}")
        assert_array_equal(tiles[1].state().weights, tiles[0].weights, err_msg=f"update {update}")


@pytest.mark.parametrize("name", ["capacitor", "pcm"])
def test_presets_that_change_with_time(name, rng):
    """Their own numbers; the capacitor from where its leak is due soon."""
    config = Config(seed=int(rng.integers(2**63)), build=BUILDS[4], device=PRESETS[name])
    tiles = [engine(config, 6, 9) for engine in (Tile, RtlTile)]
    start = np.abs(random_weights(rng, tiles[0]))
    every = tiles[0].aging.every
    for tile in tiles:
        tile.load(TileState(start, (0, 0, 3 * every - 4 if every else 0)))
    for _ in range(8):
        x, d = rng.integers(-4096, 4097, 9), rng.integers(-16384, 16385, 6)
        for tile in tiles:
            tile.update(x, d, 0.02)
    assert_array_equal(tiles[1].state().weights, tiles[0].weights)


def test_what_does_not_fit_says_what_does():
    with pytest.raises(ConfigError, match=r"reset_std: expected at most 0.\d+ times"):
        Tile(Config(device=ConstantStep(w_max=0.1, w_min=-0.1, reset_std=8.0)), 2, 2)
    config = Config(device=PRESETS["pcm"]).replace(
        formats={"edge_bits": 9, "x_frac": 8, "d_frac": 4}
    )
    with pytest.raises(ConfigError, match=r"refresh_adc_bits: expected at most 8 .*, got 9"):
        RtlTile(config, 2, 2)
