"""Small argument checks that raise one clear line: what was expected and what came.

Standard library only.
"""

import math
import re
from dataclasses import fields
from typing import Any

__all__ = [
    "ConfigError",
    "OhmgridError",
    "check_choice",
    "check_flag",
    "check_float",
    "check_int",
    "check_power_of_two",
    "is_line",
    "make_plain",
    "parse_float",
    "parse_int",
    "shown",
]

MOST_SHOWN = 80
"""Characters of a value that an error shows: the line stays one that is read."""

EXACT = 1 << 53
"""Integers below this one are floats too; the fields of floats end far below it."""

_INTEGER = re.compile(r"[+-]?[0-9]{1,40}")
_NOT_IN_LINE = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")
_NUMBER = re.compile(
    r"[+-]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf|nan)", re.IGNORECASE
)


class OhmgridError(Exception):
    """Something that a user can put right: its text is one line, without a traceback."""


class ConfigError(OhmgridError, ValueError):
    """A setting that is out of range, of the wrong type, or unknown.

    Parameters
    ----------
    name : str
        What is wrong: an option, the dotted key of a file (``build.lanes``), or a file.
    problem : str
        What was expected and what came.
    """

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(name, problem)
        self.name, self.problem = name, problem

    def __str__(self) -> str:
        return f"{self.name}: {self.problem}"

    def of(self, table: str) -> "ConfigError":
        """Return the same problem of a key inside a table: ``lanes`` becomes ``build.lanes``."""
        return ConfigError(f"{table}.{self.name}", self.problem)

    def at(self, place: object) -> "ConfigError":
        """Return the same problem with the file, or part of one, that it was found in."""
        return ConfigError(f"{place}: {self.name}", self.problem)


def shown(value: Any) -> str:
    """Return a value as an error shows it: in one line of bounded length."""
    try:
        text = repr(value)
    except ValueError:
        # Python refuses to write integers of thousands of digits.
        text = "an integer of thousands of digits"
    text = " ".join(text.split())
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 4] + " ..."


def is_line(value: Any) -> bool:
    """Return whether a value is a text of one line that any file can hold (UTF-8)."""
    return isinstance(value, str) and _NOT_IN_LINE.search(value) is None


def make_plain(instance: Any) -> None:
    """Turn what a frozen dataclass holds into plain Python values of its fields' types.

    NumPy's numbers and strings pass for Python's (``numpy.float64`` is a ``float``), but are
    written in another way: a configuration that holds one could not be read again. Integers in
    fields of floats become floats, so that equal configurations have equal texts.
    """
    for field in fields(instance):
        value = getattr(instance, field.name)
        plain = _plain(value)
        if field.type is float and type(plain) is int and abs(plain) < EXACT:
            plain = float(plain)
        if plain is not value:
            object.__setattr__(instance, field.name, plain)


def _plain(value: Any) -> Any:
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return value if type(value) is kind else kind(value)
    if isinstance(value, list | tuple):
        return tuple(_plain(item) for item in value)
    return value


def check_int(name: str, value: Any, low: int, high: int) -> None:
    """Raise `ConfigError` unless ``value`` is an integer in ``low..high``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(name, f"expected an integer in {low}..{high}, got {shown(value)}")
    if not low <= value <= high:
        raise ConfigError(name, f"expected {low}..{high}, got {shown(value)}")


def check_power_of_two(name: str, value: Any, low: int, high: int) -> None:
    """Raise `ConfigError` unless ``value`` is a power of two in ``low..high``."""
    check_int(name, value, low, high)
    if value & (value - 1):
        raise ConfigError(name, f"expected a power of two, got {value}")


def check_float(name: str, value: Any, low: float, high: float) -> None:
    """Raise `ConfigError` unless ``value`` is a finite number in ``low..high``."""
    wrong = isinstance(value, bool) or not isinstance(value, int | float)
    # An integer has no other bound than these: it may be beyond any float.
    if wrong or (isinstance(value, float) and not math.isfinite(value)):
        raise ConfigError(
            name, f"expected a finite number in {low:g}..{high:g}, got {shown(value)}"
        )
    if not low <= value <= high:
        came = f"{value:g}" if isinstance(value, float) else shown(value)
        raise ConfigError(name, f"expected {low:g}..{high:g}, got {came}")


def check_flag(name: str, value: Any) -> None:
    """Raise `ConfigError` unless ``value`` is true or false."""
    if not isinstance(value, bool):
        raise ConfigError(name, f"expected true or false, got {shown(value)}")


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Raise `ConfigError` unless ``value`` is one of ``choices``."""
    if not isinstance(value, str) or value not in choices:
        raise ConfigError(name, f"expected one of {', '.join(choices)}, got {shown(value)}")


def parse_int(name: str, text: str) -> int:
    """Return an integer of decimal digits; Python's own forms (``1_0``, ``١``) are refused."""
    if _INTEGER.fullmatch(text) is None:
        raise ConfigError(name, f"expected an integer, got {shown(text)}")
    return int(text)


def parse_float(name: str, text: str) -> float:
    """Return a number in decimal or exponent form; Python's own forms (``1_0``) are refused."""
    if _NUMBER.fullmatch(text) is None:
        raise ConfigError(name, f"expected a number, got {shown(text)}")
    return float(text)
