"""The array table: what a core knows of each of its arrays, and how an entry is packed into words.

A verb names an array by its number in the table; the core then loads the entry. What verbs change
(`STATE`) goes back to the table when another entry is loaded. Standard library only.
"""

from collections.abc import Mapping

from ohmgrid.config import MOST_ARRAYS
from ohmgrid.devices.base import MOST_SIGNIFICANCE
from ohmgrid.registers.edge import BL_BITS, FACTOR_BITS, RATE_BITS
from ohmgrid.registers.readout import MANTISSA, PHI_FRAC

__all__ = [
    "COUNT_BITS",
    "ENTRIES",
    "EVERY_BITS",
    "READ_LINES",
    "STATE",
    "STEPS",
    "WORD_BITS",
    "entry_fields",
    "entry_words",
]

ENTRIES = MOST_ARRAYS
"""Most arrays that a core knows; a build may know fewer (``build.arrays``)."""
WORD_BITS = 56
"""Bits of an entry that one command writes."""

COUNT_BITS = 46
"""Width of a countdown of updates."""
EVERY_BITS = 19
"""Width of the updates between two transfers."""
SIGNIFICANCE_BITS = MOST_SIGNIFICANCE.bit_length()

STEPS = ("forward_step", "backward_step", "update_step")
"""What counts operations."""

STATE: dict[str, int] = {
    **dict.fromkeys(STEPS, 48),
    **dict.fromkeys(("time_left", "refresh_left"), COUNT_BITS),
    "transfer_left": EVERY_BITS,
    "column": 17,
    "static_key": 64,
}
"""Fields that verbs change, and their widths: operations so far; updates until cells leak, until
pairs are refreshed, and until columns move to another array; the column that is read next for that
(forward operations are counted through the columns); the operation key of what is fixed.
"""

_PLACE: dict[str, int] = {
    "rows": 17,
    "cols": 17,
    "origin": 24,
    "input_line": 16,
    "output_line": 16,
    "turned": 1,
    "paired": 1,
    "serial": 1,
    "device_set": 1,
    "significance": SIGNIFICANCE_BITS,
    "inverted": 1,
    "number": 8,
    "transfer_every": EVERY_BITS,
}
"""Shape; where the array lies (`ohmgrid.registers.layout.Place`); whether a weight is a pair of
devices, whether they are pulsed slot by slot, and which set of device registers is theirs; how many
times passes add a cell's second word, 0: it has none, and whether its first one counts with the
other sign; number of the tile, in the address of its noise; updates between two transfers from it,
0: none."""

_RATE: dict[str, int] = {"rate": RATE_BITS, "rate_shift": 6, "bl": BL_BITS, "factor": FACTOR_BITS}
"""`ohmgrid.registers.edge.PulseRegisters`."""

READ_LINES: dict[str, int] = {
    "phi_first": PHI_FRAC,
    "phi_second": PHI_FRAC,
    "load_scale": MANTISSA,
    "load_shift": 6,
    "power_shift": 6,
    "w_scale": MANTISSA,
    "w_shift": 6,
}
"""Of `ohmgrid.registers.readout.ReadRegisters`, what depends on the number of lines."""


def entry_fields(read_physics: bool) -> dict[str, int]:
    """Return the fields of an entry in their order, with their widths; those of `STATE` come first.

    Parameters
    ----------
    read_physics : bool
        Whether the build has the read-side non-idealities.
    """
    reads = {
        f"{way}_{name}": bits
        for way in ("forward", "backward")
        for name, bits in READ_LINES.items()
    }
    return STATE | _PLACE | _RATE | (reads if read_physics else {})


def entry_words(values: Mapping[str, int], read_physics: bool) -> list[int]:
    """Return an entry as words of `WORD_BITS`; a field that is not given is 0.

    Raises
    ------
    ValueError
        If a value does not fit its field, or there is no such field.
    """
    fields = entry_fields(read_physics)
    for name in values:
        if name not in fields:
            raise ValueError(f"array table: unknown field {name}")
    packed = place = 0
    for name, bits in fields.items():
        value = values.get(name, 0)
        if not 0 <= value < 1 << bits:
            raise ValueError(f"array table, {name}: expected {bits} bits, got {value}")
        packed |= value << place
        place += bits
    mask = (1 << WORD_BITS) - 1
    return [packed >> at & mask for at in range(0, place, WORD_BITS)]
