"""All devices of one array as the kernels hold them: `ohmgrid.model.device.population`, packed.

What is hashed from a cell's address in the gateware is kept here: 16 bytes a device, and more only
for devices that have a reference, age or show write noise.
"""

from typing import NamedTuple

import numpy as np

from ohmgrid.compiled.jit import apart, golden, inner, kernel
from ohmgrid.compiled.layout import TOTAL, VISITS
from ohmgrid.compiled.noise import GAUSSIAN, hash_cells
from ohmgrid.model.device import visible
from ohmgrid.model.device.population import Population
from ohmgrid.model.device.step import Static

__all__ = ["Array", "pack", "show_all", "show_column", "show_devices", "show_moved"]

turned, seen = golden(visible.turned), golden(visible.seen)  # the golden model's own

FLAT, SLOPES = 3, 4
"""Words of a record without and with slopes."""
STUCK = 1 << 15
"""Bit of a record's third word."""


class Array(NamedTuple):
    """The devices of one tile, column after column; a pair's two devices follow each other."""

    hidden: np.ndarray
    """int32, shape (devices,): conductances."""
    seen: np.ndarray
    """int32, shape (cells,): the weights that a pass sees; `hidden` itself where they are equal."""
    record: np.ndarray
    """int32, shape (record_words * devices,): upper bound, lower bound, relative steps up (bits 0
    to 14) and down (16 to 30) with bit 15 for stuck; and, where a device's step hangs on its
    weight, slopes up (low half) and down."""
    record_words: int
    reference: np.ndarray
    """int32, shape (devices,), or empty where no device has one."""
    aging: np.ndarray
    """int32, shape (devices,): ten bits each for lifetime, diffusion and reset bias, or empty."""
    point: np.ndarray
    """int32, shape (devices,): symmetry points, or empty."""
    row_key: np.ndarray
    """uint32, shape (device rows,): row halves of the write noise."""
    col_key: np.ndarray
    """uint32, shape (cols,)"""
    beside: np.ndarray
    """int32, shape (devices,): what a pass sees beside a device's own, or empty."""
    sign: np.ndarray
    """int64, shape (1,): of a device's own then, 1 or -1."""
    rows: int
    """Rows of devices."""
    cols: int
    paired: int
    lazy: int
    """What a pass sees is brought up to date column by column, before it is read."""


def _records(static: Static, flat: bool) -> np.ndarray:
    """Return the records of devices, one after the other (int32)."""
    stuck = static.stuck.astype(np.int64) * STUCK
    words = [static.b_max, static.b_min, static.rel_up | stuck | static.rel_down << 16]
    if not flat:
        # An arithmetic shift of the reader brings the sign back.
        words.append((static.gamma_up & 0xFFFF) | (static.gamma_down & 0xFFFF) << 16)
    return np.stack([_flat(word) for word in words], axis=1).ravel()


def _flat(field: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(field.T.ravel().astype(np.uint32).view(np.int32))


def pack(
    population: Population, paired: bool, ages: bool, beside: bool = False, lazy: bool = False
) -> Array:
    """Return the devices of an array, their conductances 0.

    Parameters
    ----------
    population : Population
    paired : bool
    ages : bool
        Whether devices leak, diffuse or are reset.
    beside : bool
        Whether passes see something beside them.
    lazy : bool
        Whether `show_column` is called before a column is read.
    """
    static, registers = population.static, population.registers
    rows, cols = static.b_max.shape
    none = np.zeros(0, np.int32)
    first, second, third = population.aging
    hidden = np.zeros(rows * cols, np.int32)
    apart = paired or registers.visible or beside
    return Array(
        hidden=hidden,
        seen=np.zeros(rows * cols // (1 + paired), np.int32) if apart else hidden,
        record=_records(static, registers.flat),
        record_words=FLAT if registers.flat else SLOPES,
        reference=_flat(static.reference) if registers.references else none,
        aging=_flat(first | second << 10 | third << 20) if ages else none,
        point=_flat(population.symmetry_point) if ages and registers.symmetry_point else none,
        row_key=population.visible_keys[0].ravel().copy(),
        col_key=population.visible_keys[1].ravel().copy(),
        beside=np.zeros(rows * cols if beside else 0, np.int32),
        sign=np.ones(1, np.int64),
        rows=rows,
        cols=cols,
        paired=int(paired),
        lazy=int(lazy),
    )


@inner
def _visible_keys(array, regs, count, work):
    """Replace ``work.total`` by the sums of the keys of the write noise."""
    for k in range(count):
        place = np.int64(work.cell[k])
        own = turned(np.int64(array.hidden[place]), regs.weight_bits)
        column = place // array.rows
        row = place - column * array.rows
        work.total[k] = np.uint32(array.row_key[row] ^ own) + array.col_key[column]


@inner
def show_moved(array, regs, count, work):
    """Bring what a pass sees of devices that have moved up to date, unless that is done later."""
    if not array.lazy:
        show_devices(array, regs, count, work)


@inner
def show_devices(array, regs, count, work):
    """Bring what a pass sees of the devices in ``work.cell`` up to date."""
    apart()
    cell = work.cell
    if array.paired:
        for k in range(count):
            pair = np.int64(cell[k]) >> 1
            array.seen[pair] = array.hidden[2 * pair] - array.hidden[2 * pair + 1]
        return
    if len(array.beside):
        for k in range(count):
            place = cell[k]
            array.seen[place] = array.beside[place] + array.sign[0] * array.hidden[place]
        return
    if not regs.visible:
        return
    words, hidden = work.words, array.hidden
    _visible_keys(array, regs, count, work)
    hash_cells(work.visit[TOTAL:], count, words, work.words64)
    for k in range(count):
        gauss = np.int64(GAUSSIAN[words[k] | (words[VISITS + k] & 3) << 8])
        place = cell[k]
        array.seen[place] = seen(np.int64(hidden[place]), gauss, regs.visible, regs.weight_bits)


@inner
def _show_from(array, regs, first, last, work):
    if not (array.paired or regs.visible or len(array.beside)):
        return
    for start in range(first, last, VISITS):
        count = min(VISITS, last - start)
        for k in range(count):
            work.cell[k] = start + k
        show_devices(array, regs, count, work)


@inner
def show_column(array, regs, column, work):
    """Bring what a pass sees of one column up to date."""
    first = column * array.rows
    _show_from(array, regs, first, first + array.rows, work)


@kernel
def show_all(array, physics, work):
    """Bring what a pass sees up to date after all conductances have changed."""
    _show_from(array, physics.device, 0, len(array.hidden), work)
