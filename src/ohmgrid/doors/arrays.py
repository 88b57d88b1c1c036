"""The door for arrays from outside: .npz files of plain numbers, checked before they are read.

Such a file is a zip archive of .npy members, each a header and numbers. NumPy believes a header;
here it must agree with the bytes that are there, hold numbers and be of a bounded size, so that no
file makes the program reserve memory for what it only claims to hold.
"""

import math
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy

from ohmgrid.doors.checks import ConfigError, shown

__all__ = ["load_arrays", "read_arrays"]

MOST_BYTES = 1 << 31
"""Largest array of a file: 2 GiB, thirty times MNIST."""
NUMBERS = "biuf"
"""Kinds of numbers that are taken: flags, integers, floats."""


def read_arrays(
    file: BinaryIO, choose: Callable[[Sequence[str]], Sequence[str]]
) -> dict[str, np.ndarray]:
    """Return arrays of an .npz file; raise `ConfigError` named after a member, or ``content``.

    Parameters
    ----------
    file : binary file
    choose : callable
        Given the names in the file, returns those to read; raises `ConfigError` if one is missing.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            return {name: _read(archive, name) for name in choose(names)}
    except (ConfigError, MemoryError):
        raise
    except Exception as error:
        # What zipfile, the decompressors and NumPy's header parser raise on foreign bytes is
        # listed nowhere: BadZipFile, zlib.error, LZMAError, TokenError, NotImplementedError, ...
        text = str(error) or type(error).__name__
        raise ConfigError(
            "content", f"expected an .npz file of plain arrays, got: {text}"
        ) from None


def load_arrays(
    path: Path, choose: Callable[[Sequence[str]], Sequence[str]]
) -> dict[str, np.ndarray]:
    """Return arrays of a file, as `read_arrays`; errors begin with its name."""
    try:
        with path.open("rb") as file:
            return read_arrays(file, choose)
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}") from None
    except ConfigError as error:
        raise error.at(path) from None


def _read(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """Return one member."""
    member = archive.getinfo(f"{name}.npy")
    with archive.open(member) as raw:
        version = npy.read_magic(raw)
        if version not in ((1, 0), (2, 0)):
            raise ConfigError(name, f"expected numbers, got a header of version {version}")
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read_header(raw)
        if dtype.kind not in NUMBERS:
            raise ConfigError(name, f"expected numbers, got {shown(dtype)}")
        size = math.prod(shape) * dtype.itemsize
        if size > MOST_BYTES:
            raise ConfigError(name, f"expected at most {MOST_BYTES} bytes, got shape {shape}")
        if size != member.file_size - raw.tell():
            raise ConfigError(
                name,
                f"expected the {size} bytes of shape {shape}, {dtype}, "
                f"got {member.file_size - raw.tell()}",
            )
        # To the very end, where the archive's own checksum is compared.
        content = raw.read()
    return np.ndarray(shape, dtype, buffer=content, order="F" if fortran else "C")
