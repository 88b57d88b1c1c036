"""Which runs are live on this machine, and where each can be listened to.

Every training process has an entry, a small file in the folder ``live`` of the user's cache, from
when its socket listens to its end. What a killed process left is removed by whoever looks next.
"""

import contextlib
import os
import socket
import tempfile
import time
from pathlib import Path

import msgspec

from ohmgrid.doors.checks import ConfigError
from ohmgrid.doors.schema import parse_json, read_bytes
from ohmgrid.storage.cache import places, room
from ohmgrid.storage.files import write_whole

__all__ = ["Entry", "enter", "leave", "listen", "live_runs"]

KIND = "live"
PREFIX = "ohmgrid-watch-"
"""Of the folders in which sockets are."""
SOCKET = "socket"
LONGEST = 100
"""Bytes of a socket's path: systems take 104 to 108, a zero at the end among them."""


class Entry(msgspec.Struct, frozen=True):
    """A live run."""

    pid: int
    began: float
    """Seconds since 1970."""
    engine: str
    folder: str
    """Of the run, absolute and without links; empty without one."""
    socket: str
    """Path of the socket."""

    @property
    def name(self) -> str:
        """Name of its file."""
        return f"{Path(self.socket).parent.name}.json"


def listen() -> socket.socket:
    """Return a socket that listens, in a folder of its own where nobody else gets in.

    Raises
    ------
    OSError
        There is no place for one.
    """
    wanted = [os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp"]
    # What mkdtemp appends are eight characters.
    own = len(f"/{PREFIX}12345678/{SOCKET}")
    places = [at for at in wanted if os.path.isdir(at) and len(os.fsencode(at)) + own <= LONGEST]
    for place in places:
        with contextlib.suppress(OSError):
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
            break
    else:
        raise OSError(f"no folder for a socket in {', '.join(filter(None, wanted))}")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(folder / SOCKET))
        listener.listen()
    except BaseException:
        listener.close()
        _remove(folder / SOCKET)
        raise
    return listener


def _remove(path: Path) -> None:
    """Remove a socket and its folder, where they are such a pair and ours."""
    if not path.parent.name.startswith(PREFIX) or path.name != SOCKET:
        return
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        path.parent.rmdir()


def enter(listener: socket.socket, engine: str, folder: Path | None) -> Entry:
    """Make a run known that listens; return its entry.

    Raises
    ------
    OSError
        It cannot be written; the socket is removed.
    """
    entry = Entry(
        pid=os.getpid(),
        began=time.time(),
        engine=engine,
        folder="" if folder is None else str(folder.resolve()),
        socket=listener.getsockname(),
    )
    content = msgspec.json.encode(entry)
    try:
        write_whole(room(KIND) / entry.name, lambda file: file.write(content))
    except OSError:
        _remove(Path(entry.socket))
        raise
    return entry


def leave(entry: Entry) -> None:
    """Forget a run and remove its socket."""
    for place in places(KIND):
        with contextlib.suppress(OSError):
            (place / entry.name).unlink(missing_ok=True)
    _remove(Path(entry.socket))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def live_runs() -> list[Entry]:
    """Return the entries of all live runs, the newest first; remove those of dead ones."""
    found = []
    for place in places(KIND):
        for file in place.glob("*.json"):
            try:
                entry = parse_json(file.name, read_bytes(file), Entry)
            except ConfigError:  # it ended while we looked, or is none of ours
                continue
            # Its socket goes before its process where it ends as it should.
            if _is_alive(entry.pid) and os.path.exists(entry.socket):
                found.append(entry)
            else:
                leave(entry)
    return sorted(found, key=lambda entry: -entry.began)
