"""Folders of pictures by class: ``FOLDER/train/CLASS/*.png``, or ``FOLDER/CLASS/*.png``."""

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from ohmgrid.datasets.raw import Part, Raw
from ohmgrid.doors.checks import ConfigError

__all__ = ["has_pictures", "read_picture_folder"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".pgm", ".ppm", ".gif", ".tif", ".tiff")
TESTS = ("test", "testing", "t10k", "val", "valid", "validation")
"""Names of folders with a test part; the first that there is."""
TRAINS = ("train", "training")


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())


def has_pictures(folder: Path) -> bool:
    """Return whether a folder has folders with pictures, or folders of such folders."""
    inside = _folders(folder)
    return any(_pictures(one) or any(map(_pictures, _folders(one))) for one in inside)


def _read(path: Path) -> np.ndarray:
    """Return one picture in shades of grey (uint8)."""
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("L"))
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError) as error:
        # Pillow's own kinds of damage are all of these.
        raise ConfigError(str(path), f"expected a picture, got: {error}") from None
    except Image.DecompressionBombError as error:
        raise ConfigError(str(path), f"expected a small picture, got: {error}") from None


def _part(folder: Path) -> Part:
    """Return the pictures of the classes in a folder."""
    images: list[np.ndarray] = []
    labels: list[str] = []
    for one in _folders(folder):
        for path in _pictures(one):
            image = _read(path)
            if images and image.shape != images[0].shape:
                (height, width), (rows, cols) = images[0].shape, image.shape
                raise ConfigError(
                    str(path),
                    f"expected {height}x{width} pixels (height x width) as all before, "
                    f"got {rows}x{cols}",
                )
            images.append(image)
            labels.append(one.name)
    if not images:
        raise ConfigError(
            str(folder), f"expected folders of pictures, one a class ({', '.join(SUFFIXES)})"
        )
    return Part(np.stack(images), np.array(labels), folder.name, "classes")


def read_picture_folder(folder: Path) -> Raw:
    """Return the data set of a folder of pictures in shades of grey; classes are the folders."""
    inside = {path.name.lower(): path for path in _folders(folder)}
    train = next((inside[name] for name in TRAINS if name in inside), None)
    if train is None:
        return Raw(_part(folder), None)
    test = next((inside[name] for name in TESTS if name in inside), None)
    return Raw(_part(train), _part(test) if test is not None else None)
