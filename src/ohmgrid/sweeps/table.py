"""The tables of a sweep: a row for each run that is done, and one for each that failed.

Rows are added at the end, each written at once: whoever is killed loses none. A row that was cut
off is left out and made again.
"""

import csv
import fcntl
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ohmgrid.doors.checks import ConfigError

__all__ = ["ResultTable", "read_results"]


def _line(values: Sequence[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue()


class ResultTable:
    """A CSV file that rows are added to by one process at a time; a context.

    Parameters
    ----------
    path : Path
    columns : sequence of str
        The first is the name by which a row is known.

    Raises
    ------
    ConfigError
        If the file has other columns, or another process adds to it.

    Attributes
    ----------
    known : set of str
        Names of the rows that are there.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path, self.columns, self.known = path, list(columns), set[str]()

    def __enter__(self) -> "ResultTable":
        self._file = self.path.open("a+", encoding="utf-8", newline="")
        try:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ConfigError(
                    "out", f"{self.path} is another sweep's at work; name another folder"
                ) from None
            self._take_over()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def _take_over(self) -> None:
        """Read what is there, and cut off a row that was never finished."""
        self._file.seek(0)
        text = self._file.read()
        whole = text[: text.rfind("\n") + 1]
        if len(whole) < len(text):
            self._file.truncate(len(whole.encode()))
        if not whole:
            self._write(self.columns)
            return
        head, *rows = csv.reader(io.StringIO(whole))
        if head != self.columns:
            raise ConfigError(
                str(self.path),
                f"expected the columns of this sweep, {', '.join(self.columns)}; "
                f"got {', '.join(head)}",
            )
        self.known = {row[0] for row in rows}

    def _write(self, values: Sequence[Any]) -> None:
        self._file.write(_line(values))
        self._file.flush()
        os.fsync(self._file.fileno())

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a row; a column that it does not have stays empty."""
        self.known.add(str(row[self.columns[0]]))
        self._write([row.get(name, "") for name in self.columns])


def read_results(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table by column, as text.

    Raises
    ------
    ConfigError
        If it cannot be read.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(str(path), f"expected a sweep's table: {error}") from None
