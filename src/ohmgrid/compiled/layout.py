"""What the kernels share: registers as integers, and one thread's scratch memory."""

from typing import NamedTuple

import numpy as np

from ohmgrid.compiled.noise import LINES_OF_WORD, spread_lines
from ohmgrid.config import Config
from ohmgrid.periphery import PULSE_TYPES, SLOTS, ConverterConfig
from ohmgrid.registers.edge import PulseRegisters, converter_registers

__all__ = [
    "VISITS",
    "WHOLE",
    "ZERO",
    "Converter",
    "Pulses",
    "Scratch",
    "Share",
    "Side",
    "Trains",
    "make_scratch",
    "make_side",
    "make_trains_room",
]

ZERO = np.int64(0)
"""Not a literal 0, for which numba would compile a function once more; so are all constants that
kernels hand to kernels."""
VISITS = 1024
"""Devices that are visited together at most: their data stay in the second-level cache."""
(
    CELL,
    BOTH,
    TOTAL,
    WEIGHT,
    VALUE,
    UPPER,
    LOWER,
    STEPS,
    REL,
    GAMMA,
    GAUSS,
    ROUNDING,
    REFERENCE,
    PLACE,
    LOCAL,
    SIZE,
    MOVED,
) = range(0, 17 * VISITS, VISITS)
"""Where the rows of `Scratch.visit` begin. All that is known of a visit lies in one array, at
distances that the compiler knows: only so can it tell that what a loop writes is not what the loop
reads, and work on many devices at a time."""
CHANGE, CHANGE_HIGH = LOCAL, PLACE
"""Rows of what time makes of a conductance, `STEP_FRAC` fraction bits: low and high word."""


class Converter(NamedTuple):
    """Converters of one direction, all integers."""

    scale: int
    shift: int
    noise: int
    dac_half: int
    adc_half: int
    one: int
    """Input scale without noise management: 1.0 at the edge."""
    managed: int
    passes: int
    """Most passes."""
    frac: int
    perfect: int
    """Exact sums, no converters."""
    span: int
    """How many products of a weight and a code a 32-bit sum holds: whole eights."""

    @classmethod
    def of(cls, io: ConverterConfig, lsb: float, frac: int, top: int) -> "Converter":
        """Return the registers of one direction; ``top`` is the largest weight."""
        registers = converter_registers(io, lsb)
        return cls(
            registers.scale,
            registers.shift,
            registers.noise,
            io.dac_half,
            io.adc_half,
            1 << frac,
            int(io.noise_management != "none"),
            io.max_passes if io.bound_management == "iterative" else 1,
            frac,
            int(io.perfect),
            ((1 << 31) - 1) // (top * io.dac_half) // 8 * 8,
        )


class Pulses(NamedTuple):
    """An update's registers for one learning rate, all integers."""

    rate: int
    rate_shift: int
    bl: int
    factor: int
    managed: int
    bl_managed: int
    desired_bl: int
    kind: int
    """Place in `ohmgrid.config.PULSE_TYPES`."""
    x_one: int
    d_one: int

    @classmethod
    def of(cls, config: Config, registers: PulseRegisters) -> "Pulses":
        """Return the registers of one learning rate."""
        pulses, formats = config.pulses, config.formats
        return cls(
            registers.rate,
            registers.rate_shift,
            registers.bl,
            registers.factor,
            int(pulses.managed),
            int(pulses.update_bl_management),
            pulses.desired_bl,
            PULSE_TYPES.index(pulses.pulse_type),
            1 << formats.x_frac,
            1 << formats.d_frac,
        )


class Side(NamedTuple):
    """The lines of one side that fire in an update, packed to the front."""

    line: np.ndarray
    """uint32, shape (lines,): number of the line."""
    train: np.ndarray
    """uint32: slots of a chunk in which it fires; bit 31 is set where its value is negative."""


class Trains(NamedTuple):
    """The trains of one update, chunk after chunk; of both sides the lines that fire in it."""

    rows: Side
    """Shapes (chunks * rows,): row lines of chunk c from ``c * rows`` on."""
    cols: Side
    """Shapes (chunks * cols,)"""
    firing: np.ndarray
    """int64, shape (chunks, 3): slots, firing rows and firing columns of each chunk."""


class Share(NamedTuple):
    """The share of one thread."""

    number: int
    threads: int


WHOLE = Share(0, 1)


class Scratch(NamedTuple):
    """What one thread needs beside the arrays; contents do not outlive an operation."""

    spread: np.ndarray
    """uint64, shape (4, lines / 4): spread numbers of all lines (never changes)."""
    spread16: np.ndarray
    """The same memory, uint16, shape (4, lines)."""
    chosen: np.ndarray
    """uint64, shape (4, lines / 4): spread numbers of some lines."""
    chosen16: np.ndarray
    planes: np.ndarray
    """uint64, shape (4, lines / 4): hashed keys."""
    planes16: np.ndarray
    busy: np.ndarray
    """uint32, shape (lines,): lines whose DAC code is not 0; of a refresh, pairs of a column."""
    codes: np.ndarray
    """int32, shape (lines,): DAC codes."""
    part: np.ndarray
    """int32, shape (lines,): sums over some columns."""
    sums: np.ndarray
    """int64, shape (lines,)"""
    out: np.ndarray
    """int64, shape (lines,): results of a pass."""
    chance: np.ndarray
    """int32, shape (lines,): firing probabilities; codes that are not 0."""
    row_key: np.ndarray
    """uint32, shape (lines,): a firing row's half of the noise of its cells."""
    col_key: np.ndarray
    firing: np.ndarray
    """int64, shape (31, 2, 2): for each slot of a chunk how many rows, and columns, of either sign
    fire."""
    slot_rows: Side
    """The firing rows of one slot."""
    slot_cols: Side
    visit: np.ndarray
    """int32, shape (17 * VISITS,): what is known of the devices that are visited together."""
    cell: np.ndarray
    """uint32, shape (VISITS,): row `CELL` of it, numbers of devices in their array."""
    both: np.ndarray
    """uint32: row `BOTH`, slots in which both their lines fire; bit 31: downwards."""
    total: np.ndarray
    """uint32: row `TOTAL`, sums of their lines' keys."""
    words64: np.ndarray
    """uint64, shape (4 * VISITS / 8,): noise words of devices, byte by byte."""
    words: np.ndarray
    """The same memory, uint8, shape (4 * VISITS,)."""
    pair_line: np.ndarray
    """uint32, shape (lines,): rows of both devices of pairs."""
    own_line: np.ndarray
    """uint32, shape (lines,): of a refresh, as the fields of `Side`."""
    own_train: np.ndarray
    other_line: np.ndarray
    other_train: np.ndarray
    values: np.ndarray
    """int32, shape (lines,): differences of the pairs that a refresh writes back; errors of a
    transfer."""
    vector: np.ndarray
    """int32, shape (lines,): zeros, but for the column that a transfer is about."""


def _two_views(lines: int, small: type, count: int) -> tuple[np.ndarray, np.ndarray]:
    words = np.zeros((4, lines // count), np.uint64)
    return words, words.view(small)


def make_side(lines: int) -> Side:
    """Return room for the firing lines of one side."""
    return Side(np.zeros(lines, np.uint32), np.zeros(lines, np.uint32))


def make_trains_room(chunks: int, rows: int, cols: int) -> Trains:
    """Return room for the trains of an update of up to so many chunks."""
    firing = np.zeros((chunks, 3), np.int64)
    return Trains(make_side(chunks * rows), make_side(chunks * cols), firing)


def make_scratch(lines: int) -> Scratch:
    """Return scratch memory for arrays of up to ``lines`` rows or columns."""
    lines = -(-lines // 64) * 64
    spread, spread16 = _two_views(lines, np.uint16, LINES_OF_WORD)
    spread_lines(spread16)
    chosen, chosen16 = _two_views(lines, np.uint16, LINES_OF_WORD)
    planes, planes16 = _two_views(lines, np.uint16, LINES_OF_WORD)
    visit = np.zeros(17 * VISITS, np.int32)
    cell, both, total = (visit[row : row + VISITS].view(np.uint32) for row in (CELL, BOTH, TOTAL))
    words64 = np.zeros(4 * VISITS // 8, np.uint64)
    return Scratch(
        spread,
        spread16,
        chosen,
        chosen16,
        planes,
        planes16,
        busy=np.zeros(lines, np.uint32),
        codes=np.zeros(lines, np.int32),
        part=np.zeros(lines, np.int32),
        sums=np.zeros(lines, np.int64),
        out=np.zeros(lines, np.int64),
        chance=np.zeros(lines, np.int32),
        row_key=np.zeros(lines, np.uint32),
        col_key=np.zeros(lines, np.uint32),
        firing=np.zeros((SLOTS, 2, 2), np.int64),
        slot_rows=make_side(lines),
        slot_cols=make_side(lines),
        visit=visit,
        cell=cell,
        both=both,
        total=total,
        words64=words64,
        words=words64.view(np.uint8),
        pair_line=np.zeros(lines, np.uint32),
        own_line=np.zeros(lines, np.uint32),
        own_train=np.zeros(lines, np.uint32),
        other_line=np.zeros(lines, np.uint32),
        other_train=np.zeros(lines, np.uint32),
        values=np.zeros(lines, np.int32),
        vector=np.zeros(lines, np.int32),
    )
