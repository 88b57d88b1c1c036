"""Bytes on a serial line, 8N1: golden model of receiver and transmitter, from `docs/link.md`.

Time is counted in clock cycles, lines are one level a cycle.
"""

from collections.abc import Sequence
from fractions import Fraction
from math import ceil
from typing import NamedTuple

import numpy as np

from ohmgrid.registers.baud import bits_per_cycle, samples_per_bit, samples_per_cycle

__all__ = ["ERRORS", "Reception", "Transmission", "count", "frame", "receive", "transmit"]

ERRORS = ("framing", "overrun", "noise", "breaks")
FRAME_BITS = 10


def frame(byte: int) -> list[int]:
    """Return the levels of the ten bits that stand for a byte."""
    return [0, *(byte >> place & 1 for place in range(8)), 1]


class Reception(NamedTuple):
    """What a receiver makes of a line."""

    taken: list[tuple[int, int]]
    """(cycle, byte) of all bytes that were taken."""
    errors: dict[str, list[int]]
    """Of each of `ERRORS` the cycles in which it was seen."""


def receive(
    line: np.ndarray, ready: np.ndarray, clock_hz: float | Fraction, baud: float | Fraction
) -> Reception:
    """Return the bytes and errors of a line.

    Parameters
    ----------
    line : bool, shape (cycles,)
        Level of each clock cycle.
    ready : bool, shape (cycles,)
        Whether a byte that is there would be taken.
    clock_hz, baud : as the gateware's
    """
    samples = samples_per_bit(clock_hz, baud)
    cycles_per_sample = 1 / samples_per_cycle(clock_hz, baud)
    # Cycles from that before the line is seen low to the three samples of each bit.
    middle = samples // 2
    places = [
        [
            ceil((bit * samples + part) * cycles_per_sample)
            for part in (middle - 1, middle, middle + 1)
        ]
        for bit in range(FRAME_BITS)
    ]
    errors: dict[str, list[int]] = {name: [] for name in ERRORS}
    received: list[tuple[int, int]] = []

    at = _next(line, 0, 1)
    while (at := _next(line, at + 1, 0)) < len(line):
        votes, now = [], at
        for bit in places:
            seen = [at - 1 + place for place in bit]
            if seen[-1] >= len(line):
                return _hand_over(received, errors, ready)
            votes.append([int(line[cycle]) for cycle in seen])
            now = seen[-1]
            if sum(votes[0]) >= 2:
                break
        levels = [int(sum(vote) >= 2) for vote in votes]
        if levels[0] or any(sum(vote) in (1, 2) for vote in votes):
            errors["noise"].append(now)
        if levels[0]:
            at = now
            continue
        byte = sum(level << place for place, level in enumerate(levels[1:9]))
        if levels[9]:
            received.append((now, byte))
            at = now
            continue
        errors["framing" if byte else "breaks"].append(now)
        at = _next(line, now + 1, 1)
    return _hand_over(received, errors, ready)


def _next(line: np.ndarray, start: int, level: int) -> int:
    """Return the first cycle from a start on with this level; the end of the line if none."""
    found = np.flatnonzero(line[start:] == level)
    return start + int(found[0]) if len(found) else len(line)


def _hand_over(
    received: list[tuple[int, int]], errors: dict[str, list[int]], ready: np.ndarray
) -> Reception:
    """Let bytes wait, one at a time, until they are taken."""
    taken: list[tuple[int, int]] = []
    free = 0  # from this cycle on there is room for a byte
    for end, byte in received:
        if end < free:
            errors["overrun"].append(end)
            continue
        # It is there in the cycle after; the next may come in the cycle in which it is taken.
        free = _next(ready, end + 1, 1)
        if free < len(ready):
            taken.append((free, byte))
    return Reception(taken, errors)


def count(seen: Sequence[int], clear: np.ndarray, width: int) -> np.ndarray:
    """Return what a counter of errors shows in each cycle.

    Parameters
    ----------
    seen : cycles in which the error was seen
    clear : bool, shape (cycles,)
        The counter is cleared; an error of the same cycle counts.
    width : int
        Its bits.
    """
    happens = np.zeros(len(clear), np.int64)
    happens[list(seen)] = 1
    shown, value = np.zeros(len(clear), np.int64), 0
    for cycle in range(len(clear)):
        shown[cycle] = value
        value = min((0 if clear[cycle] else value) + happens[cycle], (1 << width) - 1)
    return shown


class Transmission(NamedTuple):
    """What a transmitter makes of bytes."""

    line: np.ndarray
    """bool, shape (cycles,): level of each cycle."""
    taken: list[int]
    """Cycle in which each byte was taken."""


def transmit(
    offers: Sequence[tuple[int, int]],
    cycles: int,
    clock_hz: float | Fraction,
    baud: float | Fraction,
) -> Transmission:
    """Return the line that bytes give.

    Parameters
    ----------
    offers : sequence of (cycle, byte)
        Bytes in their order, and from which cycle on each waits.
    cycles : int
        Length of the line.
    clock_hz, baud : as the gateware's
    """
    cycles_per_bit = 1 / bits_per_cycle(clock_hz, baud)
    line = np.ones(cycles, bool)
    taken: list[int] = []
    begin, sent = 0, 0  # cycle in which bytes without a gap began to be taken, bits since
    for offered, byte in offers:
        end = begin + ceil(sent * cycles_per_bit)  # the last cycle of the stop bit
        if not taken or offered > end:
            begin, sent = offered, 0
        at = begin + ceil(sent * cycles_per_bit)
        if at >= cycles:
            break
        taken.append(at)
        for level in frame(byte):
            edges = [begin + 1 + ceil((sent + k) * cycles_per_bit) for k in (0, 1)]
            line[edges[0] : edges[1]] = level
            sent += 1
    return Transmission(line, taken)
