"""Where results go: nothing that is there is written over unless the user says so."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from ohmgrid.doors.checks import ConfigError

__all__ = ["check_new", "force_option", "free_file", "free_folder", "print_rows"]

MOST_NUMBERS = 10000

force_option = click.option("--force", is_flag=True, help="Write over results that are there.")


def print_rows(console: Console, rows: Mapping[str, Any]) -> None:
    """Print a result for people: a name and a value a line."""
    for name, value in rows.items():
        console.print(f"{name:14} {value}", soft_wrap=True, highlight=False, markup=False)


def check_new(name: str, force: bool, *paths: Path) -> None:
    """Raise `ConfigError` if one of the files exists and is not to be written over."""
    for path in paths:
        if path.exists() and not force:
            raise ConfigError(
                name, f"expected a new file, got {path}, which exists (--force writes over it)"
            )


def _numbered(path: Path) -> list[Path]:
    names = (path.with_name(f"{path.stem}-{n}{path.suffix}") for n in range(2, MOST_NUMBERS))
    return [path, *names]


def free_file(path: Path) -> Path:
    """Return the first of ``NAME.png``, ``NAME-2.png``, ... that does not exist."""
    for one in _numbered(path):
        if not one.exists():
            return one
    raise ConfigError("out", f"expected less than {MOST_NUMBERS} files like {path}")


def free_folder(path: Path) -> Path:
    """Make and return the first of ``NAME``, ``NAME-2``, ... that does not exist."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for one in _numbered(path):
        try:
            one.mkdir()
        except FileExistsError:
            continue
        return one
    raise ConfigError("out", f"expected less than {MOST_NUMBERS} folders like {path}")
