"""Forward and backward through one array: `converters`, `outputs`, `operations` of the model."""

import numpy as np

from ohmgrid.compiled.arith import shift_round
from ohmgrid.compiled.converters import dac, largest
from ohmgrid.compiled.jit import apart, kernel
from ohmgrid.compiled.noise import GAUSSIAN, hash_lines, line_key
from ohmgrid.compiled.readout import ON, exact_sums, read_multiply
from ohmgrid.registers.edge import ADC_FRAC
from ohmgrid.registers.noise import Purpose

__all__ = ["multiply"]

OUTPUT = np.int64(Purpose.OUTPUT)
SPAN = 64
"""How many products of a pair's 19-bit weight and an 8-bit code a 32-bit sum holds."""


@kernel
def _forward_sums(weights, rows, cols, work):
    """Add up the columns whose code is not 0, four at a time."""
    codes, busy, part, sums = work.codes, work.busy, work.part, work.sums
    count = 0
    for j in range(cols):
        busy[count] = j
        count += codes[j] != 0
    for i in range(rows):
        sums[i] = 0
    for first in range(0, count, SPAN):
        last = min(first + SPAN, count)
        for i in range(rows):
            part[i] = 0
        k = first
        while k + 4 <= last:
            j0, j1, j2, j3 = busy[k], busy[k + 1], busy[k + 2], busy[k + 3]
            c0, c1, c2, c3 = codes[j0], codes[j1], codes[j2], codes[j3]
            w0 = weights[j0 * rows : j0 * rows + rows]
            w1 = weights[j1 * rows : j1 * rows + rows]
            w2 = weights[j2 * rows : j2 * rows + rows]
            w3 = weights[j3 * rows : j3 * rows + rows]
            for i in range(rows):
                part[i] += w0[i] * c0 + w1[i] * c1 + w2[i] * c2 + w3[i] * c3
            k += 4
        while k < last:
            j = busy[k]
            code = codes[j]
            column = weights[j * rows : j * rows + rows]
            for i in range(rows):
                part[i] += column[i] * code
            k += 1
        for i in range(rows):
            sums[i] += part[i]


@kernel
def _dot(column, codes):
    part = np.int32(0)
    for i in range(len(column)):
        part = np.int32(part + np.int32(column[i] * codes[i]))
    return part


@kernel
def _backward_sums(weights, rows, cols, work):
    codes, sums = work.codes, work.sums
    for j in range(cols):
        total = 0
        for first in range(0, rows, SPAN):
            size = min(SPAN, rows - first)
            place = j * rows + first
            total += _dot(weights[place : place + size], codes[first : first + size])
        sums[j] = total


@kernel
def _convert(sums, lines, io, planes, out):
    """Write unclipped ADC codes' clipped values; return how many were clipped."""
    saturated = 0
    for i in range(lines):
        gauss = np.int64(GAUSSIAN[planes[0, i] & 0x3FF])
        raw = shift_round(((sums[i] * io.scale) >> io.shift) + gauss * io.noise, ADC_FRAC)
        code = min(max(raw, -io.adc_half), io.adc_half)
        saturated += code != raw
        out[i] = code
    return saturated


@kernel
def multiply(weights, rows, cols, backward, values, io, reading, key, work, out):
    """Run one forward or backward operation, as `ohmgrid.model.core.operations.multiply`.

    Parameters
    ----------
    weights : int32, shape (cols * rows,)
        Column after column.
    rows, cols : int
    backward : bool
        Sum over rows instead of columns.
    values : integers, shape (inputs,)
        Activations or errors at the edge.
    io : Converter
    reading : Reading
    key : uint64
        Operation key.
    work : Scratch
    out : int64, shape (outputs,)

    Returns
    -------
    passes, saturated : int
    """
    apart()
    if reading.registers[ON]:
        return read_multiply(weights, rows, cols, backward, values, io, reading, key, work, out)
    inputs, outputs = (rows, cols) if backward else (cols, rows)
    if io.perfect:
        operand = work.codes
        for j in range(inputs):
            operand[j] = values[j]
        exact_sums(weights, rows, cols, backward, operand, 0, out)
        return 1, 0
    alpha = largest(values, inputs) if io.managed else io.one
    if alpha == 0:
        for i in range(outputs):
            out[i] = 0
        return 1, 0
    halvings, saturated = 0, 0
    while True:
        scale = alpha << halvings
        dac(values, inputs, scale, io.dac_half, work.codes)
        if backward:
            _backward_sums(weights, rows, cols, work)
        else:
            _forward_sums(weights, rows, cols, work)
        hash_lines(line_key(key, OUTPUT, halvings), work.spread, (outputs + 3) // 4, work.planes)
        saturated = _convert(work.sums, outputs, io, work.planes16, out)
        halvings += 1
        if saturated == 0 or halvings == io.passes:
            for i in range(outputs):
                out[i] *= scale
            return halvings, saturated
