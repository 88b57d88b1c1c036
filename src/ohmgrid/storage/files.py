"""Files that are whole or absent, and folders that can be written to."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

__all__ = ["make_folder", "write_whole"]

_BESIDE = ".ohmgrid-"
"""What names of folders begin with that `write_whole` uses and removes."""
_ABANDONED_S = 3600.0
"""Age in seconds from which such a folder belongs to a process that was killed."""


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Call ``write`` with a new file beside ``path``; rename it when it is complete and on disk.

    Whoever reads ``path`` sees the old content or the new one, also after a power cut, and however
    many threads, processes or machines write it at the same time. What a killed process left beside
    it goes with the next write, an hour later.

    Parameters
    ----------
    path : Path
        The file, in a folder that exists.
    write : callable
        Writes the content into a binary file.

    Raises
    ------
    OSError
        Of the kind that occurred (a full disk, a folder that cannot be written); names ``path``.
    """
    with _named(path):
        _sweep(path.parent)
        # In a folder of its own: a unique name from the system, and the file gets the permissions
        # that the umask allows, not those of a private temporary file.
        with tempfile.TemporaryDirectory(prefix=_BESIDE, dir=path.parent) as own:
            beside = Path(own) / "content"
            with beside.open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        _sync_folder(path.parent)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Let an `OSError` name the user's file, wherever it came from."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise OSError(f"{path}: {error}") from error
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def _sync_folder(folder: Path) -> None:
    """Make a rename last: a folder is synchronised like a file."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        # Some network file systems cannot, and have done so already.
        with suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def _sweep(folder: Path) -> None:
    """Remove what killed processes left of earlier writes."""
    before = time.time() - _ABANDONED_S
    for left in folder.glob(f"{_BESIDE}*"):
        with suppress(OSError):
            content = left / "content"
            if (content if content.exists() else left).stat().st_mtime < before:
                content.unlink(missing_ok=True)
                left.rmdir()


def make_folder(path: Path) -> Path:
    """Make a folder that files can be written to; raise `OSError` with one line if it cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        # A file without a name, or with a random one: nothing that is there is touched.
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        raise OSError(f"{path}: expected a folder to write to, got: {error.strerror}") from None
    return path
