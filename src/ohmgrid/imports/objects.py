"""Configurations of the reference simulator as objects: of its own classes, or described as there.

Nothing of it is imported: an object of its dataclasses is walked field by field.
"""

from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Protocol, runtime_checkable

from ohmgrid.doors.checks import ConfigError, shown
from ohmgrid.imports.printed import Call
from ohmgrid.imports.rpu_config import DIGITAL_BIAS, config_from_call, has_digital_bias
from ohmgrid.training.settings import Settings

__all__ = ["Described", "described", "settings_of"]

PACKAGE = "aihwkit"


@runtime_checkable
class Described(Protocol):
    """What says of itself which class of the reference simulator it is, and with what keywords."""

    def described(self) -> Call:
        """Return them."""
        ...


def is_theirs(value: Any) -> bool:
    """Return whether an object is of a dataclass of the reference simulator."""
    return is_dataclass(value) and type(value).__module__.partition(".")[0] == PACKAGE


def described(value: Any) -> Any:
    """Return an object as a call, or a value within one as `ohmgrid.imports.printed` has it.

    Raises
    ------
    ConfigError
        It is neither an object of the reference simulator nor a plain value.
    """
    if isinstance(value, Described):
        return value.described()
    if isinstance(value, Enum):
        return f"{type(value).__name__}.{value.name}"
    if is_theirs(value):
        given = {field.name: getattr(value, field.name) for field in fields(value)}
        return Call(type(value).__name__, {name: described(one) for name, one in given.items()})
    if isinstance(value, type):
        return value.__name__
    if isinstance(value, list | tuple):
        return [described(one) for one in value]
    if isinstance(value, bool | int | float | str | None):
        return value
    raise ConfigError(
        "rpu_config", f"expected a plain value or a configuration, got {shown(value)}"
    )


def settings_of(config: Any) -> tuple[Settings, bool]:
    """Return the settings of a configuration's object, and whether its biases are digital.

    Parameters
    ----------
    config : object
        Of a dataclass of the reference simulator, or `Described`.

    Raises
    ------
    ConfigError
        A field has no counterpart here, or is out of range.
    """
    call = described(config)
    assert isinstance(call, Call)
    found = config_from_call(call)
    for line in found.left:
        name, _, problem = line.partition("=")
        if name != DIGITAL_BIAS:
            raise ConfigError(name, f"expected what has a counterpart here, got {problem}")
    return found.settings, has_digital_bias(call)
