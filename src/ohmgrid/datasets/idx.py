"""IDX files, the form in which MNIST and its relatives are handed around.

A file is two zero bytes, a byte for the type, a byte for the number of dimensions, each dimension
in four bytes, then the numbers; all big endian. A data set is four such files in a folder.
"""

import gzip
import math
import re
import zlib
from pathlib import Path

import numpy as np

from ohmgrid.datasets.raw import Part, Raw
from ohmgrid.doors.checks import ConfigError

__all__ = ["find_idx", "read_idx_folder"]

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MOST_BYTES = 1 << 31
_NAME = re.compile(
    r"(?:.*[-_.])?(train|t10k|test)[-_.](images|labels)(?:[-_.]idx[0-9])?(?:[-_.]ubyte)?(\.gz)?"
)
"""``train-images-idx3-ubyte.gz``, ``t10k-labels.idx1-ubyte``, ``emnist-letters-test-images-...``"""


def find_idx(folder: Path) -> dict[tuple[str, str], Path]:
    """Return the IDX files of a folder by part (train, test) and kind (images, labels).

    Of a file and the same one packed, the file.
    """
    found: dict[tuple[str, str], Path] = {}
    for path in sorted(folder.iterdir(), key=lambda path: (path.suffix == ".gz", path.name)):
        match = _NAME.fullmatch(path.name)
        if match is not None and path.is_file():
            part = "train" if match[1] == "train" else "test"
            found.setdefault((part, match[2]), path)
    return found


def read_idx(path: Path) -> np.ndarray:
    """Return the array of one file; errors begin with its name."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            head = file.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in TYPES:
                raise ConfigError(
                    str(path), f"expected an IDX file (00 00 type dimensions), got {head.hex(' ')}"
                )
            dtype, dimensions = np.dtype(TYPES[head[2]]), head[3]
            sizes = file.read(4 * dimensions)
            if not 1 <= dimensions <= 4 or len(sizes) != 4 * dimensions:
                raise ConfigError(str(path), f"expected 1 to 4 dimensions, got {dimensions}")
            shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
            expected = math.prod(shape) * dtype.itemsize
            if expected > MOST_BYTES:
                raise ConfigError(
                    str(path), f"expected at most {MOST_BYTES} bytes, got shape {shape}"
                )
            content = file.read(expected + 1)
    except (OSError, EOFError, zlib.error) as error:
        problem = getattr(error, "strerror", None) or str(error)
        raise ConfigError(str(path), f"cannot be read: {problem}") from None
    if len(content) != expected:
        came = len(content) if len(content) < expected else "more"
        raise ConfigError(str(path), f"expected the {expected} bytes of shape {shape}, got {came}")
    return np.frombuffer(content, dtype).reshape(shape)


def read_idx_folder(folder: Path, found: dict[tuple[str, str], Path]) -> Raw:
    """Return the data set of a folder's IDX files."""
    for part in ("train", "test"):
        missing = [kind for kind in ("images", "labels") if (part, kind) not in found]
        if len(missing) == 1 or (missing and part == "train"):
            digit = 3 if missing[0] == "images" else 1
            raise ConfigError(
                str(folder),
                f"expected {part}-{missing[0]}-idx{digit}-ubyte, plain or .gz, beside "
                f"{', '.join(sorted(path.name for path in found.values()))}",
            )

    parts = []
    for part in ("train", "test"):
        if (part, "images") in found:
            images, labels = found[part, "images"], found[part, "labels"]
            parts.append(Part(read_idx(images), read_idx(labels), images.name, labels.name))
    return Raw(parts[0], parts[1] if len(parts) > 1 else None)
