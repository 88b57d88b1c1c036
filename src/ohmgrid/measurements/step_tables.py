"""Measured distributions of steps as files (lookup tables of SET and RESET): a `TableStep`.

A file is one direction, in commas, semicolons, tabs or blanks::

    any text
    conductances of the bins, in siemens, rising
    points of the cumulative distribution, 0..1, rising
    a row for each point: the change of conductance, in siemens, of every bin

The range of the device is that of the bins; between bins and between points lie straight lines.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ohmgrid.devices.laws import DRAWS, ROOMS
from ohmgrid.devices.table_step import TableStep
from ohmgrid.doors.checks import ConfigError, parse_float, shown
from ohmgrid.doors.schema import read_text
from ohmgrid.measurements.candidates import CALM

__all__ = ["StepTables", "are_step_tables", "read_step_tables"]

SUFFIXES = (".txt", ".csv", ".tsv", ".dat")
"""Files of a folder that are looked at."""
RECIPE = (
    "a line of text, a line of conductance bins, a line of CDF points, then a row of dG for each "
    "point with a value for each bin"
)
DIGITS = 5
"""Decimals of a step in ``dw_min`` that are kept: finer than an engine's table."""
LARGEST = 100.0
"""Largest step in ``dw_min`` that a `TableStep` holds."""


class _Table(NamedTuple):
    """One direction, as read."""

    path: Path
    conductance: np.ndarray
    """Of the bins, siemens, float64, shape (bins,)."""
    points: np.ndarray
    """Of the cumulative distribution, float64, shape (points,)."""
    change: np.ndarray
    """Siemens, float64, shape (points, bins)."""

    def steps(self, conductances: np.ndarray) -> np.ndarray:
        """Return the means of `DRAWS` equally likely parts: shape (conductances, DRAWS)."""
        edges = np.linspace(0.0, 1.0, DRAWS + 1)
        every = np.union1d(self.points, edges)
        found = []
        for column in self.change.T:
            heights = np.interp(every, self.points, np.sort(column))
            areas = np.diff(every) * (heights[1:] + heights[:-1]) / 2
            total = np.concatenate([[0.0], np.cumsum(areas)])
            found.append(np.diff(np.interp(edges, every, total)) * DRAWS)
        columns = np.array(found).T
        return np.array([np.interp(conductances, self.conductance, part) for part in columns]).T


class StepTables(NamedTuple):
    """Two lookup tables as one device."""

    device: TableStep
    low: float
    """Conductance of the weight -1, siemens."""
    high: float
    """Of the weight 1."""


def read_step_tables(*paths: Path) -> StepTables:
    """Return the device of two lookup tables, one for each direction, and its range.

    Weights are conductances scaled so that the lowest bin of both is -1 and the highest 1.
    ``dw_min`` is the mean step of both directions in the middle of that range. Which file raises
    the conductance is read from its numbers. Nothing is known of how devices differ: all are alike.

    Parameters
    ----------
    *paths : Path
        A folder with two files, or both files.

    Raises
    ------
    ConfigError
        If a file cannot be read as such a table, or both are not one device.
    """
    tables = _tables(paths)
    low, high = _range(tables)
    half = (high - low) / 2
    places = np.linspace(low, high, ROOMS)
    up, down = tables[0].steps(places) / half, -tables[1].steps(places) / half
    centre = slice(ROOMS // 2 - 1, ROOMS // 2 + 1)
    middle = [float(steps[centre].mean()) for steps in (up, down)]
    for table, mean, word in zip(tables, middle, ("raise", "lower"), strict=True):
        if not mean > 0:
            raise ConfigError(
                str(table.path),
                f"expected one file whose steps {word} the conductance in the middle of the range, "
                f"and one for the other direction; its mean step there is {abs(mean) * half:.3g} S "
                "the other way",
            )
    dw_min = sum(middle) / 2
    if (most := max(np.abs(up).max(), np.abs(down).max()) / dw_min) > LARGEST:
        raise ConfigError(
            ", ".join(str(table.path) for table in tables),
            f"expected steps of at most {LARGEST:g} times the mean step in the middle of the range "
            f"({dw_min * half:.3g} S), got {most:.4g} times as much",
        )

    def rows(steps: np.ndarray) -> tuple[tuple[float, ...], ...]:
        kept = np.round(np.sort(steps, axis=1) / dw_min, DIGITS) + 0.0
        return tuple(tuple(row) for row in kept.tolist())

    try:
        device = TableStep(
            **CALM, dw_min=dw_min, w_max=1.0, w_min=-1.0,
            table_up=rows(up), table_down=rows(down),
        )  # fmt: skip
    except ConfigError as error:
        raise error.at(f"{tables[0].path}: no device has such steps") from None
    return StepTables(device, low, high)


def are_step_tables(*paths: Path) -> bool:
    """Return whether `read_step_tables` is meant: a folder, or two files that look like tables.

    Two files may also be the branches of a course; a table has many numbers in each of its lines.
    """
    if len(paths) == 1:
        return paths[0].is_dir()
    return len(paths) == 2 and all(_many_columns(path) for path in paths)


def _many_columns(path: Path) -> bool:
    lines = [line for line in read_text(path).splitlines() if line.strip()]
    return len(lines) > 3 and all(len(_words(line)) > 4 for line in lines[1:4])


def _words(line: str) -> list[str]:
    return [word for word in re.split(r"[\s,;]+", line) if word]


def _tables(paths: Sequence[Path]) -> list[_Table]:
    """Return both directions, the one that raises the conductance first."""
    return sorted((_read(path) for path in _files(paths)), key=lambda table: -table.change.mean())


def _range(tables: list[_Table]) -> tuple[float, float]:
    low = min(float(table.conductance[0]) for table in tables)
    return low, max(float(table.conductance[-1]) for table in tables)


def _files(paths: Sequence[Path]) -> list[Path]:
    """Return the two files; raise `ConfigError` unless there are two."""
    found = list(paths)
    if len(found) == 1 and found[0].is_dir():
        try:
            every = sorted(found[0].iterdir())
        except OSError as error:
            raise ConfigError(str(found[0]), f"cannot be read: {error.strerror}") from None
        found = [path for path in every if path.suffix.lower() in SUFFIXES]
    if len(found) != 2:
        names = ", ".join(path.name for path in found)
        raise ConfigError(
            ", ".join(map(str, paths)),
            "expected two lookup tables (a folder of dG_increasing.txt and dG_decreasing.txt, or "
            f"both files), got {shown(names) if names else 'none'}; each is {RECIPE}",
        )
    return found


def _read(path: Path) -> _Table:
    """Read one direction; errors name the file and the line."""
    lines = [
        (number, _words(line))
        for number, line in enumerate(read_text(path).splitlines(), 1)
        if line.strip()
    ]
    if len(lines) < 5:
        raise ConfigError(
            str(path), f"expected a lookup table of steps, got {len(lines)} lines; it is {RECIPE}"
        )
    rows = [_numbers(path, number, words) for number, words in lines[1:]]
    (bins_line, bins), (points_line, points) = (
        (lines[index + 1][0], rows[index]) for index in range(2)
    )
    _rising(path, bins_line, "conductance bins in siemens", bins, 2)
    _rising(path, points_line, "CDF points", points, 2)
    if points[0] < 0 or points[-1] > 1:
        raise ConfigError(
            f"{path}: line {points_line}",
            f"expected CDF points of 0..1, got {points[0]:g}..{points[-1]:g}",
        )
    matrix = rows[2:]
    for (number, _), row in zip(lines[3:], matrix, strict=True):
        if len(row) != len(bins):
            raise ConfigError(
                f"{path}: line {number}",
                f"expected {len(bins)} changes of conductance, one for each bin, got {len(row)}",
            )
    if len(matrix) != len(points):
        raise ConfigError(
            str(path),
            f"expected {len(points)} rows of changes, one for each CDF point, got {len(matrix)}",
        )
    return _Table(path, *(np.array(part) for part in (bins, points, matrix)))


def _numbers(path: Path, number: int, words: list[str]) -> list[float]:
    values = [parse_float(f"{path}: line {number}", word) for word in words]
    # No conductance is so large; the squares and sums of such numbers are floats still.
    if not all(abs(value) < 1e6 for value in values):
        raise ConfigError(f"{path}: line {number}", "expected finite numbers in siemens")
    return values


def _rising(path: Path, number: int, what: str, values: list[float], fewest: int) -> None:
    if len(values) < fewest or not all(np.diff(values) > 0):
        raise ConfigError(
            f"{path}: line {number}",
            f"expected at least {fewest} {what}, rising, got {shown(values)}",
        )
