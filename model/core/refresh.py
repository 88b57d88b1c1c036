"""Refresh of one-sided pairs: both devices reset, their difference written back (golden model).

docs/devices.md has the rule. Every cell is read by the refresh's own ADC, plus
and minus device with noise of their own. Where the larger code is above ``upper`` and the smaller
above ``lower``, both devices are reset; then, column by column, the difference is written with the
pulses of an ordinary update (x = 1.0 on the column, d = the differences, learning rate 1).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ohmgrid.config import Config
from ohmgrid.model.array.array import pulse_devices
from ohmgrid.model.base.arith import at_edge
from ohmgrid.model.base.noise import cell_words, gaussian, line_keys
from ohmgrid.model.device.aging import reset
from ohmgrid.model.device.population import Population
from ohmgrid.model.periphery.converters import adc
from ohmgrid.model.periphery.lines import key_halves, side_trains
from ohmgrid.model.periphery.pulses import chunks, plan_update
from ohmgrid.periphery import SLOTS
from ohmgrid.registers.noise import GAUSS_BITS, Purpose, Verb, rewrite_step
from ohmgrid.registers.time import AgingRegisters, RefreshRegisters

__all__ = ["is_due", "refresh", "refresh_reads", "refresh_writes"]

_LARGEST = gaussian(np.arange(1 << GAUSS_BITS)).max(keepdims=True).astype(np.int64)


def is_due(plus: np.ndarray, minus: np.ndarray, upper: int, lower: int) -> np.ndarray:
    """Return whether the larger device of a pair is above one threshold, the smaller above another.

    For arrays and for single numbers: codes, or conductances with thresholds of their own.
    """
    return (np.maximum(plus, minus) > upper) & (np.minimum(plus, minus) > lower)


def refresh_reads(
    weights: np.ndarray, registers: RefreshRegisters, key: int
) -> tuple[np.ndarray, np.ndarray]:
    """Read all pairs.

    Parameters
    ----------
    weights : int32, shape (2 * rows, cols)
        Rows 2 i are the plus devices of row i, rows 2 i + 1 the minus devices.
    registers : RefreshRegisters
    key : int
        Operation key of `Verb.REFRESH`, step: updates so far. Field 0 of a cell's word is the
        noise of the read.

    Returns
    -------
    due : bool, shape (rows, cols)
        Pairs to refresh.
    difference : int64, shape (rows, cols)
        Plus less minus code; 0 where noise could not have made a pair due.
    """
    plus, minus = weights[0::2].astype(np.int64), weights[1::2].astype(np.int64)
    # Even the largest draw does not lift most pairs above both thresholds: those need no noise.
    plus_most, minus_most = (adc(one, _LARGEST, registers.converter) for one in (plus, minus))
    due = is_due(plus_most, minus_most, registers.upper, registers.lower)
    difference = np.zeros(plus.shape, np.int64)
    near = np.nonzero(due)
    if len(near[0]) == 0:
        return due, difference
    rows, _ = key_halves(key, Purpose.ROW, weights.shape[0])
    cols, _ = key_halves(key, Purpose.COLUMN, weights.shape[1])

    def code(conductance: np.ndarray, device: int) -> np.ndarray:
        word = cell_words(rows[2 * near[0] + device], cols[near[1]])
        z = gaussian((word & np.uint32(0x3FF)).astype(np.int64)).astype(np.int64)
        return at_edge(adc(conductance, z, registers.converter), registers.half)[0]

    plus_code, minus_code = code(plus[near], 0), code(minus[near], 1)
    due[near] = is_due(plus_code, minus_code, registers.upper, registers.lower)
    difference[near] = plus_code - minus_code
    return due, difference


class Write(NamedTuple):
    """Pulses that write one column of differences back."""

    column: int
    slots: np.ndarray
    """Slots in which the column and each row of devices fire, int64, shape (chunks, 2 * rows)."""
    key: int
    """Operation key of the pulses' noise."""


def refresh_writes(
    due: np.ndarray,
    difference: np.ndarray,
    config: Config,
    registers: RefreshRegisters,
    key_of: Callable[[int], int],
) -> list[Write]:
    """Return the pulses that write the differences back, column by column.

    Each column has an operation key of its own, ``key_of(column)``.
    """
    writes = []
    formats, pulse_type = config.formats, registers.pulses.pulse_type
    longest = chunks(registers.pulses.most_slots)
    for column in np.flatnonzero(due.any(axis=0)):
        own_key = key_of(int(column))
        signed = np.where(due[:, column], difference[:, column], 0)
        d = np.stack([np.maximum(signed, 0), np.maximum(-signed, 0)], axis=1).ravel()
        x = np.zeros(len(due[0]), np.int64)
        # 1.0 may be one LSB beyond the edge.
        x[column] = min(1 << formats.x_frac, (1 << (formats.edge_bits - 1)) - 1)
        plan = plan_update(
            int(x[column]),
            int(d.max()),
            registers.pulses,
            registers.rate,
            (formats.x_frac, formats.d_frac),
        )
        slots = np.zeros((longest, len(d)), np.int64)
        for chunk in range(chunks(plan.bl)):
            rows = side_trains(d, Purpose.ROW, plan, pulse_type, own_key, chunk)
            train = side_trains(x, Purpose.COLUMN, plan, pulse_type, own_key, chunk)[column]
            slots[chunk] = rows & train
        if slots.any():
            writes.append(Write(int(column), slots, own_key))
    return writes


def refresh(
    weights: np.ndarray,
    population: Population,
    aging: AgingRegisters,
    config: Config,
    registers: RefreshRegisters,
    updates: int,
    key_of: Callable[[Verb, int], int],
) -> np.ndarray:
    """Return the conductances after a refresh of all pairs (int32, shape (2 * rows, cols)).

    Parameters
    ----------
    updates : int
        Updates so far.
    key_of : callable of (Verb, int)
        Returns the operation key of a verb and a step.
    """
    own = key_of(Verb.REFRESH, updates)
    due, difference = refresh_reads(weights, registers, own)
    if not due.any():
        return weights
    weights = reset(weights, np.repeat(due, 2, axis=0), population, aging, own)

    def column_key(column: int) -> int:
        return key_of(Verb.REWRITE, rewrite_step(updates, column))

    writes = refresh_writes(due, difference, config, registers, column_key)
    if not writes:
        return weights
    # Columns do not depend on one another: all at the same time, chunk by chunk, or slot by slot.
    columns = np.array([write.column for write in writes])
    trains = np.array([write.slots for write in writes])
    own_keys = np.array([write.key for write in writes], np.uint64)
    serial = population.registers.serial
    for number in range(trains.shape[1] * (SLOTS if serial else 1)):
        chunk, slot = divmod(number, SLOTS) if serial else (number, 0)
        fired = trains[:, chunk] & (1 << slot) if serial else trains[:, chunk]
        write, row = np.nonzero(fired)
        if len(row) == 0:
            continue
        column, key = columns[write], own_keys[write]
        row_keys = line_keys(key, Purpose.ROW, row, number).astype(np.uint32)
        col_keys = line_keys(key, Purpose.COLUMN, column, number).astype(np.uint32)
        pulse_devices(
            weights,
            (row, column),
            np.bitwise_count(fired[write, row]).astype(np.int64),
            np.zeros(len(row), bool),
            population,
            cell_words(row_keys, col_keys),
        )
    return weights
