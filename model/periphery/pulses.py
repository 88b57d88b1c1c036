"""From two vectors and a learning rate to pulse trains (golden model).

Section 3 of docs/physics.md. A train has up to 127 slots, in chunks of 31: slot s is bit
``s mod 31`` of the word of chunk ``s div 31``. A cell counts the slots in which the trains of its
row and of its column both fire. All three pulse types are trains: mean-count and
deterministic-implicit use a thermometer code on the columns and, on the rows, the increments of
the rounded product, so that the AND of the two trains, all chunks together, has exactly the
required number of ones.

`chunks`, `chunk_slots`, `expected_pulses`, `plan`, `probabilities`, `is_clipped`, `thermometer`,
`fired` and `increments` are written for single numbers as well.
"""

from typing import NamedTuple

import numpy as np

from ohmgrid.model.base.arith import divide_round, shift_round, square_root
from ohmgrid.model.base.noise import fields16, line_keys
from ohmgrid.periphery import PULSE_TYPES, SLOTS, PulseConfig
from ohmgrid.registers.edge import FACTOR_BITS, PulseRegisters
from ohmgrid.registers.noise import Purpose

__all__ = [
    "PulsePlan",
    "chunk_slots",
    "chunks",
    "column_trains",
    "expected_pulses",
    "fired",
    "increments",
    "is_clipped",
    "plan",
    "plan_update",
    "probabilities",
    "pulse_totals",
    "row_trains",
    "thermometer",
]

MEAN_COUNT = PULSE_TYPES.index("mean-count")
ONE = 1 << 16
"""Probability 1: fires in every slot."""
GROUP = 4
"""Slots of one line key: fields of 16 bits."""
KEYS = -(-SLOTS // GROUP)
"""Line keys of a chunk, 8: sub numbers of chunk c begin with ``8 c``."""


class PulsePlan(NamedTuple):
    """What update and bit-length management decide for one update."""

    bl: int
    """Slots used, 0..127; 0 means no update."""
    x_factor: int
    """Numerator of a column's probability for one LSB of magnitude."""
    x_divisor: int
    d_factor: int
    """Numerator of a row's probability for one LSB of magnitude."""
    d_divisor: int


def chunks(bl: int) -> int:
    """Return how many chunks a train of ``bl`` slots has."""
    return -(-bl // SLOTS)


def chunk_slots(bl: int, chunk: int) -> int:
    """Return the slots of one chunk of a train of ``bl`` slots, 0..31."""
    return max(0, min(bl - SLOTS * chunk, SLOTS))


def expected_pulses(x_max: int, d_max: int, registers: PulseRegisters) -> int:
    """Return ``k = lr xm dm / dw_min``, what the largest pair asks for: 32 bits, 16 of fraction.

    Parameters
    ----------
    x_max, d_max : int
        Largest magnitudes of both vectors, edge LSB.
    registers : PulseRegisters
    """
    return min((1 << 32) - 1, (x_max * d_max * registers.rate) >> registers.rate_shift)


def plan(
    k: int,
    x_max: int,
    d_max: int,
    registers: PulseRegisters,
    managed: int,
    bl_managed: int,
    desired_bl: int,
    x_one: int,
    d_one: int,
) -> tuple[int, int, int, int, int]:
    """Return the fields of a `PulsePlan`.

    Parameters
    ----------
    k : int
        Pulses that the largest pair asks for, as from `expected_pulses`.
    x_max, d_max : int
        Largest magnitudes of both vectors, edge LSB.
    registers : PulseRegisters
    managed, bl_managed : int
        Whether probability scales, and bit length, are chosen for each update.
    desired_bl : int
        Most slots of a managed update.
    x_one, d_one : int
        1.0 of activations and errors, edge LSB.
    """
    if x_max == 0 or d_max == 0:
        return 0, 0, 1, 0, 1
    bl = registers.bl
    if not managed:
        return bl, registers.factor, x_one, registers.factor, d_one
    limit = desired_bl << 16
    if bl_managed:
        bl = min((k + ONE - 1) >> 16, desired_bl)
        if bl == 0:
            return 0, 0, 1, 0, 1
    q = square_root((min(k, limit) << 16) // bl)
    stretched = q if k <= limit else min((1 << FACTOR_BITS) - 1, (q * k) // limit)
    return bl, q, x_max, stretched, d_max


def plan_update(
    x_max: int, d_max: int, pulses: PulseConfig, registers: PulseRegisters, fracs: tuple[int, int]
) -> PulsePlan:
    """Choose the bit length and both sides' probability scales.

    With management, ``p_x = |x| / xm * q`` and ``p_d = |d| / dm * q`` where ``q = sqrt(k / BL)``
    and ``k = lr xm dm / dw_min`` is the expected number of pulses of the largest pair; a k above
    ``desired_bl`` is cut by scaling the errors up to (and clipping them at) probability 1.

    Parameters
    ----------
    x_max, d_max : int
        Largest magnitudes of both vectors, edge LSB.
    pulses : PulseConfig
    registers : PulseRegisters
    fracs : (int, int)
        Fraction bits of activations and errors.
    """
    x_frac, d_frac = fracs
    k = expected_pulses(x_max, d_max, registers)
    managed, bl_managed = pulses.managed, pulses.update_bl_management
    most, x_one, d_one = pulses.desired_bl, 1 << x_frac, 1 << d_frac
    return PulsePlan(*plan(k, x_max, d_max, registers, managed, bl_managed, most, x_one, d_one))


def probabilities(values: np.ndarray, factor: int, divisor: int) -> np.ndarray:
    """Return firing probabilities ``rint(|values| * factor / divisor)`` of 0..65536."""
    return np.minimum(divide_round(np.abs(values) * factor, np.int64(divisor)), ONE)


def is_clipped(largest: int, factor: int, divisor: int) -> bool:
    """Return whether the line with the largest value is to fire with a probability above 1.

    That is ``rint(largest factor / divisor) > ONE``, ties to even.
    """
    return 2 * largest * factor > divisor * (2 * ONE + 1)


def thermometer(probability: np.ndarray, bl: int, chunk: int) -> np.ndarray:
    """Return one chunk of trains that fire in the first ``rint(bl p)`` slots."""
    here = shift_round(bl * probability, 16) - SLOTS * chunk
    return (np.int64(1) << np.minimum(np.maximum(here, 0), SLOTS)) - 1


def fired(probability: np.ndarray, bl: int, kind: int, slots: int) -> np.ndarray:
    """Return in how many of its first slots a row's train fires: f of `row_trains` (bl > 0)."""
    if kind == MEAN_COUNT:
        return divide_round(shift_round(bl * probability, 16) * slots, np.int64(bl))
    return shift_round(probability * slots, 16)


def increments(probability: np.ndarray, bl: int, kind: int, chunk: int) -> np.ndarray:
    """Return one chunk of trains in whose first m slots `fired` of m fire.

    ``kind`` is a place in `PULSE_TYPES`: `MEAN_COUNT`, or deterministic-implicit.
    """
    train, first, slots = 0 * probability, SLOTS * chunk, chunk_slots(bl, chunk)
    if slots == 0:
        return train
    before = fired(probability, bl, kind, first)
    for slot in range(slots):
        after = fired(probability, bl, kind, first + slot + 1)
        train = train | (after - before) << slot
        before = after
    return train


def _stochastic(
    probability: np.ndarray, bl: int, key: int, purpose: Purpose, chunk: int
) -> np.ndarray:
    words = np.zeros(len(probability), np.int64)
    busy, slots = np.flatnonzero(probability), chunk_slots(bl, chunk)
    if slots == 0 or len(busy) == 0:
        return words
    groups = KEYS * chunk + np.arange(-(-slots // GROUP))
    fields = fields16(line_keys(key, purpose, busy[:, None], groups[None, :]))
    fires = fields.reshape(len(busy), -1)[:, :slots] < probability[busy, None]
    words[busy] = fires @ (np.int64(1) << np.arange(slots))
    return words


def column_trains(
    probability: np.ndarray, bl: int, pulse_type: str, key: int, chunk: int = 0
) -> np.ndarray:
    """Return one chunk of the columns' trains: bit k is set where slot ``31 chunk + k`` fires.

    Stochastic: a slot of line j fires where a 16-bit uniform number is below the probability:
    field ``k mod 4`` of the line key of j with sub number ``8 chunk + k div 4``. Deterministic
    types: the first ``rint(BL p)`` slots of all chunks (a thermometer).

    Parameters
    ----------
    probability : int64, shape (lines,)
        As from `probabilities`.
    bl : int
        Slots used, of all chunks.
    pulse_type : str
    key : int
        The update's operation key.
    chunk : int
        Number of the chunk; one beyond the train is empty.

    Returns
    -------
    int64, shape (lines,)
    """
    if pulse_type == "stochastic-compressed":
        return _stochastic(probability, bl, key, Purpose.TRAIN_X, chunk)
    return thermometer(probability, bl, chunk)


def row_trains(
    probability: np.ndarray, bl: int, pulse_type: str, key: int, chunk: int = 0
) -> np.ndarray:
    """Return one chunk of the rows' trains; arguments as for `column_trains`.

    For the deterministic types slot s, of 0 to BL - 1, fires where ``f(s + 1) > f(s)``, with
    ``f(m) = rint(n m / BL)`` and ``n = rint(BL p)`` (mean-count) or ``f(m) = rint(p m)``
    (deterministic-implicit): in the first m slots, exactly f(m) fire.
    """
    if pulse_type == "stochastic-compressed":
        return _stochastic(probability, bl, key, Purpose.TRAIN_D, chunk)
    return increments(probability, bl, PULSE_TYPES.index(pulse_type), chunk)


def pulse_totals(
    x: np.ndarray, d: np.ndarray, columns: np.ndarray, rows: np.ndarray
) -> tuple[int, int]:
    """Return how many coincidences of one chunk raise a weight, and how many lower one.

    In one slot each firing row meets each firing column; equal signs of activation and error lower
    the weight.

    Parameters
    ----------
    x, d : int64, shapes (cols,), (rows,)
        Activations and errors at the edge.
    columns, rows : int64, shapes (cols,), (rows,)
        Their trains in this chunk.
    """
    slot = np.int64(1) << np.arange(SLOTS)

    def fires(values: np.ndarray, trains: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        set_bits = (trains[:, None] & slot) != 0
        return set_bits[values > 0].sum(axis=0), set_bits[values < 0].sum(axis=0)

    x_plus, x_minus = fires(x, columns)
    d_plus, d_minus = fires(d, rows)
    return int(x_plus @ d_minus + x_minus @ d_plus), int(x_plus @ d_plus + x_minus @ d_minus)
