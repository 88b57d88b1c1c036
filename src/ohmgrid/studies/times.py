"""Times after programming, as people write them."""

import re

from ohmgrid.doors.checks import ConfigError, shown

__all__ = ["MOST_SECONDS", "parse_after", "show_after"]

UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400, "mo": 30 * 86400, "y": 365 * 86400}
"""Seconds."""
MOST_SECONDS = (1 << 32) - 1
"""As many as the address of a reading holds."""

_AFTER = re.compile(f"([0-9]{{1,10}})({'|'.join(UNITS)})|0")


def parse_after(text: str) -> tuple[int, ...]:
    """Return times after programming in seconds, the shortest first, each once.

    Parameters
    ----------
    text : str
        Such as ``0,25s,1h,1d,1mo,1y``; a month has 30 days, a year 365.

    Raises
    ------
    ConfigError
        One is no such time, or is too long.
    """
    times = set()
    for part in text.split(","):
        match = _AFTER.fullmatch(part.strip())
        if match is None:
            raise ConfigError(
                "after",
                f"expected times such as 0,25s,5min,1h,1d,1mo,1y, got {shown(part)}",
            )
        seconds = int(match[1] or 0) * UNITS[match[2] or "s"]
        if seconds > MOST_SECONDS:
            most = MOST_SECONDS // UNITS["y"]
            raise ConfigError("after", f"expected at most {most}y, got {shown(part)}")
        times.add(seconds)
    return tuple(sorted(times))


def show_after(seconds: int) -> str:
    """Return a time as `parse_after` takes it, in the largest unit that it is a multiple of."""
    for unit, length in reversed(UNITS.items()):
        if seconds and seconds % length == 0:
            return f"{seconds // length}{unit}"
    return "0"
