"""Refresh of one-sided pairs: `ohmgrid.model.refresh` without looking at pairs far from it."""

from bisect import bisect_left
from typing import NamedTuple

import numpy as np

from ohmgrid.config import Config
from ohmgrid.model.arith import shift_round as golden_shift_round
from ohmgrid.model.compiled.aging import column_words, reset_device
from ohmgrid.model.compiled.arith import shift_round
from ohmgrid.model.compiled.array import RAISE, apply_pulses
from ohmgrid.model.compiled.jit import apart, kernel
from ohmgrid.model.compiled.layout import WHOLE, ZERO, Pulses, Side
from ohmgrid.model.compiled.noise import GAUSSIAN, hash_lines, line_key
from ohmgrid.model.compiled.population import show_devices
from ohmgrid.model.compiled.pulses import all_halves, make_trains
from ohmgrid.model.refresh import RefreshRegisters
from ohmgrid.registers import ADC_FRAC
from ohmgrid.streams import Purpose

__all__ = ["Refresh", "refresh_pairs"]

ROW, COLUMN, INPUT = map(np.int64, (Purpose.ROW, Purpose.COLUMN, Purpose.INPUT))


class Refresh(NamedTuple):
    """Registers of a refresh."""

    every: int
    half: int
    scale: int
    shift: int
    noise: int
    upper: int
    lower: int
    least_large: int
    """Conductance below which no noise lifts a device above ``upper``."""
    least_small: int
    """Conductance below which no noise lifts a device above ``lower``."""
    pulses: Pulses

    @classmethod
    def of(cls, config: Config, registers: RefreshRegisters | None) -> "Refresh":
        """Return the registers as the kernels take them; ``every`` is 0 without a refresh."""
        if registers is None:
            none = Pulses(*(0 for _ in Pulses._fields))
            return cls(0, 0, 0, 0, 0, 0, 0, 0, 0, none)
        converter = registers.converter
        most = int(GAUSSIAN.max()) * converter.noise
        top = 1 << (config.formats.weight_bits - 1)

        def best(weight: int) -> int:
            scaled = (weight * converter.scale) >> converter.shift
            return int(golden_shift_round(np.int64(scaled + most), ADC_FRAC))  # pyright: ignore

        def least(code: int) -> int:
            return bisect_left(range(-top, top), code + 1, key=best) - top

        pulses = config.replace(pulses=registers.pulses)
        return cls(
            registers.every,
            registers.half,
            converter.scale,
            converter.shift,
            converter.noise,
            registers.upper,
            registers.lower,
            least(registers.upper),
            least(registers.lower),
            Pulses.of(pulses, registers.rate),
        )


@kernel
def _code(weight, k, refresh, work):
    """Return the ADC code of a device with the noise of word k."""
    low, middle = work.bytes8[0, k], work.bytes8[1, k]
    gauss = np.int64(GAUSSIAN[low | (middle & 3) << 8])
    raw = ((np.int64(weight) * refresh.scale) >> refresh.shift) + gauss * refresh.noise
    return min(max(shift_round(raw, ADC_FRAC), -refresh.half), refresh.half)


@kernel
def _near(hidden, refresh):
    """Return how many pairs noise could lift above both thresholds."""
    count = 0
    for k in range(0, len(hidden), 2):
        large, small = max(hidden[k], hidden[k + 1]), min(hidden[k], hidden[k + 1])
        count += (large >= refresh.least_large) & (small >= refresh.least_small)
    return count


@kernel
def _read_column(array, refresh, key, column, work):
    """Fill ``work.values`` with what is to be written back; return how many pairs are due.

    ``work.due`` has 1 for each device of a pair that is due.
    """
    rows, span, found = array.rows, len(work.cell), 0
    for first in range(0, rows, span):
        count = min(span, rows - first)
        column_words(first, count, work.col_key[column], work)
        for k in range(0, count, 2):
            place, row = column * rows + first + k, first + k
            plus = _code(array.hidden[place], k, refresh, work)
            minus = _code(array.hidden[place + 1], k + 1, refresh, work)
            due = max(plus, minus) > refresh.upper and min(plus, minus) > refresh.lower
            found += due
            work.due[row] = work.due[row + 1] = due
            work.values[row] = max(plus - minus, 0) if due else 0
            work.values[row + 1] = max(minus - plus, 0) if due else 0
    return found


@kernel
def _reset_column(array, regs, aging, key, column, work):
    """Reset the devices of a column that are due."""
    rows, span = array.rows, len(work.cell)
    all_halves(rows, key, ROW, ZERO, work, work.row_key)
    all_halves(array.cols, key, COLUMN, ZERO, work, work.col_key)
    for first in range(0, rows, span):
        count = min(span, rows - first)
        column_words(first, count, work.col_key[column], work)
        for k in range(count):
            place = column * rows + first + k
            work.cell[k] = place
            if work.due[first + k]:
                reset_device(array, place, k, aging, regs.weight_bits, work)
        show_devices(array, regs, count, work)


@kernel
def _write_column(array, regs, refresh, key, column, work):
    """Write the differences of a column back with pulses."""
    work.chosen[:, 0] = 0
    for plane in range(4):
        work.chosen16[plane, 0] = work.spread16[plane, column]
    hash_lines(line_key(key, INPUT, ZERO), work.chosen, np.int64(1), work.planes)
    own = np.uint64(0)
    for plane in range(4):
        own |= np.uint64(work.planes16[plane, 0]) << np.uint64(16 * plane)
    row_side = Side(work.own_line, work.own_train)
    col_side = Side(work.other_line, work.other_train)
    work.drive[column] = refresh.pulses.x_one
    bl, rows, cols = make_trains(
        work.drive,
        work.values,
        array.rows,
        array.cols,
        refresh.pulses,
        own,
        row_side,
        col_side,
        work,
    )
    work.drive[column] = 0
    apply_pulses(array, regs, RAISE, row_side, rows, col_side, cols, bl, own, WHOLE, work)


@kernel
def refresh_pairs(array, regs, aging, refresh, key, reset_key, part, work):
    """Refresh the pairs in the columns of one part.

    Parameters
    ----------
    array : Array
    regs : Device
    aging : Aging
    refresh : Refresh
    key, reset_key : uint64
        Operation keys of `Verb.REFRESH` and `Verb.RESET`.
    part : Part
    work : Scratch
    """
    apart()
    rows, keyed = array.rows, False
    for column in range(part.number, array.cols, part.threads):
        if _near(array.hidden[column * rows : column * rows + rows], refresh) == 0:
            continue
        if not keyed:
            all_halves(rows, key, ROW, ZERO, work, work.row_key)
            all_halves(array.cols, key, COLUMN, ZERO, work, work.col_key)
            keyed = True
        if _read_column(array, refresh, key, column, work):
            _reset_column(array, regs, aging, reset_key, column, work)
            _write_column(array, regs, refresh, key, column, work)
            # Both used the room of the read's keys.
            keyed = False
