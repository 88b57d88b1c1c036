"""Passes with read-side non-idealities: `voltages`, `readout` and `outputs` of the model."""

from dataclasses import astuple, fields
from typing import NamedTuple

import numpy as np

from ohmgrid.compiled.arith import at_edge, square_root
from ohmgrid.compiled.converters import dac, largest, noisy_adc
from ohmgrid.compiled.jit import apart, golden, inner
from ohmgrid.compiled.noise import GAUSSIAN, hash_lines, line_key
from ohmgrid.model.periphery import readout, voltages
from ohmgrid.model.periphery.readout import Readout
from ohmgrid.periphery import W_NOISE_TYPES
from ohmgrid.registers.noise import Purpose
from ohmgrid.registers.readout import (
    DITHER_BITS,
    LOAD_BITS,
    MANTISSA,
    PHI_BITS,
    PHI_FRAC,
    ROOT_FRAC,
    VOLTAGE_FRAC,
    Part,
    ReadRegisters,
)

__all__ = ["ON", "REGISTERS", "Reading", "exact_sums", "read_multiply"]

# The laws are the golden model's own.
reach, scaled, drop, uneven = map(
    golden, (readout.reach, readout.scaled, readout.drop, readout.uneven)
)
dithered, driven = golden(voltages.dithered), golden(voltages.driven)
positioned, powered = golden(voltages.positioned), golden(voltages.powered)

INPUT, OUTPUT = np.int64(Purpose.INPUT), np.int64(Purpose.OUTPUT)
LOAD, POSITION, POWER, VALUE = map(np.int64, Part)
ADDITIVE, WEIGHTED = map(W_NOISE_TYPES.index, ("additive-constant", "pcm-read"))
(
    INP_NOISE,
    INP_KEEP,
    INP_DITHER,
    PHI_FIRST,
    PHI_SECOND,
    SQUARE_SHIFT,
    LOAD_SCALE,
    LOAD_SHIFT,
    IR,
    POWER_SHIFT,
    W_KIND,
    W_SCALE,
    W_SHIFT,
    OUT_KEEP,
    _,
    OUT_DITHER,
) = range(len(fields(ReadRegisters)))
"""Places of `ohmgrid.registers.readout.ReadRegisters` in `Reading.registers`."""
ON, AWAKE, TOP = (len(fields(ReadRegisters)) + place for place in range(3))
"""Any of it is on; a vector of zeros is not skipped; largest magnitude, below 0 of pairs."""
REGISTERS = len(fields(ReadRegisters)) + 3


class Reading(NamedTuple):
    """The read-side non-idealities of one direction of one tile."""

    registers: np.ndarray
    """int64, shape (REGISTERS,)"""
    noise: np.ndarray
    """int64, shape (outputs,): output noise of each line; zeros where there are none."""

    @classmethod
    def of(cls, readout: Readout | None, outputs: int) -> "Reading":
        """Return those of one direction; None is ideal."""
        if readout is None:
            return cls(np.zeros(REGISTERS, np.int64), np.zeros(outputs, np.int64))
        weight_bits, paired = readout.weights
        top = (1 << (weight_bits - 1)) - 1
        registers = (*astuple(readout.registers), 1, int(readout.awake), -top if paired else top)
        return cls(np.array(registers, np.int64), readout.noise)


@inner
def _drive(lines, registers, planes, volts):
    """Make voltages of DAC codes, in place."""
    for j in range(lines):
        code = np.int64(volts[j])
        if registers[INP_DITHER]:
            code = dithered(code, np.int64(planes[1, j] & ((1 << DITHER_BITS) - 1)))
        gauss = np.int64(GAUSSIAN[planes[0, j] & 0x3FF])
        volts[j] = driven(code, gauss, registers[INP_NOISE], registers[INP_KEEP])


@inner
def _operands(volts, lines, sweep, registers, operand):
    """Write what the weights are multiplied with in one sweep."""
    for j in range(lines):
        volt = np.int64(volts[j])
        if sweep == LOAD:
            volt = abs(volt)
        elif sweep == POSITION:
            place = j * registers[PHI_FIRST] - j * (j - 1) // 2 * registers[PHI_SECOND]
            place >>= PHI_FRAC - PHI_BITS
            volt = positioned(volt, place)
        elif sweep == POWER:
            volt = powered(volt, registers[SQUARE_SHIFT])
        operand[j] = volt


@inner
def _swept(weight, top):
    """Return a weight, or, unless ``top`` is 0, its magnitude: `model.array.array.magnitudes`."""
    wide = np.int64(weight)
    if top < 0:
        wide = -wide
    return min(wide ^ (wide >> 63), abs(top)) if top else wide


@inner
def exact_sums(weights, rows, cols, backward, operand, top, sums):
    """Write the exact sums of one sweep, without the voltages' fraction bits."""
    apart()
    outputs = cols if backward else rows
    if backward:
        for j in range(cols):
            total = 0
            for i in range(rows):
                total += _swept(weights[j * rows + i], top) * np.int64(operand[i])
            sums[j] = total
    else:
        for i in range(rows):
            sums[i] = 0
        for j in range(cols):
            factor = np.int64(operand[j])
            if factor == 0:
                continue
            column = weights[j * rows : j * rows + rows]
            for i in range(rows):
                sums[i] += _swept(column[i], top) * factor
    for i in range(outputs):
        sums[i] >>= VOLTAGE_FRAC


@inner
def _root(power, registers):
    """Return the root of a sum of powers."""
    size = scaled(power, 1 << (MANTISSA - 1), registers[POWER_SHIFT])
    return square_root(size << (2 * ROOT_FRAC))


@inner
def _losses(weights, rows, cols, backward, io, registers, work, lost):
    """Write what the wires take from each line's value: two sweeps."""
    inputs, outputs = (rows, cols) if backward else (cols, rows)
    for i in range(outputs):
        lost[i] = 0
    if registers[IR] == 0:
        return
    load, sums = work.chance, work.sums
    _operands(work.codes, inputs, LOAD, registers, work.part)
    exact_sums(weights, rows, cols, backward, work.part, registers[TOP], sums)
    for i in range(outputs):
        a = scaled(sums[i], registers[LOAD_SCALE], registers[LOAD_SHIFT])
        load[i] = min(a, (1 << LOAD_BITS) - 1)
    _operands(work.codes, inputs, POSITION, registers, work.part)
    exact_sums(weights, rows, cols, backward, work.part, 0, sums)
    for i in range(outputs):
        position = scaled(sums[i], io.scale, io.shift)
        lost[i] = drop(np.int64(load[i]), position, registers[IR])


@inner
def _roots(weights, rows, cols, backward, registers, work, roots):
    """Write the root of each line's sum of powers."""
    inputs, outputs = (rows, cols) if backward else (cols, rows)
    _operands(work.codes, inputs, POWER, registers, work.part)
    if registers[W_KIND] == WEIGHTED:
        exact_sums(weights, rows, cols, backward, work.part, registers[TOP], work.sums)
        for i in range(outputs):
            roots[i] = _root(work.sums[i], registers)
    else:
        total = 0
        for j in range(inputs):
            total += np.int64(work.part[j])
        root = _root(total, registers)
        for i in range(outputs):
            roots[i] = root


@inner
def _convert(lines, io, reading, roots, work, out):
    """Turn what is lost and the sums of values into codes; return how many were clipped."""
    registers, planes, sums, saturated = reading.registers, work.planes16, work.sums, 0
    for i in range(lines):
        value = reach(scaled(sums[i], io.scale, io.shift) - out[i])
        if registers[W_KIND]:
            gauss = np.int64(GAUSSIAN[planes[1, i] & 0x3FF])
            noise = np.int64(roots[i]) * gauss * registers[W_SCALE]
            value = reach(value + (noise >> registers[W_SHIFT]))
        value = uneven(value, registers[OUT_KEEP])
        gauss = np.int64(GAUSSIAN[planes[0, i] & 0x3FF])
        if registers[OUT_DITHER]:
            raw = noisy_adc(value, gauss, reading.noise[i], np.int64(planes[2, i]))
        else:
            raw = noisy_adc(value, gauss, reading.noise[i], None)
        out[i], over = at_edge(raw, io.adc_half)
        saturated += over
    return saturated


@inner
def read_multiply(weights, rows, cols, backward, values, io, reading, key, work, out):
    """Run one operation with read-side non-idealities, as `ohmgrid.model.core.operations.multiply`.

    Parameters and result as of `ohmgrid.compiled.operations.multiply`.
    """
    apart()
    registers, volts, roots = reading.registers, work.codes, work.chance
    inputs, outputs = (rows, cols) if backward else (cols, rows)
    alpha = largest(values, inputs) if io.managed else io.one
    if alpha == 0 and registers[AWAKE]:
        alpha = io.one
    if alpha == 0:
        for i in range(outputs):
            out[i] = 0
        return 1, 0
    half = io.dac_half << DITHER_BITS if registers[INP_DITHER] else io.dac_half
    halvings, saturated = 0, 0
    while True:
        dac(values, inputs, alpha, halvings, half, volts)
        hash_lines(line_key(key, INPUT, halvings), work.spread, (inputs + 3) // 4, work.planes)
        _drive(inputs, registers, work.planes16, volts)
        _losses(weights, rows, cols, backward, io, registers, work, out)
        if registers[W_KIND]:
            _roots(weights, rows, cols, backward, registers, work, roots)
        _operands(volts, inputs, VALUE, registers, work.part)
        exact_sums(weights, rows, cols, backward, work.part, 0, work.sums)
        hash_lines(line_key(key, OUTPUT, halvings), work.spread, (outputs + 3) // 4, work.planes)
        saturated = _convert(outputs, io, reading, roots, work, out)
        if saturated == 0 or halvings + 1 == io.passes:
            for i in range(outputs):
                out[i] *= alpha << halvings
            return halvings + 1, saturated
        halvings += 1
