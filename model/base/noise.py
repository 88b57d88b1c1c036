"""Counter-based noise: every random number is a hash of its address.

One round of the permutations, on four planes a, b, c, d of 16 bits (keys) or 8 bits (cell words);
plane k holds bits ``16 k`` to ``16 k + 15`` (or ``8 k`` to ``8 k + 7``) of the word::

    state ^= RC[r]
    (a_i, b_i, c_i, d_i) = SBOX(a_i, b_i, c_i, d_i)          for each column i
    planes rotated left by (0, 1, 12, 13)                    (cell words: CELL_ROTATIONS)

Keys and words::

    base     = P64(seed ^ SEED_TWEAK)                                     SEED_ROUNDS
    key      = P64(base ^ (verb | tile << 8 | step << 16))                SEED_ROUNDS
    line key = P64(key ^ spread(index, sub) ^ purpose << 56)              LINE_ROUNDS
    word     = P32((row key + column key) mod 2^32)                       CELL_ROUNDS

    spread   = xor of rotl64(index, t), t in LINE_INDEX_TURNS, and rotl64(sub, t), LINE_SUB_TURNS

The low half of two line keys gives word 0 of a cell, the high half word 1.  The gateware twin is
`ohmgrid.hdl.base.noise`; both must be equal bit for bit.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ohmgrid.doors.checks import check_int
from ohmgrid.registers.noise import (
    CELL_ROTATIONS,
    GAUSS_BITS,
    GAUSS_COARSE,
    GAUSS_FINE,
    GAUSS_TAIL,
    LINE_INDEX_TURNS,
    LINE_ROTATIONS,
    LINE_ROUNDS,
    LINE_SUB_TURNS,
    RC32,
    RC64,
    SEED_ROUNDS,
    SEED_TWEAK,
    Purpose,
    Verb,
)

__all__ = [
    "bernoulli",
    "cell_words",
    "fields16",
    "gaussian",
    "line_keys",
    "mix32",
    "op_key",
    "permute64",
    "seed_key",
]

# All 1024 sums; the fine part is indexed by the upper bits.
_GAUSSIAN = np.add.outer(GAUSS_FINE, GAUSS_COARSE).ravel().astype(np.int32)
_GAUSSIAN[_GAUSSIAN.argmax()] += GAUSS_TAIL
_GAUSSIAN[_GAUSSIAN.argmin()] -= GAUSS_TAIL


def _sbox_layer(a, b, c, d):
    """Apply the S-box to every column of four planes (integers or arrays)."""
    t1 = ~b
    t3 = c ^ d
    w = (a & t1) ^ t3
    t6 = a ^ (d | t1)
    t8 = b ^ c
    return w, c ^ t6, t6 ^ (w | t8), t8 ^ (t3 & t6)


def _constants(words: tuple[int, ...], width: int) -> NDArray:
    """Planes of round constants, shape (rounds, 4, 1)."""
    planes = np.array(words, dtype=f"<u{width // 2}").view(f"<u{width // 8}")
    return planes.reshape(len(words), 4, 1)


_RC64_PLANES = _constants(RC64, 16)
_RC32_PLANES = _constants(RC32, 8)
_LINE_SHIFTS = np.array(LINE_ROTATIONS, dtype=np.uint16)[:, None]
_CELL_SHIFTS = np.array(CELL_ROTATIONS, dtype=np.uint8)[:, None]


def _permute(words: NDArray, constants: NDArray, shifts: NDArray) -> NDArray:
    """Run one round for each constant; the dtype of `shifts` gives the width of a plane.

    The four planes are the rows of one array, so a round is 16 NumPy calls whatever the size.
    NumPy defines a shift by the whole width as 0: a rotation by 0 needs no special case.
    """
    planes: NDArray = np.ascontiguousarray(words.reshape(-1, 1).view(shifts.dtype).T)
    back = shifts.dtype.itemsize * 8 - shifts
    for constant in constants:
        planes = np.array(_sbox_layer(*(planes ^ constant)))
        planes = (planes << shifts) | (planes >> back)
    return np.stack(list(planes), axis=-1).view(words.dtype).reshape(words.shape)


def permute64(state: ArrayLike, rounds: int) -> NDArray[np.uint64]:
    """Apply `rounds` rounds of the 64-bit permutation to each element.

    Parameters
    ----------
    state : uint64, any shape
    rounds : 1 to 12
    """
    check_int("rounds", rounds, 1, len(RC64))
    words = np.asarray(state, dtype="<u8", order="C")
    return _permute(words, _RC64_PLANES[:rounds], _LINE_SHIFTS)


def mix32(state: ArrayLike) -> NDArray[np.uint32]:
    """Apply the CELL_ROUNDS rounds of the 32-bit cell permutation to each element.

    Parameters
    ----------
    state : uint32, any shape
    """
    words = np.asarray(state, dtype="<u4", order="C")
    return _permute(words, _RC32_PLANES, _CELL_SHIFTS)


def _permute_int(state: int, rounds: int) -> int:
    """Compute `permute64` of one Python integer, without NumPy's cost for tiny arrays."""
    for constant in RC64[:rounds]:
        state ^= constant
        planes = _sbox_layer(*(state >> shift & 0xFFFF for shift in (0, 16, 32, 48)))
        state = 0
        for k, (plane, turn) in enumerate(zip(planes, LINE_ROTATIONS, strict=True)):
            plane &= 0xFFFF
            state |= (plane << turn & 0xFFFF | plane >> (16 - turn)) << 16 * k
    return state


def _check_fields(name: str, values: NDArray, bits: int) -> None:
    # A shift tells values too large and negative ones alike, of empty arrays too.
    if np.any(values >> bits):
        worst = values.max() if values.max() >> bits else values.min()
        raise ValueError(f"{name}: expected 0..{(1 << bits) - 1}, got {worst}")


def seed_key(seed: int) -> int:
    """Compute the base key of a seed (64 bits)."""
    check_int("seed", seed, 0, 2**64 - 1)
    return _permute_int(seed ^ SEED_TWEAK, SEED_ROUNDS)


def op_key(base: int, verb: Verb | int, tile: int, step: int) -> int:
    """Compute the key of one operation.

    Parameters
    ----------
    base : 64 bits, from `seed_key`
    verb : 8 bits
    tile : 8 bits, number of the tile (layer)
    step : 48 bits, number of the operation; 0 for draws that never change
    """
    check_int("verb", verb, 0, 2**8 - 1)
    check_int("tile", tile, 0, 2**8 - 1)
    check_int("step", step, 0, 2**48 - 1)
    return _permute_int(base ^ (verb | tile << 8 | step << 16), SEED_ROUNDS)


def _spread(values: NDArray, turns: tuple[int, ...]) -> NDArray[np.uint64]:
    """XOR copies of each value, rotated left by `turns` within 64 bits."""
    words = values.astype(np.uint64)
    total = np.zeros_like(words)
    for turn in turns:
        # NumPy defines a shift by the whole width as 0.
        total ^= (words << turn) | (words >> (64 - turn))
    return total


def line_keys(
    key: ArrayLike, purpose: Purpose | int, index: ArrayLike, sub: ArrayLike = 0
) -> NDArray[np.uint64]:
    """Compute the keys of some lines of one operation, or of one operation each.

    Parameters
    ----------
    key : 64 bits, from `op_key`; broadcast against `index`
    purpose : 8 bits
    index : 16 bits each, numbers of the lines, any shape
    sub : 8 bits each, group of slots or number of the pass; broadcast against `index`
    """
    check_int("purpose", purpose, 0, 2**8 - 1)
    lines, groups = np.asarray(index), np.asarray(sub)
    _check_fields("index", lines, 16)
    _check_fields("sub", groups, 8)
    address = _spread(lines, LINE_INDEX_TURNS) ^ _spread(groups, LINE_SUB_TURNS)
    keys = np.asarray(key, np.uint64) ^ np.uint64(purpose << 56)
    return permute64(address ^ keys, LINE_ROUNDS)


def cell_words(row_keys: ArrayLike, col_keys: ArrayLike) -> NDArray[np.uint32]:
    """Compute the noise words of cells from one half of their row's and of their column's key.

    Parameters
    ----------
    row_keys, col_keys : uint32, shapes that broadcast: (R, 1) and (1, C) give (R, C)
    """
    total = np.add(np.asarray(row_keys, dtype=np.uint32), np.asarray(col_keys, dtype=np.uint32))
    return mix32(total)


def gaussian(bits: ArrayLike) -> NDArray[np.int32]:
    """Turn 10 random bits into a normal draw, sigma = GAUSS_SIGMA LSB, mean exactly 0.

    ``z = GAUSS_COARSE[bits mod 64] + GAUSS_FINE[bits div 64]``; the largest and the smallest of
    the 1024 sums lie GAUSS_TAIL further out.

    Parameters
    ----------
    bits : integers, 0 to 1023, any shape
    """
    bits = np.asarray(bits)
    _check_fields("bits", bits, GAUSS_BITS)
    return _GAUSSIAN[bits]


def fields16(keys: ArrayLike) -> NDArray[np.uint32]:
    """Split line keys into uniform 16-bit fields; field s is bits ``16 s`` to ``16 s + 15``.

    Parameters
    ----------
    keys : uint64, shape (...)

    Returns
    -------
    uint32, shape (..., 4)
    """
    words = np.asarray(keys, dtype="<u8", order="C")
    return words[..., None].view("<u2").astype(np.uint32)


def bernoulli(field: ArrayLike, threshold: ArrayLike) -> NDArray[np.bool_]:
    """Draw a bit that is 1 with probability ``threshold / 65536``.

    Parameters
    ----------
    field : 16 random bits
    threshold : 17 bits, 0 (never) to 65536 (always)
    """
    return np.less(field, threshold)
