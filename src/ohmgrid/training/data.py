"""Data sets as integers at the tile's edge.

``digits`` comes with scikit-learn; ``mnist`` is read from ``mnist.npz`` in the folder that the
environment variable OHMGRID_DATA names, or fetched by scikit-learn; anything else is a file or a
folder of the user's (`ohmgrid.datasets`). Bytes are divided by 255, floats are taken as they are,
unless a scaling is asked for.
"""

import hashlib
import math
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ohmgrid.datasets.idx import find_idx, read_idx_folder
from ohmgrid.datasets.labels import class_names, to_labels
from ohmgrid.datasets.npz import read_npz
from ohmgrid.datasets.pictures import has_pictures, read_picture_folder
from ohmgrid.datasets.raw import Part, Raw
from ohmgrid.datasets.scaling import Scaling, as_numbers, fit_scaling, pool_images
from ohmgrid.datasets.table import read_table, read_table_folder
from ohmgrid.doors.checks import ConfigError, is_line, shown

__all__ = [
    "BUILT_IN",
    "Dataset",
    "Preparation",
    "crop_images",
    "load_data",
    "load_examples",
    "parse_crop",
]

BUILT_IN = ("digits", "mnist")
"""Data sets by name; all others are files and folders."""

TABLES = (".csv", ".tsv", ".txt", ".data")
"""What names of files with a table end with."""

DATA_FOLDER = "OHMGRID_DATA"
"""Environment variable that names the folder of ``mnist.npz``."""

MOST_EXAMPLES = 1 << 24
"""As many as an epoch's order has keys for."""


@dataclass(frozen=True)
class Preparation:
    """How examples become what a net sees; what it holds of data is of the training part alone."""

    crop: tuple[int, int] | None = None
    """Height and width of the middle part of each image to use."""
    pool: int = 1
    """Side of the squares of pixels of which the mean is taken."""
    scale: str = "none"
    """Of `ohmgrid.datasets.scaling.SCALES`."""
    label: str = ""
    """Column of a table that holds the labels: ``first``, ``last`` or its name."""
    scaling: Scaling | None = None
    """What was learned of the training part; None before that."""
    bytes: bool | None = None
    """Whether its pixels are bytes, integers of 0..255; None before that."""
    names: tuple[str, ...] = ()
    """Names of the classes, where labels are texts."""


@dataclass(frozen=True)
class Dataset:
    """Examples to train on and to test with."""

    name: str
    train_x: np.ndarray
    """int32, shape (examples, inputs), edge format with ``x_frac`` fraction bits."""
    train_labels: np.ndarray
    """int64, shape (examples,)."""
    test_x: np.ndarray
    test_labels: np.ndarray
    image: tuple[int, ...]
    """Shape of one example before it was flattened."""
    preparation: Preparation = Preparation()
    """How the examples were made, with what was learned of the training part."""
    notes: tuple[str, ...] = ()
    """One line each: what was left out or understood of the files."""

    @property
    def inputs(self) -> int:
        """Values of one example."""
        return self.train_x.shape[1]

    @property
    def classes(self) -> int:
        """One more than the largest label."""
        return int(max(self.train_labels.max(), self.test_labels.max())) + 1

    @property
    def sha256(self) -> str:
        """SHA-256 over all examples and labels as the net sees them, little endian."""
        digest = hashlib.sha256()
        for array in (self.train_x, self.train_labels, self.test_x, self.test_labels):
            digest.update(np.ascontiguousarray(array, dtype="<i4").tobytes())
        return digest.hexdigest()


def parse_crop(text: str) -> tuple[int, int]:
    """Return (height, width) of a crop such as ``22x24``."""
    match = re.fullmatch(r"([1-9][0-9]{0,3})x([1-9][0-9]{0,3})", text)
    if match is None:
        raise ConfigError("crop", f"expected HEIGHTxWIDTH such as 22x24, got {shown(text)}")
    return int(match[1]), int(match[2])


def crop_images(images: np.ndarray, crop: tuple[int, int]) -> np.ndarray:
    """Return the middle of images, shape (examples, height, width).

    Where the border is odd, the larger part is cut off at the bottom and at the right.
    """
    if images.ndim != 3 or crop[0] > images.shape[1] or crop[1] > images.shape[2]:
        raise ConfigError(
            "crop",
            f"expected at most the image's {'x'.join(map(str, images.shape[1:]))} "
            f"(height x width), got {crop[0]}x{crop[1]}",
        )
    top, left = (images.shape[1] - crop[0]) // 2, (images.shape[2] - crop[1]) // 2
    return images[:, top : top + crop[0], left : left + crop[1]]


def _to_edge(what: str, values: np.ndarray, x_frac: int, edge_bits: int) -> np.ndarray:
    """Return values, bytes or floats, as integers of the edge format (round half up)."""
    top = (1 << (edge_bits - 1)) - 1
    if values.dtype == np.uint8:
        scaled = ((values.astype(np.int64) << (x_frac + 1)) + 255) // 510
        return np.minimum(scaled, top).astype(np.int32)
    with np.errstate(over="ignore"):
        # What is beyond any float is beyond the edge too, and refused below.
        scaled = np.floor(values * (1 << x_frac) + 0.5)
    # 1.0 itself may be one LSB beyond the edge where no integer bit is left.
    if np.abs(scaled).max() > top + 1:
        raise ConfigError(
            what,
            f"expected pixels within +-{top / (1 << x_frac):.4g}, "
            f"got {values.min():g}..{values.max():g}; --scale minmax takes any range",
        )
    return np.clip(scaled, -top, top).astype(np.int32)


def _check_shapes(name: str, part: Part) -> None:
    """Raise `ConfigError` unless there are examples, and a label for each."""
    images, labels = part.images, part.labels
    if images.ndim < 2 or images.size == 0:
        raise ConfigError(
            name,
            f"{part.name}: expected shape (examples, height, width) or "
            f"(examples, inputs), got {images.shape}",
        )
    if labels is not None and labels.shape[:1] != images.shape[:1]:
        raise ConfigError(
            f"{name}: {part.labels_name}",
            f"expected {len(images)} integer labels, got {labels.dtype} of shape {labels.shape}",
        )


class _Prepared:
    """A part of a data set on its way to the edge."""

    def __init__(self, name: str, part: Part, how: Preparation) -> None:
        _check_shapes(name, part)
        images, self.what = part.images, f"{name}: {part.name}"
        if how.crop is not None:
            images = crop_images(images, how.crop)
        values, self.as_bytes = as_numbers(self.what, images, how.scale != "none", how.bytes)
        self.bytes = values.dtype == np.uint8
        self.values = pool_images(values, how.pool)

    def edge(self, how: Preparation, edge: tuple[int, int]) -> tuple[np.ndarray, int]:
        """Return integers of the edge format, and how many scaled values were clipped to it."""
        values = self.values
        if how.scaling is None:
            flat = values.reshape(len(values), -1)
            plain = self.bytes and values.dtype != np.uint8
            return _to_edge(self.what, flat / 255 if plain else flat, *edge), 0
        limit = ((1 << (edge[1] - 1)) - 1) / (1 << edge[0])
        scaled = how.scaling.apply(values)
        clipped = np.clip(scaled, -limit, limit)
        return _to_edge(self.what, clipped, *edge), int(np.count_nonzero(scaled != clipped))


def _labels(name: str, part: Part, names: Sequence[str]) -> np.ndarray:
    what, examples = f"{name}: {part.labels_name}", len(part.images)
    if part.labels is None:
        raise ConfigError(what, "expected labels, got none")
    if examples > MOST_EXAMPLES:
        raise ConfigError(what, f"expected at most {MOST_EXAMPLES} examples, got {examples}")
    return to_labels(what, part.labels, examples, names)


def _dataset(name: str, raw: Raw, edge: tuple[int, int], how: Preparation) -> Dataset:
    """Check the parts of a data set and turn them into a `Dataset`."""
    _check_shapes(name, raw.train)
    try:
        raw = raw.split()
    except ConfigError as error:
        raise error.at(name) from None
    test = raw.test
    assert test is not None  # `Raw.split` makes one.
    if how.names == () and raw.train.labels is not None:
        how = replace(how, names=class_names(raw.train.labels))
    train = _Prepared(name, raw.train, how)
    how = replace(how, bytes=train.bytes)
    parts = [train, _Prepared(name, test, how)]
    image = parts[0].values.shape[1:]
    if parts[1].values.shape[1:] != image:
        raise ConfigError(
            name,
            f"{test.name}: expected examples of shape {image} as in {raw.train.name}, "
            f"got {parts[1].values.shape[1:]}",
        )
    if how.scale != "none" and parts[0].bytes != parts[1].bytes:
        raise ConfigError(
            name,
            f"{test.name}: expected numbers of the same kind as in {raw.train.name}, "
            "got bytes in one and others in the other",
        )
    if how.scaling is None:
        how = replace(how, scaling=fit_scaling(how.scale, parts[0].values))
    done, notes = [], list(raw.notes)
    for part, source in zip(parts, (raw.train, test), strict=True):
        pixels, clipped = part.edge(how, edge)
        done += [pixels, _labels(name, source, how.names)]
        if part.as_bytes:
            notes.append(f"{source.name}: integers of 0..255 are taken for bytes, divided by 255")
        if clipped:
            notes.append(f"{source.name}: {clipped} scaled values are clipped at the tile's edge")
    notes = tuple(dict.fromkeys(notes))
    return Dataset(name, done[0], done[1], done[2], done[3], image, how, notes)


def _digits() -> Raw:
    """Return scikit-learn's digits; every fifth image (index mod 5 = 4) is for the test."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = np.asarray(pixels).reshape(-1, 8, 8) / 16
    test = np.arange(len(labels)) % 5 == 4
    return Raw(Part(images[~test], labels[~test]), Part(images[test], labels[test]))


def _fetch_mnist() -> Raw:
    """Return MNIST from OpenML: 70,000 images, the last 10,000 are the test set."""
    from sklearn.datasets import fetch_openml

    try:
        pixels, digits = fetch_openml(
            "mnist_784", version=1, return_X_y=True, as_frame=False, parser="liac-arff"
        )
    except Exception as error:
        # Whatever the network or the server's answer raised: the user's way out is the same.
        raise ConfigError(
            "mnist",
            f"expected mnist.npz in the folder that {DATA_FOLDER} names, or a network to "
            f"fetch it from OpenML, got: {' '.join(str(error).split())}",
        ) from None
    images = np.asarray(pixels).astype(np.uint8).reshape(-1, 28, 28)
    labels = np.asarray(digits).astype(np.int64)
    train, test = slice(None, 60000), slice(60000, None)
    return Raw(Part(images[train], labels[train]), Part(images[test], labels[test]))


def _mnist() -> Raw:
    """Return MNIST from the folder that the environment names, else fetched."""
    folder = os.environ.get(DATA_FOLDER)
    path = Path(folder, "mnist.npz") if folder else None
    return read_npz(path) if path is not None and path.exists() else _fetch_mnist()


def _folder(path: Path, label: str) -> Raw:
    """Return the data set in a folder."""
    try:
        idx = find_idx(path)
        if idx:
            return read_idx_folder(path, idx)
        if (path / "train.csv").exists():
            return read_table_folder(path, label)
        if has_pictures(path):
            return read_picture_folder(path)
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}") from None
    raise ConfigError(
        str(path),
        "expected IDX files (train-images-idx3-ubyte, ...), train.csv or a folder of pictures for "
        "each class, found none",
    )


def _raw(name: str, label: str, bare: Callable[[int], bool] = lambda columns: False) -> Raw:
    """Return what a name stands for, as its files have it.

    ``bare`` says of a number of columns whether a table has inputs alone.
    """
    if name == "digits":
        return _digits()
    if name == "mnist":
        return _mnist()
    path = Path(name)
    if path.suffix == ".npz":
        return read_npz(path)
    if path.suffix.lower() in TABLES:
        return read_table(path, label, bare)
    if is_line(name) and name and path.is_dir():
        return _folder(path, label)
    raise ConfigError(
        "data",
        f"expected digits, mnist, a file FILE.npz or FILE.csv, or a folder, got {shown(name)}",
    )


def load_data(
    name: str,
    x_frac: int,
    edge_bits: int,
    how: Preparation = Preparation(),
) -> Dataset:
    """Load a data set.

    Parameters
    ----------
    name : str
        ``digits``, ``mnist``, or the path of a file or a folder (docs/files.md).
    x_frac : int
        Fraction bits of a pixel.
    edge_bits : int
        Width of a pixel at the tile's edge.
    how : Preparation, optional
        What becomes of the examples; a scaling that it holds is used and not learned anew.
    """
    return _dataset(name, _raw(name, how.label), (x_frac, edge_bits), how)


def _inputs_of(columns: int, how: Preparation) -> int:
    """Return the inputs that a table's columns come to, if all are inputs; 0 if they cannot be."""
    if how.crop is None and how.pool == 1:
        return columns
    side = math.isqrt(columns)
    height, width = how.crop or (side, side)
    fits = side * side == columns and max(height, width) <= side
    return (height // how.pool) * (width // how.pool) if fits else 0


def load_examples(
    name: str, x_frac: int, edge_bits: int, how: Preparation, inputs: int
) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]:
    """Load examples to test with: the test part of a file, or all where it has none.

    Parameters
    ----------
    name, x_frac, edge_bits
        As in `load_data`.
    how : Preparation
        Of the data that the net was trained on, with what was learned of it.
    inputs : int
        Inputs of the net: a table of so many columns has no labels.

    Returns
    -------
    examples : int32, shape (examples, inputs)
    labels : int64, shape (examples,), or None
    notes : one line each
    """
    raw = _raw(name, how.label, lambda columns: _inputs_of(columns, how) == inputs)
    part = raw.test if raw.test is not None else raw.train
    prepared = _Prepared(name, part, how)
    pixels, clipped = prepared.edge(how, (x_frac, edge_bits))
    if pixels.shape[1] != inputs:
        raise ConfigError("data", f"expected {inputs} inputs, got {pixels.shape[1]} in {name}")
    labels = None if part.labels is None else _labels(name, part, how.names)
    notes = [f"{clipped} scaled values are clipped at the tile's edge"] if clipped else []
    return pixels, labels, tuple(notes)
