"""Counters of a core: what they count, and where they are.

Each array has a row of them; what belongs to no array is in the row `TOTALS`. Standard library
only.
"""

from collections.abc import Mapping
from typing import Any

from ohmgrid.registers.arrays import ENTRIES

__all__ = [
    "ARRAY_FIELDS",
    "METERS",
    "METER_BITS",
    "ROW_FIELDS",
    "TOTALS",
    "TOTAL_FIELDS",
    "cycles_by_verb",
]

METER_BITS = 48
"""Width of a counter (unsigned); it wraps."""

METERS = {
    "cycles_forward": "clock cycles of forward operations, and of what becomes of their results",
    "cycles_backward": "likewise, backward",
    "cycles_update": "clock cycles of updates",
    "cycles_loss": "clock cycles from the results of the last array to its errors",
    "slots": "pulse slots of updates",
    "held": "cycles in which a visit of an update waited for a device unit",
}
"""Counters of an array beside those of `ohmgrid.counters.FIELDS`, and what each counts."""

TOTAL_FIELDS = {
    "examples": "examples that were counted",
    "hits": "of these, those whose largest output was the label's",
    "cycles_take": "clock cycles in which examples were taken",
    "visits": "words of each lane that sweeps read",
}
"""Counters of the row `TOTALS`."""

LEARNING = (
    "adc_forward",
    "adc_backward",
    "activation",
    "error",
    "pulses_up",
    "pulses_down",
    "updates",
    "below_pulse",
    "clipped_trains",
    "passes",
)
"""`ohmgrid.counters.FIELDS`, which all engines have."""
ARRAY_FIELDS = (*LEARNING, *METERS)
"""Counters of an array by their places."""
ROW_FIELDS = 16
"""Places of a row."""
TOTALS = ENTRIES
"""Row of what belongs to no array."""


def cycles_by_verb(counts: Mapping[str, Any]) -> dict[str, int]:
    """Return the clock cycles of each verb, in the order of an example, all arrays together.

    Parameters
    ----------
    counts : mapping
        Counters by name; those of arrays are lists.
    """
    return {
        verb: int(counts["cycles_take"] if verb == "take" else sum(counts[f"cycles_{verb}"]))
        for verb in ("take", "forward", "loss", "backward", "update")
    }
