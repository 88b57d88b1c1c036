"""What a net sees of inputs: pooled, scaled, and as integers of the tile's edge.

Everything that a scaling learns, it learns of the training part alone (`fit_scaling`); it is stored
with a run, so that later examples are scaled as those were that the run was trained on.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ohmgrid.doors.checks import ConfigError, check_choice, check_int

__all__ = ["MOST_POOL", "SCALES", "Scaling", "as_numbers", "fit_scaling", "pool_images"]

SCALES = ("none", "minmax", "standard")
"""As it is; the range of each input becomes 0..1; its mean 0 and its standard deviation 1."""
LEAST_BYTE = 128
"""Whole numbers of 0..255 of which one is so large are bytes of pixels."""
LARGEST = 1e100
"""Largest magnitude of an input: sums of squares stay numbers."""
MOST_POOL = 64


@dataclass(frozen=True)
class Scaling:
    """``(x - offset) factor`` for each input, or one pair for all inputs.

    The factor of an input that is the same in all examples is 0.
    """

    offset: tuple[float, ...]
    factor: tuple[float, ...]

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Return scaled values: float64, shape (examples, inputs)."""
        flat = values.reshape(len(values), -1).astype(np.float64)
        if len(self.offset) not in (1, flat.shape[1]):
            raise ConfigError(
                "data", f"expected {len(self.offset)} inputs as scaled before, got {flat.shape[1]}"
            )
        with np.errstate(over="ignore", invalid="ignore"):
            return (flat - np.array(self.offset)) * np.array(self.factor)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {"offset": list(self.offset), "factor": list(self.factor)}


def _factor(span: float) -> float:
    return 1 / span if math.isfinite(span) and span > 1e-300 else 0.0


def fit_scaling(kind: str, train: np.ndarray) -> Scaling | None:
    """Return the scaling of a training part; None for ``none``.

    Parameters
    ----------
    kind : str
        Of `SCALES`.
    train : array, shape (examples, inputs) or (examples, height, width)
        Of images all pixels have one scaling, else each input its own.
    """
    check_choice("scale", kind, SCALES)
    if kind == "none":
        return None
    columns = train.reshape(1, -1) if train.ndim > 2 else train.T
    offsets, factors = [], []
    for column in columns.astype(np.float64):
        if kind == "minmax":
            low, high = float(column.min()), float(column.max())
            offset, span = low, high - low
        else:
            # Exactly rounded sums: the same on every machine.
            offset = math.fsum(column) / len(column)
            with np.errstate(over="ignore"):
                span = math.sqrt(math.fsum((column - offset) * (column - offset)) / len(column))
        offsets.append(offset)
        factors.append(_factor(span))
    return Scaling(tuple(offsets), tuple(factors))


def as_numbers(
    what: str, images: np.ndarray, scaled: bool, as_bytes: bool | None = None
) -> tuple[np.ndarray, bool]:
    """Return images as bytes or floats, and whether other integers were taken for bytes.

    Parameters
    ----------
    what : str
        What errors call them.
    images : array
    scaled : bool
        They are scaled, so that any range will do.
    as_bytes : bool, optional
        Whether integers are bytes; left out, they are if they are in 0..255 and one is above 127.

    Raises
    ------
    ConfigError
        Integers that are no bytes, unless they are scaled; NaN or infinity; no numbers.
    """
    if images.dtype == np.uint8:
        return images, False
    if images.dtype.kind in "iu":
        low, high = int(images.min()), int(images.max())
        least = {None: LEAST_BYTE, True: 0, False: 256}[as_bytes]
        if low >= 0 and least <= high <= 255:
            return images.astype(np.uint8), True
        if not scaled and as_bytes is not False:
            raise ConfigError(
                what,
                f"expected pixels of type uint8 or float, or integers of 0..255, got "
                f"{images.dtype} {low}..{high}; --scale minmax takes any range",
            )
    elif images.dtype.kind not in "fb":
        raise ConfigError(what, f"expected pixels of type uint8 or float, got {images.dtype}")
    if images.dtype.kind == "f" and not np.isfinite(images).all():
        raise ConfigError(what, "expected finite pixels, got NaN or infinity")
    values = images.astype(np.float64)
    if np.abs(values).max() > LARGEST:
        raise ConfigError(what, f"expected pixels within +-{LARGEST:g}, got {images.max():g}")
    return values, False


def pool_images(images: np.ndarray, size: int) -> np.ndarray:
    """Return images of which each pixel is the mean of ``size x size``.

    Bytes stay in 0..255, as float64.
    """
    check_int("pool", size, 1, MOST_POOL)
    if size == 1:
        return images
    if images.ndim != 3 or images.shape[1] % size or images.shape[2] % size:
        shape = "x".join(map(str, images.shape[1:]))
        raise ConfigError(
            "pool",
            f"expected a size that divides images of {shape} (height x width), got {size}; "
            "--crop makes them smaller",
        )
    # One slice after the other: sums of floats in an order of their own.
    sums = np.zeros((len(images), images.shape[1] // size, images.shape[2] // size))
    for row in range(size):
        for column in range(size):
            sums += images[:, row::size, column::size]
    return sums / (size * size)
