"""Files that are whole or absent, and the folder of what can be built again."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from platformdirs import user_cache_path

__all__ = ["cache_dir", "make_folder", "write_whole"]


def cache_dir() -> Path:
    """Return the folder of what can be built again: ``OHMGRID_CACHE``, or the system's own."""
    given = os.environ.get("OHMGRID_CACHE")
    return Path(given).expanduser().absolute() if given else user_cache_path("ohmgrid")


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Call ``write`` with a new file beside ``path`` and rename it when it is complete."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            write(file)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def make_folder(path: Path) -> Path:
    """Make a folder that files can be written to; raise `OSError` with one line if it cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        write_whole(path / "probe", lambda file: None)
        (path / "probe").unlink()
    except OSError as error:
        raise OSError(f"{path}: expected a folder to write to, got: {error.strerror}") from None
    return path
