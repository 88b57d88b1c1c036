"""Matrices of networks with delay: ring, all-inhibitory, random, Hopfield, from a file.

All but those from a file are scaled so that the magnitudes of no row add up to more than 1.
"""

from pathlib import Path

import numpy as np

from ohmgrid.doors.arrays import load_arrays
from ohmgrid.doors.checks import ConfigError, check_int, parse_float
from ohmgrid.doors.schema import read_bytes
from ohmgrid.model.base.noise import cell_words, op_key, seed_key
from ohmgrid.model.periphery.lines import key_halves
from ohmgrid.registers.noise import Purpose, Verb
from ohmgrid.studies.retention import normals
from ohmgrid.systems import MOST_UNITS

__all__ = [
    "NETS",
    "all_inhibitory",
    "hopfield",
    "normal_cells",
    "random_patterns",
    "random_symmetric",
    "read_matrix",
    "ring",
    "signs",
]

NETS = ("ring", "inhibitory", "random", "hopfield")
"""Names of nets that need no file."""
DRAWN_TILE = 0
MATRIX, PATTERNS = 1, 2
"""Steps of `Verb.INIT` that matrices and patterns are drawn from; 0 is a tile's first weights."""


def _scaled(matrix: np.ndarray) -> np.ndarray:
    largest = np.abs(matrix).sum(axis=1).max()
    return matrix / largest if largest else matrix


def ring(count: int) -> np.ndarray:
    """Return a one-way ring in which the last neuron inhibits the first: ``J^count = -1``."""
    check_int("neurons", count, 1, MOST_UNITS)
    matrix = np.roll(np.eye(count), 1, axis=0)
    matrix[0, -1] = -1.0
    return matrix


def all_inhibitory(count: int) -> np.ndarray:
    """Return equal inhibition between all: ``-1 / (count - 1)``; one neuron inhibits itself."""
    check_int("neurons", count, 1, MOST_UNITS)
    return -np.ones((1, 1)) if count == 1 else _scaled(np.eye(count) - 1.0)


def normal_cells(seed: int, rows: int, cols: int, step: int) -> np.ndarray:
    """Return standard normals, hashed from seed and place (float64, shape (rows, cols))."""
    return normals(op_key(seed_key(seed), Verb.INIT, DRAWN_TILE, step), rows, cols, 0)[0, 0]


def random_symmetric(count: int, seed: int) -> np.ndarray:
    """Return a symmetric matrix of normals, 0 on its diagonal."""
    check_int("neurons", count, 2, MOST_UNITS)
    drawn = np.triu(normal_cells(seed, count, count, MATRIX), 1)
    return _scaled(drawn + drawn.T)


def signs(seed: int, rows: int, cols: int, step: int) -> np.ndarray:
    """Return -1 and 1, equally likely, hashed from seed and place (float64)."""
    key = op_key(seed_key(seed), Verb.INIT, DRAWN_TILE, step)
    row, _ = key_halves(key, Purpose.ROW, rows, 0)
    col, _ = key_halves(key, Purpose.COLUMN, cols, 0)
    return 2.0 * (cell_words(row[:, None], col[None, :]) & 1) - 1.0


def random_patterns(count: int, neurons: int, seed: int) -> np.ndarray:
    """Return random patterns of -1 and 1 (float64, shape (count, neurons))."""
    check_int("patterns", count, 1, MOST_UNITS)
    check_int("neurons", neurons, 2, MOST_UNITS)
    return signs(seed, count, neurons, PATTERNS)


def hopfield(patterns: np.ndarray) -> np.ndarray:
    """Return the matrix of patterns, ``sum_p x_p x_p^T`` without its diagonal, scaled."""
    product = patterns.T @ patterns
    return _scaled(product - np.diag(np.diag(product)))


def read_matrix(path: Path) -> np.ndarray:
    """Return the matrix of a file: numbers in CSV, a row a line, or the only array of an NPZ.

    Raises
    ------
    ConfigError
        It cannot be read, or holds something else.
    """
    if path.suffix == ".npz":
        arrays = load_arrays(path, lambda names: names)
        if len(arrays) != 1:
            raise ConfigError(str(path), f"expected one array, got {len(arrays)}")
        (matrix,) = arrays.values()
        return matrix.astype(np.float64)
    if path.suffix != ".csv":
        raise ConfigError("net", f"expected {', '.join(NETS)}, FILE.csv or FILE.npz, got {path}")
    try:
        text = read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), f"expected numbers, got: {error}") from None
    rows = [
        [parse_float(f"{path}: line {number}", cell.strip()) for cell in line.split(",")]
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip()
    ]
    if not rows or len({len(row) for row in rows}) > 1:
        raise ConfigError(str(path), "expected rows of as many numbers each")
    return np.array(rows, np.float64)
