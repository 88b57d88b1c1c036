"""How long a cell keeps what was written: from readings over time to the lifetime of a leak."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ohmgrid.doors.checks import ConfigError, shown
from ohmgrid.measurements.columns import column
from ohmgrid.measurements.tables import Table, read_table

__all__ = ["Retention", "read_retention"]

TIMES = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "µs", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
}
"""Units of time, in seconds."""
FEWEST = 4
"""Fewest readings."""


class Retention(NamedTuple):
    """A decay ``v = v0 exp(-t / lifetime)``."""

    lifetime_s: float
    """Seconds in which a value falls to 1/e."""
    first: float
    """Fitted value at t = 0, in the file's unit."""
    misfit: float
    """Root mean square of readings less decay, over the first value."""
    read: str
    """What was read, in one line."""


def _unit(name: str) -> str:
    """Return the unit of time that a column's name says, or empty."""
    words = name.lower().replace("(", " ").replace(")", " ").replace("[", " ").replace("]", " ")
    found = [word for word in words.replace("_", " ").split() if word in TIMES]
    return found[-1] if found else ""


def _is_head(cells: object) -> bool:
    """Return whether cells name a time beside something else."""
    names = list(cells)  # type: ignore[call-overload]
    return len(names) > 1 and any(_unit(n) or "time" in n.lower() or n == "t" for n in names)


def _columns(table: Table) -> tuple[int, int, str]:
    """Return the columns of time and value, and the unit of time."""
    if not table.names:
        if len(table.rows[0]) != 2:
            raise ConfigError(
                "retention", f"expected two columns, time and value, got {len(table.rows[0])}"
            )
        return 0, 1, ""
    times = [k for k, n in enumerate(table.names) if _unit(n) or column(n).kind == "pulse"]
    at = times[0] if times else 0
    values = [k for k in range(len(table.names)) if k != at]
    if not values:
        raise ConfigError(
            "retention",
            f"expected columns of time and value, got {shown(','.join(table.names))}",
        )
    return at, values[0], _unit(table.names[at])


def read_retention(path: Path) -> Retention:
    """Read readings over time and fit a decay to 0 to them.

    Raises
    ------
    ConfigError
        In one line, with the file and the line that is wrong.
    """
    table = read_table(path, _is_head)
    try:
        return _fitted(table)
    except ConfigError as error:
        raise error.at(path) from None


def _fitted(table: Table) -> Retention:
    from scipy.optimize import least_squares

    at, value_at, unit = _columns(table)
    cells = [
        (table.number(row, at, "time"), table.number(row, value_at, "value"))
        for row in range(len(table.rows))
    ]
    t, v = np.array(cells).reshape(-1, 2).T
    t = t * TIMES.get(unit, 1.0)
    if len(t) < FEWEST:
        raise ConfigError("retention", f"expected at least {FEWEST} readings, got {len(t)}")
    if not (np.diff(t) > 0).all():
        line = table.lines[int(np.flatnonzero(np.diff(t) <= 0)[0]) + 1]
        raise ConfigError(f"line {line}", "expected times that grow from line to line")
    size, span = abs(float(v[0])), float(t[-1] - t[0])
    if not size > 0 or not abs(float(v[-1])) < size:
        raise ConfigError(
            "retention", f"expected values that decay towards 0, got {v[0]:g} to {v[-1]:g}"
        )
    scaled = v / v[0]
    remaining = max(float(scaled[-1]), 0.01)
    guess = span / max(-np.log(remaining), 1e-9)
    found = least_squares(
        lambda p: p[0] * np.exp(-(t - t[0]) / span * np.exp(-np.clip(p[1], -30, 30))) - scaled,
        (1.0, np.log(guess / span)),
    )
    lifetime = span * float(np.exp(np.clip(found.x[1], -30, 30)))
    first = float(found.x[0]) * float(np.exp(t[0] / lifetime))
    misfit = float(np.sqrt((found.fun**2).mean()))
    told = f"times in {unit}" if unit else "times taken for seconds (the column does not say)"
    read = f"{len(t)} readings over {span:g} s, {told}"
    return Retention(lifetime, first * float(v[0]), misfit, read)
