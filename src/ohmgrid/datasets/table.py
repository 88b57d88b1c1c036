"""Tables of numbers with a label in each row: CSV files and their like.

Separators are commas, semicolons (then numbers may have decimal commas), tabs or blanks. A first
row of names is recognised. The labels are the column that ``--label`` names (``first``, ``last`` or
its name), else one with a usual name, the only one that holds texts, or the only one of the first
and the last that can be one: whole numbers, few of them.
"""

import csv
import math
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ohmgrid.datasets.raw import Part, Raw
from ohmgrid.doors.checks import ConfigError, shown

__all__ = ["Table", "read_table", "read_table_folder", "table_part"]

MOST_BYTES = 1 << 31
MOST_CLASSES = 256
"""Different labels of a column that nobody named."""
LEAST_SQUARE = 49
"""Columns from which on whole numbers of 0..255 in a square number are an image's: 7 x 7."""
LABELS = ("label", "labels", "class", "target", "species", "y", "digit", "category", "variety")
"""Usual names of the column with the labels."""
NUMBERS = ("id", "index", "", "unnamed: 0", "row")
"""Usual names of a column that only numbers the rows."""


@dataclass
class Table:
    """Columns of a file."""

    path: Path
    names: list[str]
    """Of the columns; empty without a first row of names."""
    columns: int
    text: int | None
    """The column that holds texts."""
    texts: list[str] = field(default_factory=list)
    values: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    """float64, shape (rows, columns); 0 in the column of texts."""

    def called(self, column: int) -> str:
        """Return what a message calls a column."""
        return shown(self.names[column]) if self.names else f"column {column + 1}"


class _Line(NamedTuple):
    number: int
    fields: list[str]


def _number(text: str) -> float | None:
    """Return a field as a number; None where it is none."""
    try:
        # Python's own forms (1_0, Arabic digits) are none.
        return float(text) if text.isascii() and "_" not in text else None
    except ValueError:
        return None


def _lines(path: Path) -> Iterator[_Line]:
    """Yield the fields of each line that is not blank."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ConfigError(str(path), f"expected at most {MOST_BYTES} bytes")
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = next((line for line in file if line.strip()), "")
            file.seek(0)
            # Beside semicolons and tabs, commas are decimal ones.
            separator = next((one for one in ";\t," if one in first), None)
            if separator is not None:
                reader = csv.reader(file, delimiter=separator, strict=True, skipinitialspace=True)
                for fields in reader:
                    if any(one.strip() for one in fields):
                        yield _Line(reader.line_num, [one.strip() for one in fields])
            else:
                for number, line in enumerate(file, 1):
                    if line.strip():
                        yield _Line(number, line.split())
    except UnicodeDecodeError:
        raise ConfigError(
            str(path), "expected a table as UTF-8 text, got other bytes; save it as CSV (UTF-8)"
        ) from None
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}") from None
    except csv.Error as error:
        raise ConfigError(str(path), f"expected a table of fields, got: {error}") from None


def _is_head(fields: list[str]) -> bool:
    """Return whether the fields of a first line are names of columns."""
    if any(one.lower() in LABELS for one in fields):
        return True
    texts = sum(_number(_point(one, True)) is None for one in fields)
    return texts > 1 and 2 * texts > len(fields)


def _parse(path: Path) -> Table:
    """Return all columns of a file."""
    lines = _lines(path)
    first = next(lines, None)
    if first is None:
        raise ConfigError(str(path), "expected a table with a label in each row, got an empty file")
    names = first.fields if _is_head(first.fields) else []
    row = next(lines, None) if names else first
    if row is None:
        raise ConfigError(str(path), "expected rows below the names of the columns, got none")
    # A file with semicolons may have decimal commas.
    comma = not any("." in one for one in row.fields) and len(row.fields) > 1
    columns = len(first.fields)
    texts = [column for column, one in enumerate(row.fields) if _number(_point(one, comma)) is None]
    if len(texts) > 1:
        raise ConfigError(
            str(path),
            f"line {row.number}: expected numbers, and texts in the column of the labels alone, "
            f"got {shown(row.fields[texts[0]])} and {shown(row.fields[texts[1]])}",
        )
    table = Table(path, names, columns, texts[0] if texts else None)
    values = array("d")
    while row is not None:
        _add(table, row, values, comma)
        row = next(lines, None)
    table.values = np.frombuffer(values, np.float64).reshape(-1, columns)
    return table


def _point(text: str, comma: bool) -> str:
    return text.replace(",", ".") if comma and "," in text else text


def _add(table: Table, row: _Line, values: array, comma: bool) -> None:
    """Add a row to the columns."""
    if len(row.fields) != table.columns:
        raise ConfigError(
            str(table.path),
            f"line {row.number}: expected {table.columns} fields as in the first line, "
            f"got {len(row.fields)}",
        )
    fields = row.fields
    if table.text is not None:
        table.texts.append(fields[table.text])
        fields = [*fields[: table.text], "0", *fields[table.text + 1 :]]
    together = "".join(fields)
    if together.isascii() and "_" not in together:
        try:
            # The usual row in one go.
            values.extend([float(one) for one in fields])
            return
        except ValueError:
            pass
    for column, one in enumerate(fields):
        number = _number(_point(one, comma))
        if number is None:
            raise ConfigError(
                str(table.path),
                f"line {row.number}: expected a number in {table.called(column)}, got {shown(one)}",
            )
        values.append(number)


def _whole(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).all() and (values == np.floor(values)).all())


def _is_class(values: np.ndarray) -> bool:
    """Return whether a column can be one of labels: few whole numbers, each more than once."""
    if not _whole(values) or values.min() < 0:
        return False
    kinds = len(np.unique(values))
    return 2 <= kinds <= min(MOST_CLASSES, max(2, len(values) // 2))


def _label_column(table: Table, label: str) -> int:
    """Return the column of the labels; raise `ConfigError` where it cannot be told."""
    lower = [name.lower() for name in table.names]
    if label:
        if label in table.names:
            return table.names.index(label)
        if label in ("first", "last"):
            return 0 if label == "first" else table.columns - 1
        known = ", ".join(["first", "last", *table.names[:20]])
        raise ConfigError("label", f"expected one of {shown(known)}, got {shown(label)}")
    named = [column for column, name in enumerate(lower) if name in LABELS]
    if len(named) == 1:
        return named[0]
    if table.text is not None:
        return table.text
    ends = [column for column in (0, table.columns - 1) if _is_class(table.values[:, column])]
    if len(ends) == 1 and table.columns > 1:
        return ends[0]
    raise ConfigError(
        str(table.path),
        "cannot tell which column holds the labels; name it with --label first, last or its name",
    )


def _inputs(table: Table, without: int | None) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the columns of inputs, and a note if one that only numbers the rows is left out.

    Whole numbers are int64; a square number of them in 0..255 are images.
    """
    chosen = [column for column in range(table.columns) if column != without]
    notes: tuple[str, ...] = ()
    for column in chosen[:1] if table.names else []:
        steps = np.diff(table.values[:, column])
        if table.names[column].lower() in NUMBERS and len(steps) and (steps == 1).all():
            chosen = chosen[1:]
            notes = (
                f"{table.called(column)} only numbers the rows of {table.path.name}: left out",
            )
    if table.text in chosen:
        raise ConfigError(
            str(table.path),
            f"expected numbers in {table.called(table.text)}, got {shown(table.texts[0])}",
        )
    if not chosen:
        raise ConfigError(str(table.path), "expected columns of inputs beside the labels, got none")
    values = table.values[:, chosen]
    if not _whole(values) or np.abs(values).max() > 2**31:
        return values, notes
    values, side = values.astype(np.int64), math.isqrt(len(chosen))
    image = side * side == len(chosen) >= LEAST_SQUARE and 0 <= values.min() <= values.max() <= 255
    return values.reshape(-1, side, side) if image else values, notes


def _never(columns: int) -> bool:
    return False


def table_part(
    table: Table, label: str, bare: Callable[[int], bool] = _never
) -> tuple[Part, tuple[str, ...]]:
    """Return the examples of a table, and notes.

    Parameters
    ----------
    table : Table
    label : str
        ``first``, ``last``, a column's name, or empty.
    bare : callable, optional
        Says of a number of columns whether a table has inputs alone, and no labels.
    """
    name = table.path.name
    if not label and bare(table.columns):
        images, notes = _inputs(table, None)
        return Part(images, None, name, "labels"), notes
    column = _label_column(table, label)
    images, notes = _inputs(table, column)
    labels = np.array(table.texts) if column == table.text else table.values[:, column]
    return Part(images, labels, name, f"labels of {name} ({table.called(column)})"), notes


def read_table(path: Path, label: str = "", bare: Callable[[int], bool] = _never) -> Raw:
    """Return the data set of one table; see `table_part`."""
    part, notes = table_part(_parse(path), label, bare)
    return Raw(part, None, notes)


def read_table_folder(folder: Path, label: str = "") -> Raw:
    """Return the data set of ``train.csv`` and, if it has labels, ``test.csv`` in a folder."""
    table = _parse(folder / "train.csv")
    train, notes = table_part(table, label)
    path = folder / "test.csv"
    if not path.exists():
        return Raw(train, None, notes)
    other = _parse(path)
    if other.columns == table.columns - 1:
        note = "test.csv has no labels: it is for `ohmgrid test RUN --data test.csv --predictions`"
        return Raw(train, None, (*notes, note))
    test, _ = table_part(other, label)
    return Raw(train, test, notes)
