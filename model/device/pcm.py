"""A phase-change device under SET pulses, and its closed-loop write (golden model).

docs/pcm.md has the equations. Integers; conductances G in weight LSB, z standard normal draws of
`GAUSS_SIGMA` LSB::

    pulse   G <- G + rise[k] - G decay + (spread[k] + G spread_slope) z    clipped to g_min..g_max
    read    r  = G + (g_noise + G g_noise_slope) z
    RESET   G <- g_min + reset_noise z

Of the word of a device and a pulse, bits 0 to 9 are the draw of the pulse, or of a RESET, bits 10
to 19 that of the read after it.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ohmgrid.model.base.arith import shift_round
from ohmgrid.model.base.noise import gaussian
from ohmgrid.registers.pcm import MOST_COUNT, NOISE_FRAC, PART_BITS, PcmRegisters

__all__ = ["Taken", "cleared", "pulsed", "read", "write"]


class Taken(NamedTuple):
    """What a write took."""

    sets: int
    """SET pulses."""
    resets: int
    reads: int
    """Of single devices."""


def _draw(words: np.ndarray, first: int) -> np.ndarray:
    return gaussian(words.astype(np.int64) >> first & 0x3FF).astype(np.int64)


def _noise(size: np.ndarray | int, z: np.ndarray) -> np.ndarray:
    return shift_round(size * z, NOISE_FRAC)


def pulsed(
    g: np.ndarray, count: np.ndarray, words: np.ndarray, registers: PcmRegisters
) -> np.ndarray:
    """Return conductances after a SET pulse.

    Parameters
    ----------
    g : int64
    count : int64
        Pulses since the last RESET, this one included, 1..`MOST_COUNT`.
    words : uint32
    registers : PcmRegisters
    """
    place = count - 1
    mean = np.asarray(registers.rise)[place] - shift_round(g * registers.decay, PART_BITS)
    size = np.asarray(registers.spread)[place]
    size = size + shift_round(g * registers.spread_slope, PART_BITS)
    moved = g + mean + _noise(size, _draw(words, 0))
    return np.clip(moved, registers.g_min, registers.g_max)


def read(g: np.ndarray, words: np.ndarray, registers: PcmRegisters) -> np.ndarray:
    """Return what a read finds of conductances."""
    size = registers.g_noise + shift_round(g * registers.g_noise_slope, PART_BITS)
    return g + _noise(size, _draw(words, 10))


def cleared(words: np.ndarray, registers: PcmRegisters) -> np.ndarray:
    """Return conductances after a RESET, at least 0."""
    return np.maximum(registers.g_min + _noise(registers.reset_noise, _draw(words, 0)), 0)


def write(
    g: np.ndarray,
    counts: np.ndarray,
    target: np.ndarray,
    words_of: Callable[[int], np.ndarray],
    registers: PcmRegisters,
) -> tuple[np.ndarray, np.ndarray, Taken]:
    """Return conductances and pulses since a RESET after a closed-loop write, and what it took.

    Every device is read. One that is above its target by more than the tolerance is RESET, one that
    is below it gets a SET pulse, and both are read again: `most_pulses` times at most. What is left
    is for the capacitor.

    Parameters
    ----------
    g, counts, target : int64, one shape
    words_of : callable of int
        Returns the words of all devices (uint32) for the read before, 0, and for each pulse after.
    registers : PcmRegisters
    """
    found, sets, resets = read(g, words_of(0), registers), 0, 0
    for pulse in range(1, registers.most_pulses + 1):
        # One that is cleared gets no lower.
        over = (found - target > registers.tolerance) & (counts > 0)
        under = target - found > registers.tolerance
        if not (over | under).any():
            break
        words = words_of(pulse)
        counts = np.where(over, 0, np.where(under, np.minimum(counts + 1, MOST_COUNT), counts))
        raised = pulsed(g, np.maximum(counts, 1), words, registers)
        g = np.where(over, cleared(words, registers), np.where(under, raised, g))
        found = np.where(over | under, read(g, words, registers), found)
        sets, resets = sets + int(under.sum()), resets + int(over.sum())
    return g, counts, Taken(sets, resets, g.size + sets + resets)
