"""Steps of a build in one folder, each done once: kept by a hash of all that goes in.

A step is skipped if it was done of the same inputs by the same tools, and if each file that it made
is still what it made, byte for byte. What a stopped build has done is not done again.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Lock

import msgspec

from ohmgrid.storage.files import write_whole

__all__ = ["Steps", "digest"]

BOOK = "steps.json"


class _Done(msgspec.Struct, forbid_unknown_fields=True):
    """What a step was made of, and the digests of the files that it made."""

    key: str
    files: dict[str, str]
    seconds: float


def digest(data: bytes | str) -> str:
    """Return the SHA-256 of bytes or of a text, in hexadecimal."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


class Steps:
    """The steps that were done in a folder.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._lock = Lock()
        self._done = self._read()

    def _read(self) -> dict[str, _Done]:
        """Return the book; a book that cannot be read says that nothing was done."""
        try:
            data = (self.folder / BOOK).read_bytes()
            return msgspec.json.decode(data, type=dict[str, _Done])
        except (OSError, msgspec.MsgspecError):
            return {}

    def key(self, files: Iterable[str], *said: str) -> str:
        """Return the hash of what goes into a step: files of the folder, and what is said."""
        parts = [*said, *(f"{name} {self.file_digest(name)}" for name in files)]
        return digest(json.dumps(parts))

    def file_digest(self, name: str) -> str | None:
        """Return the digest of a file of the folder, None if it is not there."""
        try:
            return digest((self.folder / name).read_bytes())
        except OSError:
            return None

    def done(self, name: str, key: str) -> bool:
        """Return whether a step was done of these inputs, and its files are what they were."""
        one = self._done.get(name)
        return (
            one is not None
            and one.key == key
            and all(self.file_digest(file) == was for file, was in one.files.items())
        )

    def seconds(self, name: str) -> float:
        """Return how long a step took when it was done, 0 if it never was."""
        one = self._done.get(name)
        return one.seconds if one is not None else 0.0

    def take(self, name: str, key: str, makes: Iterable[str], do: Callable[[], float]) -> bool:
        """Do a step unless it is done.

        Parameters
        ----------
        name : str
        key : str
            As of `key`.
        makes : iterable of str
            Files that it makes; those of an earlier time are removed first, so that nothing old
            lies beside what failed.
        do : callable
            Makes them, and returns how many seconds it took.

        Returns
        -------
        bool
            Whether it was done now.
        """
        if self.done(name, key):
            return False
        files = list(makes)
        with self._lock:
            self._done.pop(name, None)
            self._write()
        for file in files:
            (self.folder / file).unlink(missing_ok=True)
        seconds = do()
        made = {file: self.file_digest(file) for file in files}
        lost = [file for file, was in made.items() if was is None]
        if lost:
            raise RuntimeError(f"{name}: expected it to make {', '.join(lost)}, got nothing")
        with self._lock:
            whole = {file: was for file, was in made.items() if was is not None}
            self._done[name] = _Done(key, whole, round(seconds, 1))
            self._write()
        return True

    def forget(self, names: Iterable[str]) -> None:
        """Remove the files of steps, and that they were done."""
        for name in names:
            one = self._done.pop(name, None)
            for file in one.files if one is not None else ():
                (self.folder / file).unlink(missing_ok=True)
        self._write()

    def _write(self) -> None:
        text = msgspec.json.format(msgspec.json.encode(self._done), indent=1)
        write_whole(self.folder / BOOK, lambda file: file.write(text + b"\n"))
