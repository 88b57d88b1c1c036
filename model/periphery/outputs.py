"""From sums to results: output noise, ADC, and the input's scale put back (golden model)."""

from collections.abc import Mapping

import numpy as np

from ohmgrid.model.base.arith import at_edge
from ohmgrid.model.base.noise import line_keys
from ohmgrid.model.periphery.converters import adc, noisy_adc
from ohmgrid.model.periphery.readout import Readout, gauss_field, values
from ohmgrid.registers.edge import ADC_FRAC, ConverterRegisters
from ohmgrid.registers.noise import Purpose
from ohmgrid.registers.readout import Part

__all__ = ["convert", "convert_parts", "results"]


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
    return _clipped(adc(sums, gauss_field(keys, 0), registers), half)


def convert_parts(
    sums: Mapping[Part, np.ndarray],
    key: int,
    halvings: int,
    registers: ConverterRegisters,
    half: int,
    readout: Readout,
) -> tuple[np.ndarray, int]:
    """Return what `convert` does, from the sums of all sweeps and with read-side non-idealities.

    Of a line key, bits 0..9 are the output noise, 16..25 the read noise, 32..47 the dither.
    """
    keys = line_keys(key, Purpose.OUTPUT, np.arange(len(readout.noise)), halvings)
    value = values(sums, keys, registers, readout.registers)
    dither = (keys >> np.uint64(32) & np.uint64((1 << ADC_FRAC) - 1)).astype(np.int64)
    raw = noisy_adc(
        value,
        gauss_field(keys, 0),
        readout.noise,
        dither if readout.registers.out_dither else None,
    )
    return _clipped(raw, half)


def _clipped(raw: np.ndarray, half: int) -> tuple[np.ndarray, int]:
    codes, over = at_edge(raw, half)
    return codes, int(np.count_nonzero(over))


def results(codes: np.ndarray, alpha: int, halvings: int) -> np.ndarray:
    """Return ``codes * alpha * 2**halvings`` (int64): what leaves the tile."""
    return codes * (alpha << halvings)
