"""From the sums of all sweeps to the value that an ADC rounds (golden model).

Steps 5, 7 and 8 of an analog pass (docs/readout.md). A line's value is in ADC codes with
`ADC_FRAC` fraction bits and saturates at ``+-2**REACH_BITS``.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ohmgrid.config import Config
from ohmgrid.model.base.noise import gaussian, line_keys
from ohmgrid.registers.edge import ConverterRegisters, converter_registers
from ohmgrid.registers.noise import GAUSS_BITS, Purpose
from ohmgrid.registers.readout import (
    IR_FRAC,
    KEEP_FRAC,
    LOAD_BITS,
    LOAD_FRAC,
    MANTISSA,
    NOISE_BITS,
    REACH_BITS,
    ROOT_FRAC,
    SPREAD_FRAC,
    Part,
    ReadRegisters,
    read_registers,
)

__all__ = ["Readout", "amplitudes", "drop", "gauss_field", "make_readouts", "scaled", "values"]


class Readout(NamedTuple):
    """The read-side non-idealities of one direction of one tile."""

    registers: ReadRegisters
    noise: np.ndarray
    """Output noise of each line for one Gaussian LSB (int64, shape (outputs,))."""
    awake: bool
    """A vector of zeros is not skipped, for its noise counts: forward with input noise."""
    weights: tuple[int, bool]
    """Width of a device's conductance, and whether weights are pairs."""


def gauss_field(keys: np.ndarray, low: int) -> np.ndarray:
    """Return the Gaussian draw of bits ``low`` to ``low + 9`` of line keys (int64)."""
    bits = keys >> np.uint64(low) & np.uint64((1 << GAUSS_BITS) - 1)
    return gaussian(bits.astype(np.int64)).astype(np.int64)


def _reach(value: np.ndarray) -> np.ndarray:
    """Saturate a line's value."""
    return np.clip(value, -(1 << REACH_BITS), (1 << REACH_BITS) - 1)


def scaled(sums: np.ndarray, scale: int, shift: int) -> np.ndarray:
    """Return ``floor(sums * scale / 2**shift)``, saturated (int64)."""
    return _reach((sums * scale) >> shift)


def amplitudes(
    static_key: int, sub: int, lines: int, noise: int, registers: ReadRegisters
) -> np.ndarray:
    """Return each line's output noise ``|noise (1 + std xi)|`` (int64, shape (lines,)).

    Parameters
    ----------
    static_key : int
        Operation key of the static verb; line i draws from line key (OUTPUT, i, ``sub``), bits
        0..9.
    sub : int
        0 forward, 1 backward.
    lines : int
    noise : int
        `ohmgrid.registers.edge.ConverterRegisters.noise`.
    registers : ReadRegisters
    """
    gauss = gauss_field(line_keys(static_key, Purpose.OUTPUT, np.arange(lines), sub), 0)
    spread = (gauss * registers.out_spread) >> SPREAD_FRAC
    return np.minimum(np.abs(noise + spread), (1 << NOISE_BITS) - 1)


def make_readouts(
    config: Config, lsb: float, rows: int, cols: int, static_key: int
) -> tuple[Readout | None, Readout | None]:
    """Return what each direction of a tile does beyond ideal converters: forward, backward.

    Parameters
    ----------
    config : Config
    lsb : float
        Weight LSB in weight units.
    rows, cols : int
        Output lines and input lines of the forward direction.
    static_key : int
        The tile's operation key of the static verb.
    """
    found: list[Readout | None] = []
    directions = (config.forward, cols, rows), (config.backward, rows, cols)
    for sub, (io, inputs, outputs) in enumerate(directions):
        if not io.physics:
            found.append(None)
            continue
        registers = read_registers(io, lsb, inputs)
        noise = converter_registers(io, lsb).noise
        spread = amplitudes(static_key, sub, outputs, noise, registers)
        weights = config.formats.weight_bits, config.device.paired
        awake = sub == 0 and registers.inp_noise > 0
        found.append(Readout(registers, spread, awake, weights))
    return found[0], found[1]


def drop(load: np.ndarray, position: np.ndarray, ir: int) -> np.ndarray:
    """Return what the wires take from a value: ``ir_drop c(a) position``.

    ``20 c(a) = a (a (a - 4) + 10)``, which is ``c = a (a (0.05 a - 0.2) + 0.5)`` without a
    coefficient to round.

    Parameters
    ----------
    load : int64
        a, `LOAD_FRAC` fraction bits, saturates below 4.
    position : int64
        Position-weighted value.
    ir : int
        `ReadRegisters.ir`.
    """
    a = np.minimum(load, (1 << LOAD_BITS) - 1)
    inner = (10 << LOAD_FRAC) - ((a * ((4 << LOAD_FRAC) - a)) >> LOAD_FRAC)
    curve = (a * inner) >> LOAD_FRAC
    return (position * ((curve * ir) >> IR_FRAC)) >> LOAD_FRAC


def _roots(power: np.ndarray) -> np.ndarray:
    """Return ``floor(sqrt(power) * 2**ROOT_FRAC)`` (int64).

    Of numbers below 2**52 a correctly rounded root is never rounded up to the next integer.
    """
    return np.sqrt((power << 2 * ROOT_FRAC).astype(np.float64)).astype(np.int64)


def values(
    sums: Mapping[Part, np.ndarray],
    keys: np.ndarray,
    converter: ConverterRegisters,
    registers: ReadRegisters,
) -> np.ndarray:
    """Return the value of each line before output noise (int64, shape (outputs,)).

    Parameters
    ----------
    sums : mapping from Part to int64, shape (outputs,)
        Sums over the input lines, `VOLTAGE_FRAC` bits dropped; powers without weights are one
        number, shape (1,), without dropped bits.
    keys : uint64, shape (outputs,)
        Line keys (OUTPUT, i, pass): bits 16..25 are the read noise.
    converter : ConverterRegisters
    registers : ReadRegisters
    """
    value = scaled(sums[Part.VALUE], converter.scale, converter.shift)
    if registers.ir:
        load = scaled(sums[Part.LOAD], registers.load_scale, registers.load_shift)
        position = scaled(sums[Part.POSITION], converter.scale, converter.shift)
        value = _reach(value - drop(load, position, registers.ir))
    if registers.w_kind:
        power = scaled(sums[Part.POWER], 1 << (MANTISSA - 1), registers.power_shift)
        noise = _roots(power) * gauss_field(keys, 16) * registers.w_scale
        value = _reach(value + (noise >> registers.w_shift))
    kept = _reach((value * registers.out_keep) >> KEEP_FRAC)
    return np.where(value < 0, kept, value)
