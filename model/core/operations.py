"""The order of work of forward, backward and update (golden model)."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ohmgrid.config import Config
from ohmgrid.counters import PulseCounts
from ohmgrid.model.array.array import array_sums, magnitudes
from ohmgrid.model.periphery.converters import dac, input_scale
from ohmgrid.model.periphery.lines import side_trains
from ohmgrid.model.periphery.outputs import convert, convert_parts, results
from ohmgrid.model.periphery.pulses import (
    ONE,
    PulsePlan,
    chunk_slots,
    chunks,
    expected_pulses,
    is_clipped,
    plan_update,
    pulse_totals,
)
from ohmgrid.model.periphery.readout import Readout
from ohmgrid.model.periphery.voltages import operands, voltages
from ohmgrid.periphery import SLOTS, ConverterConfig
from ohmgrid.registers.edge import ConverterRegisters, PulseRegisters
from ohmgrid.registers.noise import Purpose
from ohmgrid.registers.readout import DITHER_BITS, VOLTAGE_FRAC, Part, ReadRegisters, parts

__all__ = [
    "Trains",
    "input_alpha",
    "input_voltages",
    "multiply",
    "part_sums",
    "pulse_slots",
    "update_trains",
]


def multiply(
    matrix: np.ndarray,
    values: np.ndarray,
    io: ConverterConfig,
    frac: int,
    registers: ConverterRegisters,
    key: int,
    readout: Readout | None = None,
) -> tuple[np.ndarray, int, int]:
    """Run one forward or backward operation: passes, the input halved, until no output clips.

    Parameters
    ----------
    matrix : int32, shape (outputs, inputs)
    values : int64, shape (inputs,)
        Activations or errors at the edge.
    io : ConverterConfig
    frac : int
        Fraction bits of ``values``.
    registers : ConverterRegisters
    key : int
        Operation key.
    readout : Readout or None
        None: ideal converters but for output noise, one sweep.

    Returns
    -------
    results : int64, shape (outputs,)
    passes : int
    saturated : int
        Outputs clipped in the last pass.
    """
    if io.perfect:
        return array_sums(matrix, values) >> VOLTAGE_FRAC, 1, 0
    alpha = input_alpha(values, io, frac, readout)
    if alpha == 0:
        return np.zeros(len(matrix), np.int64), 1, 0
    most = io.max_passes if io.bound_management == "iterative" else 1
    sizes = matrix if readout is None else magnitudes(matrix, *readout.weights)
    halvings = 0
    while True:
        if readout is None:
            sums = array_sums(matrix, dac(values, alpha, halvings, io.dac_half))
            codes, saturated = convert(sums, key, halvings, registers, io.adc_half)
        else:
            drive = input_voltages(values, alpha, halvings, io, key, readout)
            found = part_sums(matrix, sizes, drive, readout.registers)
            codes, saturated = convert_parts(found, key, halvings, registers, io.adc_half, readout)
        if saturated == 0 or halvings + 1 == most:
            return results(codes, alpha, halvings), halvings + 1, saturated
        halvings += 1


def input_alpha(values: np.ndarray, io: ConverterConfig, frac: int, readout: Readout | None) -> int:
    """Return what scales the inputs of an operation, as `multiply` takes them; 0 if all are 0."""
    alpha = input_scale(values, io, frac)
    # With input noise, zeros are not nothing.
    return 1 << frac if alpha == 0 and readout is not None and readout.awake else alpha


def input_voltages(
    values: np.ndarray, alpha: int, halvings: int, io: ConverterConfig, key: int, readout: Readout
) -> np.ndarray:
    """Return the voltages of a pass of an operation (int64, shape (inputs,))."""
    registers = readout.registers
    half = io.dac_half << DITHER_BITS if registers.inp_dither else io.dac_half
    return voltages(dac(values, alpha, halvings, half), key, halvings, registers)


def part_sums(
    matrix: np.ndarray, sizes: np.ndarray, voltage: np.ndarray, registers: ReadRegisters
) -> dict[Part, np.ndarray]:
    """Return the sums of all sweeps of a pass (int64, shape (outputs,)).

    Parameters
    ----------
    matrix, sizes : int32, shape (outputs, inputs)
        Weights and their magnitudes.
    voltage : int64, shape (inputs,)
    registers : ReadRegisters
    """
    sums = {}
    for part in parts(registers):
        weights = sizes if part in (Part.LOAD, Part.POWER) else matrix
        exact = array_sums(weights, operands(voltage, part, registers))
        sums[part] = exact >> VOLTAGE_FRAC
    if registers.w_kind and Part.POWER not in sums:
        sums[Part.POWER] = operands(voltage, Part.POWER, registers).sum(keepdims=True)
    return sums


class Trains(NamedTuple):
    """The trains of one update, chunk after chunk; none if there is nothing to update."""

    plan: PulsePlan
    rows: np.ndarray
    """int64, shape (chunks, rows)"""
    columns: np.ndarray
    """int64, shape (chunks, cols)"""
    counts: PulseCounts


def update_trains(
    x: np.ndarray, d: np.ndarray, config: Config, registers: PulseRegisters, key: int
) -> Trains:
    """Plan an update and make its trains.

    Parameters
    ----------
    x, d : int64, shapes (cols,), (rows,)
        Activations and errors at the edge.
    config : Config
    registers : PulseRegisters
    key : int
        Operation key.
    """
    formats, pulses = config.formats, config.pulses
    x_max, d_max = int(np.abs(x).max()), int(np.abs(d).max())
    plan = plan_update(x_max, d_max, pulses, registers, (formats.x_frac, formats.d_frac))
    rows, columns = (np.zeros((chunks(plan.bl), len(values)), np.int64) for values in (d, x))
    up = down = 0
    for chunk in range(len(rows)):
        columns[chunk] = side_trains(x, Purpose.COLUMN, plan, pulses.pulse_type, key, chunk)
        rows[chunk] = side_trains(d, Purpose.ROW, plan, pulses.pulse_type, key, chunk)
        more_up, more_down = pulse_totals(x, d, columns[chunk], rows[chunk])
        up, down = up + more_up, down + more_down
    active = x_max > 0 and d_max > 0
    below = expected_pulses(x_max, d_max, registers) < ONE
    clipped = is_clipped(x_max, plan.x_factor, plan.x_divisor)
    clipped |= is_clipped(d_max, plan.d_factor, plan.d_divisor)
    counts = PulseCounts(up, down, int(active), int(active and below), int(clipped))
    return Trains(plan, rows, columns, counts)


def pulse_slots(trains: Trains, serial: bool) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield the sweeps of one update: (number of the sweep, row trains, column trains).

    One sweep with whole words for each chunk, or, for a ``serial`` device, one for each slot, all
    chunks counted through; none if there is nothing to update. The number of the sweep is the sub
    number of its noise.
    """
    for chunk, (rows, columns) in enumerate(zip(trains.rows, trains.columns, strict=True)):
        if not serial:
            yield chunk, rows, columns
            continue
        for slot in range(chunk_slots(trains.plan.bl, chunk)):
            yield SLOTS * chunk + slot, rows & (1 << slot), columns
