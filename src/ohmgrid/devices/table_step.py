"""A device whose steps are drawn from measured distributions: `TableStep`.

Names as in `ohmgrid.devices.steps`. Standard library only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum
from typing import Any, ClassVar

from ohmgrid.devices.base import StepDevice, check_floats
from ohmgrid.devices.laws import DRAWS, ROOMS, Law, Spread, interpolate
from ohmgrid.doors.checks import ConfigError, check_float, shown

__all__ = ["TableStep", "equal_parts"]

Table = tuple[tuple[float, ...], ...]


def equal_parts(values: Sequence[float]) -> tuple[float, ...]:
    """Return the means of `DRAWS` equally likely parts of a distribution.

    Parameters
    ----------
    values : sequence of float
        The distribution, as equally likely values in any order.
    """
    ordered, count = sorted(values), len(values)
    if count == DRAWS:
        return tuple(ordered)
    # In units of 1 / (count DRAWS) a value covers DRAWS, a part covers count: all ends are whole.
    means = []
    for part in range(DRAWS):
        start, stop = part * count, (part + 1) * count
        shares = (
            value * max(0, min(stop, (k + 1) * DRAWS) - max(start, k * DRAWS))
            for k, value in enumerate(ordered)
        )
        means.append(fsum(shares) / count)
    return tuple(means)


def _mean(row: Sequence[float]) -> float:
    return fsum(row) / len(row)


@dataclass(frozen=True)
class TableStep(StepDevice):
    """A step drawn at each pulse from a measured distribution that changes with the weight.

    The distributions stand at equal distances over the cell's range; a pulse draws from one of the
    two beside the weight, the nearer one the more often. The tables hold the noise of a step, so
    that there is no ``dw_min_std``.
    """

    dw_min_std: float = 0.0
    """No noise but that of the tables: 0."""
    table_up: Table = ((1.0,),)
    """Rows from the lower to the upper bound, each of equally likely up steps in ``dw_min``; a
    negative one lowers the weight."""
    table_down: Table = ((1.0,),)
    """Down steps likewise; a negative one raises the weight."""
    write_noise_std: float = 0.0
    """Spread of the visible around the hidden weight, in ``dw_min``; drawn anew by each pulse."""

    kind: ClassVar[str] = "TableStep"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dw_min_std:
            raise ConfigError(
                "dw_min_std", f"expected 0 (the tables hold the noise), got {self.dw_min_std:g}"
            )
        for name in ("table_up", "table_down"):
            object.__setattr__(self, name, _checked(name, getattr(self, name)))
        check_floats(self, 0.0, 1000.0, "write_noise_std")

    @property
    def granularity(self) -> float:
        # As a PiecewiseStep has it, of both directions: none of them is the stronger by definition.
        tables = (self.table_up, self.table_down)
        middle = (interpolate([_mean(row) for row in table], 0.5) for table in tables)
        step = self.dw_min * sum(middle) / 2
        return step if step > 0 else self.dw_min

    def law(self) -> Law:
        up, down = (
            [equal_parts(row) for row in table] for table in (self.table_up, self.table_down)
        )
        up.reverse()
        return Law(
            position="room",
            own_bounds=True,
            offset=0.0,
            up=lambda room: interpolate([_mean(row) for row in up], room),
            down=lambda room: interpolate([_mean(row) for row in down], room),
            gamma_up=Spread(1.0),
            gamma_down=Spread(1.0),
            draws=(_over_rooms(up), _over_rooms(down)),
        )


def _checked(name: str, table: Any) -> Table:
    """Return a table as tuples of floats; raise `ConfigError` unless it is one."""
    rows: Any = table if isinstance(table, list | tuple) else ()
    if not 1 <= len(rows) <= ROOMS:
        raise ConfigError(name, f"expected 1 to {ROOMS} rows of steps, got {shown(table)}")
    for place, row in enumerate(rows):
        if not isinstance(row, list | tuple) or not 1 <= len(row) <= DRAWS:
            raise ConfigError(f"{name}[{place}]", f"expected 1 to {DRAWS} steps, got {shown(row)}")
        for step in row:
            check_float(f"{name}[{place}]", step, -100.0, 100.0)
    return tuple(tuple(float(step) for step in row) for row in rows)


def _over_rooms(rows: Sequence[Sequence[float]]) -> Table:
    """Return `ROOMS` rows at equal distances, straight lines between those given."""
    return tuple(
        tuple(interpolate(column, place / (ROOMS - 1)) for column in zip(*rows, strict=True))
        for place in range(ROOMS)
    )
