"""Constants of the noise streams, shared by the golden model and the gateware.

A random number is a function of its address, ``hash(seed, verb, tile, step, purpose, index)``,
never the next value of a generator.  This file holds what defines that function bit for bit: S-box,
rotations, round constants, numbers of rounds, the two tables of the Gaussian, and the numbers that
keep streams apart.  The equations are in `ohmgrid.model.base.noise`, the evidence in
``docs/noise.md``. Standard library only.
"""

from enum import IntEnum
from math import isqrt

__all__ = [
    "CELL_BITS",
    "CELL_ROTATIONS",
    "CELL_ROUNDS",
    "GAUSS_BITS",
    "GAUSS_COARSE",
    "GAUSS_FINE",
    "GAUSS_SIGMA",
    "GAUSS_TAIL",
    "KEY_BITS",
    "LINE_INDEX_TURNS",
    "LINE_ROTATIONS",
    "LINE_ROUNDS",
    "LINE_SUB_TURNS",
    "RC32",
    "RC64",
    "SBOX",
    "SEED_ROUNDS",
    "SEED_TWEAK",
    "VISIBLE_TURNS",
    "Purpose",
    "Verb",
    "reading_step",
]


class Verb(IntEnum):
    """What an operation does; part of its key, so that two verbs of one step share no noise."""

    STATIC = 0
    """Device-to-device spread: always step 0, so that a cell meets the same draws at each visit."""
    FORWARD = 1
    BACKWARD = 2
    UPDATE = 3
    INIT = 4
    TIME = 5
    """Leak and diffusion: what happens to the cells between operations."""
    REFRESH = 6
    """Reading pairs for a refresh, and their reset."""
    REWRITE = 7
    """The pulses that write a refreshed column back: step `rewrite_step`."""
    TRANSFER = 8
    """Signs that turn after a column was read for a transfer, step: columns read before; the read
    of weights for a transfer to phase-change devices, step: transfers before."""
    PROGRAM = 9
    """Pulses that write phase-change devices, and reads between them: step
    `ohmgrid.model.core.pcm_capacitor.pulse_step`."""
    RETENTION = 10
    """Conductances that are programmed, drift and are read much later: step `reading_step`."""
    DRIVE = 11
    """Events that single neurons get, step: samples before; tile 0."""
    PRODUCT = 12
    """Rounding of activations and errors that are multiplied in digital numbers, and the row that
    a transfer of their sums begins with; step: updates before."""


def rewrite_step(updates: int, column: int) -> int:
    """Return the step of `Verb.REWRITE`: the updates so far (32 bits), and the column above."""
    return (updates & 0xFFFFFFFF) | column << 32


def reading_step(repeat: int, seconds: int) -> int:
    """Return the step of `Verb.RETENTION`: seconds after programming (32 bits), and above them how
    often all was programmed before.
    """
    return seconds | repeat << 32


class Purpose(IntEnum):
    """What the key of one line of an operation is used for."""

    ROW = 1
    """Row half of the cell noise (one row of the tile is one output line)."""
    COLUMN = 2
    """Column half of the cell noise (one input line)."""
    TRAIN_X = 3
    """Pulse trains of the input lines."""
    TRAIN_D = 4
    """Pulse trains of the output lines."""
    OUTPUT = 5
    """Noise and stochastic rounding of the ADC."""
    INPUT = 6
    """Noise and stochastic rounding of the DAC; events that a neuron gets."""
    DEVICE = 7
    """Which device of its cells an update pulses."""


KEY_BITS = 64
"""Width of seed keys, operation keys and line keys: four planes of 16 bits."""
CELL_BITS = 32
"""Width of one cell word: four planes of 8 bits."""

SBOX = (6, 5, 12, 10, 1, 14, 7, 9, 11, 0, 3, 13, 8, 15, 4, 2)
"""S-box of RECTANGLE (Zhang et al. 2015): 12 boolean operations bit-sliced, one LUT4 a bit.

Bit k of its index and of its value belongs to plane k.
"""

LINE_ROTATIONS = (0, 1, 12, 13)
"""Left rotation of each 16-bit plane after the S-box of a round (those of RECTANGLE)."""
LINE_INDEX_TURNS = (0, 19, 38, 57)
"""Left rotations of the copies of a line's index that are added to the operation key."""
LINE_SUB_TURNS = (12, 25, 35, 49)
"""Left rotations of the copies of a line's sub number.

Neighbouring lines differ in one bit or two.  Four copies in different columns make that four bits
or more: as good as three more rounds of the permutation, for a third of their LUTs.
"""
CELL_ROTATIONS = (0, 7, 2, 4)
"""Left rotation of each 8-bit plane after the S-box of a round."""

VISIBLE_TURNS = (10, 15, 30)
"""Left rotations, within 32 bits, of the hidden weights that are XORed to the row key of the write
noise: hidden weights that differ by a bit or by little draw noise that correlates by 0.6 % at most.
"""
SEED_ROUNDS = 12
"""Rounds from seed to base key, and from base key to operation key."""
LINE_ROUNDS = 8
"""Rounds from operation key to line key."""
CELL_ROUNDS = 3
"""Rounds from the sum of two line keys to the cell word."""

# One prime a round.  Round r adds the first fractional bits of sqrt(prime r), as SHA-2 does.
_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)

RC64 = tuple(isqrt(p << 128) & (2**64 - 1) for p in _PRIMES)
"""Round constants of the 64-bit permutation: floor(2^64 sqrt(p)) mod 2^64."""
RC32 = tuple(isqrt(p << 64) & (2**32 - 1) for p in _PRIMES[:CELL_ROUNDS])
"""Round constants of the 32-bit cell permutation: floor(2^32 sqrt(p)) mod 2^32."""
SEED_TWEAK = (isqrt(5 << 128) - 2**64) >> 1
"""XORed to the seed so that seed 0 is a seed like any other: floor(2^64 (sqrt(5) - 1) / 2)."""

GAUSS_BITS = 10
"""Random bits of one Gaussian draw: 6 of them index GAUSS_COARSE, the upper 4 GAUSS_FINE."""
GAUSS_SIGMA = 64
"""Standard deviation of a Gaussian draw in its LSB."""
# Positive halves of the tables, found by annealing; docs/noise.md says for what.
# fmt: off
_COARSE = (
    2, 5, 7, 8, 10, 11, 14, 16, 19, 23, 24, 27, 30, 33, 35, 36,
    40, 43, 48, 50, 51, 55, 56, 63, 70, 72, 77, 91, 96, 99, 130, 131,
)
_FINE = (
    6, 12, 18, 24, 27, 29, 36, 42,
)
# fmt: on
GAUSS_COARSE = (*_COARSE, *(~z for z in _COARSE))
"""Coarse part, 64 entries; index bit 5 complements, so the table is symmetric about -1/2."""
GAUSS_FINE = (*_FINE, *(1 - z for z in _FINE))
"""Fine part, 16 entries; symmetric about +1/2, so that the sum is symmetric about 0."""
GAUSS_TAIL = 64
"""Added to the largest of all sums and taken from the smallest: the sum alone has no long tail.

The largest fine part has zeros where GAUSS_TAIL has ones, so adding it is inverting those bits.
"""
