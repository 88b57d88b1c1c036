"""Refresh of one-sided pairs: `ohmgrid.model.core.refresh` without looking at pairs far from it."""

from bisect import bisect_right
from typing import NamedTuple

import numpy as np

from ohmgrid.compiled.aging import reset_devices
from ohmgrid.compiled.arith import at_edge
from ohmgrid.compiled.converters import adc
from ohmgrid.compiled.device import visit_devices
from ohmgrid.compiled.jit import apart, golden, inner
from ohmgrid.compiled.layout import TOTAL, VISITS, ZERO, Pulses, Side
from ohmgrid.compiled.noise import GAUSSIAN, hash_cells, op_key
from ohmgrid.compiled.population import show_moved
from ohmgrid.compiled.pulses import (
    SLOT_MASK,
    all_halves,
    chunk_slots,
    chunks,
    expected_pulses,
    fire,
    line_halves,
    plan,
    probability,
)
from ohmgrid.config import Config
from ohmgrid.model.core import refresh as laws
from ohmgrid.model.periphery.converters import adc as golden_adc
from ohmgrid.periphery import SLOTS
from ohmgrid.registers.noise import Purpose, Verb
from ohmgrid.registers.time import RefreshRegisters

__all__ = ["Refresh", "Source", "refresh_pairs"]

is_due = golden(laws.is_due)  # the golden model's own

ONE = np.int64(1)
ONE_BIT = np.uint64(1)
ROW, COLUMN = np.int64(Purpose.ROW), np.int64(Purpose.COLUMN)
REFRESH, REWRITE = np.int64(Verb.REFRESH), np.int64(Verb.REWRITE)


class Source(NamedTuple):
    """What the keys of a refresh come from."""

    base: np.uint64
    number: int
    """Number of the tile."""
    updates: int
    """Updates so far."""


class Refresh(NamedTuple):
    """Registers of a refresh."""

    every: int
    half: int
    scale: int
    shift: int
    noise: int
    upper: int
    lower: int
    upper_reach: int
    """Largest conductance that no noise lifts above ``upper``."""
    lower_reach: int
    """Largest conductance that no noise lifts above ``lower``."""
    pulses: Pulses

    @classmethod
    def of(cls, config: Config, registers: RefreshRegisters | None) -> "Refresh":
        """Return the registers as the kernels take them; ``every`` is 0 without a refresh."""
        if registers is None:
            none = Pulses(*(0 for _ in Pulses._fields))
            return cls(0, 0, 0, 0, 0, 0, 0, 0, 0, none)
        converter = registers.converter
        most = np.array(GAUSSIAN.max(), np.int64)
        top = 1 << (config.formats.weight_bits - 1)

        def highest(weight: int) -> int:
            return int(golden_adc(np.array(weight), most, converter))

        def reach(code: int) -> int:
            return bisect_right(range(-top, top), code, key=highest) - 1 - top

        pulses = Pulses.of(config.replace(pulses=registers.pulses), registers.rate)
        # 1.0 may be one LSB beyond the edge.
        pulses = pulses._replace(x_one=min(pulses.x_one, (1 << config.formats.edge_bits - 1) - 1))
        return cls(
            registers.every,
            registers.half,
            converter.scale,
            converter.shift,
            converter.noise,
            registers.upper,
            registers.lower,
            reach(registers.upper),
            reach(registers.lower),
            pulses,
        )


@inner
def _code(weight, k, refresh, work):
    """Return the ADC code of a device with the noise of word k."""
    low, middle = work.words[k], work.words[VISITS + k]
    gauss = np.int64(GAUSSIAN[low | (middle & 3) << 8])
    return at_edge(adc(np.int64(weight), gauss, refresh), refresh.half)[0]


@inner
def _near(hidden, upper, lower):
    """Return how many pairs of a column noise could lift above both thresholds."""
    apart()
    count = 0
    # Indices that cannot be negative: only so does the compiler compare many pairs at a time.
    for k in range(len(hidden) >> 1):
        plus = np.uint64(k) << ONE_BIT
        count += np.int32(is_due(hidden[plus], hidden[plus + ONE_BIT], upper, lower))
    return count


@inner
def _list_near(hidden, upper, lower, first, count, pairs):
    """List those pairs, numbered from ``first`` on, behind the ``count`` that are listed."""
    apart()
    for k in range(len(hidden) >> 1):
        if is_due(hidden[2 * k], hidden[2 * k + 1], upper, lower):
            pairs[count] = first + k
            count += 1
    return count


@inner
def _read(array, refresh, key, near, work):
    """Read the ``near`` pairs in ``work.busy``; keep there those that are due.

    ``work.values`` has their differences. Returns how many they are.
    """
    apart()
    all_halves(array.rows, key, ROW, ZERO, work, work.row_key)
    all_halves(array.cols, key, COLUMN, ZERO, work, work.col_key)
    due = ZERO
    for first in range(0, near, VISITS >> 1):
        count = min(near - first, VISITS >> 1)
        for k in range(count):
            place = 2 * np.int64(work.busy[first + k])
            column = place // array.rows
            row = place - column * array.rows
            work.total[2 * k] = work.row_key[row] + work.col_key[column]
            work.total[2 * k + 1] = work.row_key[row + 1] + work.col_key[column]
        hash_cells(work.visit[TOTAL:], 2 * count, work.words, work.words64)
        for k in range(count):
            pair = work.busy[first + k]
            place = 2 * np.int64(pair)
            plus = _code(array.hidden[place], 2 * k, refresh, work)
            minus = _code(array.hidden[place + 1], 2 * k + 1, refresh, work)
            work.busy[due] = pair
            work.values[due] = plus - minus
            due += is_due(plus, minus, refresh.upper, refresh.lower)
    return due


@inner
def _reset(array, regs, aging, key, due, work):
    """Reset both devices of the ``due`` pairs in ``work.busy``.

    Leaves the devices' rows in ``work.pair_line`` and the pairs' columns in ``work.other_line``.
    """
    apart()
    lines, columns, rows, cols = work.pair_line, work.other_line, work.own_train, work.other_train
    for k in range(due):
        place = 2 * np.int64(work.busy[k])
        column = place // array.rows
        row = place - column * array.rows
        lines[2 * k], lines[2 * k + 1], columns[k] = row, row + 1, column
    line_halves(lines, 2 * due, key, ROW, ZERO, work, rows)
    line_halves(columns, due, key, COLUMN, ZERO, work, cols)
    for first in range(0, 2 * due, VISITS):
        count = min(2 * due - first, VISITS)
        for k in range(count):
            work.total[k] = rows[first + k] + cols[(first + k) >> 1]
            work.cell[k] = 2 * work.busy[(first + k) >> 1] + ((first + k) & 1)
        hash_cells(work.visit[TOTAL:], count, work.words, work.words64)
        reset_devices(array, aging, count, regs.weight_bits, work)
        show_moved(array, regs, count, work)


@inner
def _column_key(source, column):
    """Return a column's own operation key."""
    step = (source.updates & 0xFFFFFFFF) | column << 32
    return op_key(source.base, REWRITE, source.number, step)


@inner
def _column_trains(p, own, column, chunk, first, end, start, work):
    """Make a chunk of the trains that write pairs ``first`` to ``end - 1``, of one column, back.

    Those of rows go to ``work.own_line`` and ``own_train`` from ``start`` on. Returns how many they
    are and the column's train.
    """
    apart()
    largest = ZERO
    for k in range(first, end):
        largest = max(largest, abs(np.int64(work.values[k])))
    asked = expected_pulses(p.x_one, largest, p)
    bl, x_factor, x_divisor, d_factor, d_divisor = plan(asked, p.x_one, largest, p)
    if chunk_slots(bl, chunk) == 0:
        return ZERO, np.uint32(0)
    side = Side(work.own_line[start:], work.own_train[start:])
    count = ZERO
    for k in range(first, end):
        value = np.int64(work.values[k])
        side.line[count] = work.pair_line[2 * k + (value < 0)]
        side.train[count] = 0
        found = probability(value, d_factor, d_divisor)
        work.chance[count] = found
        count += found != 0
    rows = fire(side, count, bl, chunk, p.kind, own, ONE, work)
    single = Side(work.busy, work.row_key)
    single.line[0], single.train[0] = column, 0
    work.chance[0] = probability(p.x_one, x_factor, x_divisor)
    fires = fire(single, ONE, bl, chunk, p.kind, own, ZERO, work)
    return rows, single.train[0] if fires else np.uint32(0)


@inner
def _pulse(array, regs, columns, number, slots, work):
    """Visit the devices that the trains of all columns hit in ``slots``: sweep ``number``.

    Of column c: number ``work.codes[c]``, key ``work.sums[c]``, train ``work.other_train[c]``, rows
    from ``work.part[c]`` on.
    """
    apart()
    count = ZERO
    for c in range(columns):
        train = work.other_train[c] & slots
        start, end = work.part[c], work.part[c + 1]
        if train == 0 or start == end:
            continue
        column, own = np.int64(work.codes[c]), np.uint64(work.sums[c])
        work.busy[0] = column
        line_halves(work.busy, ONE, own, COLUMN, number, work, work.col_key)
        line_halves(work.own_line[start:], end - start, own, ROW, number, work, work.row_key)
        for k in range(start, end):
            if count == VISITS:
                visit_devices(array, regs, count, work)
                count = ZERO
            both = work.own_train[k] & train
            work.cell[count] = column * array.rows + np.int64(work.own_line[k])
            work.both[count] = both
            work.total[count] = work.row_key[k - start] + work.col_key[0]
            count += both != 0
    if count:
        visit_devices(array, regs, count, work)


@inner
def _write(array, regs, refresh, source, chunk, due, work):
    """Write the differences of the ``due`` pairs back: a chunk of pulses, all columns at a time."""
    apart()
    columns, start, first = ZERO, ZERO, ZERO
    work.part[0] = 0
    while first < due:
        column, end = work.other_line[first], first + 1
        while end < due and work.other_line[end] == column:
            end += 1
        own = _column_key(source, column)
        rows, train = _column_trains(refresh.pulses, own, column, chunk, first, end, start, work)
        start, first = start + rows, end
        work.codes[columns], work.sums[columns] = column, np.int64(own)
        work.other_train[columns] = train
        columns += 1
        work.part[columns] = start
    if regs.serial:
        for slot in range(SLOTS):
            _pulse(array, regs, columns, SLOTS * chunk + slot, np.uint32(1 << slot), work)
    else:
        _pulse(array, regs, columns, chunk, SLOT_MASK, work)


@inner
def _renew(array, regs, aging, refresh, source, near, work):
    """Refresh those of the ``near`` pairs in ``work.busy`` that are due."""
    apart()
    key = op_key(source.base, REFRESH, source.number, source.updates)
    due = _read(array, refresh, key, near, work)
    if due:
        _reset(array, regs, aging, key, due, work)
        for chunk in range(chunks(refresh.pulses.desired_bl)):
            _write(array, regs, refresh, source, chunk, due, work)


@inner
def refresh_pairs(array, regs, aging, refresh, source, part, work):
    """Refresh the pairs in the columns of one part.

    Parameters
    ----------
    array : Array
    regs : Device
    aging : Aging
    refresh : Refresh
    source : Source
    part : Share
    work : Scratch
    """
    apart()
    rows, count, room = array.rows, ZERO, len(work.busy) >> 1
    upper, lower = np.int32(refresh.upper_reach), np.int32(refresh.lower_reach)
    # One round more than there are columns: the last one reads what is left.
    for column in range(part.number, array.cols + part.threads, part.threads):
        hidden = array.hidden[column * rows : column * rows + rows]
        near = _near(hidden, upper, lower)
        if count and (column >= array.cols or count + near > room):
            _renew(array, regs, aging, refresh, source, count, work)
            count = ZERO
        if near:
            count = _list_near(hidden, upper, lower, column * (rows >> 1), count, work.busy)
