"""The read side behind the sums: the formulas of docs/readout.md within derived bounds."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import FEW

from ohmgrid.config import Config
from ohmgrid.doors.checks import ConfigError
from ohmgrid.hdl.periphery.readout import LineValue, Readout
from ohmgrid.model.array.array import array_sums
from ohmgrid.model.base.noise import gaussian, line_keys
from ohmgrid.model.core.operations import multiply, part_sums
from ohmgrid.model.periphery.outputs import convert, convert_parts
from ohmgrid.model.periphery.readout import Readout as ModelReadout
from ohmgrid.model.periphery.readout import amplitudes, gauss_field, scaled, values
from ohmgrid.periphery import ConverterConfig
from ohmgrid.registers.edge import converter_registers
from ohmgrid.registers.noise import GAUSS_SIGMA, Purpose
from ohmgrid.registers.readout import VOLTAGE_FRAC, Part, read_registers
from ohmgrid.sim.rtl import RtlTile
from ohmgrid.sim.tables import run_clocked

LSB = 2.0**-16
FRAC = 12
SEEDS = st.integers(0, 2**32 - 1)


def problem(seed: int, io: ConverterConfig, rows: int, cols: int):
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    matrix = rng.integers(-(1 << 17) + 1, 1 << 17, (rows, cols), dtype=np.int32)
    matrix[rng.random((rows, cols)) < 0.2] >>= 9
    return matrix, rng.integers(-io.dac_half, io.dac_half + 1, cols) << VOLTAGE_FRAC


def loads(io: ConverterConfig, matrix: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return a of docs/physics.md, section 2, step 5."""
    volts = np.abs(v) / (io.dac_half << VOLTAGE_FRAC)
    return len(v) / io.ir_drop_g_ratio * (np.abs(matrix) * LSB @ volts)


def formula(io: ConverterConfig, matrix: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return steps 4, 5 and the asymmetry of 8 in floats, in ADC codes."""
    n = len(v)
    volts = v / (io.dac_half << VOLTAGE_FRAC)
    weights = matrix * LSB
    y = weights @ volts
    a = loads(io, matrix, v)
    c = a * (a * (0.05 * a - 0.2) + 0.5)
    y = y - io.ir_drop * c * (weights @ (volts * (1 - (1 - np.arange(n) / n) ** 2)))
    y = np.where(y < 0, y * (1 - io.out_asymmetry), y)
    return y / io.out_bound * io.adc_half


@given(
    SEEDS,
    st.integers(1, 6),
    st.sampled_from([1, 2, 5, 40, 300]),
    st.integers(2, 8),
    st.integers(2, 12),
    st.floats(0.0, 2.0),
    st.floats(0.0, 3.9),
    st.floats(-1.0, 1.0),
)
def test_values_are_those_of_the_formula(
    seed, rows, cols, dac_bits, adc_bits, ir_drop, largest, asymmetry
):
    io = ConverterConfig(
        dac_bits=dac_bits, adc_bits=adc_bits, out_bound=4.0 * cols**0.5, ir_drop=ir_drop
    )
    matrix, v = problem(seed, io, rows, cols)
    # A ratio that makes the largest load what was drawn: up to 4 the hardware follows.
    load = loads(io, matrix, v)
    ratio = io.ir_drop_g_ratio * max(load.max(), 1e-9) / max(largest, 1e-3)
    io = replace(io, ir_drop_g_ratio=max(1.0, ratio), out_asymmetry=asymmetry)
    converter, registers = converter_registers(io, LSB), read_registers(io, LSB, cols)
    keys = line_keys(seed, Purpose.OUTPUT, np.arange(rows), 0)
    found = (
        values(part_sums(matrix, np.abs(matrix), v, registers), keys, converter, registers) / 65536
    )

    one = converter.scale / 2.0**converter.shift / 65536  # codes for a sum's LSB
    cut = one + 2.0**-16  # bits dropped from a sum, and below 2**-16 codes
    size = np.abs(matrix) @ np.abs(v) / (1 << VOLTAGE_FRAC) * one
    a = loads(io, matrix, v)
    a_lsb = len(v) / io.ir_drop_g_ratio * LSB / io.dac_half
    # A voltage times its position weight is rounded, after that was cut to 16 bits.
    placed = (np.abs(matrix) @ (0.5 + np.abs(v) * 2.0**-15)) / (1 << VOLTAGE_FRAC) * one
    e_position = placed + size * 2.0**-17 + cut
    # Complemented weights lack one LSB; slope of c is below 1.3, its value below 2.
    e_load = a_lsb * (1 + np.abs(v).sum() / (1 << VOLTAGE_FRAC)) + a * 2.0**-17 + 2.0**-16
    e_c = io.ir_drop * (1.3 * e_load + 2.0**-16) + 40 * 2.0**-19 + 2.0**-16
    bound = size * 2.0**-17 + cut + e_c * size + 2 * io.ir_drop * e_position + 2.0**-16
    # Asymmetry: a factor of up to 2, rounded to 2**-15, and the floor.
    bound = 2 * bound + size * (1 + 2 * io.ir_drop) * 2.0**-16 + 2.0**-16
    assert (np.abs(found - formula(io, matrix, v)) <= bound).all()


@given(SEEDS, st.integers(1, 5), st.integers(1, 30), st.integers(2, 8), st.integers(0, 7))
def test_with_everything_off_nothing_changes(seed, rows, cols, dac_bits, halvings):
    """Voltages and dropped bits give what codes give: one hardware does both."""
    io = ConverterConfig(dac_bits=dac_bits)
    matrix, v = problem(seed, io, rows, cols)
    converter, registers = converter_registers(io, LSB), read_registers(io, LSB, cols)
    noise = amplitudes(seed, 0, rows, converter.noise, registers)
    assert_array_equal(noise, converter.noise)
    plain = convert(array_sums(matrix, v >> VOLTAGE_FRAC), seed, halvings, converter, io.adc_half)
    sums = part_sums(matrix, np.abs(matrix), v, registers)
    readout = ModelReadout(registers, noise, False, (18, False))
    codes, saturated = convert_parts(sums, seed, halvings, converter, io.adc_half, readout)
    assert_array_equal(codes, plain[0])
    assert saturated == plain[1]
    x = np.random.default_rng(seed).integers(-5000, 5000, cols)
    ideal, *_ = multiply(matrix, x, io, FRAC, converter, seed)
    read, *_ = multiply(matrix, x, io, FRAC, converter, seed, readout)
    assert_array_equal(read, ideal)


@given(SEEDS, st.floats(0.0, 2.0))
def test_amplitudes_are_those_of_the_formula(seed, std):
    io = ConverterConfig(out_noise=0.06, out_noise_std=std)
    registers = read_registers(io, LSB, 10)
    base = converter_registers(io, LSB).noise
    lines = 4000
    found = amplitudes(seed, 0, lines, base, registers)
    assert_array_equal(found, amplitudes(seed, 0, lines, base, registers))
    assert std < 0.01 or not np.array_equal(found, amplitudes(seed, 1, lines, base, registers))
    # |N(1, std)|: second moment 1 + std**2, whatever was folded over. Of any seed and spread, eight
    # standard errors: four would fail now and then.
    second = (found / base) ** 2
    assert abs(second.mean() - 1 - std**2) <= 8 * second.std() / lines**0.5 + 2 / base


@given(SEEDS, st.sampled_from(["additive-constant", "pcm-read"]), st.integers(2, 8))
def test_read_noise_is_that_of_the_formula(seed, kind, dac_bits):
    """The standard deviation of each line, from its own Gaussian draw."""
    rows, cols = 5, 60
    io = ConverterConfig(dac_bits=dac_bits, w_noise=0.05, w_noise_type=kind)
    matrix, v = problem(seed, io, rows, cols)
    v[: cols // 2] = 0
    converter, registers = converter_registers(io, LSB), read_registers(io, LSB, cols)
    sums = part_sums(matrix, np.abs(matrix), v, registers)
    keys = line_keys(seed, Purpose.OUTPUT, np.arange(rows), 0)
    off = replace(registers, w_kind=0)
    noise = values(sums, keys, converter, registers) - values(sums, keys, converter, off)
    volts = v / (io.dac_half << VOLTAGE_FRAC)
    weights = np.abs(matrix) * LSB if kind == "pcm-read" else np.ones((rows, cols))
    sigma = io.w_noise * np.sqrt(weights @ volts**2) / io.out_bound * io.adc_half * 65536
    gauss = gaussian((keys >> np.uint64(16) & np.uint64(1023)).astype(np.int64)) / GAUSS_SIGMA
    assert_allclose(noise, gauss * sigma, rtol=1e-3, atol=np.abs(gauss).max() * 2)


def test_a_load_beyond_four_saturates():
    io = ConverterConfig(ir_drop=1.0, ir_drop_g_ratio=1.0)
    converter, registers = converter_registers(io, LSB), read_registers(io, LSB, 8)
    sums = {
        Part.LOAD: np.array([1 << 26, 1 << 32]),
        Part.POSITION: np.array([1 << 20, 1 << 20]),
        Part.VALUE: np.array([1 << 22, 1 << 22]),
    }
    first, second = values(sums, np.zeros(2, np.uint64), converter, registers)
    assert first == second


def test_a_build_without_it_says_so():
    config = Config().replace(backward={"ir_drop": 1.0}, build={"read_physics": False})
    line = r"^backward\.ir_drop: expected to be off with build\.read_physics = false"
    with pytest.raises(ConfigError, match=line):
        RtlTile(config, 3, 2)


@FEW
@given(
    SEEDS,
    st.integers(1, 8),
    st.sampled_from([0.0, 1.0, 10.0]),
    st.sampled_from(["none", "additive-constant", "pcm-read"]),
    st.sampled_from([0.01, 3.0]),
    st.sampled_from([0.0, 0.1, -1.0]),
    st.sampled_from([0.0, 0.3, 10.0]),
    st.booleans(),
)
def test_gateware_equals_the_model(seed, lines, ir_drop, kind, w_noise, asymmetry, spread, extreme):
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    io = ConverterConfig(
        ir_drop=ir_drop,
        ir_drop_g_ratio=1000.0,
        w_noise=w_noise,
        w_noise_type=kind,
        out_asymmetry=asymmetry,
        out_noise_std=spread,
    )
    converter, registers = converter_registers(io, LSB), read_registers(io, LSB, 40)
    sums = {part: rng.integers(-(1 << 27), 1 << 27, lines) >> 6 * (not extreme) for part in Part}
    if extreme:
        sums[Part.VALUE] <<= rng.integers(0, 8)
    for part in (Part.LOAD, Part.POWER):
        sums[part] = np.abs(sums[part]) << 4
    if kind == "additive-constant":
        sums[Part.POWER] = sums[Part.POWER][:1]
    scales = {
        Part.LOAD: (registers.load_scale, registers.load_shift),
        Part.POWER: (1 << 17, registers.power_shift),
    }
    key, static = (int(k) for k in rng.integers(0, 2**63, 2))
    keys = line_keys(key, Purpose.OUTPUT, np.arange(lines), 3)
    static_keys = line_keys(static, Purpose.OUTPUT, np.arange(lines), 1)
    key_latency, noise_latency = 4, int(rng.integers(1, 9))
    dut = Readout(lines, key_latency, noise_latency)
    seen = []
    cycles = []

    async def bench(ctx):
        for name in LineValue.REGISTERS:
            ctx.set(getattr(dut, name), getattr(registers, name))
        ctx.set(dut.noise, converter.noise)
        ctx.set(dut.lines, lines)
        for part, column in sums.items():
            scale = scales.get(part, (converter.scale, converter.shift))
            ctx.set(dut.clear, 1)
            await ctx.tick()
            ctx.set(dut.clear, 0)
            ctx.set(dut.part, part)
            ctx.set(dut.write, 1)
            for value in scaled(column, *scale):
                ctx.set(dut.scaled, int(value))
                await ctx.tick()
            ctx.set(dut.write, 0)
            assert ctx.get(dut.stored) == len(column)
        ctx.set(dut.start, 1)
        answers = [0] * key_latency
        stable = 0
        before = None
        for cycle in range(20_000):
            ask = 0
            if ctx.get(dut.ask):
                ask = int((static_keys if ctx.get(dut.static) else keys)[ctx.get(dut.index)])
            now = ctx.get(dut.gauss), ctx.get(dut.amplitude)
            stable, before = stable + 1 if now == before else 0, now
            if ctx.get(dut.valid):
                assert stable >= noise_latency
                seen.append([ctx.get(dut.value), *now])
                cycles.append(cycle)
            answers = [ask, *answers[:-1]]
            if len(seen) == lines:
                break
            await ctx.tick()
            ctx.set(dut.start, 0)
            ctx.set(dut.answer, answers[-1])

    run_clocked(dut, bench)
    expected = [
        values(sums, keys, converter, registers),
        gauss_field(keys, 0),
        amplitudes(static, 1, lines, converter.noise, registers),
    ]
    assert_array_equal(np.array(seen).T, expected)
    assert cycles[-1] == dut.cycles(lines, registers)
