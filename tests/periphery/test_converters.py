"""Converters: the model against the real formulas, the gateware against the model."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import FEW

from ohmgrid.devices.presets import PRESETS, preset
from ohmgrid.doors.checks import ConfigError
from ohmgrid.hdl.periphery.converters import Adc, Scaler
from ohmgrid.model.periphery import converters as model
from ohmgrid.model.periphery.pulses import probabilities
from ohmgrid.periphery import ConverterConfig
from ohmgrid.registers.device import full_scale
from ohmgrid.registers.edge import ConverterRegisters, converter_registers
from ohmgrid.sim.tables import run_pipeline

SEEDS = st.integers(0, 2**32 - 1)
DSP_BITS = st.sampled_from([16, 18])


def spread(seed: int, top: int, count: int = 60) -> np.ndarray:
    """Make integers in ``+-top`` of all magnitudes, both ends and 0 among them."""
    rng = np.random.default_rng(seed)
    shifts = rng.integers(0, max(1, top.bit_length()), count)
    return np.concatenate([[top, -top, 0], rng.integers(-top, top, count, endpoint=True) >> shifts])


# ---- model


@given(
    SEEDS, st.integers(8, 16), st.integers(2, 8), st.sampled_from(["abs-max", "none"]), st.data()
)
def test_dac_is_the_real_formula(seed, edge_bits, dac_bits, management, data):
    io = ConverterConfig(dac_bits=dac_bits, noise_management=management)
    top = (1 << (edge_bits - 1)) - 1
    values = spread(seed, data.draw(st.integers(1, top)))
    frac = data.draw(st.integers(4, edge_bits - 1))
    halvings = data.draw(st.integers(0, 7))
    # Steps 1 to 3 of docs/physics.md: alpha, s = 1 / (alpha R), rint(s x / LSB), clipped to +-1.
    x = [Fraction(int(value), 1 << frac) for value in values]
    alpha = max(map(abs, x)) if management == "abs-max" else Fraction(1)
    lsb = 2 * Fraction(1, (1 << dac_bits) - 2)
    scaled = [round(value / (alpha * (1 << halvings)) / lsb) for value in x]
    expected = [max(-io.dac_half, min(io.dac_half, code)) for code in scaled]
    assert (1 / lsb).numerator == io.dac_half
    divisor = model.input_scale(values, io, frac)
    assert model.dac(values, divisor, halvings, io.dac_half).tolist() == expected


@given(
    SEEDS,
    st.integers(2, 8),
    st.integers(2, 12),
    st.floats(0.5, 100.0),
    st.sampled_from(sorted(PRESETS)),
    st.sampled_from([16, 18]),
)
def test_adc_is_the_real_formula_but_near_ties(
    seed, dac_bits, adc_bits, bound, device, weight_bits
):
    io = ConverterConfig(dac_bits=dac_bits, adc_bits=adc_bits, out_bound=bound, out_noise=0.0)
    lsb = full_scale(preset(device).unit) / (1 << (weight_bits - 1))
    registers = converter_registers(io, lsb)
    # Steps 8 to 10: y in weight times scaled-input units, LSB = 2 bound / (2**bits - 2).
    real = Fraction(lsb) / io.dac_half / (2 * Fraction(bound) / ((1 << adc_bits) - 2))
    # Sums that matter: up to twice the range, and some on the exact ties and beside them.
    reach = min(int(2 * io.adc_half / real), (1 << 39) - 1)
    rng = np.random.default_rng(seed)
    ties = [int((k + Fraction(1, 2)) / real) for k in rng.integers(-io.adc_half, io.adc_half, 60)]
    sums = np.concatenate([spread(seed, reach, 200), ties, np.array(ties) + 1])
    codes = model.adc(sums, np.zeros_like(sums), registers)
    for total, code in zip(sums.tolist(), codes.tolist(), strict=True):
        exact = total * real
        distance = abs((exact - Fraction(1, 2)) - round(exact - Fraction(1, 2)))
        if distance > abs(exact) / 2**18 + Fraction(1, 2**16):
            assert code == round(exact)
        else:
            assert abs(code - exact) <= Fraction(1, 2) + distance + Fraction(1, 2**6)


def test_the_adc_bound_is_tight():
    """Codes do differ nearly as far from a tie as the bound allows: the mantissa's worst case."""
    io = ConverterConfig(dac_bits=2, adc_bits=12, out_bound=1.0, out_noise=0.0)
    lsb = (2**17 + 0.499) * 2.0**-34 / io.adc_half
    registers = converter_registers(io, lsb)
    real = Fraction(lsb) * io.adc_half
    tie = io.adc_half - Fraction(1, 2)
    bound = tie / 2**18 + Fraction(1, 2**16)
    # The scale is too small and the floor takes off more, so codes just above a tie go down.
    beyond = [tie + bound * Fraction(percent, 100) for percent in (2, 50, 98)]
    sums = np.array([int(exact / real) + 1 for exact in beyond])
    assert model.adc(sums, np.zeros_like(sums), registers).tolist() == [io.adc_half - 1] * 3
    farther = np.array([int((tie + bound) / real) + 2])
    assert model.adc(farther, np.zeros_like(farther), registers).tolist() == [io.adc_half]


def test_noise_has_the_asked_spread():
    io = ConverterConfig(out_noise=0.06, out_bound=12.0, adc_bits=12)
    registers = converter_registers(io, 2.0**-17)
    # One standard deviation is 64 LSB of a Gaussian.
    code = model.adc(np.array(0), np.array(64 * 64), registers)
    assert code == round(64 * 0.06 / 12.0 * io.adc_half)


# ---- gateware


@FEW
@given(SEEDS, st.integers(8, 16), DSP_BITS, st.integers(0, 7), st.integers(2, 8), st.data())
def test_scaler_is_the_dac(seed, edge_bits, dsp_bits, halvings, dac_bits, data):
    top = (1 << (edge_bits - 1)) - 1
    half = (1 << (dac_bits - 1)) - 1
    alpha = data.draw(st.integers(1, top + 1))
    values = spread(seed, top)
    result = run_pipeline(
        Scaler(edge_bits, dsp_bits=dsp_bits),
        {"value": values.tolist()},
        ["code"],
        {"factor": half, "divisor": alpha << halvings, "top": half},
    )
    assert result["code"] == model.dac(values, alpha, halvings, half).tolist()


@FEW
@given(SEEDS, st.integers(8, 16), DSP_BITS, st.integers(0, 2**22 - 1), st.data())
def test_scaler_is_the_firing_probability(seed, edge_bits, dsp_bits, factor, data):
    top = (1 << (edge_bits - 1)) - 1
    divisor = data.draw(st.integers(1, top + 1))
    values = spread(seed, top)
    result = run_pipeline(
        Scaler(edge_bits, dsp_bits=dsp_bits),
        {"value": values.tolist()},
        ["code"],
        {"magnitude": 1, "factor": factor, "divisor": divisor, "top": 65536},
    )
    assert result["code"] == probabilities(values, factor, divisor).tolist()


@FEW
@given(
    SEEDS,
    st.integers(20, 40),
    st.integers(2, 12),
    DSP_BITS,
    st.integers(2**17, 2**18 - 1),
    st.integers(0, 63),
    st.integers(0, 21),
    st.data(),
)
def test_adc(seed, sum_bits, adc_bits, dsp_bits, scale, shift, noise_bits, data):
    registers = ConverterRegisters(
        scale=scale, shift=shift, noise=data.draw(st.integers(0, (1 << noise_bits) - 1))
    )
    half = data.draw(st.integers(1, (1 << (adc_bits - 1)) - 1))
    # Sums around the converter's range, and sums of all sizes.
    top = (1 << (sum_bits - 1)) - 1
    near = min(top, ((half << 17) << shift) // scale)
    sums = np.concatenate([spread(seed, near), spread(seed + 1, top), [-top - 1, -1, 1]])
    gauss = np.random.default_rng(seed).integers(-218, 218, len(sums), endpoint=True)
    raw = model.adc(sums, gauss, registers)
    result = run_pipeline(
        Adc(sum_bits, adc_bits, dsp_bits),
        {"sum": sums.tolist(), "gauss": gauss.tolist()},
        ["code", "clipped"],
        {"scale": scale, "shift": shift, "noise": registers.noise, "half": half},
    )
    assert result["code"] == np.clip(raw, -half, half).tolist()
    assert result["clipped"] == (np.abs(raw) > half).astype(int).tolist()


@FEW
@given(SEEDS, st.integers(2, 12), st.booleans(), st.integers(0, 2**21 - 1))
def test_values_that_enter_the_adc(seed, adc_bits, dithered, noise):
    """A value comes `noise_latency` after its Gaussian, a cycle before its dither."""
    rng = np.random.default_rng(seed)
    half = (1 << (adc_bits - 1)) - 1
    values = np.concatenate([spread(seed, half << 16), spread(seed, (1 << 30) - 1)])
    values[:9] = (np.arange(9) - 4) << 15
    gauss = rng.integers(-237, 238, len(values))
    dither = rng.integers(0, 1 << 16, len(values))
    dut = Adc(36, adc_bits)
    amplitudes = np.full(len(values), noise)
    raw = model.noisy_adc(values, gauss, amplitudes, dither if dithered else None)
    shifts = {"gauss": 0, "value": dut.noise_latency, "dither": dut.noise_latency + 1}
    columns = {"gauss": gauss, "value": values, "dither": dither}
    padding = max(shifts.values())
    result = run_pipeline(
        dut,
        {
            name: [*[0] * shifts[name], *column.tolist(), *[0] * (padding - shifts[name])]
            for name, column in columns.items()
        },
        ["code", "clipped"],
        {"enters": 1, "dithered": dithered, "noise": noise, "half": half},
    )
    # The pipeline's latency counts from a sum; a value has less way to go.
    early = dut.latency - dut.noise_latency - dut.ending
    assert early >= 0
    assert result["code"][: len(raw) - early] == np.clip(raw, -half, half)[early:].tolist()


@given(st.integers(2, 12), st.floats(0.01, 1000.0), st.floats(0.0, 1.0), st.integers(-17, -8))
def test_registers_fit_the_adc(adc_bits, bound, noise, exponent):
    io = ConverterConfig(adc_bits=adc_bits, out_bound=bound, out_noise=noise * bound)
    assume(2.0**exponent * io.adc_half / (io.dac_half * bound) < 1)
    registers = converter_registers(io, 2.0**exponent)
    ports = Adc(36)
    assert 1 << 17 <= registers.scale < 1 << len(ports.scale)
    assert 0 <= registers.shift < 1 << len(ports.shift)
    assert 0 <= registers.noise < 1 << len(ports.noise)


def test_bad_parameters_say_what_was_expected():
    with pytest.raises(ConfigError, match=r"sum_bits: expected 2..40, got 41"):
        Adc(41)
    with pytest.raises(ConfigError, match=r"adc_bits: expected 2..12, got 13"):
        Adc(36, 13)
    with pytest.raises(ConfigError, match=r"edge_bits: expected 2..32, got 1"):
        Scaler(1)
