"""Small argument checks that raise one clear line: what was expected and what came."""

import math
from typing import Any

__all__ = [
    "ConfigError",
    "OhmgridError",
    "check_choice",
    "check_flag",
    "check_float",
    "check_int",
    "check_power_of_two",
]


class OhmgridError(Exception):
    """Something that a user can put right: its text is one line, without a traceback."""


class ConfigError(OhmgridError, ValueError):
    """A setting that is out of range, of the wrong type, or unknown."""


def check_int(name: str, value: Any, low: int, high: int) -> None:
    """Raise `ConfigError` unless ``value`` is an integer in ``low..high``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{name}: expected an integer in {low}..{high}, got {value!r}")
    if not low <= value <= high:
        raise ConfigError(f"{name}: expected {low}..{high}, got {value}")


def check_power_of_two(name: str, value: Any, low: int, high: int) -> None:
    """Raise `ConfigError` unless ``value`` is a power of two in ``low..high``."""
    check_int(name, value, low, high)
    if value & (value - 1):
        raise ConfigError(f"{name}: expected a power of two, got {value}")


def check_float(name: str, value: Any, low: float, high: float) -> None:
    """Raise `ConfigError` unless ``value`` is a finite number in ``low..high``."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(f"{name}: expected a finite number in {low:g}..{high:g}, got {value!r}")
    if not low <= value <= high:
        raise ConfigError(f"{name}: expected {low:g}..{high:g}, got {value:g}")


def check_flag(name: str, value: Any) -> None:
    """Raise `ConfigError` unless ``value`` is true or false."""
    if not isinstance(value, bool):
        raise ConfigError(f"{name}: expected true or false, got {value!r}")


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Raise `ConfigError` unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise ConfigError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")
