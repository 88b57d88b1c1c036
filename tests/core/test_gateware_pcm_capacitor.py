"""Cells with phase-change devices in a core: what the gateware does equals the golden model."""

import re

import numpy as np
import pytest
from gateware_alike import tile_alike, trained_alike
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import step_devices
from tile_cases import BUILDS, COLS, ROWS, SEEDS, configs, suits

from ohmgrid.config import BuildConfig, Config
from ohmgrid.devices.pcm_capacitor import Pcm, PcmCapacitor
from ohmgrid.devices.presets import NAMED
from ohmgrid.doors.checks import ConfigError
from ohmgrid.gateware.pcm_capacitor import GatewarePcmCapacitorTile
from ohmgrid.net import Net
from ohmgrid.sim.gateware import SimulatedGateware


@st.composite
def cells(draw: st.DrawFn, build: BuildConfig) -> Config:
    """Draw any configuration with such cells that a build holds."""
    units = step_devices().filter(lambda one: suits(one, build) and not one.write_noise)
    device = PcmCapacitor(
        draw(units),
        Pcm(g_max=12.0),
        gain=draw(st.integers(1, build.significance)),
        scale=0.01,
        transfer_every=draw(st.sampled_from([0, 1, 3, 4])),
        offset=draw(st.sampled_from([0.0, 0.05])),
        polarity_inversion=draw(st.booleans()),
        read_noise=draw(st.sampled_from([0.0, 0.02])),
        most_pulses=4,
    )
    plain = configs(build).filter(lambda one: not (one.forward.physics + one.backward.physics))
    return draw(plain).replace(device=device)


@settings(max_examples=10)
@given(data=st.data(), seed=SEEDS, rows=ROWS, cols=COLS, lanes=st.sampled_from([3, 4]))
def test_any_cells_of_a_core_equal_the_model(data, seed, rows, cols, lanes):
    """The second of two layers, loaded in the middle of a run."""
    print(f"seed={seed}")
    config = data.draw(cells(BUILDS[lanes]))
    tile_alike(GatewarePcmCapacitorTile, config, rows, cols, seed)


@settings(max_examples=4)
@given(data=st.data(), seed=SEEDS)
def test_a_net_of_such_cells_trains_by_itself_between_transfers(data, seed):
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    config = data.draw(cells(BUILDS[data.draw(st.sampled_from([3, 4]))]))
    shapes = [int(n) for n in rng.integers(2, 8, data.draw(st.integers(2, 4)))]
    trained_alike(config, Net(tuple(shapes), "sigmoid", "cross-entropy"), seed, (1, 2, 3))


def test_a_build_without_second_words_gets_a_line():
    line = "build.significance: expected 3 for a device of class PcmCapacitor, got 0"
    with pytest.raises(ConfigError, match=re.escape(line)):
        SimulatedGateware(Config(device=NAMED["pcm-3t1c"]), [(3, 4)])
