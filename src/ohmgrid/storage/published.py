"""Things that are built once and used by many processes: whole, verified, trimmed by last use.

A *published folder* is made in a private folder beside, with the SHA-256 of every file, and renamed
into its place. It is verified each time before it is used: what is damaged, incomplete or writable
by others is built anew, and one line says so. A *sealed file* is the same for one file, where many
of them come one after the other.

A folder that a process uses carries that process's lock; trimming leaves it alone. Its name must
hash all that its content depends on (`ohmgrid.storage.sources`).
"""

import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ohmgrid.storage.cache import distrusted, note, places, room
from ohmgrid.storage.files import write_whole

__all__ = ["Shelf", "read_sealed", "write_sealed"]

_MANIFEST = "SHA256SUMS"
"""A folder's files and their digests, as ``sha256sum`` writes and checks them."""
_DIGEST = hashlib.sha256().digest_size

_in_use: dict[Path, int] = {}
"""Folders that this process uses: an open handle of each, with a shared lock, to its end."""


class Shelf:
    """Folders of one kind in the cache.

    Parameters
    ----------
    kind : str
        Name of the folder that they are in.
    keep : int
        How many are kept; those unused for longest go first, none that a process uses.
    """

    def __init__(self, kind: str, keep: int) -> None:
        self.kind = kind
        self.keep = keep

    def find(self, name: str) -> Path | None:
        """Return a published folder, verified, or None; this process uses it from now on."""
        for place in places(self.kind):
            folder = place / name
            if not folder.is_dir():
                continue
            # Locked before it is looked at: nobody removes it in between.
            _use(folder)
            fault = _fault(folder)
            if fault is None:
                return folder
            _leave(folder)
            note(f"{fault}; it is built anew")
        return None

    def publish(self, name: str, make: Callable[[Path], None]) -> Path:
        """Return a published folder: found, or made now. This process uses it from now on.

        Several processes may do so at the same time: each makes its own, one is kept.

        Parameters
        ----------
        name : str
        make : callable
            Fills a new, empty folder with files. What it raises leaves nothing behind.
        """
        found = self.find(name)
        if found is not None:
            return found
        parent = room(self.kind)
        folder = parent / name
        with _locked(parent, fcntl.LOCK_EX):
            work = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=parent))
            _use(work)
        try:
            make(work)
            _close_to_others(work)
            _write_manifest(work)
            with _locked(parent, fcntl.LOCK_EX):
                if not folder.is_dir() or _fault(folder):
                    shutil.rmtree(folder, ignore_errors=True)
                    work.chmod(0o755)  # mkdtemp's is private, and the cache may be root's for all
                    work.rename(folder)
                _use(folder)
        finally:
            # Nobody who trims may look at a folder that goes.
            with _locked(parent, fcntl.LOCK_EX):
                _leave(work)
                shutil.rmtree(work, ignore_errors=True)
        self._trim(parent)
        return folder

    def folders(self, name: str) -> list[Path]:
        """Return the folders with sealed files of one name; this process uses them from now on."""
        found = [place / name for place in places(self.kind)]
        found = [folder for folder in found if folder.is_dir()]
        for folder in found:
            if folder not in _in_use:
                _use(folder)
        return found

    def folder(self, name: str) -> Path:
        """Return a folder to put sealed files into; this process uses it from now on."""
        parent = room(self.kind)
        folder = parent / name
        if folder in _in_use and folder.is_dir():
            return folder
        with _locked(parent, fcntl.LOCK_EX):
            folder.mkdir(exist_ok=True, mode=0o755)
            _use(folder)
        self._trim(parent)
        return folder

    def _trim(self, parent: Path) -> None:
        """Remove what is over the number to keep, and what killed processes left unfinished."""
        with _locked(parent, fcntl.LOCK_EX):
            aged = sorted((f.stat().st_mtime, f) for f in parent.iterdir() if f.is_dir())
            finished = [folder for _, folder in aged if not folder.name.startswith(".")]
            unfinished = [folder for _, folder in aged if folder.name.startswith(".")]
            for folder in finished[: max(0, len(finished) - self.keep)] + unfinished:
                with _locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB) as unused:
                    if unused:
                        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[bool]:
    """Hold a folder's lock; tell whether it was to be had. Some network file systems have none."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, how)
            had = True
        except OSError:
            had = False
        yield had
    finally:
        os.close(handle)


def _use(folder: Path) -> None:
    """Keep a folder from being trimmed while this process lives, and note when it was used."""
    _leave(folder)
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        _in_use[folder] = handle
        fcntl.flock(handle, fcntl.LOCK_SH)
        os.utime(folder)


def _leave(folder: Path) -> None:
    handle = _in_use.pop(folder, None)
    if handle is not None:
        os.close(handle)


def _manifest(folder: Path) -> bytes:
    """Return what the manifest of a folder has to be: a digest and a name a line, by name."""
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(folder)}\n"
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file != folder / _MANIFEST
    ]
    return "".join(lines).encode()


def _close_to_others(folder: Path) -> None:
    """Take from others what the umask may have given them: the right to write to files."""
    for place in folder.rglob("*"):
        if not place.is_symlink():
            place.chmod(stat.S_IMODE(place.stat().st_mode) & ~(stat.S_IWGRP | stat.S_IWOTH))


def _write_manifest(folder: Path) -> None:
    _write(folder / _MANIFEST, _manifest(folder))


def _write(path: Path, content: bytes) -> None:
    """Write a file whole that nobody else can write to, whatever the umask."""

    def write(file: BinaryIO) -> None:
        os.fchmod(file.fileno(), 0o644)
        file.write(content)

    write_whole(path, write)


def _fault(folder: Path) -> str | None:
    """Return what is wrong with a published folder, None if nothing is."""
    try:
        for place in (folder, *folder.rglob("*")):
            if fault := distrusted(place):
                return fault
        if (folder / _MANIFEST).read_bytes() == _manifest(folder):
            return None
    except OSError as error:
        return f"{folder}: {error}"
    return f"{folder}: damaged"


def write_sealed(path: Path, content: bytes) -> None:
    """Write a file whole, with the digest of its content in front."""
    _write(path, hashlib.sha256(content).digest() + content)


def read_sealed(path: Path) -> bytes | None:
    """Return the content of a sealed file, or None: not there, or damaged, which one line says."""
    try:
        fault = distrusted(path)
        sealed = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        fault, sealed = f"{path}: {error.strerror}", b""
    content = sealed[_DIGEST:]
    if fault is None and hashlib.sha256(content).digest() != sealed[:_DIGEST]:
        fault = f"{path}: damaged"
    if fault is not None:
        note(f"{fault}; it is built anew")
        return None
    return content
