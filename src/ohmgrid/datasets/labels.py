"""Labels in the forms that files have: numbers, columns of numbers, one-hot rows, names."""

from collections.abc import Sequence

import numpy as np

from ohmgrid.doors.checks import ConfigError, shown

__all__ = ["class_names", "to_labels"]

LARGEST = 65535


def class_names(labels: np.ndarray) -> tuple[str, ...]:
    """Return the sorted names of classes where labels are texts, else nothing.

    Names that are all whole numbers are sorted as such.
    """
    if labels.dtype.kind != "U":
        return ()
    names = sorted({str(name) for name in labels})
    if all(name.isascii() and name.isdigit() for name in names):
        names.sort(key=int)
    return tuple(names)


def to_labels(
    what: str, labels: np.ndarray, examples: int, names: Sequence[str] = ()
) -> np.ndarray:
    """Return labels as int64, shape (examples,).

    Parameters
    ----------
    what : str
        What errors call them.
    labels : array
        Whole numbers of shape (examples,) or (examples, 1); one-hot rows, shape (examples,
        classes); or texts.
    examples : int
    names : sequence of str
        Names of the classes, of which texts become the index.

    Raises
    ------
    ConfigError
        They are none of these, or beyond 0..65535.
    """
    came = f"{labels.dtype} of shape {labels.shape}"
    if labels.dtype.kind == "U":
        return _indices(what, labels, names)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2 and len(labels) == examples and labels.dtype.kind in "biuf":
        return _one_hot(what, labels)
    whole = labels.dtype.kind in "biu" or (
        labels.dtype.kind == "f" and bool(np.all(labels == np.floor(labels)))
    )
    if labels.shape != (examples,) or not whole:
        raise ConfigError(
            what,
            f"expected {examples} integer labels (one-hot rows and a column are taken too), "
            f"got {came}",
        )
    if labels.min() < 0 or labels.max() > LARGEST:
        raise ConfigError(
            what, f"expected labels in 0..{LARGEST}, got {labels.min()}..{labels.max()}"
        )
    return labels.astype(np.int64)


def _one_hot(what: str, rows: np.ndarray) -> np.ndarray:
    """Return which column of each row is 1."""
    right = ((rows == 0) | (rows == 1)).all(axis=1) & (rows.sum(axis=1) == 1)
    if not right.all():
        bad = int(np.argmin(right))
        raise ConfigError(
            what, f"expected one 1 and else 0 in each row of one-hot labels, got row {bad} with "
            f"{shown(rows[bad].tolist())}"
        )  # fmt: skip
    return rows.argmax(axis=1).astype(np.int64)


def _indices(what: str, labels: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return the index of each name."""
    index = {name: number for number, name in enumerate(names)}
    unknown = sorted({str(name) for name in labels} - set(index))
    if unknown:
        known = shown(", ".join(names)) if names else "numbers"
        raise ConfigError(
            what, f"expected the classes of the training part ({known}), got {shown(unknown[0])}"
        )
    return np.array([index[str(name)] for name in labels], np.int64)
