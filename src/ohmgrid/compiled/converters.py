"""DACs of one pass: `ohmgrid.model.periphery.converters` for kernels."""

import numpy as np

from ohmgrid.compiled.arith import divide_round
from ohmgrid.compiled.jit import inner

__all__ = ["dac", "largest"]


@inner
def largest(values, lines):
    """Return the largest magnitude."""
    top = 0
    for i in range(lines):
        top = max(top, abs(np.int64(values[i])))
    return top


@inner
def dac(values, lines, scale, half, codes):
    """Write the DAC codes ``rint(half * values / scale)``, clipped to ``+-half``."""
    for i in range(lines):
        value = np.int64(values[i])
        code = min(divide_round(abs(value) * half, scale), half)
        codes[i] = -code if value < 0 else code
