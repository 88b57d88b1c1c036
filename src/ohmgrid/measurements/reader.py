"""From files to a measurement: branches joined, directions found, what was read said back."""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from ohmgrid.doors.checks import ConfigError
from ohmgrid.measurements.columns import is_head
from ohmgrid.measurements.courses import FEWEST_PULSES, Course, Measurement, StepCurve
from ohmgrid.measurements.series import Hints, Series, Sheet, read_sheet
from ohmgrid.measurements.tables import read_table
from ohmgrid.measurements.turns import (
    REVERSAL,
    Turns,
    counted_directions,
    find_directions,
    order_trend,
    trend,
)

__all__ = ["Hints", "read_measurement"]

_UP_NAME = re.compile(r"(ltp|pot|(?<![a-z])up(?![a-z])|(?<![a-z])set(?![a-z])|increas)", re.I)
_DOWN_NAME = re.compile(r"(ltd|dep|(?<![a-z])down(?![a-z])|(?<![a-z])reset|decreas)", re.I)
MOST_NODES = 64
"""Most nodes of a step curve."""


class _Notes:
    """What is to be said of a reading."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.warnings: list[str] = []

    def say(self, part: str) -> None:
        if part not in self.parts:
            self.parts.append(part)

    def warn(self, line: str) -> None:
        if line not in self.warnings:
            self.warnings.append(line)


def read_measurement(paths: Sequence[Path], hints: Hints | None = None) -> Measurement | StepCurve:
    """Read measured pulses from a file, or from one for each branch.

    Parameters
    ----------
    paths : sequence of Path
        One file, or two: up branch and down branch, in any order where their names or courses tell.
    hints : Hints, optional
        What the file does not say.

    Raises
    ------
    ConfigError
        In one line: file and line that are wrong, or the option that says what cannot be told.
    """
    hints = hints or Hints()
    if not 1 <= len(paths) <= 2:
        raise ConfigError("files", f"expected one, or one for each branch, got {len(paths)}")
    sheets = []
    for path in paths:
        table = read_table(path, is_head)
        try:
            sheets.append(read_sheet(table, hints))
        except ConfigError as error:
            raise error.at(path) from None
    try:
        if len(sheets) == 2:
            return _assemble(_joined(sheets, paths, hints), hints)
        return _assemble(sheets[0], hints)
    except ConfigError as error:
        raise error.at(" and ".join(map(str, paths))) from None


def _joined(sheets: Sequence[Sheet], paths: Sequence[Path], hints: Hints) -> Sheet:
    """Return two files as the branches of one sheet."""
    if any(len(sheet.series) != 1 for sheet in sheets):
        raise ConfigError("files", "expected one column of values in each of two files")
    first, second = (sheet.series[0] for sheet in sheets)
    said = [_branch_named(path.stem) for path in paths]
    if said[0] is None and said[1] is None:
        rises = trend(first.values), trend(second.values)
        said = [rises[0] >= rises[1], rises[0] < rises[1]]
    up = said[0] if said[0] is not None else not said[1]
    if said[1] is not None and said[1] == up:
        raise ConfigError("files", "expected one up and one down branch, got two of one by name")
    if sheets[0].unit != sheets[1].unit:
        raise ConfigError("unit", "expected one unit in both files; --unit NAME says it")
    # Pulse numbers of two files are not of one train.
    series = replace(first, up=up), replace(second, up=not up)
    notes = dict.fromkeys((*sheets[0].notes, *sheets[1].notes))
    return Sheet(series, sheets[0].unit, tuple(notes), hints.steps)


def _branch_named(name: str) -> bool | None:
    """Return the branch that a file's name says."""
    up, down = _UP_NAME.search(name) is not None, _DOWN_NAME.search(name) is not None
    return None if up == down else up


def _assemble(sheet: Sheet, hints: Hints) -> Measurement | StepCurve:
    notes = _Notes()
    for note in sheet.notes:
        notes.say(note)
    if sheet.steps:
        return _step_curve(sheet, notes)
    count = sum(len(series.values) for series in sheet.series)
    if count < FEWEST_PULSES:
        raise ConfigError("pulse", f"expected at least {FEWEST_PULSES} values, got {count}")
    largest = max(float(np.abs(series.values).max()) for series in sheet.series)
    if all(not np.ptp(series.values) > 1e-9 * largest for series in sheet.series):
        raise ConfigError(
            "measurement",
            "expected values that change under pulses, by more than 1e-9 of the largest, got "
            f"{sheet.series[0].values[0]:g} everywhere",
        )
    series = [_in_order(one, notes) for one in sheet.series]
    if any(one.up is not None for one in series):
        courses = _from_branches(series, notes)
    else:
        courses = [_from_train(one, hints, notes) for one in series]
    measurement = Measurement(tuple(courses), sheet.unit)
    measurement.check()
    return replace(
        measurement, read=_said(measurement, series, notes), warnings=tuple(notes.warnings)
    )


def _in_order(series: Series, notes: _Notes) -> Series:
    """Return a series in the order of its pulses; raise `ConfigError` where they repeat.

    Falling pulse numbers are left as they are: a branch is stored from its far end then.
    """
    numbers = series.pulses
    if numbers is None or len(numbers) < 2:
        return series
    steps = np.diff(numbers)
    if (steps > 0).all() or (steps < 0).all():
        return series
    same = np.flatnonzero(steps == 0)
    restarts = np.flatnonzero(steps < 0) + 1
    if len(same) and len(numbers) == len(np.unique(numbers)) + len(same):
        line = series.lines[same[0] + 1]
        raise ConfigError(
            f"line {line}", f"expected each pulse once, got {numbers[same[0]]:g} again"
        )
    if len(np.unique(numbers)) == len(numbers):
        order = np.argsort(numbers, kind="stable")
        notes.say("sorted by pulse")
        return series.take(order)
    # Numbers that start again from the beginning: a branch, or a cycle, after the other.
    back = numbers[restarts]
    runs = np.split(np.arange(len(numbers)), restarts)
    if not (back <= numbers[0]).all() or min(map(len, runs)) < FEWEST_PULSES // 4:
        line = series.lines[restarts[0]]
        raise ConfigError(
            f"line {line}",
            f"expected each pulse once, got {numbers[restarts[0]]:g} again (a column cycle or "
            "device tells repeats apart)",
        )
    if series.directions is None:
        notes.warn(
            f"pulse numbers start again at line {series.lines[restarts[0]]}: the rows are taken "
            "as one train, in the order of the file"
        )
    notes.say(f"pulse numbers start {len(runs)} times")
    return series


def _from_branches(series: Sequence[Series], notes: _Notes) -> list[Course]:
    """Return courses of columns, or files, that are up and down branches."""
    courses, trends = [], []
    groups = dict.fromkeys((one.device, one.cycle) for one in series)
    for up in (True, False):
        if not any(one.up is up for one in series):
            raise _missing(up)
    for one in series:
        name = "up" if one.up else "down"
        if one.up is None:
            raise ConfigError("up, down", "expected every column of values to be one of a branch")
        rise = trend(one.values)
        if abs(rise) < REVERSAL / 2:
            rise = order_trend(one.values)
        if abs(rise) < REVERSAL / 2:
            raise ConfigError(
                name,
                f"expected a branch that {'rises' if one.up else 'falls'}, got one that does "
                "neither",
            )
        trends.append(rise > 0)
    against = [rising != one.up for rising, one in zip(trends, series, strict=True)]
    if all(against):
        raise ConfigError(
            "up, down",
            "expected an up branch that rises and a down branch that falls, got both the other way "
            "round (--unit ohm takes resistances; --up COLUMN --down COLUMN say which is which)",
        )
    for device, cycle in groups:
        own = [k for k, one in enumerate(series) if (one.device, one.cycle) == (device, cycle)]
        own.sort(key=lambda k: not series[k].up)
        values, ups, begins = [], [], []
        for k in own:
            one = series[k]
            part = one.values[::-1] if against[k] else one.values
            if against[k]:
                notes.say(f"{'up' if one.up else 'down'} branch stored in reverse, turned")
            values.append(part)
            ups.append(np.full(len(part), bool(one.up)))
            begins.append(np.arange(len(part)) == 0)
        courses.append(Course(device, *map(np.concatenate, (values, ups, begins))))
    return courses


def _missing(up: bool) -> ConfigError:
    have, other = ("down", "up") if up else ("up", "down")
    return ConfigError(
        "direction",
        f"expected up and down pulses, got one {have} branch: the {other} branch is missing (a "
        "second file holds it, ohmgrid fit UP DOWN; --up N --down N where it is in this file)",
    )


def _from_train(series: Series, hints: Hints, notes: _Notes) -> Course:
    """Return the course of a train of pulses of both directions."""
    values = series.values
    begins = np.arange(len(values)) == 0
    if series.directions is not None:
        up = series.directions
        return _with_directions(series, up, begins, notes)
    if series.amplitudes is not None and np.ptp(series.amplitudes) > 0:
        return _from_amplitudes(series, begins, hints, notes)
    if hints.up.isdigit() and hints.down.isdigit():
        up = counted_directions(len(values), int(hints.up), int(hints.down))
        notes.say("directions as told")
        return Course(series.device, values, up, begins)
    found = find_directions(values) if len(values) >= FEWEST_PULSES else None
    if found is None:
        rising = trend(values) > 0
        raise _missing(not rising)
    if found.unsure:
        notes.warn(found.unsure)
    notes.say(f"{_runs(found)} found by {'their' if _runs(found) != '1 turn' else 'its'} course")
    return Course(series.device, values, found.up, begins)


def _runs(found: Turns) -> str:
    turns = int((np.diff(found.up.astype(int)) != 0).sum())
    return "1 turn" if turns == 1 else f"{turns} turns"


def _with_directions(series: Series, up: np.ndarray, begins: np.ndarray, notes: _Notes) -> Course:
    """Return a course whose rows say their direction, each branch in the order of its pulses."""
    values = series.values.copy()
    edges = [0, *(np.flatnonzero(np.diff(up)) + 1).tolist(), len(values)]
    runs = [slice(a, b) for a, b in pairwise(edges)]
    if not up.any() or up.all():
        raise _missing(not up.any())
    long = [run for run in runs if run.stop - run.start >= FEWEST_PULSES // 2]
    whole = float(np.ptp(values))
    moved = [(run, trend(values[run]) * float(np.ptp(values[run])) / whole) for run in long]
    clear = [(run, rise > 0) for run, rise in moved if abs(rise) > REVERSAL / 2]
    against = [run for run, rising in clear if rising != up[run.start]]
    ways = {bool(up[run.start]) for run in against}
    if len(against) == len(clear) and len(ways) == 2:
        raise ConfigError(
            "direction",
            "expected up pulses that raise and down pulses that lower the conductance, got both "
            "the other way round (--unit ohm takes resistances)",
        )
    for run in against:
        values[run] = values[run][::-1]
        notes.say(f"{'up' if up[run.start] else 'down'} branch stored in reverse, turned")
    numbers = series.pulses
    if numbers is not None:
        # Numbers that start again with a direction: the branches are no single train.
        begins = begins | (np.diff(numbers, prepend=numbers[0]) < 0)
    if against:
        begins = begins | np.isin(np.arange(len(values)), edges)
    return Course(series.device, values, up, begins)


def _from_amplitudes(series: Series, begins: np.ndarray, hints: Hints, notes: _Notes) -> Course:
    """Return a course whose pulses' signs are their directions."""
    volts, values = series.amplitudes, series.values
    assert volts is not None
    zero = volts == 0
    if zero.any():
        notes.say(f"{int(zero.sum())} readings without a pulse left out")
        begins = begins | np.r_[False, zero[:-1]]
        series = series.take(np.flatnonzero(~zero))
        volts, values, begins = volts[~zero], series.values, begins[~zero]
    positive = volts > 0
    if positive.all() or not positive.any():
        raise _missing(trend(values) < 0)
    if hints.positive:
        raises = hints.positive == "up"
    else:
        steps = np.diff(values)
        raises = bool(np.median(steps[positive[1:]]) > np.median(steps[~positive[1:]]))
    notes.say(f"V > 0 {'raises' if raises else 'lowers'} the conductance")
    sizes = np.abs(volts)
    if np.ptp(sizes) > 0.05 * sizes.max():
        notes.warn(
            f"an amplitude ramp ({sizes.min():g} to {sizes.max():g} V) is no train of identical "
            "pulses: steps depend on the voltage as well as on the conductance, and the fit "
            "blames the conductance for all of it"
        )
    return Course(series.device, values, positive == raises, begins)


def _step_curve(sheet: Sheet, notes: _Notes) -> StepCurve:
    """Return the steps that two columns hold."""
    if len(sheet.series) != 2:
        raise ConfigError("steps", f"expected two columns, up and down, got {len(sheet.series)}")
    up, down = sorted(sheet.series, key=lambda series: not series.up)
    if len(up.values) != len(down.values) or not 1 <= len(up.values) <= MOST_NODES:
        raise ConfigError(
            "steps",
            f"expected 1 to {MOST_NODES} steps, as many up as down, got {len(up.values)} and "
            f"{len(down.values)}",
        )
    sizes = np.abs(up.values), np.abs(down.values)
    count = len(up.values)
    notes.say(f"{count} steps up and {count} down on equal bins of the weight, -1 to 1")
    return StepCurve(*(tuple(map(float, s)) for s in sizes), read=", ".join(notes.parts[::-1]))


def _said(measurement: Measurement, series: Sequence[Series], notes: _Notes) -> str:
    """Return in one line what was read."""
    courses = measurement.courses
    devices = len({course.device for course in courses})
    cycles = max(_cycles(course) for course in courses)
    up = sum(int(course.up.sum()) for course in courses)
    total = sum(len(course.values) for course in courses)
    parts = [f"{up} up, {total - up} down"]
    if devices > 1:
        parts.append(f"{devices} devices")
    repeats = len({one.cycle for one in series})
    if max(cycles, repeats) > 1:
        parts.append(f"{max(cycles, repeats)} cycles")
    unit = {"S": "siemens", "A": "ampere", "V": "volts", "": "unit not told (--unit)"}
    parts.append(unit.get(measurement.unit, measurement.unit))
    return ", ".join((*parts, *notes.parts))


def _cycles(course: Course) -> int:
    """Return how often a course rises again after a fall."""
    turns = np.flatnonzero(np.diff(course.up.astype(int)) == 1)
    return len(turns) + int(course.up[0])
