"""What training would cost on the analog chip: work as counted, costs with their sources, added up.

Nothing is fitted: the sum is of what is known, and says what is not. Beside it stands what the chip
of Ambrogio et al. (Nature 558, 60, 2018) is said to reach, as quoted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import msgspec

from ohmgrid.counters import Counters
from ohmgrid.devices.base import Device
from ohmgrid.devices.residual import ResidualLearning
from ohmgrid.devices.transfer import BufferedTransfer, ChoppedTransfer
from ohmgrid.doors.checks import ConfigError
from ohmgrid.doors.schema import parse_toml, read_text
from ohmgrid.net import Net

__all__ = [
    "ENERGIES",
    "PAPER_OPS_PER_J",
    "TIMES",
    "Cost",
    "Costs",
    "Row",
    "Work",
    "own_costs",
    "paper_j",
    "read_costs",
    "rows_of",
    "seconds_of",
    "sum_of",
    "work_of_net",
    "work_of_run",
]

PAPER_OPS_PER_J = 28_065e9
"""Quoted: 28,065 GOP/s/W, which is 25.8 nJ for an example of 528-250-125-10."""

ENERGIES = {
    "dac": "inputs driven",
    "cell_read": "cells read",
    "adc": "outputs converted",
    "coincidence": "pulses of devices",
    "pcm_set": "SET pulses",
    "pcm_reset": "RESET pulses",
    "function": "values of functions",
}
"""Cost -> what is counted for it."""
TIMES = ("forward", "backward", "slot")


class Cost(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One figure: pJ of an energy, ns of a time; where it comes from, and whether that was read."""

    source: str
    pj: float | Literal["unknown"] | None = None
    ns: float | Literal["unknown"] | None = None
    checked: bool = False

    @property
    def known(self) -> float | None:
        """The figure; None where it is unknown."""
        value = self.pj if self.ns is None else self.ns
        return None if isinstance(value, str) else value


class Costs(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Figures by name: `ENERGIES` and `TIMES`."""

    energy: dict[str, Cost]
    time: dict[str, Cost]


@dataclass(frozen=True)
class Work:
    """Of an example, on average; a multiply-accumulate is two operations."""

    forward_macs: int
    backward_macs: int
    update_macs: int
    counts: dict[str, float | None]
    """Cost of `ENERGIES` -> how often; None where only a run can tell."""
    forward: float
    """Forward operations of layers, passes that bound management repeats included."""
    backward: int
    slots: int
    """Slots of the pulse trains of all layers, at most."""

    @property
    def operations(self) -> int:
        """Operations, however often a pass is repeated."""
        return 2 * (self.forward_macs + self.backward_macs + self.update_macs)


@dataclass(frozen=True)
class Row:
    """A cost, how often it comes in an example, and what that is."""

    name: str
    counted: str
    count: float | None
    pj: float | None
    nj: float | None
    source: str
    checked: bool


def read_costs(path: Path) -> Costs:
    """Return the costs of a file of a user's.

    Raises
    ------
    ConfigError
        A figure is missing, not one, negative, or none of these.
    """
    try:
        costs = msgspec.convert(parse_toml(read_text(path)), Costs)
    except msgspec.ValidationError as error:
        raise ConfigError(str(path), str(error)) from None
    for kind, wanted, unit, table in (
        ("energy", tuple(ENERGIES), "pj", costs.energy),
        ("time", TIMES, "ns", costs.time),
    ):
        if set(table) != set(wanted):
            raise ConfigError(
                f"{path}: {kind}", f"expected {', '.join(wanted)}, got {', '.join(table) or 'none'}"
            )
        for name, cost in table.items():
            value = getattr(cost, unit)
            other = cost.ns if unit == "pj" else cost.pj
            if value is None or other is not None or not (value == "unknown" or value >= 0):
                raise ConfigError(
                    f"{path}: {kind}.{name}",
                    f'expected {unit} = a number from 0 on, or "unknown"',
                )
    return costs


def own_costs() -> Costs:
    """Return the costs that come with ohmgrid."""
    return read_costs(Path(__file__).with_name("costs.toml"))


def work_of_net(net: Net, bit_length: int) -> Work:
    """Return what an example takes by the net's shape alone: one pass a layer, pulses unknown.

    Nothing of the always-on inputs goes back, and nothing goes back out of the first layer.
    """
    shapes = net.shapes
    return _work(net, [1.0] * len(shapes), None, bit_length)


def work_of_run(
    net: Net,
    counters: Counters,
    moved: Mapping[str, Sequence[int]],
    device: Device,
    examples: int,
    bit_length: int,
) -> Work:
    """Return what an example of a run took, on average.

    Parameters
    ----------
    net : Net
    counters : Counters
        Of the run.
    moved : mapping of str to sequence of int
        What its transfers took, layer by layer (`ohmgrid.hidden.transfer_work`).
    device : Device
        Whether a pass sees several arrays, and what is read for a transfer goes through a digital
        buffer.
    examples : int
        That it was trained on.
    bit_length : int
        Slots of a train, at most.

    Raises
    ------
    ConfigError
        It was trained on none.
    """
    if not examples:
        raise ConfigError("run", "expected one that was trained, got one without an example")
    passes = [float(count) / examples for count in counters["passes"]]
    pulses = float((counters["pulses_up"] + counters["pulses_down"]).sum()) / examples
    work = _work(net, passes, pulses, bit_length)
    counts = dict(work.counts)
    for name in ("dac", "cell_read"):
        # Lines and cells of a sum over arrays are those of each; what is converted is the sum.
        counts[name] = (counts[name] or 0.0) * sum_of(device)
    for name, count in _transferred(net, moved, device).items():
        counts[name] = (counts[name] or 0.0) + count / examples
    return replace(work, counts=counts)


def sum_of(device: Device) -> int:
    """Return how many arrays a pass sees of a layer."""
    return device.count if isinstance(device, ResidualLearning) else 1


def _transferred(net: Net, moved: Mapping[str, Sequence[int]], device: Device) -> dict[str, float]:
    """Return what the transfers of a run add to `Work.counts`, in all.

    A column is read with 1.0 on one line, and each of its rows is converted; weights that go to
    phase-change devices are read column by column as well, these devices one by one.
    """
    rows, cells = zip(*((rows, rows * cols) for rows, cols in net.shapes), strict=True)
    columns = moved["columns_read"]
    lines = sum(columns)
    read = sum(count * height for count, height in zip(columns, rows, strict=True))
    weights, devices = sum(moved["weights_read"]), sum(moved["devices_read"])
    driven = sum(
        count // cell * (cell // height)
        for count, cell, height in zip(moved["weights_read"], cells, rows, strict=True)
    )
    return {
        "dac": lines + driven + devices,
        "cell_read": read + weights + devices,
        "adc": read + weights + devices,
        "coincidence": sum(moved["slow_pulses"]) + sum(moved["residue_steps"]),
        "pcm_set": sum(moved["set_pulses"]),
        "pcm_reset": sum(moved["resets"]),
        "function": read if isinstance(device, BufferedTransfer | ChoppedTransfer) else 0,
    }


def _work(net: Net, passes: list[float], moved: float | None, bit_length: int) -> Work:
    shapes = net.shapes
    # Of a layer's transpose, without the always-on input.
    back = [(rows, cols - 1) for rows, cols in shapes[1:]]
    forward_cells = sum(n * rows * cols for n, (rows, cols) in zip(passes, shapes, strict=True))
    backward_macs = sum(rows * cols for rows, cols in back)
    into = sum(n * cols for n, (_, cols) in zip(passes, shapes, strict=True))
    out = sum(n * rows for n, (rows, _) in zip(passes, shapes, strict=True))
    return Work(
        forward_macs=sum(rows * cols for rows, cols in shapes),
        backward_macs=backward_macs,
        update_macs=sum(rows * cols for rows, cols in shapes),
        counts={
            "dac": into + sum(rows for rows, _ in back),
            "cell_read": forward_cells + backward_macs,
            "adc": out + sum(cols for _, cols in back),
            "coincidence": moved,
            "pcm_set": None,
            "pcm_reset": None,
            # Activations or the loss, and slopes.
            "function": sum(rows for rows, _ in shapes) + sum(cols for _, cols in back),
        },
        forward=sum(passes),
        backward=len(back),
        slots=bit_length * len(shapes),
    )


def rows_of(work: Work, costs: Costs) -> list[Row]:
    """Return what each kind of work comes to, in nJ an example where that is known."""
    rows = []
    for name, counted in ENERGIES.items():
        cost, count = costs.energy[name], work.counts[name]
        each = cost.known
        total = None if each is None or count is None else count * each / 1000
        if count == 0:
            total = 0.0
        rows.append(Row(name, counted, count, each, total, cost.source, cost.checked))
    return rows


def seconds_of(work: Work, costs: Costs) -> float | None:
    """Return the seconds of an example, one layer after the other; None if a time is unknown."""
    times: Mapping[str, float | None] = {name: costs.time[name].known for name in TIMES}
    counts = {"forward": work.forward, "backward": work.backward, "slot": work.slots}
    total = 0.0
    for name, count in counts.items():
        each = times[name]
        if each is None:
            return None
        total += count * each
    return total * 1e-9


def paper_j(work: Work) -> float:
    """Return the joules that the paper's efficiency, as quoted, is for these operations."""
    return work.operations / PAPER_OPS_PER_J
