"""The order of work of forward, backward and update (golden model)."""

from collections.abc import Iterator

import numpy as np

from ohmgrid.config import Config, ConverterConfig
from ohmgrid.model.array import array_sums
from ohmgrid.model.converters import dac, input_scale
from ohmgrid.model.lines import side_trains
from ohmgrid.model.outputs import convert, results
from ohmgrid.model.pulses import plan_update
from ohmgrid.registers import ConverterRegisters, PulseRegisters
from ohmgrid.streams import Purpose

__all__ = ["multiply", "pulse_slots"]


def multiply(
    matrix: np.ndarray,
    values: np.ndarray,
    io: ConverterConfig,
    frac: int,
    registers: ConverterRegisters,
    key: int,
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

    Returns
    -------
    results : int64, shape (outputs,)
    passes : int
    saturated : int
        Outputs clipped in the last pass.
    """
    alpha = input_scale(values, io, frac)
    if alpha == 0:
        return np.zeros(len(matrix), np.int64), 1, 0
    most = io.max_passes if io.bound_management == "iterative" else 1
    halvings = 0
    while True:
        sums = array_sums(matrix, dac(values, alpha, halvings, io.dac_half))
        codes, saturated = convert(sums, key, halvings, registers, io.adc_half)
        if saturated == 0 or halvings + 1 == most:
            return results(codes, alpha, halvings), halvings + 1, saturated
        halvings += 1


def pulse_slots(
    x: np.ndarray,
    d: np.ndarray,
    config: Config,
    registers: PulseRegisters,
    serial: bool,
    key: int,
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield the sweeps of one update: (slot number, row trains, column trains).

    One sweep with whole trains, or, for a ``serial`` device, one for each slot; none if there is
    nothing to update.

    Parameters
    ----------
    x, d : int64
        Activations and errors at the edge.
    config : Config
    registers : PulseRegisters
    serial : bool
    key : int
        Operation key.
    """
    formats, pulses = config.formats, config.pulses
    largest = int(np.abs(x).max()), int(np.abs(d).max())
    plan = plan_update(*largest, pulses, registers, (formats.x_frac, formats.d_frac))
    if plan.bl == 0:
        return
    columns = side_trains(x, Purpose.COLUMN, plan, pulses.pulse_type, key)
    rows = side_trains(d, Purpose.ROW, plan, pulses.pulse_type, key)
    if not serial:
        yield 0, rows, columns
        return
    for slot in range(plan.bl):
        yield slot, rows & (1 << slot), columns
