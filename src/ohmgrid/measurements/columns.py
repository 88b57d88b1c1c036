"""What the columns of a table mean: by the names that people give them.

A name may hold a unit in brackets or at its end (``R (kohm)``, ``g_us``), a branch (``G_LTP``,
``up``) and the number of a device or cycle (``device 3``, ``LTD2``).
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from ohmgrid.doors.checks import ConfigError, shown

__all__ = ["UNITS", "Column", "Unit", "column", "direction", "is_head", "unit_named"]


class Unit(NamedTuple):
    """How numbers of a file become conductances."""

    factor: float
    base: str
    """What they are after it: ``S``, ``A``, ``V``, ``counts`` or another word."""
    inverse: bool = False
    """They are resistances: ``1 / (factor value)`` is the conductance."""


_PREFIXES = {"": 1.0, "m": 1e-3, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15}
_LARGE = {"": 1.0, "k": 1e3, "m": 1e6, "meg": 1e6, "g": 1e9}
UNITS: dict[str, Unit] = {
    **{f"{p}{name}": Unit(f, "S") for name in ("s", "siemens") for p, f in _PREFIXES.items()},
    **{f"{p}{name}": Unit(f, "A") for name in ("a", "amp") for p, f in _PREFIXES.items()},
    **{f"{p}{name}": Unit(f, "V") for name in ("v", "volt", "volts") for p, f in _PREFIXES.items()},
    **{
        f"{p}{name}": Unit(f, "S", inverse=True)
        for name in ("ohm", "ohms", "ω", "ω")
        for p, f in _LARGE.items()
    },
    **dict.fromkeys(("counts", "count", "adc", "lsb", "codes"), Unit(1.0, "counts")),
    **dict.fromkeys(("a.u.", "au", "1", "-", "norm", "normalised", "normalized"), Unit(1.0, "")),
}
"""Units of values, in small letters."""

_BRANCHES = {
    **dict.fromkeys(("ltp", "up", "pot", "potentiation", "set", "inc", "increasing"), True),
    **dict.fromkeys(("ltd", "down", "dep", "depression", "reset", "dec", "decreasing"), False),
}
_DIRECTIONS = {
    **_BRANCHES,
    **dict.fromkeys(("1", "+1", "+", "u", "p", "1.0", "positive", "pos", "increase"), True),
    **dict.fromkeys(("-1", "-", "d", "0", "-1.0", "negative", "neg", "decrease"), False),
}
_VALUES = {
    **dict.fromkeys(("conductance", "g", "cond", "gd"), "conductance"),
    **dict.fromkeys(("current", "i", "id", "ids", "iread"), "current"),
    **dict.fromkeys(("resistance", "r", "res"), "resistance"),
    **dict.fromkeys(("adc", "counts", "code", "codes", "count", "lsb"), "counts"),
    **dict.fromkeys(("weight", "w", "weights"), "weight"),
    **dict.fromkeys(("value", "values", "signal", "y", "readout", "response"), "value"),
}
_KINDS = (
    ("device", ("device", "dev", "cell", "sample", "chip", "id_device", "deviceid")),
    ("cycle", ("cycle", "cyc", "loop", "repeat", "repetition", "epoch", "run")),
    ("direction", ("direction", "dir", "polarity", "branch", "type", "mode", "operation", "op")),
    ("amplitude", ("amplitude", "voltage", "v", "volt", "volts", "vpulse", "bias", "vg", "vgs")),
    ("value", tuple(_VALUES)),
    (
        "pulse",
        ("pulse", "pulses", "n", "no", "nr", "number", "num", "index", "idx", "#", "time", "t"),
    ),
    ("step", ("step", "steps", "dg", "dw")),
)


class Column(NamedTuple):
    """What a name says of its column."""

    kind: str
    """``pulse``, ``value``, ``direction``, ``device``, ``cycle``, ``amplitude``, ``step``, or empty
    where the name is not known."""
    up: bool | None = None
    """The branch that it belongs to."""
    group: str = ""
    """Number of the device or cycle that it belongs to."""
    quantity: str = ""
    """Of a value: ``conductance``, ``resistance`` ..."""
    unit: str = ""
    """As written, or empty."""
    of_device: bool = False
    """The group is a device, otherwise a cycle."""


def unit_named(name: str, text: str) -> Unit:
    """Return the unit that a text names; raise `ConfigError` with ``name`` where it is unknown."""
    unit = UNITS.get(text.strip().lower())
    if unit is None:
        raise ConfigError(
            name, f"expected S, mS, uS, nS, ohm, kohm, Mohm, A, uA, V, counts, got {shown(text)}"
        )
    return unit


def direction(text: str) -> bool | None:
    """Return whether a word means an up pulse, or None where it is unknown."""
    return _DIRECTIONS.get(text.strip().lower())


def column(name: str) -> Column:
    """Return what a column's name says."""
    unit, base = "", name
    bracket = re.search(r"[\[(]([^\])]*)[\])]", name)
    if bracket is not None:
        base = name[: bracket.start()] + " " + name[bracket.end() :]
        unit = bracket[1].strip()
    tokens = re.findall(r"[^\W\d_]+|\d+|#", base)
    if not unit and len(tokens) > 1 and tokens[-1].lower() in UNITS and not tokens[-1].isdigit():
        unit = tokens.pop()
    words = [token.lower() for token in tokens]
    up = next((_BRANCHES[word] for word in words if word in _BRANCHES), None)
    numbers = [word for word in words if word.isdigit()]
    group = numbers[-1] if numbers else ""
    kind = ""
    for candidate, known in _KINDS:
        if any(word in known for word in words):
            kind = candidate
            break
    of_device = kind == "device" and bool(group)
    if kind in ("device", "cycle") and group:
        kind = "value"
    if not kind and up is not None:
        kind = "value"
    quantity = next((_VALUES[word] for word in words if word in _VALUES), "")
    if unit.lower() not in UNITS:
        unit = ""
    return Column(kind, up, group, quantity, unit, of_device)


def is_head(cells: Sequence[str]) -> bool:
    """Return whether cells name columns, one of them of measured values."""
    return any(column(cell).kind in ("value", "step", "amplitude") for cell in cells)
