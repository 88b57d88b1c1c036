"""The door for tables from outside: TOML, JSON and their like become checked values, or one line.

A dataclass says which keys a table has and of which types; msgspec holds the table against it,
strictly: no text is taken for a number, no number for a flag, no key that nobody reads. Ranges are
checked by the dataclass itself when it is made. A fault is a `ConfigError` with the dotted key.
"""

import re
import tomllib
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec

from ohmgrid.doors.checks import ConfigError, shown

__all__ = [
    "check_table",
    "given_values",
    "inner_lists",
    "inner_tables",
    "parse_json",
    "parse_toml",
    "read_bytes",
    "read_text",
]

KINDS = {
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
}
"""What msgspec calls a kind of value -> what a user does."""

_STEP = re.compile(r"\.([^.\[\]`]+)|\[(\d+)\]")

T = TypeVar("T")


def read_bytes(path: Path, most: int = -1) -> bytes:
    """Return a file's content, or its first ``most`` bytes.

    Raises
    ------
    ConfigError
        With its name, where it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}") from None
    except ValueError:
        # A name that no file can have: it holds a NUL.
        raise ConfigError(shown(str(path)), "cannot be read: not the name of a file") from None


def read_text(path: Path) -> str:
    """Return a file's text; raise `ConfigError` with its name where it cannot be read."""
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(str(path), "cannot be read: not UTF-8 text") from None
    # As Python reads text files.
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parse_toml(text: str) -> dict[str, Any]:
    """Return the tables of a TOML text."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("configuration", f"not valid TOML: {error}") from None
    except (ValueError, RecursionError) as error:
        # Integers of thousands of digits, tables thousands deep.
        problem = "nested too deep" if isinstance(error, RecursionError) else "a number too long"
        raise ConfigError("configuration", f"not valid TOML: {problem}") from None


def check_table(name: str, data: Any) -> dict[str, Any]:
    """Return a table; raise `ConfigError` unless it is one."""
    if not isinstance(data, dict):
        raise ConfigError(name, f"expected a table [{name}], got {shown(data)}")
    return data


def _key(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key


@cache
def inner_tables(cls: type) -> dict[str, type]:
    """Return the fields of a dataclass that are tables of their own, and of which class."""
    hints = get_type_hints(cls)
    return {f.name: hints[f.name] for f in fields(cls) if is_dataclass(hints[f.name])}


@cache
def inner_lists(cls: type) -> dict[str, type]:
    """Return the fields of a dataclass that are lists of tables, and of which class these are."""
    found = {}
    for name, hint in get_type_hints(cls).items():
        for kind in get_args(hint)[:1]:
            if isinstance(kind, type) and is_dataclass(kind):
                found[name] = kind
    return found


@cache
def _struct(cls: type) -> type[msgspec.Struct]:
    """Return the struct of a dataclass's fields, none of which has to be given.

    A field that is a table, or a list of them, is one of its own kind: any value passes here.
    """
    assert is_dataclass(cls)
    hints, inner = get_type_hints(cls), {*inner_tables(cls), *inner_lists(cls)}
    types = [
        (f.name, Any if f.name in inner else hints[f.name] | msgspec.UnsetType) for f in fields(cls)
    ]
    return msgspec.defstruct(
        cls.__name__,
        [(name, hint, msgspec.UNSET) for name, hint in types],
        kw_only=True,
        forbid_unknown_fields=True,
    )


def given_values(name: str, data: Any, cls: type) -> dict[str, Any]:
    """Return the fields of a dataclass that a table gives, each of its field's type.

    Parameters
    ----------
    name : str
        Dotted name of the table, for errors; empty for the top of a file.
    data : object
        What came for a table.
    cls : type
        The dataclass.
    """
    table = check_table(name or "configuration", data)
    known = [f.name for f in fields(cls)]
    for key in table:
        if key not in known:
            raise ConfigError(
                name or "configuration",
                f"unknown key {shown(key)}; expected {', '.join(known)}",
            )
    made = _convert(name, table, _struct(cls))
    return {key: value for key in table if (value := getattr(made, key)) is not msgspec.UNSET}


def _convert(name: str, data: Any, kind: type[T]) -> T:
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise _fault(name, data, str(error)) from None
    except ValueError:
        # msgspec writes integers out; Python refuses beyond some thousands of digits.
        raise ConfigError(name, "expected numbers of a usual size") from None


def _fault(name: str, data: Any, text: str) -> ConfigError:
    """Return msgspec's ``Expected `int`, got `str` - at `$.a[2]``` as name, expected and came."""
    problem, _, place = text.partition(" - at ")
    came, key = data, name
    for step, index in _STEP.findall(place):
        key = _key(key, step) if step else f"{key}[{index}]"
        if isinstance(came, dict):
            came = came.get(step)
        elif isinstance(came, list) and index:
            came = came[int(index)]
    wanted = re.match(r"Expected `([^`]*)`, got", problem)
    if wanted is not None:
        kinds = " or ".join(KINDS.get(kind, kind) for kind in wanted[1].split(" | "))
        problem = f"expected {kinds}, got {shown(came)}"
    if problem.lower().endswith("number out of range"):
        problem = f"expected a number that a float can hold, got {shown(came)}"
    return ConfigError(key or "content", problem[:1].lower() + problem[1:].replace("`", "'"))


def parse_json(name: str, text: bytes, kind: type[T]) -> T:
    """Return a JSON text as ``kind``, a msgspec struct; errors begin with ``name``."""
    try:
        data = msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        problem = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise ConfigError(name, f"not valid JSON: {problem}") from None
    return _convert(name, data, kind)
