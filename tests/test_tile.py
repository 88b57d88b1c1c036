"""The tile equals the golden model: any configuration, pace and number of lanes, in each cycle."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from strategies import devices, operate, physics

from ohmgrid.checks import ConfigError
from ohmgrid.config import (
    PULSE_TYPES,
    BuildConfig,
    Config,
    ConverterConfig,
    FormatConfig,
    PulseConfig,
    config_to_toml,
)
from ohmgrid.device_registers import device_registers
from ohmgrid.devices import ConstantStep, SoftBounds, SoftBoundsReference
from ohmgrid.hdl.device_ports import REGISTERS
from ohmgrid.hdl.operation_cycles import OperationCycles, PulseWork
from ohmgrid.hdl.tile import Tile as TileGateware
from ohmgrid.model.array import pulse_counts
from ohmgrid.model.noise import op_key, seed_key
from ohmgrid.model.operations import pulse_slots
from ohmgrid.model.pulses import plan_update, probabilities
from ohmgrid.model.sweep import sweep_cycles, visit_stalls
from ohmgrid.model.tile import Tile
from ohmgrid.pairs import OneSided
from ohmgrid.presets import PRESETS
from ohmgrid.protocol import TILE_REGISTERS, Op, command
from ohmgrid.read_registers import read_registers
from ohmgrid.registers import pulse_registers
from ohmgrid.sim.rtl import RtlTile, TileDriver, build_tile, check_device, register_values
from ohmgrid.sim.runner import run_cocotb
from ohmgrid.step_device import Device
from ohmgrid.streams import Verb
from ohmgrid.tile import TileState

MAX_ROWS, MAX_COLS = 8, 12
BUILDS = {
    # A weight may be a pair of devices, in two rows.
    lanes: BuildConfig(
        lanes=lanes,
        share=share,
        max_rows=2 * MAX_ROWS,
        max_cols=MAX_COLS,
        power=full,
        write_noise=full,
        references=full,
        read_physics=full,
    )
    for lanes, share, full in ((1, 1, True), (3, 2, False), (4, 2, True), (16, 4, True))
}
SEEDS = st.integers(0, 2**32 - 1)
ROWS, COLS = st.integers(1, MAX_ROWS), st.integers(1, MAX_COLS)


def suits(device: Device, build: BuildConfig) -> bool:
    """Return whether a build of the gateware has what a device needs."""
    formats = FormatConfig()
    registers = device_registers(device.unit, formats.weight_bits, formats.curve_segments)
    try:
        check_device(registers, build)
    except ConfigError:
        return False
    return True


@st.composite
def configs(draw: st.DrawFn, build: BuildConfig) -> Config:
    """Draw all that can be loaded into a build at run time."""
    device = draw(devices().filter(lambda device: suits(device, build)))

    def converters(**more) -> ConverterConfig:
        bound = draw(st.sampled_from([0.2, 2.0, 12.0]))
        return ConverterConfig(
            dac_bits=draw(st.integers(2, 8)),
            adc_bits=draw(st.integers(2, 12)),
            out_bound=bound,
            out_noise=draw(st.sampled_from([0.0, 0.005, 0.3])) * bound,
            noise_management=draw(st.sampled_from(["abs-max", "none"])),
            **(draw(physics()) if build.read_physics and draw(st.booleans()) else {}),
            **more,
        )

    pulses = PulseConfig(
        pulse_type=draw(st.sampled_from(PULSE_TYPES)),
        desired_bl=draw(st.integers(1, 31)),
        fixed_bl=draw(st.booleans()),
        update_management=draw(st.booleans()),
        update_bl_management=draw(st.booleans()),
    )
    return Config(
        seed=draw(st.integers(0, 2**64 - 1)),
        build=build,
        forward=converters(
            bound_management=draw(st.sampled_from(["none", "iterative"])),
            max_passes=draw(st.integers(1, 8)),
        ),
        backward=converters(),
        pulses=pulses,
        device=device,
    )


def vectors(rng: np.random.Generator, cols: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return activations and errors: any size, some zeros, sometimes nothing else."""

    def vector(count: int) -> np.ndarray:
        values = rng.integers(-(1 << 15) + 1, 1 << 15, count) >> int(rng.integers(0, 14))
        zeros = rng.choice([0.0, 0.3, 1.0], p=[0.5, 0.4, 0.1])
        return np.where(rng.random(count) < zeros, 0, values)

    return vector(cols), vector(rows)


def random_weights(rng: np.random.Generator, tile) -> np.ndarray:
    top = min(1 << 17, int(1.2 * tile.config.device.unit.w_max / tile.lsb)) - 1
    return rng.integers(-top, top + 1, tile.device_shape, dtype=np.int32)


VERBS = ("forward", "backward", "update", "backward_update")


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
    library = build_tile(Config(build=BUILDS[4]))
    for name, device in PRESETS.items():
        config = Config(seed=int(rng.integers(2**63)), build=BUILDS[4], device=device)
        assert build_tile(config) is library
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


@pytest.mark.parametrize("lanes", BUILDS)
@given(data=st.data(), seed=SEEDS, rows=ROWS, cols=COLS)
def test_lanes_do_not_matter(lanes, data, seed, rows, cols):
    """The same bits as the model, which knows no lanes, and so as any other number of lanes."""
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    config = data.draw(configs(BUILDS[lanes]))
    tiles = [engine(config, rows, cols) for engine in (Tile, RtlTile)]
    lr = 5 * tiles[0].device.granularity
    for _ in range(6):
        x, d = vectors(rng, cols, rows)
        for verb in ("forward", "backward_update"):
            golden, found = (operate(tile, verb, x, d, lr) for tile in tiles)
            assert_array_equal(found, golden)
    assert_array_equal(tiles[1].state().weights, tiles[0].weights)


def test_the_same_run_with_1_3_4_and_16_lanes(rng):
    """100 steps of training: the same results and the same cells, whatever the build."""
    seed, rows, cols = int(rng.integers(2**63)), 7, 11
    inputs = [vectors(rng, cols, rows) for _ in range(100)]
    tiles = [RtlTile(Config(seed=seed, build=build), rows, cols) for build in BUILDS.values()]
    for x, d in inputs:
        first, *others = ([*t.forward(x), *t.backward_update(x, d, 0.05)] for t in tiles)
        for other in others:
            assert_array_equal(other, first)
    first, *others = (tile.state().weights for tile in tiles)
    assert first.any()
    for other in others:
        assert_array_equal(other, first)


# ---- cycles


def pulse_work(
    config: Config, x: np.ndarray, d: np.ndarray, lr: float, step: int, fused: bool
) -> PulseWork:
    """Return, from the model alone, what the length of an update depends on."""
    formats, pulses, build = config.formats, config.pulses, config.build
    device = device_registers(config.device.unit, formats.weight_bits, formats.curve_segments)
    registers = pulse_registers(config, device.granularity, lr)
    largest = int(np.abs(x).max()), int(np.abs(d).max())
    plan = plan_update(*largest, pulses, registers, (formats.x_frac, formats.d_frac))
    key = op_key(seed_key(config.seed), Verb.UPDATE, 0, step)
    paired = config.device.paired
    down = (x < 0)[None, :] == (d < 0)[:, None]
    if paired:
        down = np.repeat(down, 2, axis=0)
    sweeps, last_stalls = [], []
    for _, rows, columns in pulse_slots(x, d, config, registers, device.serial, key):
        rows = np.repeat(rows, 2) if paired else rows
        hits = pulse_counts(rows, columns, down, paired) != 0
        stalls = visit_stalls(hits, build.lanes, build.share).tolist()
        # Backward sums leave in the first sweep.
        spaced = fused and not sweeps
        sweeps.append(sweep_cycles(len(down), len(x), build.lanes, stalls, spaced))
        last_stalls.append(stalls[-1])
    last = (
        int(probabilities(d, plan.d_factor, plan.d_divisor)[-1]),
        int(probabilities(x, plan.x_factor, plan.x_divisor)[-1]),
    )
    return PulseWork(
        rate_shift=registers.rate_shift,
        trivial=not pulses.managed or 0 in largest,
        bl=plan.bl,
        mode=PULSE_TYPES.index(pulses.pulse_type),
        last=last,
        sweeps=tuple(sweeps) or (sweep_cycles(len(down), len(x), build.lanes),),
        last_stall=last_stalls[0] if last_stalls else 0,
    )


@pytest.mark.parametrize("lanes", [3, 4])
@given(data=st.data(), seed=SEEDS, rows=ROWS, cols=COLS)
def test_cycles_are_those_predicted(lanes, data, seed, rows, cols):
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    config = data.draw(configs(BUILDS[lanes]))
    predicted = OperationCycles(config)
    model = Tile(config, rows, cols)
    model.load(TileState(random_weights(rng, model), (0, 0, 0)))
    tile = RtlTile(config, rows, cols)
    tile.load(model.state())
    driver = TileDriver(build_tile(config).instance())
    driver.run(
        [
            *driver.registers(register_values(config, rows, cols, 0)),
            *driver.device(model.device, config.formats.weight_bits),
            command(Op.SETUP),
        ]
    )
    x, d = vectors(rng, cols, rows)
    lr = float(model.device.granularity * 10.0 ** rng.uniform(-2, 2))
    driver.run(driver.registers(asdict(pulse_registers(config, model.device.granularity, lr))))
    driver.run([command(Op.LOAD_X), command(Op.LOAD_D)], [*x, *d])
    managed = config.forward.noise_management == "abs-max"
    x_zero = not x.any() and managed and config.forward.inp_noise == 0
    d_zero = not d.any() and config.backward.noise_management == "abs-max"

    _, answers = driver.run([command(Op.FORWARD)], (), rows)
    passes = 0 if x_zero else answers[0].passes
    reads = [
        read_registers(io, model.lsb, lines) if io.physics else None
        for io, lines in ((config.forward, cols), (config.backward, rows))
    ]
    assert driver.cycles == predicted.forward(rows, cols, passes, reads[0])
    driver.run([command(Op.BACKWARD)], (), cols)
    assert driver.cycles == predicted.backward(rows, cols, d_zero, reads[1])
    for step in range(3):
        fused = bool(rng.integers(2))
        work = pulse_work(config, x, d, lr, step, fused)
        verb = Op.BACKWARD_UPDATE if fused else Op.UPDATE
        _, answers = driver.run([command(verb)], (), cols if fused else 0)
        if fused:
            assert driver.cycles == predicted.backward_update(rows, cols, work, d_zero, reads[1])
        else:
            assert driver.cycles == predicted.update(rows, cols, work)
        assert answers[0].bl == (0 if fused and d_zero else work.bl)


# ---- streams, resets and nonsense, on exported Verilog


@pytest.mark.parametrize(
    ("build", "formats", "pulse_type", "device"),
    [
        (
            BuildConfig(lanes=1, share=1),
            FormatConfig(curve_segments=4),
            "mean-count",
            OneSided(ConstantStep(dw_min=0.01), refresh_every=0),
        ),
        (
            BuildConfig(lanes=3, share=2, train_groups=1, write_noise=False),
            FormatConfig(weight_bits=16, edge_bits=12, x_frac=8, d_frac=10, curve_segments=1),
            "deterministic-implicit",
            ConstantStep(),
        ),
        (
            BuildConfig(lanes=4, share=2),
            FormatConfig(),
            "stochastic-compressed",
            SoftBoundsReference(dw_min=0.02, write_noise_std=3.0, reference_std=0.1),
        ),
    ],
    ids=lambda value: f"{value.lanes}-lanes" if isinstance(value, BuildConfig) else "",
)
def test_streams_resets_and_nonsense(build, formats, pulse_type, device):
    pulses = PulseConfig(pulse_type=pulse_type)
    config = Config(formats=formats, pulses=pulses, device=device).replace(
        build={**asdict(build), "max_rows": 6, "max_cols": 9}
    )
    if build.lanes == 4:
        drop = {"ir_drop": 1.0, "ir_drop_g_ratio": 50.0, "out_noise_std": 0.2}
        config = config.replace(
            forward={**drop, "inp_noise": 0.05, "w_noise": 0.1, "w_noise_type": "pcm-read"},
            backward={"w_noise": 0.1, "w_noise_type": "additive-constant", "out_asymmetry": 0.1},
        )
    passed = run_cocotb(
        TileGateware(config),
        Path(__file__).with_name("cocotb_tile.py"),
        name="tile",
        parameters={
            "config": config_to_toml(config),
            "registers": len(TILE_REGISTERS) + len(REGISTERS.members),
        },
    )
    assert passed == 3
