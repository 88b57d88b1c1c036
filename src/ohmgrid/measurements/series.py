"""Tables to series: the values of one device, cycle and branch, in the order of the file."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ohmgrid.doors.checks import ConfigError, shown
from ohmgrid.measurements.columns import Column, Unit, column, direction, unit_named
from ohmgrid.measurements.tables import Table
from ohmgrid.measurements.turns import REVERSAL, trend

__all__ = ["Hints", "Series", "Sheet", "read_sheet"]

ORDER = ("conductance", "resistance", "current", "counts", "weight", "value", "")
"""Of several quantities the first is taken."""
LARGEST_SIEMENS = 1e-3
"""A cell's conductance is below this; values of other units are above it."""


@dataclass(frozen=True)
class Hints:
    """What a user says of a file; empty where the file is to tell."""

    column: tuple[str, ...] = ()
    """Columns of values: one, or one for each device."""
    unit: str = ""
    up: str = ""
    """Column of the up branch, or number of up pulses."""
    down: str = ""
    positive: str = ""
    """What pulses of positive voltage do: ``up`` or ``down``."""
    steps: bool = False
    """The two columns are steps on equal bins of the weight."""


@dataclass(frozen=True)
class Series:
    """Values of a column, in the order of the file; arrays of shape (values,)."""

    values: np.ndarray
    """Conductances, or what is proportional to them."""
    lines: np.ndarray
    """Line of each value in the file."""
    up: bool | None = None
    """The branch that the column's or the file's name says."""
    device: str = ""
    cycle: str = ""
    pulses: np.ndarray | None = None
    """Pulse numbers."""
    directions: np.ndarray | None = None
    """1 for an up pulse, 0 for a down pulse."""
    amplitudes: np.ndarray | None = None
    """Volts of each pulse."""

    def take(self, chosen: np.ndarray) -> "Series":
        """Return some of the values, or all in another order."""
        helpers = {
            name: None if (array := getattr(self, name)) is None else array[chosen]
            for name in ("pulses", "directions", "amplitudes")
        }
        return replace(self, values=self.values[chosen], lines=self.lines[chosen], **helpers)


@dataclass(frozen=True)
class Sheet:
    """What a table holds."""

    series: tuple[Series, ...]
    unit: str
    notes: tuple[str, ...] = field(default=())
    """Parts of the line that says the reading back."""
    steps: bool = False
    """The values are steps, not courses."""


def _find(names: Sequence[str], wanted: str, option: str) -> int:
    """Return the index of a column that an option names, by name or number."""
    for k, name in enumerate(names):
        if name.strip().lower() == wanted.strip().lower():
            return k
    if wanted.isdigit() and 1 <= int(wanted) <= len(names):
        return int(wanted) - 1
    raise ConfigError(option, f"expected one of the columns {_listed(names)}, got {shown(wanted)}")


def _listed(names: Sequence[str]) -> str:
    return shown(", ".join(names))


def _numbers(table: Table, at: int, name: str) -> tuple[np.ndarray, np.ndarray, int]:
    """Return values of a column, their rows, and how many blank cells lie between them."""
    cells = [row[at] for row in table.rows]
    known = [k for k, cell in enumerate(cells) if cell]
    values = [table.number(k, at, name) for k in known]
    commas = [k for k in known if "," in cells[k]]
    points = [k for k in known if "." in cells[k]]
    if commas and points:
        raise ConfigError(
            f"line {table.lines[max(commas[0], points[0])]}: {name}",
            "expected decimal points or decimal commas, got both in one column",
        )
    blank = known[-1] - known[0] + 1 - len(known) if known else 0
    return np.array(values), np.array(known, int), blank


def _convert(values: np.ndarray, unit: Unit, lines: np.ndarray, name: str) -> np.ndarray:
    """Return conductances."""
    if unit.inverse:
        wrong = np.flatnonzero(values <= 0)
        if len(wrong):
            raise ConfigError(
                f"line {lines[wrong[0]]}: {name}",
                f"expected a resistance above 0, got {values[wrong[0]]:g}",
            )
        return 1 / (unit.factor * values)
    return unit.factor * values


def _unit(name: str, said: Column, hint: str) -> tuple[Unit, str]:
    """Return the unit of a column, and how the reading back names it."""
    if hint:
        unit = unit_named("unit", hint)
    elif said.unit:
        unit = unit_named(name, said.unit)
    elif said.quantity == "resistance":
        unit = Unit(1.0, "S", inverse=True)
    elif said.quantity == "counts":
        unit = Unit(1.0, "counts")
    else:
        return Unit(1.0, ""), ""
    return unit, "ohm turned into siemens" if unit.inverse else ""


def _is_index(values: np.ndarray) -> bool:
    """Return whether a column without a name counts pulses."""
    steps = np.diff(values)
    return len(values) > 1 and bool(abs(steps[0]) == 1 and (steps == steps[0]).all())


def _unnamed(table: Table) -> tuple[list[str], list[Column]]:
    """Return names and meanings of columns without a head."""
    names = [f"column {k + 1}" for k in range(len(table.rows[0]))]
    first, _, _ = _numbers(table, 0, names[0])
    lead = [Column("pulse")] if len(names) > 1 and _is_index(first) else []
    left = len(names) - len(lead)
    if left == 1:
        return names, [*lead, Column("value")]
    if left == 2:
        return names, [*lead, Column("value", up=True), Column("value", up=False)]
    return names, [Column("")] * len(names)


def _chosen(
    names: Sequence[str], columns: Sequence[Column], hints: Hints
) -> tuple[dict[int, Column], list[str]]:
    """Return the columns of values, and which were left out."""
    if hints.up and hints.down and not (hints.up.isdigit() and hints.down.isdigit()):
        return {
            _find(names, hints.up, "up"): _of_branch(columns, names, hints.up, "up", True),
            _find(names, hints.down, "down"): _of_branch(columns, names, hints.down, "down", False),
        }, []
    if hints.column:
        found = {}
        for wanted in hints.column:
            at = _find(names, wanted, "column")
            group = names[at] if len(hints.column) > 1 else ""
            found[at] = columns[at]._replace(kind="value", group=group, of_device=bool(group))
        return found, []
    values = {k: c for k, c in enumerate(columns) if c.kind in ("value", "step")}
    if not values:
        lone = [k for k, c in enumerate(columns) if c.kind == "amplitude"]
        others = [c for c in columns if c.kind not in ("amplitude", "pulse")]
        if len(lone) == 1 and not others:
            # Volts of a cell that holds a charge.
            return {lone[0]: columns[lone[0]]._replace(kind="value")}, []
        raise ConfigError(
            "column",
            f"expected a column of conductances, currents or resistances among {_listed(names)}; "
            "--column NAME says which",
        )
    quantity = next(q for q in ORDER if any(c.quantity == q for c in values.values()))
    kept: dict[int, Column] = {}
    left = []
    for k, c in values.items():
        same = [other for other in kept.values() if (other.up, other.group) == (c.up, c.group)]
        if c.quantity != quantity or same:
            left.append(names[k])
        else:
            kept[k] = c
    return kept, left


def _of_branch(
    columns: Sequence[Column], names: Sequence[str], wanted: str, option: str, up: bool
) -> Column:
    """Return the meaning of a column that the user calls the up or the down branch."""
    return columns[_find(names, wanted, option)]._replace(kind="value", up=up, group="")


def _helper(columns: Sequence[Column], kind: str, of: Column, used: dict[int, Column]) -> int:
    """Return the index of the column of a kind that goes with a column of values, or -1."""
    fitting = [k for k, c in enumerate(columns) if c.kind == kind and k not in used]
    own = [k for k in fitting if columns[k].up == of.up and columns[k].group == of.group]
    shared = [k for k in fitting if columns[k].up is None and not columns[k].group]
    return (own or shared or [-1])[0]


def read_sheet(table: Table, hints: Hints) -> Sheet:
    """Return the series of a table; raise `ConfigError` with line or option."""
    if table.names:
        names, columns = list(table.names), [column(name) for name in table.names]
        if len({name.lower() for name in names}) < len(names):
            raise ConfigError(
                f"line {table.before + 1}", f"expected each column once, got {_listed(names)}"
            )
    else:
        names, columns = _unnamed(table)
    chosen, left = _chosen(names, columns, hints)
    notes = []
    if table.before:
        notes.append(f"{table.before} lines before the data skipped")
    if left:
        notes.append(f"{_listed(left)} left out (--column takes another)")
    series: list[Series] = []
    labels, bases, blanks = set(), set(), 0
    for at, said in chosen.items():
        values, rows, blank = _numbers(table, at, names[at])
        if not len(values):
            raise ConfigError(names[at], "expected values, got blank cells alone")
        blanks += blank
        lines = np.array(table.lines)[rows]
        unit, label = _unit(names[at], said, hints.unit)
        labels.add(label)
        bases.add(unit.base)
        whole = Series(_convert(values, unit, lines, names[at]), lines, said.up)
        whole = _with_helpers(whole, table, rows, said, names, columns, chosen)
        series += _groups(whole, table, rows, said, columns)
    if bases == {""}:
        bases = _by_size(series, chosen.values())
    if len(bases) > 1:
        raise ConfigError("unit", f"expected one unit, got {', '.join(sorted(bases))}; --unit")
    notes += sorted(labels - {""})
    if blanks:
        notes.append(f"{blanks} blank cells skipped")
    steps = (
        hints.steps
        or all(c.kind == "step" for c in chosen.values())
        or (not table.names and _are_steps(series))
    )
    return Sheet(tuple(series), bases.pop(), tuple(notes), steps)


def _by_size(series: Sequence[Series], chosen: Iterable[Column]) -> set[str]:
    """Return the unit of values without one: small conductances can be but siemens."""
    largest = max(float(np.abs(one.values).max()) for one in series)
    plain = all(c.quantity in ("conductance", "value", "") for c in chosen)
    return {"S"} if plain and 0 < largest < LARGEST_SIEMENS else {""}


def _are_steps(series: Sequence[Series]) -> bool:
    """Return whether two columns without names are steps on bins and no courses.

    Few, positive, and not both with a course's trend from one end of the range to the other.
    """
    if len(series) != 2 or {s.up for s in series} != {True, False}:
        return False
    up, down = sorted(series, key=lambda s: not s.up)
    few = len(up.values) == len(down.values) and 2 <= len(up.values) <= 64
    positive = min(up.values.min(), down.values.min()) > 0
    return few and positive and min(abs(trend(up.values)), abs(trend(down.values))) < REVERSAL


def _with_helpers(
    whole: Series,
    table: Table,
    rows: np.ndarray,
    said: Column,
    names: Sequence[str],
    columns: Sequence[Column],
    chosen: dict[int, Column],
) -> Series:
    """Return a series with pulse numbers, directions and amplitudes of its rows."""
    at = _helper(columns, "pulse", said, chosen)
    if at >= 0:
        whole = replace(whole, pulses=np.array([table.number(k, at, names[at]) for k in rows]))
    at = _helper(columns, "amplitude", said, chosen)
    if at >= 0:
        volts = np.array([table.number(k, at, names[at]) for k in rows])
        whole = replace(whole, amplitudes=volts)
    at = _helper(columns, "direction", said, chosen)
    if at >= 0:
        found = []
        for k in rows:
            up = direction(table.rows[k][at])
            if up is None:
                raise ConfigError(
                    f"line {table.lines[k]}: {names[at]}",
                    f"expected up or down, got {shown(table.rows[k][at])}",
                )
            found.append(up)
        whole = replace(whole, directions=np.array(found))
    return whole


def _groups(
    whole: Series, table: Table, rows: np.ndarray, said: Column, columns: Sequence[Column]
) -> list[Series]:
    """Return a column's series for each device and cycle that other columns name."""
    labels = []
    for kind in ("device", "cycle"):
        at = next((k for k, c in enumerate(columns) if c.kind == kind), -1)
        labels.append([table.rows[k][at] if at >= 0 else "" for k in rows])
    if said.group:
        labels[0 if said.of_device else 1] = [said.group] * len(rows)
    keys = list(zip(*labels, strict=True))
    found = []
    for device, cycle in dict.fromkeys(keys):
        own = np.array([key == (device, cycle) for key in keys])
        found.append(replace(whole.take(own), device=device, cycle=cycle))
    return found
