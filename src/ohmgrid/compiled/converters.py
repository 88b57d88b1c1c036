"""Converters of one pass: `ohmgrid.model.periphery.converters` for kernels."""

import numpy as np

from ohmgrid.compiled.jit import golden, inner
from ohmgrid.model.periphery import converters

__all__ = ["adc", "dac", "largest", "noisy_adc"]

# The laws are the golden model's own.
_dac, adc, noisy_adc = map(golden, (converters.dac, converters.adc, converters.noisy_adc))


@inner
def largest(values, lines):
    """Return the largest magnitude."""
    top = 0
    for i in range(lines):
        top = max(top, abs(np.int64(values[i])))
    return top


@inner
def dac(values, lines, alpha, halvings, half, codes):
    """Write the DAC codes of all lines."""
    for i in range(lines):
        codes[i] = _dac(np.int64(values[i]), alpha, halvings, half)
