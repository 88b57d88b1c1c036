"""Counters of a core: what they count, and where they are.

Some every engine has (`FIELDS`), the others gateware. Each array has a row of them; what belongs to
no array is in the row `TOTALS`. Standard library only.
"""

from collections.abc import Mapping
from typing import Any

from ohmgrid.registers.arrays import ENTRIES

__all__ = [
    "ARRAY_FIELDS",
    "COUNTER_BITS",
    "FIELDS",
    "METERS",
    "METER_BITS",
    "PULSE_FIELDS",
    "ROW_FIELDS",
    "TOTALS",
    "TOTAL_FIELDS",
    "cycles_by_verb",
]

COUNTER_BITS = 48
"""Width of a count (unsigned); it wraps."""
METER_BITS = 36
"""Of it, what gateware holds: whoever reads it adds up differences."""

FIELDS: dict[str, str] = {
    "adc_forward": "outputs that the ADC clipped in the last pass of a forward operation",
    "adc_backward": "outputs that the ADC clipped in a backward operation",
    "activation": "activations, or linear outputs, clipped to the width of the tile's edge",
    "error": "errors clipped to the width of the tile's edge",
    "pulses_up": "coincidences that raise a weight",
    "pulses_down": "coincidences that lower a weight",
    "updates": "updates with an activation and an error other than 0",
    "below_pulse": "of these, updates that ask for less than one pulse of their largest pair",
    "clipped_trains": "of these, updates of which a line fires with probability 1 and should more",
    "passes": "passes of forward operations, repeated ones included",
}
"""Counters of a layer, in the order of their numbers, and what each counts."""

PULSE_FIELDS = ("pulses_up", "pulses_down", "updates", "below_pulse", "clipped_trains")
"""Those of updates."""

METERS = {
    "cycles_forward": "clock cycles of forward operations, and of what becomes of their results",
    "cycles_backward": "likewise, backward",
    "cycles_update": "clock cycles of updates",
    "cycles_loss": "clock cycles from the results of the last array to its errors",
    "slots": "pulse slots of updates",
    "held": "cycles in which a visit of an update waited for a device unit",
}
"""Counters that a core has beside them, and what each counts."""

TOTAL_FIELDS = {
    "examples": "examples that were counted",
    "hits": "of these, those whose largest output was the label's",
    "cycles_take": "clock cycles in which an example was taken and nothing else was done",
    "visits": "words of each lane that sweeps read",
}
"""Counters of the row `TOTALS`."""

ARRAY_FIELDS = (*FIELDS, *METERS)
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
