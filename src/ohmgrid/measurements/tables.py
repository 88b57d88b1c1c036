"""Text to table: separators, decimal commas, lines before the data, heads, blank cells.

What a column means is not known here, but for the words that make a line a head.
"""

import csv
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ohmgrid.doors.checks import ConfigError, check_float, parse_float, shown
from ohmgrid.doors.schema import read_bytes

__all__ = ["LARGEST", "Table", "read_table"]

LARGEST = 1e100
"""Largest magnitude of a number: its square is a float still."""
MOST_BYTES = 64 << 20
"""Largest file: a million pulses are about 20 MB."""
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+(?:[eE][+-]?[0-9]+)?")
_COMMENT = ("#", "%", "//")
_CODINGS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


class Table(NamedTuple):
    """Cells of a file."""

    names: tuple[str, ...]
    """Names of the columns; empty without a head."""
    lines: tuple[int, ...]
    """Line of each row in the file, from 1."""
    rows: tuple[tuple[str, ...], ...]
    """Cells, without blanks around them; as many in each row."""
    before: int
    """Lines before the head, or before the first row, that are no data."""

    def number(self, row: int, column: int, name: str) -> float:
        """Return a cell as a finite number; errors begin with its line."""
        try:
            return number(name, self.rows[row][column])
        except ConfigError as error:
            raise error.at(f"line {self.lines[row]}") from None


def _text(path: Path) -> str:
    """Return a file's text; raise `ConfigError` with the way out where it cannot be read."""
    content = read_bytes(path, MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ConfigError(str(path), f"expected at most {MOST_BYTES >> 20} MB of text, got more")
    coding = _CODINGS.get(content[:2], "LATIN1")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if coding == "LATIN1" and ("\0" in text) and b"\0" in content:
        raise ConfigError(str(path), "cannot be read: expected text, got a binary file")
    if "\0" in text:
        raise ConfigError(
            str(path),
            f"cannot be read: not UTF-8 text; iconv -f {coding} -t UTF-8 FILE > NEW makes it so",
        )
    return text


def number(name: str, text: str) -> float:
    """Return a finite number of a cell, with a decimal point or a decimal comma."""
    if _DECIMAL_COMMA.fullmatch(text):
        text = text.replace(",", ".")
    value = parse_float(name, text)
    check_float(name, value, -LARGEST, LARGEST)
    return value


def _numeric(text: str) -> bool:
    try:
        number("", text)
    except ConfigError:
        return False
    return True


def _cells(line: str, separator: str) -> tuple[str, ...]:
    """Return the cells of a line; raise `csv.Error` where quotes are wrong."""
    if separator == " ":
        return tuple(line.split())
    reader = csv.reader([line], delimiter=separator, skipinitialspace=True, strict=True)
    return tuple(cell.strip() for cell in next(reader))


def _separator(lines: Sequence[tuple[int, str]]) -> str:
    """Return what separates the cells of the file's last lines; a blank where there is one cell."""
    tail = [line for _, line in lines[len(lines) // 2 :]][-200:]
    for separator in ("\t", ";"):
        if sum(separator in line for line in tail) * 2 > len(tail):
            return separator
    if sum("," in line for line in tail) * 2 <= len(tail):
        return " "
    # Numbers with decimal commas between blanks: no comma is followed by a blank then.
    blanks = sum(
        len(cells := line.split()) > 1 and all(map(_numeric, cells)) and "," in line
        for line in tail
    )
    return " " if blanks * 2 > len(tail) else ","


def _start(
    cells: Sequence[tuple[str, ...]], is_head: Callable[[Sequence[str]], bool]
) -> tuple[int, int]:
    """Return indices of the head (-1: none) and of the first row."""
    for k, row in enumerate(cells[:-1]):
        after = cells[k + 1]
        words = not any(map(_numeric, row))
        if words and is_head(row) and len(after) >= len(row) and any(map(_numeric, after)):
            return k, k + 1
    for k, row in enumerate(cells):
        known = [cell for cell in row if cell]
        if not known or not all(map(_numeric, known)):
            continue
        after = cells[k + 1] if k + 1 < len(cells) else row
        if not any(map(_numeric, after)):
            continue
        head = k - 1 if k and not any(map(_numeric, cells[k - 1])) else -1
        if head >= 0 and len(cells[head]) != len(row):
            head = -1
        return head, k
    return -1, len(cells)


def _check_widths(rows: Sequence[tuple[int, tuple[str, ...]]], names: tuple[str, ...]) -> None:
    """Raise `ConfigError` unless all rows have as many cells as the head, or as most rows."""
    widths = Counter(len(row) for _, row in rows)
    width = len(names) or widths.most_common(1)[0][0]
    for line, row in rows:
        if len(row) != width:
            way = ""
            if len(row) > width:
                way = " (decimal commas need semicolons or tabs between the columns)"
            raise ConfigError(f"line {line}", f"expected {width} values, got {len(row)}{way}")


def read_table(path: Path, is_head: Callable[[Sequence[str]], bool]) -> Table:
    """Read a file of numbers as a table.

    Parameters
    ----------
    path : Path
    is_head : callable
        Whether cells without a number name the columns.

    Raises
    ------
    ConfigError
        With the file, and the line that is wrong.
    """
    text = _text(path)
    try:
        return _parse(text, is_head)
    except ConfigError as error:
        raise error.at(path) from None


def _parse(text: str, is_head: Callable[[Sequence[str]], bool]) -> Table:
    lines = [
        (k, line)
        for k, line in enumerate(re.split(r"\r\n|\n|\r", text), 1)
        if line.strip() and not line.lstrip().startswith(_COMMENT)
    ]
    if not lines:
        raise ConfigError("content", "expected a table of measured pulses, got nothing")
    separator = _separator(lines)
    cells: list[tuple[str, ...]] = []
    wrong: dict[int, str] = {}
    for k, (_, line) in enumerate(lines):
        try:
            cells.append(_cells(line, separator))
        except csv.Error as error:
            # Before the data it is a remark, which needs no closed quotes.
            wrong[k] = str(error)
            cells.append((line,))
    head, first = _start(cells, is_head)
    named = next((k for k, row in enumerate(cells) if len(row) > 1 and is_head(row)), len(cells))
    for k, problem in wrong.items():
        if k > min(first - 1, named) or first == len(cells):
            raise ConfigError(f"line {lines[k][0]}", f"expected a table, got: {problem}")
    if first == len(cells):
        raise ConfigError(
            f"line {lines[0][0]}",
            "expected numbers in columns, as pulse,conductance on the first line and 1,2.5e-6 on "
            f"the next, got {shown(lines[0][1].strip())}",
        )
    names = cells[head] if head >= 0 else ()
    rows = [(lines[k][0], cells[k]) for k in range(first, len(cells))]
    # A separator at the end of each line makes an empty column.
    while all(len(row) > 1 and not row[-1] for _, row in rows) and (
        not names or len(names) < len(rows[0][1]) or not names[-1]
    ):
        names = names[: len(rows[0][1]) - 1]
        rows = [(line, row[:-1]) for line, row in rows]
    if separator in "\t;":
        width = len(names) or max(len(row) for _, row in rows)
        # Spreadsheets leave out the blank cells at the end of a line.
        rows = [(line, row + ("",) * (width - len(row))) for line, row in rows]
    _check_widths(rows, names)
    return Table(
        tuple(names),
        tuple(line for line, _ in rows),
        tuple(row for _, row in rows),
        lines[head if head >= 0 else first][0] - 1,
    )
