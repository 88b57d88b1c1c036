"""Line keys and cell words, many at a time: `ohmgrid.model.base.noise` on packed planes.

A 64-bit word of a plane array holds that plane of four lines (16 bits each) or of eight cells
(8 bits each): boolean operations do not mind, and rotations keep to their field by a mask.
"""

import numpy as np

from ohmgrid.compiled.jit import apart, distinct, inner, kernel
from ohmgrid.model.base.noise import gaussian
from ohmgrid.registers.noise import (
    CELL_ROTATIONS,
    GAUSS_BITS,
    LINE_INDEX_TURNS,
    LINE_ROTATIONS,
    LINE_SUB_TURNS,
    RC32,
    RC64,
)

__all__ = [
    "GAUSSIAN",
    "LINES_OF_WORD",
    "hash_cells",
    "hash_lines",
    "line_key",
    "op_key",
    "spread_lines",
]

U = np.uint64
FULL = U(0xFFFF_FFFF_FFFF_FFFF)
LOW16 = U(0xFFFF)
EACH16 = U(0x0001_0001_0001_0001)
"""Times a 16-bit value: that value in each of the four fields."""
EACH8 = U(0x0101_0101_0101_0101)
SIXTEEN, THIRTYTWO, FORTYEIGHT = U(16), U(32), U(48)

LINES_OF_WORD = 4
"""Lines of one packed word."""

GAUSSIAN = gaussian(np.arange(1 << GAUSS_BITS)).astype(np.int16)
"""Gaussian draw of 10 bits, `GAUSS_SIGMA` LSB a standard deviation."""


def _planes(
    words: tuple[int, ...], width: int, each: np.uint64
) -> tuple[tuple[np.uint64, ...], ...]:
    """Return round constants as planes: for each round four packed words."""
    mask = (1 << width) - 1
    return tuple(
        tuple(U((word >> width * plane & mask) * int(each)) for plane in range(4)) for word in words
    )


RC_LINE = _planes(RC64, 16, EACH16)
RC_CELL = _planes(RC32, 8, EACH8)


def _turn(width: int, turn: int, each: np.uint64) -> tuple[np.uint64, ...]:
    """Return left shift, right shift and the mask of the bits that the left shift brings."""
    left = ((1 << width) - 1 & ~((1 << turn) - 1)) * int(each)
    return U(turn), U(width - turn), U(left)


TURN_LINE = tuple(_turn(16, turn, EACH16) for turn in LINE_ROTATIONS)
TURN_CELL = tuple(_turn(8, turn, EACH8) for turn in CELL_ROTATIONS)


@inner
def _rotate(plane, left, right, mask):
    return ((plane << left) & mask) | ((plane >> right) & (mask ^ FULL))


@inner
def _sbox(a, b, c, d):
    t1 = b ^ FULL
    t3 = c ^ d
    w = (a & t1) ^ t3
    t6 = a ^ (d | t1)
    t8 = b ^ c
    return w, c ^ t6, t6 ^ (w | t8), t8 ^ (t3 & t6)


@inner
def _line_round(a, b, c, d, constants):
    a, b, c, d = _sbox(a ^ constants[0], b ^ constants[1], c ^ constants[2], d ^ constants[3])
    b = _rotate(b, TURN_LINE[1][0], TURN_LINE[1][1], TURN_LINE[1][2])
    c = _rotate(c, TURN_LINE[2][0], TURN_LINE[2][1], TURN_LINE[2][2])
    d = _rotate(d, TURN_LINE[3][0], TURN_LINE[3][1], TURN_LINE[3][2])
    return a, b, c, d


@inner
def _cell_round(a, b, c, d, constants):
    a, b, c, d = _sbox(a ^ constants[0], b ^ constants[1], c ^ constants[2], d ^ constants[3])
    b = _rotate(b, TURN_CELL[1][0], TURN_CELL[1][1], TURN_CELL[1][2])
    c = _rotate(c, TURN_CELL[2][0], TURN_CELL[2][1], TURN_CELL[2][2])
    d = _rotate(d, TURN_CELL[3][0], TURN_CELL[3][1], TURN_CELL[3][2])
    return a, b, c, d


@inner
def _turned(value, turn):
    return (value << turn) | (value >> (U(64) - turn)) if turn else value


_INDEX_TURNS = tuple(map(U, LINE_INDEX_TURNS))
_SUB_TURNS = tuple(map(U, LINE_SUB_TURNS))


@kernel
def spread_lines(fields):
    """Fill a table of spread line numbers, plane by plane.

    Parameters
    ----------
    fields : uint16, shape (4, lines)
    """
    for line in range(fields.shape[1]):
        word = U(0)
        for turn in _INDEX_TURNS:
            word ^= _turned(U(line), turn)
        for plane in range(4):
            fields[plane, line] = np.uint16((word >> U(16 * plane)) & LOW16)


@inner
def line_key(key, purpose, sub):
    """Return an operation key with purpose and sub number added: what `hash_lines` takes."""
    word = key ^ (U(purpose) << U(56))
    for turn in _SUB_TURNS:
        word ^= _turned(U(sub), turn)
    return word


@inner
def op_key(base, verb, tile, step):
    """Return the key of one operation (uint64), as `ohmgrid.model.base.noise.op_key`."""
    apart()
    word = base ^ U(verb) ^ (U(tile) << U(8)) ^ (U(step) << SIXTEEN)
    a, b, c, d = (
        word & LOW16,
        (word >> SIXTEEN) & LOW16,
        (word >> THIRTYTWO) & LOW16,
        word >> FORTYEIGHT,
    )
    for constants in RC_LINE:
        # The three unused fields of each packed word are cut off at the end.
        a, b, c, d = _line_round(a, b, c, d, constants)
    a, b, c, d = a & LOW16, b & LOW16, c & LOW16, d & LOW16
    return a | (b << SIXTEEN) | (c << THIRTYTWO) | (d << FORTYEIGHT)


@inner
def hash_lines(key, spread, words, out):
    """Write the line keys of ``4 * words`` lines as planes.

    Parameters
    ----------
    key : uint64
        Operation key, with purpose and sub number added.
    spread : uint64, shape (4, >= words)
        Spread line numbers as packed planes.
    words : int
    out : uint64, shape (4, >= words)
    """
    apart()
    k0 = (key & LOW16) * EACH16
    k1 = ((key >> SIXTEEN) & LOW16) * EACH16
    k2 = ((key >> THIRTYTWO) & LOW16) * EACH16
    k3 = (key >> FORTYEIGHT) * EACH16
    for i in range(words):
        a, b, c, d = spread[0, i] ^ k0, spread[1, i] ^ k1, spread[2, i] ^ k2, spread[3, i] ^ k3
        a, b, c, d = _line_round(a, b, c, d, RC_LINE[0])
        a, b, c, d = _line_round(a, b, c, d, RC_LINE[1])
        a, b, c, d = _line_round(a, b, c, d, RC_LINE[2])
        a, b, c, d = _line_round(a, b, c, d, RC_LINE[3])
        a, b, c, d = _line_round(a, b, c, d, RC_LINE[4])
        a, b, c, d = _line_round(a, b, c, d, RC_LINE[5])
        a, b, c, d = _line_round(a, b, c, d, RC_LINE[6])
        a, b, c, d = _line_round(a, b, c, d, RC_LINE[7])
        out[0, i] = a
        out[1, i] = b
        out[2, i] = c
        out[3, i] = d


@inner
def _split(totals, count, words):
    distinct()
    cells = np.uint64(len(words) >> 2)  # indices that cannot be negative
    for k in range(np.uint64(count)):
        total = np.uint32(totals[k])
        words[k] = np.uint8(total)
        words[cells + k] = np.uint8(total >> np.uint32(8))
        words[cells + cells + k] = np.uint8(total >> np.uint32(16))
        words[cells + cells + cells + k] = np.uint8(total >> np.uint32(24))


@inner
def hash_cells(totals, count, words, words64):
    """Write the words of cells, byte by byte.

    Parameters
    ----------
    totals : int32, shape (>= count,)
        Sums of line keys.
    count : int
        Cells, at most a quarter of the words' bytes.
    words : uint8, shape (4 * cells,)
        Byte k of each cell's word begins at ``k * cells``.
    words64 : uint64
        The same memory.
    """
    _split(totals, count, words)
    first = np.uint64(len(words64) >> 2)
    second, third = first + first, first + first + first
    for i in range(np.uint64((count + 7) >> 3)):
        a, b = words64[i], words64[first + i]
        c, d = words64[second + i], words64[third + i]
        a, b, c, d = _cell_round(a, b, c, d, RC_CELL[0])
        a, b, c, d = _cell_round(a, b, c, d, RC_CELL[1])
        a, b, c, d = _cell_round(a, b, c, d, RC_CELL[2])
        words64[i] = a
        words64[first + i] = b
        words64[second + i] = c
        words64[third + i] = d
