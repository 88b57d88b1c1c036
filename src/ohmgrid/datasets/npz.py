"""Files of NumPy arrays (.npz), by the names that people give them."""

from collections.abc import Sequence
from pathlib import Path

from ohmgrid.datasets.raw import Part, Raw
from ohmgrid.doors.arrays import load_arrays
from ohmgrid.doors.checks import ConfigError, shown

__all__ = ["KEYS", "read_npz"]

KEYS = (
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("x_train", "y_train", "x_test", "y_test"),
    ("X_train", "y_train", "X_test", "y_test"),
)
"""Names of the four arrays of a set with a test part."""
PAIRS = (
    ("train_images", "train_labels"),
    ("x_train", "y_train"),
    ("images", "labels"),
    ("x", "y"),
    ("X", "y"),
    ("data", "target"),
)
"""Names of the two arrays of a set without."""
VALIDATION = ("val_images", "x_val", "X_val", "valid_images", "x_valid")


def _choose(names: Sequence[str]) -> Sequence[str]:
    """Return the names of the arrays to read."""
    keys = next((keys for keys in (*KEYS, *PAIRS) if set(keys) <= set(names)), None)
    if keys is None:
        came = shown(", ".join(names)) if names else "none"
        raise ConfigError(
            "content",
            f"expected the arrays {', '.join(KEYS[0])} (or {', '.join(KEYS[1])}, or x and y), "
            f"got {came}",
        )
    return keys


def read_npz(path: Path) -> Raw:
    """Return the data set of a file; errors begin with its name."""
    names: list[str] = []

    def choose(found: Sequence[str]) -> Sequence[str]:
        names.extend(found)
        return _choose(found)

    arrays = load_arrays(path, choose)
    keys = list(arrays)
    parts = [
        Part(arrays[images], arrays[labels], images, labels)
        for images, labels in zip(keys[0::2], keys[1::2], strict=True)
    ]
    unused = [name for name in names if name in VALIDATION]
    notes = tuple(f"{name} is not used: there is no validation" for name in unused)
    return Raw(parts[0], parts[1] if len(parts) > 1 else None, notes)
