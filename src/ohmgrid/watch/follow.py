"""Follow a run: listen to it while it lives, and read its checkpoint while it does not."""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ohmgrid.doors.checks import ConfigError, OhmgridError
from ohmgrid.host.ports import split_port
from ohmgrid.training.runs import CHECKPOINT, read_checkpoint
from ohmgrid.watch.messages import PROTOCOL, Ask, End, Message
from ohmgrid.watch.registry import Entry, leave, live_runs
from ohmgrid.watch.saved import told_by
from ohmgrid.watch.view import View

__all__ = ["Follower", "Target"]

AGAIN_S = 0.5
"""Seconds between two looks for a run, or for a new checkpoint."""
LONGEST = 1 << 28
"""Bytes of a message: pictures of the largest net."""


class _Kind(msgspec.Struct, frozen=True):
    """What every form of a message has."""

    kind: str
    protocol: int = PROTOCOL


@dataclass(frozen=True)
class Target:
    """Which run is meant; the newest one where nothing is said."""

    folder: Path | None = None
    engine: str = ""
    """Also the name of a port."""
    pid: int = 0

    def find(self) -> Entry | None:
        """Return the newest live run that is meant, None without one."""
        folder = "" if self.folder is None else str(self.folder.resolve())
        for entry in live_runs():
            if self.folder is not None and entry.folder != folder:
                continue
            if self.engine and not _is_same_engine(self.engine, entry.engine):
                continue
            if self.pid and entry.pid != self.pid:
                continue
            return entry
        return None


def _is_same_engine(one: str, other: str) -> bool:
    """Return whether two names are of one engine: a port may have several, and a rate behind."""
    if one == other:
        return True
    ports = [os.path.realpath(split_port(name)[0]) for name in (one, other) if "/" in name]
    return len(ports) == 2 and ports[0] == ports[1]


class Follower:
    """Keeps a view of a run up to date, whatever becomes of the run.

    Parameters
    ----------
    target : Target
    view : View
    """

    def __init__(self, target: Target, view: View) -> None:
        self._target, self._view = target, view
        self._writer: asyncio.StreamWriter | None = None
        self._read: tuple[int, int, int] | None = None

    async def run(self) -> None:
        """Follow until cancelled.

        Raises
        ------
        OhmgridError
            The run is of another version.
        """
        while True:
            entry = await asyncio.to_thread(self._target.find)
            if entry is not None:
                await self._listen(entry)
                # What it wrote last is what it told last.
                self._read = self._checkpoint_now()
            elif self._target.folder is not None:
                await self._look_at_checkpoint()
            await asyncio.sleep(AGAIN_S)

    async def ask(self, what: str) -> bool:
        """Ask the run to ``pause`` or to ``resume``; return False where none is listened to."""
        if self._writer is None:
            return False
        self._writer.write(msgspec.json.encode(Ask(what)) + b"\n")
        try:
            await self._writer.drain()
        except ConnectionError:
            return False
        return True

    async def _listen(self, entry: Entry) -> None:
        """Take over what a run tells, to its end."""
        try:
            reader, writer = await asyncio.open_unix_connection(entry.socket, limit=LONGEST)
        except OSError:  # killed, and its number is another process's now
            await asyncio.to_thread(leave, entry)
            return
        self._writer, ended = writer, False
        try:
            while line := await reader.readline():
                message = _message(line)
                self._view.take(message)
                ended = isinstance(message, End)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writer = None
            writer.close()
        if not ended:
            self._view.set_state("lost")

    @property
    def _path(self) -> Path:
        assert self._target.folder is not None
        return self._target.folder / CHECKPOINT

    def _checkpoint_now(self) -> tuple[int, int, int] | None:
        """Return what tells one checkpoint from another, None without one."""
        if self._target.folder is None:
            return None
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    async def _look_at_checkpoint(self) -> None:
        """Show the checkpoint where it is a new one."""
        now = self._checkpoint_now()
        if now is None or now == self._read:
            return
        self._read = now
        try:
            messages = await asyncio.to_thread(self._saved)
        except ConfigError:  # replaced by something else; what was shown stays
            return
        for message in messages:
            self._view.take(message)

    def _saved(self) -> list[Message]:
        return told_by(read_checkpoint(self._path), self._path.parent)


def _message(line: bytes) -> Message:
    """Return a message of a run; raise `OhmgridError` where it is none that is known here."""
    try:
        if msgspec.json.decode(line, type=_Kind).protocol == PROTOCOL:
            return msgspec.json.decode(line, type=Message)
    except msgspec.MsgspecError:
        if not line.endswith(b"\n"):  # cut off: the run was killed while it wrote
            raise ConnectionError from None
    raise OhmgridError("the run is of another version of ohmgrid; watch it with that one")
