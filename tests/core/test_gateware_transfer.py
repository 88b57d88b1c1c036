"""Weights of two arrays in one core: what the gateware does with them equals the golden model."""

import re

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from strategies import operate, step_devices, transfers
from tile_cases import BUILDS, COLS, ROWS, SEEDS, configs, suits, vectors

from ohmgrid.config import BuildConfig, Config
from ohmgrid.devices.presets import NAMED
from ohmgrid.devices.transfer import Transfer
from ohmgrid.doors.checks import ConfigError
from ohmgrid.gateware.transfer import GatewareTransferTile
from ohmgrid.model.core.core import Core, initial_state
from ohmgrid.model.core.transfer import TransferTile
from ohmgrid.net import Net
from ohmgrid.periphery import ConverterConfig, PulseConfig
from ohmgrid.sim.gateware import SimulatedGateware
from ohmgrid.sim.rtl import RtlCore


def same_states(found, golden):
    assert found.steps == golden.steps
    assert_array_equal(found.weights, golden.weights)
    for name, array in golden.hidden.items():
        assert_array_equal(found.hidden[name], array, err_msg=name)


@settings(max_examples=8)
@given(data=st.data(), seed=SEEDS, rows=ROWS, cols=COLS)
def test_any_transfer_between_arrays_of_a_core_equals_the_model(data, seed, rows, cols):
    """The second of two layers, loaded in the middle of a run."""
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    device = data.draw(transfers().filter(lambda device: suits(device, BUILDS[4])))
    config = data.draw(configs(BUILDS[4])).replace(device=device)
    lr = 0.1
    try:
        golden = TransferTile(config, rows, cols, 1)
        golden.update(np.zeros(cols, np.int64), np.zeros(rows, np.int64), lr)
    except ConfigError:
        # A rate that no register holds is refused by every engine.
        assume(False)
        raise
    gateware = SimulatedGateware(config, [(3, 4), (rows, cols)])
    found = GatewareTransferTile(config, rows, cols, 1, gateware, 1)
    start = initial_state(config, rows, cols, 1)
    for tile in (golden, found):
        tile.load(start)
    x, d = vectors(rng, cols, rows)
    for step in range(12):
        if step == 6:
            found.load(golden.state())
        if rng.random() < 0.7:
            x, d = vectors(rng, cols, rows)
        verb = str(rng.choice(["forward", "backward", "update", "update", "backward_update"]))
        wanted, came = (operate(tile, verb, x, d, lr) for tile in (golden, found))
        assert_array_equal(came, wanted, err_msg=verb)
    same_states(found.state(), golden.state())


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
            "pcm-3t1c",
            "engine: expected model or compiled for a device of class PcmCapacitor: its cells are "
            "not in the gateware yet",
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
    rng = np.random.default_rng(seed)
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
    config = data.draw(configs(BUILDS[4])).replace(device=device)
    shapes = [int(n) for n in rng.integers(2, 8, data.draw(st.integers(2, 4)))]
    loss, activation = data.draw(
        st.sampled_from([("cross-entropy", "sigmoid"), ("squared", "tanh")])
    )
    net = Net(tuple(shapes), activation, loss)
    try:
        golden = Core(config, net)
        rows, cols = net.shapes[0]
        golden.tiles[0].update(np.zeros(cols, np.int64), np.zeros(rows, np.int64), 0.1)
    except ConfigError:
        assume(False)
        raise
    found = RtlCore(config, net)
    one = 1 << config.formats.x_frac
    for core in (golden, found):
        core.initialise()
    for batch in (1, 2):
        pixels = rng.integers(-one + 1, one, (7, shapes[0]))
        labels = rng.integers(0, shapes[-1], 7)
        wanted, came = (core.train(pixels, labels, 0.1, batch) for core in (golden, found))
        assert came == wanted
        assert found.counters.counts.tolist() == golden.counters.counts.tolist()
    assert found.cycles > 0
    for one_tile, other in zip(found.state(), golden.state(), strict=True):
        same_states(one_tile, other)
