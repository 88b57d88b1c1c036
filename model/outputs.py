"""From sums to results: output noise, ADC, and the input's scale put back (golden model)."""

import numpy as np

from ohmgrid.model.converters import adc, out_of_bound
from ohmgrid.model.noise import gaussian, line_keys
from ohmgrid.registers import ConverterRegisters
from ohmgrid.streams import GAUSS_BITS, Purpose

__all__ = ["convert", "results"]


def convert(
    sums: np.ndarray, key: int, halvings: int, registers: ConverterRegisters, half: int
) -> tuple[np.ndarray, int]:
    """Return the ADC codes of one pass and how many of them were clipped.

    Parameters
    ----------
    sums : int64, shape (lines,)
    key : int
        Operation key; output i of the pass draws from line key (OUTPUT, i, ``halvings``).
    halvings : int
        Number of the pass: how often the input has been halved.
    registers : ConverterRegisters
    half : int
        Largest code.
    """
    keys = line_keys(key, Purpose.OUTPUT, np.arange(len(sums)), halvings)
    bits = keys & np.uint64((1 << GAUSS_BITS) - 1)
    raw = adc(sums, gaussian(bits.astype(np.int64)).astype(np.int64), registers)
    return np.clip(raw, -half, half), int(np.count_nonzero(out_of_bound(raw, half)))


def results(codes: np.ndarray, alpha: int, halvings: int) -> np.ndarray:
    """Return ``codes * alpha * 2**halvings`` (int64): what leaves the tile."""
    return codes * (alpha << halvings)
