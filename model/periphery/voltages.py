"""From DAC codes to voltages, and from voltages to what the lanes multiply with (golden model).

Steps 3 and 5 of an analog pass (docs/readout.md). A voltage has `VOLTAGE_FRAC` fraction bits below
one DAC code.
"""

import numpy as np

from ohmgrid.model.base.arith import saturate, shift_half_up
from ohmgrid.model.base.noise import gaussian, line_keys
from ohmgrid.registers.noise import GAUSS_BITS, Purpose
from ohmgrid.registers.readout import (
    DITHER_BITS,
    INP_NOISE_FRAC,
    KEEP_FRAC,
    PHI_BITS,
    PHI_FRAC,
    VOLTAGE_BITS,
    VOLTAGE_FRAC,
    Part,
    ReadRegisters,
)

__all__ = ["operands", "positions", "voltages"]


def voltages(codes: np.ndarray, key: int, halvings: int, registers: ReadRegisters) -> np.ndarray:
    """Return the voltages on the lines: rounding, noise and asymmetry of the DACs.

    Line j draws from line key (INPUT, j, ``halvings``): bits 0..9 its noise, 16..23 its dither.

    Parameters
    ----------
    codes : int64, shape (lines,)
        Clipped DAC codes; with dither they have `DITHER_BITS` fraction bits.
    key : int
        Operation key.
    halvings : int
        Number of the pass.
    registers : ReadRegisters

    Returns
    -------
    int64, shape (lines,)
        ``VOLTAGE_BITS`` wide, symmetric; saturates.
    """
    keys = line_keys(key, Purpose.INPUT, np.arange(len(codes)), halvings).astype(np.int64)
    if registers.inp_dither:
        dither = keys >> 16 & ((1 << DITHER_BITS) - 1)
        codes = np.sign(codes) * ((np.abs(codes) + dither) >> DITHER_BITS)
    gauss = gaussian(keys & ((1 << GAUSS_BITS) - 1)).astype(np.int64)
    noise = shift_half_up(gauss * registers.inp_noise, INP_NOISE_FRAC)
    noisy = saturate((codes << VOLTAGE_FRAC) + noise, VOLTAGE_BITS)
    kept = shift_half_up(np.abs(noisy) * registers.inp_keep, KEEP_FRAC)
    return saturate(np.where(noisy < 0, -kept, noisy), VOLTAGE_BITS)


def positions(lines: int, registers: ReadRegisters) -> np.ndarray:
    """Return ``1 - (1 - j/n)**2`` of lines j, `PHI_BITS` fraction bits (int64, below 1).

    It grows by ``phi_first``, then by ``phi_second`` less from line to line.
    """
    j = np.arange(lines, dtype=np.int64)
    exact = j * registers.phi_first - j * (j - 1) // 2 * registers.phi_second
    return exact >> (PHI_FRAC - PHI_BITS)


def operands(voltage: np.ndarray, part: Part, registers: ReadRegisters) -> np.ndarray:
    """Return what the lanes multiply with in one sweep (int64, ``VOLTAGE_BITS`` wide).

    Parameters
    ----------
    voltage : int64, shape (lines,)
    part : Part
    registers : ReadRegisters
    """
    if part == Part.LOAD:
        return np.abs(voltage)
    if part == Part.POSITION:
        weighted = np.abs(voltage) * positions(len(voltage), registers)
        return np.sign(voltage) * shift_half_up(weighted, PHI_BITS)
    if part == Part.POWER:
        return saturate(shift_half_up(voltage * voltage, registers.square_shift), VOLTAGE_BITS)
    return voltage
