"""Values of options: numbers and paths as a person writes them, or one line."""

from pathlib import Path
from typing import Any

import click

from ohmgrid.doors.checks import ConfigError, is_line, parse_float, parse_int, shown

__all__ = ["FOLDER", "INTEGER", "NUMBER", "PATH", "option_name"]


def option_name(param: click.Parameter | None) -> str:
    """Return an option's name as the user writes it, without dashes in front."""
    return (param.name or "" if param else "").replace("_", "-")


class _Integer(click.ParamType):
    name = "integer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        return parse_int(option_name(param), value) if isinstance(value, str) else value


class _Number(click.ParamType):
    name = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        return parse_float(option_name(param), value) if isinstance(value, str) else value


class _Path(click.ParamType):
    """A path that is not empty: an empty one would mean the folder one stands in."""

    def __init__(self, name: str) -> None:
        self.name = name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        if value == "" or not is_line(str(value)):
            raise ConfigError(option_name(param), f"expected a {self.name}, got {shown(value)}")
        return Path(value)


INTEGER = _Integer()
NUMBER = _Number()
PATH = _Path("file")
FOLDER = _Path("folder")
