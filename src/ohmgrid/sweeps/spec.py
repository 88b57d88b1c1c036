"""The file of a sweep: a configuration, and what of it is other in each run.

A sweep is a configuration file with one table more, ``[sweep]``; docs/sweeps.md shows it.
"""

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import tomli_w

from ohmgrid.devices.presets import NAMED
from ohmgrid.doors.checks import (
    ConfigError,
    check_choice,
    check_float,
    check_int,
    shown,
)
from ohmgrid.doors.schema import check_table, parse_toml, read_text
from ohmgrid.engines import check_engine
from ohmgrid.portable import exp, log
from ohmgrid.training.settings import config_to_toml, parse_settings

__all__ = ["KINDS", "MOST_RUNS", "Run", "Sweep", "load_sweep"]

KINDS = ("grid", "random", "list")
"""Every combination; draws; runs one by one."""
MOST_RUNS = 1_000_000
DIGITS = 6
"""Significant digits of what is drawn: the same on every machine, and readable."""
KEYS = ("kind", "engine", "boards", "number", "seed", "over", "runs")
RANGE = ("low", "high", "log", "whole")


class Run(NamedTuple):
    """One run."""

    number: int
    """From 1, in the order of the file."""
    values: dict[str, Any]
    """What is other in it, by dotted key."""
    text: str
    """Its whole configuration, as TOML; or what is wrong with it."""
    wrong: bool

    @property
    def name(self) -> str:
        """What it is known by: a digest of all that decides its result, 16 hexadecimal digits."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Sweep:
    """What is to be run."""

    base: Mapping[str, Any]
    """The configuration's tables."""
    choices: tuple[Mapping[str, Any], ...]
    """What is other in each run, by dotted key."""
    engine: str
    boards: tuple[str, ...]
    """Ports, one for each worker; empty: all workers run ``engine``."""
    folder: Path
    """Where files that it names are looked for."""

    @property
    def keys(self) -> list[str]:
        """Keys that differ between runs, in the order of the file."""
        return list(dict.fromkeys(key for values in self.choices for key in values))

    def runs(self) -> Iterator[Run]:
        """Yield all runs; one whose values are refused says so."""
        for number, values in enumerate(self.choices, 1):
            try:
                yield Run(number, dict(values), self._text(values), False)
            except ConfigError as error:
                yield Run(number, dict(values), str(error), True)

    def _text(self, values: Mapping[str, Any]) -> str:
        """Return the configuration of a run with these values."""
        tables = deepcopy(dict(self.base))
        # A device first: keys of it replace single parameters.
        for key in sorted(values, key=lambda key: key != "device"):
            value = values[key]
            if key == "device":
                value = self._device(value)
            *names, inside = key.split(".")
            at = tables
            for name in names:
                at = at.setdefault(name, {})
                if not isinstance(at, dict):
                    raise ConfigError(key, f"expected a key of a table, got one of {name}")
            at[inside] = value
        settings = parse_settings(tomli_w.dumps(tables))
        return config_to_toml(settings.config(), asdict(settings.plan()))

    def _device(self, value: Any) -> dict[str, Any]:
        """Return the table of a device, given the name of a preset or of a file."""
        if value in NAMED:
            return {"preset": value}
        path = self.folder / str(value)
        if not path.is_file():
            raise ConfigError(
                "device", f"expected a preset (`ohmgrid devices`) or a file, got {shown(value)}"
            )
        try:
            table = parse_toml(read_text(path))
            return check_table("device", table.get("device", table))
        except ConfigError as error:
            raise error.at(path) from None


def load_sweep(path: Path) -> Sweep:
    """Read the file of a sweep; errors begin with its name.

    Raises
    ------
    ConfigError
        Where no run could begin: a key that there is not, a range that is none.
    """
    try:
        return _parse(parse_toml(read_text(path)), path.absolute().parent)
    except ConfigError as error:
        raise error.at(path) from None


def _parse(data: dict[str, Any], folder: Path) -> Sweep:
    table = check_table("sweep", data.pop("sweep", None))
    for key in table:
        if key not in KEYS:
            raise ConfigError("sweep", f"unknown key {shown(key)}; expected {', '.join(KEYS)}")
    kind, engine = table.get("kind", "grid"), table.get("engine", "compiled")
    check_choice("sweep.kind", kind, KINDS)
    check_engine(engine)
    boards = table.get("boards", [])
    if not isinstance(boards, list) or not all(isinstance(port, str) for port in boards):
        raise ConfigError("sweep.boards", f"expected a list of ports, got {shown(boards)}")
    for port in boards:
        check_engine(port)
    if kind == "list":
        choices = _listed(table)
    else:
        over = _flat(check_table("sweep.over", table.get("over")))
        choices = _grid(over) if kind == "grid" else _drawn(over, table)
    if not choices:
        raise ConfigError("sweep", "expected at least one run, got none")
    sweep = Sweep(data, tuple(choices), engine, tuple(boards), folder)
    first = next(iter(sweep.runs()))
    if first.wrong:
        raise ConfigError("sweep, run 1", first.text)
    return sweep


def _listed(table: Mapping[str, Any]) -> list[dict[str, Any]]:
    runs = table.get("runs")
    if not isinstance(runs, list) or not runs:
        raise ConfigError("sweep.runs", f"expected tables [[sweep.runs]], got {shown(runs)}")
    return [_flat(check_table(f"sweep.runs[{n}]", run)) for n, run in enumerate(runs)]


def _grid(over: Mapping[str, Any]) -> list[dict[str, Any]]:
    values = {key: _several(key, value) for key, value in over.items()}
    number = 1
    for each in values.values():
        number *= len(each)
    check_int("sweep.over", number, 1, MOST_RUNS)
    return [dict(zip(values, chosen, strict=True)) for chosen in product(*values.values())]


def _drawn(over: Mapping[str, Any], table: Mapping[str, Any]) -> list[dict[str, Any]]:
    number, seed = table.get("number", 0), table.get("seed", 1)
    check_int("sweep.number", number, 1, MOST_RUNS)
    check_int("sweep.seed", seed, 0, (1 << 64) - 1)
    # One stream for each key: another key more changes none of the others' draws.
    streams = {key: random.Random(f"{seed} {key}") for key in over}
    return [
        {key: _draw(key, value, streams[key].random()) for key, value in over.items()}
        for _ in range(number)
    ]


def _draw(key: str, value: Any, u: float) -> Any:
    """Return what a number of 0..1 chooses of a list, or in a range."""
    if not isinstance(value, dict):
        values = _several(key, value)
        return values[int(u * len(values))]
    low, high, logarithmic, whole = _range(key, value)
    if whole:
        return low + int(u * (high - low + 1))
    drawn = exp(log(low) + u * (log(high) - log(low))) if logarithmic else low + u * (high - low)
    return float(f"{drawn:.{DIGITS}g}")


def _range(key: str, value: Mapping[str, Any]) -> tuple[Any, Any, bool, bool]:
    low, high = value.get("low", ""), value.get("high", "")
    logarithmic, whole = value.get("log", False), value.get("whole", False)
    check = check_int if whole else check_float
    check(f"sweep.over.{key}.low", low, -(1 << 62), 1 << 62)
    check(f"sweep.over.{key}.high", high, low, 1 << 62)
    if logarithmic and (whole or low <= 0):
        raise ConfigError(f"sweep.over.{key}", "expected a range above 0 of numbers that are drawn")
    return low, high, bool(logarithmic), bool(whole)


def _several(key: str, value: Any) -> Sequence[Any]:
    if isinstance(value, dict):
        low, high, _, whole = _range(key, value)
        if whole:
            return range(low, high + 1)
    elif isinstance(value, list) and value:
        return value
    raise ConfigError(
        f"sweep.over.{key}",
        "expected a list, or whole numbers {low = 1, high = 9, whole = true}, or in a random sweep "
        f"{{low = 0.1, high = 1.0}}; got {shown(value)}",
    )


def _flat(table: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Return a table by dotted keys; tables that are ranges stay."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict) and not {*value} <= {*RANGE}:
            flat |= _flat(value, f"{before}{key}.")
        else:
            flat[before + key] = value
    return flat
