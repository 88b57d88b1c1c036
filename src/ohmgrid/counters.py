"""What a run counts beside its results: values that clipped, pulses, updates that could not act.

Each count belongs to a layer; the counts of one example depend on its bits alone, so that every
engine gives the same ones. Tests are not counted.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ohmgrid.doors.checks import ConfigError
from ohmgrid.registers.meters import COUNTER_BITS, FIELDS

__all__ = [
    "SATURATIONS",
    "Counters",
    "PulseCounts",
    "field_index",
    "warnings_of",
]

SATURATIONS = ("adc_forward", "adc_backward", "activation", "error")
"""Counters of values that clipped, by place."""


def field_index(name: str) -> int:
    """Return the number of a counter of a layer."""
    return list(FIELDS).index(name)


class PulseCounts(NamedTuple):
    """What one update counts."""

    up: int
    """Coincidences that raise a weight."""
    down: int
    active: int
    """1 if neither activations nor errors are all 0."""
    below: int
    """1 if that update asks for less than one pulse of its largest pair."""
    clipped: int
    """1 if a probability above 1 was asked for."""


class Counters:
    """Counts of all layers of a net.

    Parameters
    ----------
    layers : int or array
        Layers, all counts 0; or the counts: int64, shape (layers, len(FIELDS)).

    Attributes
    ----------
    counts : int64, shape (layers, len(FIELDS))
        Modulo ``2**COUNTER_BITS``.
    """

    def __init__(self, layers: "int | np.ndarray | Sequence[Sequence[int]]") -> None:
        if isinstance(layers, int):
            layers = np.zeros((layers, len(FIELDS)), np.int64)
        counts = np.asarray(layers)
        shape = counts.shape
        if counts.dtype.kind not in "iu" or len(shape) != 2 or shape[1] != len(FIELDS):
            raise ConfigError(
                "counters",
                f"expected integers of shape (layers, {len(FIELDS)}), "
                f"got {counts.dtype} of shape {shape}",
            )
        if counts.size and not 0 <= counts.min() <= counts.max() < 1 << COUNTER_BITS:
            raise ConfigError("counters", f"expected 0..2**{COUNTER_BITS} - 1")
        self.counts = counts.astype(np.int64)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Counters) and np.array_equal(self.counts, other.counts)

    __hash__ = None  # type: ignore[assignment]

    def __getitem__(self, name: str) -> np.ndarray:
        """Return one counter of all layers (int64, shape (layers,))."""
        return self.counts[:, field_index(name)]

    def copy(self) -> "Counters":
        """Return counters of their own with the same counts."""
        return Counters(self.counts)

    def add(self, layer: int, **values: int) -> None:
        """Add to counters of one layer, modulo ``2**COUNTER_BITS``."""
        for name, value in values.items():
            place = layer, field_index(name)
            self.counts[place] = (int(self.counts[place]) + value) % (1 << COUNTER_BITS)

    def add_update(self, layer: int, pulses: PulseCounts) -> None:
        """Count an update of one layer."""
        self.add(
            layer,
            pulses_up=pulses.up,
            pulses_down=pulses.down,
            updates=pulses.active,
            below_pulse=pulses.below,
            clipped_trains=pulses.clipped,
        )

    def merge(self, counts: np.ndarray) -> None:
        """Add counts of the same shape, modulo ``2**COUNTER_BITS``."""
        self.counts = (self.counts + counts) & ((1 << COUNTER_BITS) - 1)

    def as_dict(self) -> dict[str, list[int]]:
        """Return each counter by its name: a list with an entry for each layer."""
        return {name: self[name].tolist() for name in FIELDS}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Counters":
        """Return counters from what `as_dict` gave; raise `ConfigError` where it is none."""
        if not isinstance(values, dict) or list(values) != list(FIELDS):
            raise ConfigError("counters", f"expected the lists {', '.join(FIELDS)}")
        try:
            return cls(np.array([values[name] for name in FIELDS]).T)
        except ConfigError:
            raise
        except ValueError:
            raise ConfigError("counters", "expected lists of the same length") from None


MANY = 0.1
"""Part of all values of a layer from which on their clipping decides how a net learns."""
MOST = 0.5
"""Part of all updates, or devices, likewise."""
NEARLY_ALL = 0.99
"""Part of all updates that may ask for less than a pulse: at the end of a run most do."""


def warnings_of(
    counters: Counters,
    shapes: Sequence[tuple[int, int]],
    examples: int,
    at_bounds: Sequence[float],
    learned: bool,
) -> list[str]:
    """Return a line for each count that decides how the net learns.

    Values that clip are named in any case; trains that are cut, updates below a pulse and devices
    at their bounds are what physics does, and named where the net has not learned.

    Parameters
    ----------
    counters : Counters
        Of ``examples`` training examples.
    shapes : sequence of (rows, cols)
        Of the tiles.
    examples : int
    at_bounds : sequence of float
        Part of each tile's devices that stand at a bound.
    learned : bool
        The net is better than chance.
    """
    lines: list[str] = []

    def check(layer: int, name: str, of: int, limit: float, text: str) -> None:
        part = int(counters[name][layer]) / of if of else 0.0
        if part > limit:
            lines.append(f"layer {layer}: {text} ({part:.0%})")

    for layer, (rows, cols) in enumerate(shapes):
        updates = int(counters["updates"][layer])
        check(
            layer, "adc_forward", examples * rows, MANY,
            "outputs clip at the ADC; raise forward.out_bound or use bound_management",
        )  # fmt: skip
        check(
            layer, "adc_backward", examples * cols, MANY,
            "backward outputs clip at the ADC; raise backward.out_bound",
        )  # fmt: skip
        check(
            layer, "activation", examples * rows, MANY,
            "activations clip at the tile's edge; lower formats.x_frac or the learning rate",
        )  # fmt: skip
        check(
            layer, "error", examples * rows, MANY,
            "errors clip at the tile's edge; lower formats.d_frac or the learning rate",
        )  # fmt: skip
        if learned:
            continue
        check(
            layer, "clipped_trains", updates, MOST,
            "updates ask for more pulses than a train has; lower the learning rate, or raise "
            "pulses.desired_bl or the device's dw_min",
        )  # fmt: skip
        check(
            layer, "below_pulse", updates, NEARLY_ALL,
            "updates ask for less than one pulse; raise the learning rate or lower dw_min",
        )  # fmt: skip
        if at_bounds[layer] > MOST:
            lines.append(f"layer {layer}: devices stand at their bounds ({at_bounds[layer]:.0%})")
    if not learned:
        lines.append("the net is no better than chance")
    return lines
