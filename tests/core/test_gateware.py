"""The core equals the golden model: any configuration, pace, layout, net and number of lanes."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from strategies import operate
from tile_cases import BUILDS, COLS, LANES, LEAST, ROWS, SEEDS, configs, random_weights, vectors

from ohmgrid.config import BuildConfig, Config, FormatConfig, LayoutConfig
from ohmgrid.devices.cells import OneSided
from ohmgrid.devices.presets import PRESETS
from ohmgrid.devices.steps import ConstantStep, SoftBounds, SoftBoundsReference
from ohmgrid.hdl.core.core import Core as CoreGateware
from ohmgrid.model.core.tile import Tile
from ohmgrid.periphery import PulseConfig
from ohmgrid.sim.gateware import build_core
from ohmgrid.sim.rtl import RtlTile
from ohmgrid.sim.runner import run_cocotb
from ohmgrid.tile import TileState
from ohmgrid.training.settings import config_to_toml

NETS = (("sigmoid", "cross-entropy"), ("tanh", "squared"), ("relu", "cross-entropy"))
VERBS = ("forward", "backward", "update", "backward_update")


@settings(max_examples=15)
@given(data=st.data(), seed=SEEDS, rows=ROWS, cols=COLS, number=st.integers(0, 255))
def test_any_configuration_equals_the_model(data, seed, rows, cols, number):
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    config = data.draw(configs(BUILDS[4]))
    tiles = [engine(config, rows, cols, number) for engine in (Tile, RtlTile)]
    steps = tuple(int(step) for step in rng.integers(0, 1 << 47, 3))
    start = TileState(random_weights(rng, tiles[0]), (steps[0], steps[1], steps[2]))
    for tile in tiles:
        tile.load(start)
    rates = tiles[0].device.granularity * 10.0 ** rng.uniform(-3, 2.5, 3)
    x, d = vectors(rng, cols, rows)
    for _ in range(10):
        verb, lr = str(rng.choice(VERBS)), float(rng.choice(rates))
        if rng.random() < 0.7:
            x, d = vectors(rng, cols, rows)
        golden, found = (operate(tile, verb, x, d, lr) for tile in tiles)
        assert_array_equal(found, golden, err_msg=verb)
    golden, found = (tile.state() for tile in tiles)
    assert_array_equal(found.weights, golden.weights)
    assert found.steps == golden.steps


def test_one_build_runs_every_preset(rng):
    """One library, loaded with one preset after the other, equals the model for each."""
    library = build_core(Config(build=BUILDS[4]))
    for number, (name, device) in enumerate(2 * [*PRESETS.items()]):
        turned = (0,) if number < len(PRESETS) else ()
        config = Config(
            seed=int(rng.integers(2**63)),
            build=BUILDS[4],
            device=device,
            layout=LayoutConfig(turned),
        )
        assert build_core(config) is library
        tiles = [engine(config, 5, 9) for engine in (Tile, RtlTile)]
        start = TileState(random_weights(rng, tiles[0]), (0, 0, 0))
        for tile in tiles:
            tile.load(start)
        for _ in range(10):
            x, d = rng.integers(-4096, 4097, 9), rng.integers(-16384, 16385, 5)
            lr = 5 * tiles[0].device.granularity
            golden, found = ([*tile.forward(x), *tile.backward_update(x, d, lr)] for tile in tiles)
            assert_array_equal(found, golden, err_msg=name)
        assert_array_equal(tiles[1].state().weights, tiles[0].weights, err_msg=name)
        assert (tiles[0].weights != start.weights).any()


@pytest.mark.parametrize("name", ["gokmen-vlasov", "reram-array-om", "pcm", "serial"])
def test_a_long_run_equals_the_model(name, rng):
    device = SoftBounds(dw_min=0.01, dw_min_std=2.0) if name == "serial" else PRESETS[name]
    config = Config(seed=int(rng.integers(2**63)), build=BUILDS[4], device=device)
    rows, cols = 7, 10
    tiles = [engine(config, rows, cols) for engine in (Tile, RtlTile)]
    for step in range(300):
        x, d = vectors(rng, cols, rows)
        golden, found = ([*tile.forward(x), *tile.backward_update(x, d, 0.02)] for tile in tiles)
        assert_array_equal(found, golden, err_msg=f"step {step}")
        if step % 100 == 99:
            assert_array_equal(tiles[1].state().weights, tiles[0].weights)


@pytest.mark.parametrize(
    "lanes", [LANES, pytest.param((1, 4, 16), marks=pytest.mark.slow)], ids=str
)
def test_the_same_run_with_any_lanes(lanes, rng):
    """100 steps of training: the same results and the same cells, whatever the build."""
    seed, rows, cols = int(rng.integers(2**63)), 7, 11
    inputs = [vectors(rng, cols, rows) for _ in range(100)]
    tiles = [RtlTile(Config(seed=seed, build=BUILDS[each]), rows, cols) for each in lanes]
    for x, d in inputs:
        first, *others = ([*t.forward(x), *t.backward_update(x, d, 0.05)] for t in tiles)
        for other in others:
            assert_array_equal(other, first)
    first, *others = (tile.state().weights for tile in tiles)
    assert first.any()
    for other in others:
        assert_array_equal(other, first)


# ---- streams, resets and nonsense, on exported Verilog


WHOLE = (
    FormatConfig(),
    "stochastic-compressed",
    SoftBoundsReference(
        dw_min=0.02,
        write_noise_std=3.0,
        reference_std=0.1,
        lifetime=30.0,
        diffusion=0.01,
        time_every=3,
    ),
)
"""With all that a build may have; and the physics of reads."""


@pytest.mark.parametrize(
    ("build", "formats", "pulse_type", "device"),
    [
        pytest.param(
            BuildConfig(lanes=1, share=1),
            FormatConfig(curve_segments=4),
            "mean-count",
            OneSided(
                ConstantStep(dw_min=0.05, w_max=1.0, w_min=0.0),
                refresh_every=2,
                refresh_upper_thres=0.3,
                refresh_lower_thres=0.1,
            ),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            BuildConfig(lanes=3, share=2, train_groups=1, write_noise=False, time=False),
            FormatConfig(weight_bits=16, edge_bits=12, x_frac=8, d_frac=10, curve_segments=1),
            "deterministic-implicit",
            ConstantStep(),
            marks=pytest.mark.slow,
        ),
        # Verilator and its compiler take longest of all tests for a core.
        pytest.param(
            *(LEAST, FormatConfig(), "stochastic-compressed", ConstantStep()),
            marks=pytest.mark.slow,
        ),
        pytest.param(BuildConfig(lanes=4, share=2), *WHOLE, marks=pytest.mark.slow),
    ],
    ids=lambda value: f"{value.lanes}-lanes" if isinstance(value, BuildConfig) else "",
)
def test_streams_resets_and_nonsense(build, formats, pulse_type, device):
    pulses = PulseConfig(pulse_type=pulse_type)
    config = Config(formats=formats, pulses=pulses, device=device).replace(
        build={**asdict(build), "words": 256, "inputs": 18, "outputs": 12, "arrays": 7}
    )
    if device is WHOLE[-1]:
        drop = {"ir_drop": 1.0, "ir_drop_g_ratio": 50.0, "out_noise_std": 0.2}
        config = config.replace(
            forward={**drop, "inp_noise": 0.05, "w_noise": 0.1, "w_noise_type": "pcm-read"},
            backward={"w_noise": 0.1, "w_noise_type": "additive-constant", "out_asymmetry": 0.1},
        )
    passed = run_cocotb(
        CoreGateware(config),
        Path(__file__).parents[1] / "cocotb_core.py",
        name="core",
        parameters={
            "config": config_to_toml(config),
        },
    )
    assert passed == 6
