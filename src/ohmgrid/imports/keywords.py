"""Keywords without a counterpart here: which values change nothing, and how others are listed."""

from collections.abc import Mapping
from typing import Any

from ohmgrid.doors.checks import ConfigError, shown
from ohmgrid.imports.printed import Call

__all__ = ["check_known", "left_out", "lines_of"]


def left_out(name: str, value: Any, why: str = "no counterpart") -> str:
    """Return the line for a keyword that is not taken as it is."""
    text = f"{value.name}(...)" if isinstance(value, Call) else shown(value)
    return f"{name}={text}: {why}"


def _same(one: Any, other: Any) -> bool:
    """Return whether two values are equal; a flag is no number."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def lines_of(name: str, call: Call, idle: Mapping[str, Any]) -> list[str]:
    """Return a line for each keyword of ``idle`` that a call gives another value.

    Parameters
    ----------
    name : str
        Where the call stands, in front of its keywords.
    call : Call
    idle : mapping
        Keyword -> the value at which it changes nothing.
    """
    return [
        left_out(f"{name}.{key}", value)
        for key, value in call.keywords.items()
        if key in idle and not _same(value, idle[key])
    ]


def check_known(name: str, call: Call, known: Mapping[str, Any] | list[str]) -> None:
    """Raise `ConfigError` if a call has a keyword that nobody knows: it is a misspelled one."""
    for key in call.keywords:
        if key not in known:
            raise ConfigError(
                f"{name}.{key}", f"unknown keyword of {call.name}; expected {', '.join(known)}"
            )
