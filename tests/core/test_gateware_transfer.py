"""Weights of two arrays in one core: what the gateware does with them equals the golden model."""

import re

import numpy as np
import pytest
from gateware_alike import tile_alike, trained_alike
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import step_devices, transfers
from tile_cases import BUILDS, COLS, ROWS, SEEDS, configs, suits

from ohmgrid.config import BuildConfig, Config
from ohmgrid.devices.presets import NAMED
from ohmgrid.devices.transfer import Transfer
from ohmgrid.doors.checks import ConfigError
from ohmgrid.gateware.transfer import GatewareTransferTile
from ohmgrid.net import Net
from ohmgrid.periphery import ConverterConfig, PulseConfig
from ohmgrid.sim.gateware import SimulatedGateware


@settings(max_examples=8)
@given(data=st.data(), seed=SEEDS, rows=ROWS, cols=COLS)
def test_any_transfer_between_arrays_of_a_core_equals_the_model(data, seed, rows, cols):
    """The second of two layers, loaded in the middle of a run."""
    print(f"seed={seed}")
    device = data.draw(transfers().filter(lambda device: suits(device, BUILDS[4])))
    config = data.draw(configs(BUILDS[4])).replace(device=device)
    tile_alike(GatewareTransferTile, config, rows, cols, seed)


@pytest.mark.parametrize(
    ("build", "device", "line"),
    [
        (
            {"device_sets": 1},
            "tiki-taka-reram-es",
            "build.device_sets: expected 2 for a device of class Transfer, got 1",
        ),
        (
            {"device_sets": 2},
            "agad-ecram",
            "build.computed_keys: expected true for a device of class DynamicTransfer, got false",
        ),
        (
            {},
            "residual-4-states",
            "engine: expected model or compiled for a device of class ResidualLearning: its cells "
            "are not in the gateware yet",
        ),
    ],
)
def test_what_gateware_cannot_hold_gets_a_line(build, device, line):
    config = Config(build=BuildConfig(**build), device=NAMED[device])
    with pytest.raises(ConfigError, match=re.escape(line)):
        SimulatedGateware(config, [(3, 4)])


@settings(max_examples=4)
@given(data=st.data(), seed=SEEDS)
def test_a_net_trains_by_itself_with_two_arrays_a_weight(data, seed):
    """Transfers by the step table alone: states, losses and counters of the golden trainer."""
    print(f"seed={seed}")
    units = {
        name: data.draw(step_devices().filter(lambda device: suits(device, BUILDS[4])))
        for name in ("fast", "slow")
    }
    device = Transfer(
        **units,
        transfer_every=data.draw(st.sampled_from([0.0, 1.0, 3.0])),
        n_reads_per_transfer=data.draw(st.integers(1, 3)),
        fast_lr=data.draw(st.sampled_from([0.0, 0.5])),
        transfer_update=PulseConfig(desired_bl=data.draw(st.sampled_from([1, 31, 40]))),
        transfer_forward=ConverterConfig(out_bound=1.0, noise_management="none"),
    )
    found = trained_alike(*any_net(data, device, seed), seed, (1, 2))
    assert found.cycles > 0


@settings(max_examples=5)
@given(data=st.data(), seed=SEEDS)
def test_a_net_trains_by_itself_through_buffers(data, seed):
    """Buffers, choppers and averages on the chip; mini-batches."""
    print(f"seed={seed}")
    device = data.draw(
        transfers().filter(lambda device: type(device) is not Transfer and suits(device, BUILDS[4]))
    )
    found = trained_alike(*any_net(data, device, seed), seed, (1, 2, 1, 2, 1))
    assert found.buffered
    assert not found.hosted
    assert found.cycles > 0


def any_net(data, device: Transfer, seed: int) -> tuple[Config, Net]:
    """Draw a configuration and a net."""
    rng = np.random.default_rng(seed)
    config = data.draw(configs(BUILDS[4])).replace(device=device)
    shapes = [int(n) for n in rng.integers(2, 8, data.draw(st.integers(2, 4)))]
    loss, activation = data.draw(
        st.sampled_from([("cross-entropy", "sigmoid"), ("squared", "tanh")])
    )
    return config, Net(tuple(shapes), activation, loss)
