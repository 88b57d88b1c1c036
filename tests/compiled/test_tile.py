"""The compiled tile equals the golden one: any configuration, any vectors, every operation."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from strategies import devices, operate, physics

from ohmgrid.compiled import arith, jit
from ohmgrid.compiled.layout import VISITS
from ohmgrid.compiled.tile import CompiledTile
from ohmgrid.config import Config, FormatConfig
from ohmgrid.devices.cells import OneSided
from ohmgrid.devices.presets import PRESETS
from ohmgrid.devices.steps import ConstantStep
from ohmgrid.model.base.arith import divide_round, shift_round, square_root
from ohmgrid.model.core.tile import Tile
from ohmgrid.periphery import PULSE_TYPES, ConverterConfig, PulseConfig
from ohmgrid.tile import TileState

SEEDS = st.integers(0, 2**32 - 1)
LENGTHS = st.one_of(st.integers(1, 31), st.sampled_from([32, 62, 63, 100, 124, 127]))
VERBS = ("forward", "backward", "update", "backward_update")


@st.composite
def configs(draw: st.DrawFn) -> Config:
    """Draw all that decides the bits of a tile."""

    def converters(**more) -> ConverterConfig:
        bound = draw(st.sampled_from([0.2, 2.0, 12.0]))
        return ConverterConfig(
            dac_bits=draw(st.integers(2, 8)),
            adc_bits=draw(st.integers(2, 12)),
            out_bound=bound,
            out_noise=draw(st.sampled_from([0.0, 0.005, 0.3])) * bound,
            noise_management=draw(st.sampled_from(["abs-max", "none"])),
            **(draw(physics()) if draw(st.booleans()) else {}),
            **more,
        )

    device = draw(devices())
    if isinstance(device, OneSided):
        device = replace(device, refresh_bl=draw(LENGTHS))
    edge = draw(st.integers(12, 16))
    # What does not fit a register is refused; 18 bits hold every device drawn here.
    return Config(
        seed=draw(st.integers(0, 2**64 - 1)),
        formats=FormatConfig(
            edge_bits=edge,
            x_frac=draw(st.integers(8, edge - 1)),
            d_frac=draw(st.integers(8, edge - 1)),
        ),
        forward=converters(
            bound_management=draw(st.sampled_from(["none", "iterative"])),
            max_passes=draw(st.integers(1, 8)),
        ),
        backward=converters(),
        pulses=PulseConfig(
            pulse_type=draw(st.sampled_from(PULSE_TYPES)),
            desired_bl=draw(LENGTHS),
            fixed_bl=draw(st.booleans()),
            update_management=draw(st.booleans()),
            update_bl_management=draw(st.booleans()),
        ),
        device=device,
        batch=draw(st.integers(1, 3)),
    )


def vector(rng: np.random.Generator, lines: int, top: int) -> np.ndarray:
    """Return edge values of any size, some of them zero, sometimes all."""
    values = rng.integers(-top, top + 1, lines) >> int(rng.integers(0, 12))
    zeros = rng.choice([0.0, 0.3, 1.0], p=[0.5, 0.4, 0.1])
    return np.where(rng.random(lines) < zeros, 0, values)


def random_state(rng: np.random.Generator, tile) -> TileState:
    """Return weights within reach and beyond the cells' bounds, and steps of a long run."""
    most = (1 << (tile.config.formats.weight_bits - 1)) - 1
    top = min(most, int(1.2 * tile.config.device.unit.w_max / tile.lsb))
    weights = rng.integers(-top, top + 1, tile.device_shape, dtype=np.int32)
    first, second, third = (int(step) for step in rng.integers(0, 1 << 47, 3))
    return TileState(weights, (first, second, third))


def check_equal(one: TileState, other: TileState) -> None:
    assert_array_equal(one.weights, other.weights)
    assert one.weights.dtype == other.weights.dtype
    assert one.steps == other.steps


@settings(max_examples=30)
@given(configs(), SEEDS, st.integers(1, 90), st.integers(1, 140), st.integers(0, 255))
def test_any_configuration_equals_the_model(config, seed, rows, cols, number):
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    golden, compiled = tiles = (
        Tile(config, rows, cols, number),
        CompiledTile(config, rows, cols, number),
    )
    start = random_state(rng, golden)
    for tile in tiles:
        tile.load(start)
    top = (1 << (config.formats.edge_bits - 1)) - 1
    for _ in range(6):
        x, d = vector(rng, cols, top), vector(rng, rows, top)
        lr = float(golden.device.granularity * 10.0 ** rng.uniform(-2, 2.5))
        for verb in rng.permutation(VERBS):
            assert operate(golden, verb, x, d, lr) == operate(compiled, verb, x, d, lr), verb
            check_equal(golden.state(), compiled.state())


@pytest.mark.parametrize(("rows", "cols"), [(300, 400), (1500, 60)])
@pytest.mark.parametrize("device", ["gokmen-vlasov", "capacitor", "ecram", "reram-array-om", "pcm"])
def test_large_arrays_fill_many_blocks_of_visits(device, rows, cols, rng):
    """Dense trains: sums over many columns, full blocks of visits, columns longer than one."""
    config = Config(device=PRESETS[device])
    golden, compiled = Tile(config, rows, cols), CompiledTile(config, rows, cols)
    start = random_state(rng, golden)
    x, d = rng.integers(-4096, 4097, cols), rng.integers(-16384, 16385, rows)
    results = []
    for tile in (golden, compiled):
        tile.load(start)
        results.append([*tile.forward(x), *tile.backward_update(x, d, 0.1)])
    assert results[0] == results[1]
    check_equal(golden.state(), compiled.state())
    assert (compiled.state().weights != start.weights).sum() > 10 * VISITS


@pytest.mark.parametrize("pulse_type", PULSE_TYPES)
@pytest.mark.parametrize("slot_by_slot", [False, True])
@pytest.mark.parametrize("paired", [False, True])
def test_trains_of_several_chunks_equal_the_model_s(paired, slot_by_slot, pulse_type, rng):
    """Whole chunks, slot by slot, and pairs that are refreshed with long trains after each update.

    The largest pair asks for less than the slots that there are, then for more.
    """
    cell = PRESETS["reram-es" if slot_by_slot else "gokmen-vlasov"]
    if paired:
        unit = PRESETS["pcm"].unit if slot_by_slot else ConstantStep(dw_min=0.01, w_max=2.0)
        cell = OneSided(unit, refresh_every=1, units_in_mbatch=False, refresh_bl=100)
    for bl in (32, 62, 94, 127):
        config = Config(device=cell, pulses=PulseConfig(pulse_type=pulse_type, desired_bl=bl))
        golden, compiled = Tile(config, 9, 14), CompiledTile(config, 9, 14)
        assert golden.device.serial == slot_by_slot
        start = random_state(rng, golden)
        for tile in (golden, compiled):
            tile.load(start)
        x, d = rng.integers(-4096, 4097, 14), rng.integers(-16384, 16385, 9)
        x[0], d[0] = 4096, -16384
        for lr in (0.7 * bl * golden.device.granularity, 2 * bl * golden.device.granularity):
            reports = [operate(tile, "update", x, d, lr) for tile in (golden, compiled)]
            assert reports[0] == reports[1]
            check_equal(golden.state(), compiled.state())
        # The largest pair fires in every slot.
        assert golden.pulses.up >= bl


def as_kernel(function: Any) -> Any:
    """Return a function that kernels call as one that Python calls."""
    return jit.kernel(getattr(function, "py_func", function))


divide_floor, kernel_divide_round = as_kernel(arith.divide_floor), as_kernel(arith.divide_round)
kernel_shift_round, kernel_square_root = as_kernel(arith.shift_round), as_kernel(arith.square_root)


@given(st.integers(0, 2**51), st.integers(1, 2**22), st.integers(1, 20))
def test_arithmetic_equals_the_model(value, divisor, shift):
    # Quotients just below an integer and ties are where a float could mislead.
    below = max(0, value // divisor * divisor - 1)
    tie = value // (2 * divisor) * 2 * divisor + divisor
    numerators = np.array([value, value // divisor * divisor, below, tie])
    for numerator in numerators.tolist():
        assert divide_floor(numerator, divisor) == numerator // divisor
    rounded = divide_round(numerators, np.int64(2 * divisor))
    assert [kernel_divide_round(n, 2 * divisor) for n in numerators.tolist()] == rounded.tolist()
    signed = np.array([value, -value, (value >> shift << shift) + (1 << (shift - 1))])
    shifted = shift_round(signed, shift)
    assert [kernel_shift_round(v, shift) for v in signed.tolist()] == shifted.tolist()
    root = square_root(value)
    for square in (value, root * root, max(0, root * root - 1)):
        assert kernel_square_root(square) == square_root(square)


def test_wrong_arguments_get_the_model_s_lines():
    tile = CompiledTile(Config(), 3, 4)
    with pytest.raises(ValueError, match="x: expected 4 integers, got int64 of shape"):
        tile.forward(np.zeros(3, np.int64))
    with pytest.raises(ValueError, match="d: expected values in"):
        tile.backward(np.full(3, 40000))
    with pytest.raises(ValueError, match="lr: expected a finite number > 0, got 0"):
        tile.update(np.zeros(4, np.int64), np.zeros(3, np.int64), 0.0)
    with pytest.raises(ValueError, match="weights: expected shape"):
        tile.load(TileState(np.zeros((4, 3), np.int32), (0, 0, 0)))
