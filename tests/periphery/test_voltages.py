"""Voltages and what lanes multiply with: equations of docs/readout.md, in floats and integers."""

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from ohmgrid.hdl.periphery.voltages import Voltages
from ohmgrid.model.base.noise import line_keys
from ohmgrid.model.periphery.converters import dac
from ohmgrid.model.periphery.voltages import operands, positions, voltages
from ohmgrid.periphery import ConverterConfig
from ohmgrid.registers.map import READ_BITS
from ohmgrid.registers.noise import Purpose
from ohmgrid.registers.readout import DITHER_BITS, VOLTAGE_FRAC, Part, read_registers
from ohmgrid.sim.tables import run_clocked

LSB = 2.0**-17
SEEDS = st.integers(0, 2**32 - 1)
TOP = (1 << 15) - 1


@pytest.mark.parametrize("lines", [1, 2, 3, 10, 529, 4096, 65536])
def test_position_weights_are_those_of_the_formula(lines):
    found = positions(lines, read_registers(ConverterConfig(), LSB, lines))
    exact = 1 - (1 - np.arange(lines) / lines) ** 2
    # Cut off below 2**-16; the registers' own rounding adds up over the lines.
    slack = 2.0**-16 + lines**2 * 2.0**-48
    assert (found <= exact * 65536).all()
    assert (found >= (exact - slack) * 65536).all()
    assert found[0] == 0
    assert found.max() < 65536


@given(SEEDS, st.integers(2, 8), st.floats(-1.0, 1.0))
def test_an_asymmetry_shrinks_negative_voltages(seed, dac_bits, asymmetry):
    print(f"seed={seed}")
    io = ConverterConfig(dac_bits=dac_bits, inp_asymmetry=asymmetry)
    codes = np.random.default_rng(seed).integers(-io.dac_half, io.dac_half + 1, 50)
    found = voltages(codes, seed, 0, read_registers(io, LSB, 50))
    exact = codes * np.where(codes < 0, 1 - asymmetry, 1.0) * (1 << VOLTAGE_FRAC)
    # Half an LSB of the voltage, and of the factor; what does not fit saturates.
    bound = 0.5 + np.abs(exact) * 2.0**-16 + (codes < 0) * 2.0**-2
    assert (np.abs(found - np.clip(exact, -TOP, TOP)) <= bound).all()
    assert_array_equal(found[codes >= 0], codes[codes >= 0] << VOLTAGE_FRAC)


@given(SEEDS, st.integers(2, 8))
def test_without_options_a_voltage_is_a_code(seed, dac_bits):
    print(f"seed={seed}")
    io = ConverterConfig(dac_bits=dac_bits)
    codes = np.random.default_rng(seed).integers(-io.dac_half, io.dac_half + 1, 50)
    registers = read_registers(io, LSB, 50)
    assert_array_equal(voltages(codes, seed, 3, registers), codes << VOLTAGE_FRAC)


@pytest.mark.parametrize(
    ("dac_bits", "noise"), [(2, 0.02), (2, 0.3), (7, 0.002), (7, 0.1), (8, 0.002), (8, 0.3)]
)
def test_input_noise_has_the_moments_of_the_formula(dac_bits, noise, fixed_rng):
    """v + inp_noise xi, on 200,000 lines: mean and variance within 4 standard errors."""
    lines = 50_000
    io = ConverterConfig(dac_bits=dac_bits, inp_noise=noise)
    registers = read_registers(io, LSB, lines)
    codes = np.full(lines, -io.dac_half // 2)
    key = int(fixed_rng.integers(2**63))
    # By four passes: each has noise of its own.
    seen = np.concatenate([voltages(codes, key, sub, registers) for sub in range(4)])
    full = io.dac_half << VOLTAGE_FRAC
    found = (seen - (codes[0] << VOLTAGE_FRAC)) / full
    # Rounding to a whole LSB adds a twelfth.
    variance = noise**2 + 1 / 12 / full**2
    count = len(found)
    assert abs(found.mean()) < 4 * np.sqrt(variance / count)
    assert_allclose(found.var(), variance, rtol=4 * np.sqrt(2 / count))


def test_rounding_at_random_is_unbiased(fixed_rng):
    io = ConverterConfig(inp_sto_round=True)
    lines, alpha = 60_000, 5000
    registers = read_registers(io, LSB, lines)
    for value in (1, 17, 39, 2500, -2501, 4999, 5000, -5000, 9000):
        fine = dac(np.full(lines, value), alpha, 0, io.dac_half << DITHER_BITS)
        found = voltages(fine, int(fixed_rng.integers(2**63)), 0, registers) / (1 << VOLTAGE_FRAC)
        exact = np.clip(value / alpha, -1, 1) * io.dac_half
        assert set(found) <= {np.floor(exact), np.ceil(exact)}
        part = exact - np.floor(exact)
        # Probabilities are multiples of 2**-8.
        error = 4 * np.sqrt(part * (1 - part) / lines) + 2.0**-9
        assert abs(found.mean() - exact) <= error


@given(SEEDS, st.integers(2, 8), st.floats(0, 1.0))
def test_operands_are_those_of_the_formula(seed, dac_bits, noise):
    print(f"seed={seed}")
    io = ConverterConfig(dac_bits=dac_bits, inp_noise=noise)
    lines = 60
    registers = read_registers(io, LSB, lines)
    codes = np.random.default_rng(seed).integers(-io.dac_half, io.dac_half + 1, lines)
    v = voltages(codes, seed, 0, registers)
    assert_array_equal(operands(v, Part.VALUE, registers), v)
    assert_array_equal(operands(v, Part.LOAD, registers), np.abs(v))
    place = operands(v, Part.POSITION, registers)
    assert_allclose(place, v * (1 - (1 - np.arange(lines) / lines) ** 2), atol=0.5 + 2.0**-1)
    power = operands(v, Part.POWER, registers)
    exact = v.astype(float) ** 2 / (1 << registers.square_shift)
    assert_allclose(power, np.minimum(exact, TOP), atol=0.5)
    # A noisy voltage of twice the full scale is not cut.
    full = io.dac_half << VOLTAGE_FRAC
    assert (power[np.abs(v) < min(2 * full, TOP)] < TOP).all()
    for part in Part:
        assert np.abs(operands(v, part, registers)).max() <= TOP


@settings(max_examples=5)
@given(
    SEEDS,
    st.integers(1, 60),
    st.integers(2, 8),
    st.sampled_from([0.0, 0.001, 0.1, 1.0]),
    st.sampled_from([0.0, 1.0, -1.0, 0.07]),
    st.booleans(),
    st.sampled_from(list(Part)),
    st.integers(0, 7),
)
def test_gateware_equals_the_model(
    seed, lines, dac_bits, noise, asymmetry, dithered, part, halvings
):
    print(f"seed={seed}")
    io = ConverterConfig(
        dac_bits=dac_bits, inp_noise=noise, inp_asymmetry=asymmetry, inp_sto_round=dithered
    )
    registers = read_registers(io, LSB, lines)
    half = io.dac_half << (DITHER_BITS if dithered else 0)
    codes = np.random.default_rng(seed).integers(-half, half + 1, lines)
    codes[:2] = (-half, half)[:lines]
    keys = line_keys(seed, Purpose.INPUT, np.arange(lines), halvings)
    dut = Voltages()
    seen = []

    async def bench(ctx):
        for name in dut.REGISTERS:
            ctx.set(getattr(dut, name), getattr(registers, name))
        ctx.set(dut.part, part)
        ctx.set(dut.first, 1)
        await ctx.tick()
        ctx.set(dut.first, 0)
        for cycle in range(lines + dut.latency + 1):
            if cycle < lines:
                ctx.set(dut.code, int(codes[cycle]))
                ctx.set(dut.key, int(keys[cycle]))
            ctx.set(dut.valid, cycle < lines)
            assert ctx.get(dut.o_valid) == (dut.latency <= cycle < lines + dut.latency)
            if ctx.get(dut.o_valid):
                seen.append(ctx.get(dut.operand))
            await ctx.tick()
        seen.append(ctx.get(dut.power))

    run_clocked(dut, bench)
    expected = operands(voltages(codes, seed, halvings, registers), part, registers)
    assert_array_equal(seen[:-1], expected)
    if part == Part.POWER:
        assert seen[-1] == expected.sum()


@given(
    st.sampled_from([1.0, 0.5]),
    st.sampled_from([-1.0, 1.0]),
    st.integers(2, 12),
    st.sampled_from([1, 2, 65536]),
    st.integers(2, 8),
)
def test_registers_fit_their_widths(level, sign, adc_bits, lines, dac_bits):
    io = ConverterConfig(
        dac_bits=dac_bits,
        adc_bits=adc_bits,
        inp_noise=level,
        inp_asymmetry=sign * level,
        inp_sto_round=True,
        ir_drop=10 * level,
        w_noise=level,
        w_noise_type="pcm-read",
        out_asymmetry=sign,
        out_noise=12.0,
        out_noise_std=10.0,
        out_sto_round=True,
    )
    registers = asdict(read_registers(io, LSB, lines))
    assert {"read", *registers} == READ_BITS.keys()
    for name, value in registers.items():
        assert 0 <= value < 1 << READ_BITS[name], name
