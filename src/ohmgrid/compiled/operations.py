"""Forward and backward through one array: `converters`, `outputs`, `operations` of the model."""

import numpy as np

from ohmgrid.compiled.arith import at_edge
from ohmgrid.compiled.converters import adc, dac, largest
from ohmgrid.compiled.jit import apart, distinct, inner
from ohmgrid.compiled.noise import GAUSSIAN, hash_lines, line_key
from ohmgrid.compiled.readout import ON, exact_sums, read_multiply
from ohmgrid.registers.noise import Purpose

__all__ = ["multiply"]

OUTPUT = np.int64(Purpose.OUTPUT)
U1, U2, U3, U4, U5, U6, U7 = map(np.uint64, range(1, 8))


@inner
def _list_busy(codes, cols, busy, factors):
    """List the columns whose code is not 0; return how many, filled up to whole eights."""
    distinct()
    count = np.uint64(0)
    for j in range(cols):
        busy[count] = j
        factors[count] = codes[j]
        count += np.uint64(codes[j] != 0)
    full = (count + np.uint64(7)) & ~np.uint64(7)
    for k in range(count, full):
        busy[k], factors[k] = 0, 0
    return np.int64(full)


@inner
def _add_eight(weights, rows, busy, factors, first, part):
    """Add eight columns, each times its factor, to ``part``."""
    distinct()
    n, k = np.uint64(rows), np.uint64(first)
    j0, j1, j2, j3 = n * busy[k], n * busy[k + U1], n * busy[k + U2], n * busy[k + U3]
    j4, j5, j6, j7 = n * busy[k + U4], n * busy[k + U5], n * busy[k + U6], n * busy[k + U7]
    f0, f1, f2, f3 = factors[k], factors[k + U1], factors[k + U2], factors[k + U3]
    f4, f5, f6, f7 = factors[k + U4], factors[k + U5], factors[k + U6], factors[k + U7]
    for i in range(n):
        left = weights[j0 + i] * f0 + weights[j1 + i] * f1
        left += weights[j2 + i] * f2 + weights[j3 + i] * f3
        right = weights[j4 + i] * f4 + weights[j5 + i] * f5
        right += weights[j6 + i] * f6 + weights[j7 + i] * f7
        part[i] += left + right


@inner
def _forward_sums(weights, rows, cols, span, work):
    """Add up the columns whose code is not 0, eight at a time."""
    part, sums = work.part, work.sums
    busy, factors = work.busy, work.chance
    count = _list_busy(work.codes, cols, busy, factors)
    for i in range(rows):
        sums[i] = 0
    for first in range(0, count, span):
        for i in range(rows):
            part[i] = 0
        for k in range(first, min(first + span, count), 8):
            _add_eight(weights, rows, busy, factors, k, part)
        for i in range(rows):
            sums[i] += part[i]


@inner
def _add_rows(weights, rows, cols, codes, first, last, sums):
    """Add what rows ``first`` to ``last - 1`` give to the sums of all columns."""
    distinct()
    for j in range(np.uint64(cols)):
        part, column = np.int32(0), j * np.uint64(rows)
        for i in range(np.uint64(first), np.uint64(last)):
            part = np.int32(part + np.int32(weights[column + i] * codes[i]))
        sums[j] += part


@inner
def _backward_sums(weights, rows, cols, span, work):
    sums = work.sums
    for j in range(cols):
        sums[j] = 0
    for first in range(0, rows, span):
        _add_rows(weights, rows, cols, work.codes, first, min(first + span, rows), sums)


@inner
def _convert(sums, lines, io, planes, out):
    """Write the ADC codes; return how many were clipped."""
    saturated = 0
    for i in range(lines):
        gauss = np.int64(GAUSSIAN[planes[0, i] & 0x3FF])
        out[i], over = at_edge(adc(sums[i], gauss, io), io.adc_half)
        saturated += over
    return saturated


@inner
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
        dac(values, inputs, alpha, halvings, io.dac_half, work.codes)
        if backward:
            _backward_sums(weights, rows, cols, io.span, work)
        else:
            _forward_sums(weights, rows, cols, io.span, work)
        hash_lines(line_key(key, OUTPUT, halvings), work.spread, (outputs + 3) // 4, work.planes)
        saturated = _convert(work.sums, outputs, io, work.planes16, out)
        if saturated == 0 or halvings + 1 == io.passes:
            for i in range(outputs):
                out[i] *= alpha << halvings
            return halvings + 1, saturated
        halvings += 1
