"""Where what can be built again is kept: where nobody else can write, or in a temporary folder.

The cache holds code that is loaded into the process, so it is used only where the user or root
alone can write. Where that is not so, or where something must be written and cannot be, one line on
stderr says so (logger ``ohmgrid``), and a temporary folder takes its place until the process ends.
`ohmgrid.storage.published` verifies what is in it.

Environment
-----------
OHMGRID_CACHE
    The folder; without it the system's own for caches (``~/.cache/ohmgrid`` on Linux).
"""

import atexit
import logging
import os
import shutil
import stat
import tempfile
from functools import lru_cache
from pathlib import Path

from platformdirs import user_cache_path

__all__ = ["cache_dir", "distrusted", "note", "places", "room"]

_log = logging.getLogger("ohmgrid")

_MODE = 0o755
"""Of folders made here, whatever the umask: code that is loaded is nobody else's to write."""


def cache_dir() -> Path:
    """Return the folder of what can be built again: ``OHMGRID_CACHE``, or the system's own."""
    given = os.environ.get("OHMGRID_CACHE")
    return Path(given).expanduser().absolute() if given else user_cache_path("ohmgrid")


@lru_cache(maxsize=256)
def note(line: str) -> None:
    """Say one line on stderr, once: logging prints it there unless an application handles it."""
    _log.warning(line)


def distrusted(place: Path) -> str | None:
    """Return why code from a file or folder is not to be loaded, None if it may be.

    Raises
    ------
    OSError
        It is not there, or cannot be looked at.
    """
    status = place.stat()
    if status.st_uid not in (0, os.geteuid()):
        return f"{place}: expected it to be yours or root's, got one of user {status.st_uid}"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        mode = stat.S_IMODE(status.st_mode)
        return f"{place}: expected that nobody else can write to it, got mode {mode:o}"
    return None


def places(kind: str) -> list[Path]:
    """Return the folders in which things of one kind may be found: there, and trusted."""
    found = []
    usual = cache_dir()
    try:
        fault = distrusted(usual) or distrusted(usual / kind)
        if fault is None:
            found.append(usual / kind)
        else:
            note(f"{fault}; nothing is taken from this cache")
    except OSError:  # nothing there; whether something can be put there is asked by `room`
        pass
    if _temporary.cache_info().currsize and (_temporary() / kind).is_dir():
        found.append(_temporary() / kind)
    return found


def room(kind: str) -> Path:
    """Return a folder to put things of one kind into: trusted, and writable."""
    usual = cache_dir()
    folder = usual / kind
    try:
        usual.mkdir(parents=True, exist_ok=True, mode=_MODE)
        folder.mkdir(exist_ok=True, mode=_MODE)
        fault = distrusted(usual) or distrusted(folder)
        if fault is None:
            tempfile.TemporaryFile(dir=folder).close()
            return folder
    except OSError as error:
        fault = f"{folder}: expected a folder to write to, got: {error.strerror}"
    note(f"{fault}; a temporary cache is used until this process ends")
    folder = _temporary() / kind
    folder.mkdir(exist_ok=True, mode=_MODE)
    return folder


@lru_cache(maxsize=1)
def _temporary() -> Path:
    """Return the folder that is used instead, made at the first call."""
    folder = Path(tempfile.mkdtemp(prefix="ohmgrid-cache-"))
    atexit.register(_remove, folder, os.getpid())
    return folder


def _remove(folder: Path, process: int) -> None:
    """Remove a folder, but not at the end of a process forked from the one that made it."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)
