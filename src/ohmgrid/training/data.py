"""Data sets as integers at the tile's edge.

``digits`` comes with scikit-learn; ``mnist`` is read from ``mnist.npz`` in the folder that the
environment variable OHMGRID_DATA names, or fetched by scikit-learn; anything else is a file
FILE.npz with ``train_images``, ``train_labels``, ``test_images``, ``test_labels`` (or ``x_train``,
``y_train``, ``x_test``, ``y_test``). Pixels of type uint8 are divided by 255, floats are taken as
they are.
"""

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ohmgrid.doors.arrays import read_arrays
from ohmgrid.doors.checks import ConfigError, shown

__all__ = ["Dataset", "crop_images", "load_data", "parse_crop"]

DATA_FOLDER = "OHMGRID_DATA"
"""Environment variable that names the folder of ``mnist.npz``."""

MOST_EXAMPLES = 1 << 24
"""As many as an epoch's order has keys for."""

KEYS = (
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("x_train", "y_train", "x_test", "y_test"),
)
"""Names of the four arrays in a file."""


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


def _to_edge(what: str, pixels: np.ndarray, x_frac: int, edge_bits: int) -> np.ndarray:
    """Return pixels as integers of the edge format (round half up)."""
    top = (1 << (edge_bits - 1)) - 1
    if pixels.dtype == np.uint8:
        scaled = ((pixels.astype(np.int64) << (x_frac + 1)) + 255) // 510
        return np.minimum(scaled, top).astype(np.int32)
    if not np.issubdtype(pixels.dtype, np.floating):
        raise ConfigError(what, f"expected pixels of type uint8 or float, got {pixels.dtype}")
    if not np.isfinite(pixels).all():
        raise ConfigError(what, "expected finite pixels, got NaN or infinity")
    with np.errstate(over="ignore"):
        # What is beyond any float is beyond the edge too, and refused below.
        scaled = np.floor(pixels.astype(np.float64) * (1 << x_frac) + 0.5)
    # 1.0 itself may be one LSB beyond the edge where no integer bit is left.
    if np.abs(scaled).max() > top + 1:
        raise ConfigError(
            what,
            f"expected pixels within +-{top / (1 << x_frac):.4g}, "
            f"got {pixels.min():g}..{pixels.max():g}",
        )
    return np.clip(scaled, -top, top).astype(np.int32)


def _labels(what: str, labels: np.ndarray, examples: int) -> np.ndarray:
    if labels.shape != (examples,) or not np.issubdtype(labels.dtype, np.integer):
        raise ConfigError(
            what, f"expected {examples} integer labels, got {labels.dtype} of shape {labels.shape}"
        )
    if examples > MOST_EXAMPLES:
        raise ConfigError(what, f"expected at most {MOST_EXAMPLES} examples, got {examples}")
    if labels.min() < 0 or labels.max() > 65535:
        raise ConfigError(what, f"expected labels in 0..65535, got {labels.min()}..{labels.max()}")
    return labels.astype(np.int64)


def _dataset(
    name: str,
    arrays: dict[str, np.ndarray],
    edge: tuple[int, int],
    crop: tuple[int, int] | None,
) -> Dataset:
    """Check four arrays and turn them into a `Dataset`."""
    keys = _choose(list(arrays))
    done, image = [], None
    for what_x, what_y in (keys[:2], keys[2:]):
        images = arrays[what_x]
        if images.ndim < 2 or images.size == 0:
            raise ConfigError(
                name,
                f"{what_x}: expected shape (examples, height, width) or "
                f"(examples, inputs), got {images.shape}",
            )
        if crop is not None:
            images = crop_images(images, crop)
        if image is not None and images.shape[1:] != image:
            raise ConfigError(
                name,
                f"{what_x}: expected examples of shape {image} as in {keys[0]}, "
                f"got {images.shape[1:]}",
            )
        image = images.shape[1:]
        flat = images.reshape(len(images), -1)
        done.append(_to_edge(f"{name}: {what_x}", flat, *edge))
        done.append(_labels(f"{name}: {what_y}", arrays[what_y], len(images)))
    train_x, train_labels, test_x, test_labels = done
    return Dataset(name, train_x, train_labels, test_x, test_labels, image or ())


def _choose(names: Sequence[str]) -> Sequence[str]:
    """Return the names of the four arrays."""
    keys = next((keys for keys in KEYS if set(keys) <= set(names)), None)
    if keys is None:
        came = shown(", ".join(names)) if names else "none"
        raise ConfigError("content", f"expected the arrays {', '.join(KEYS[0])}, got {came}")
    return keys


def _read(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file."""
    try:
        with path.open("rb") as file:
            return read_arrays(file, _choose)
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}") from None
    except ConfigError as error:
        raise error.at(path) from None


def _digits() -> dict[str, np.ndarray]:
    """Return scikit-learn's digits; every fifth image (index mod 5 = 4) is for the test."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = np.asarray(pixels).reshape(-1, 8, 8) / 16
    test = np.arange(len(labels)) % 5 == 4
    return {
        "train_images": images[~test],
        "train_labels": labels[~test],
        "test_images": images[test],
        "test_labels": labels[test],
    }


def _fetch_mnist() -> dict[str, np.ndarray]:
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
    return {
        "train_images": images[:60000],
        "train_labels": labels[:60000],
        "test_images": images[60000:],
        "test_labels": labels[60000:],
    }


def load_data(
    name: str, x_frac: int, edge_bits: int, crop: tuple[int, int] | None = None
) -> Dataset:
    """Load a data set.

    Parameters
    ----------
    name : str
        ``digits``, ``mnist`` or the path of an .npz file.
    x_frac : int
        Fraction bits of a pixel.
    edge_bits : int
        Width of a pixel at the tile's edge.
    crop : (int, int), optional
        Height and width of the middle part of each image to use.
    """
    if name == "digits":
        arrays = _digits()
    elif name == "mnist":
        folder = os.environ.get(DATA_FOLDER)
        path = Path(folder, "mnist.npz") if folder else None
        arrays = _read(path) if path is not None and path.exists() else _fetch_mnist()
    elif name.endswith(".npz"):
        arrays = _read(Path(name))
    else:
        raise ConfigError("data", f"expected digits, mnist or a file FILE.npz, got {shown(name)}")
    return _dataset(name, arrays, (x_frac, edge_bits), crop)
