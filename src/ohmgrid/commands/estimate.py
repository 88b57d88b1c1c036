"""``ohmgrid build BOARD --estimate``: clock cycles of an example, before there is a board."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from ohmgrid.commands.options import Chosen, choose_plan, tell
from ohmgrid.commands.outputs import print_rows
from ohmgrid.commands.starting import start_core, starting
from ohmgrid.config import Config
from ohmgrid.devices.presets import device_name
from ohmgrid.doors.checks import ConfigError, check_float, check_int, parse_int
from ohmgrid.model.core.core import Core
from ohmgrid.registers.layout import place_arrays, words_of
from ohmgrid.sim.rtl import RtlCore
from ohmgrid.studies.estimate import Estimate, estimate, left_out
from ohmgrid.studies.schedule import PARTS
from ohmgrid.training.data import Dataset
from ohmgrid.training.fitting import fit_build
from ohmgrid.training.plan import Plan

__all__ = ["EXAMPLES", "POSITIONS", "Counted", "count_cycles", "print_estimate"]

POSITIONS = "0,1200,6000,30000"
EXAMPLES = 20
BY = {
    "model": "of a model of the gateware's schedule",
    "simulated gateware": "counted by the gateware itself, simulated",
}
MOST_EXAMPLES = 10**7
MOST_COUNTED = 10**4
MOST_MHZ = 10**4


def _positions(text: str, batch: int) -> list[int]:
    """Return positions in their order, each the beginning of a mini-batch."""
    places = sorted({parse_int("positions", part) for part in text.split(",")})
    for place in places:
        check_int("positions", place, 0, MOST_EXAMPLES)
        if place % batch:
            raise ConfigError(
                "positions", f"expected whole mini-batches of {batch} examples, got {place}"
            )
    return places


@dataclass(frozen=True)
class Counted:
    """Cycles at some positions of a run, and what they are of."""

    config: Config
    plan: Plan
    data: Dataset
    rows: list[Estimate]
    simulated: bool
    """The gateware counted them, simulated; else they are of a model of its schedule."""


def count_cycles(
    chosen: Chosen, positions: Sequence[int], examples: int, console: Console
) -> Counted:
    """Count the cycles of an example of the net that was chosen, on the build that was chosen.

    Parameters
    ----------
    chosen : Chosen
    positions : sequence of int
        Examples trained before, in their order.
    examples : int
        Counted at each position; rounded up to whole mini-batches.
    console : Console
        For progress.
    """
    batch = chosen.config.batch
    plan, data = choose_plan(chosen)
    if plan.weights:
        raise ConfigError("weights", "expected none with --estimate: a run begins with its own")
    config, net = fit_build(chosen.config, plan, chosen.settings), plan.net()
    device = config.device
    of_several = device.arrays > 1 and not device.significance
    if of_several and not Core(config, net).columns:
        raise ConfigError(
            "device",
            "expected one array for each weight, or a build that transfers between them by itself "
            f"(docs/transfer.md), where cycles are counted, got class {device.kind}",
        )
    if len(data.train_labels) < batch:
        raise ConfigError(
            "batch", f"expected at most {len(data.train_labels)} examples, as many as there are"
        )
    engine = start_core("compiled", config, net, console)
    gateware = None
    columns = TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    try:
        if of_several:
            with starting("rtl", console):
                gateware = RtlCore(config, net)
        with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("", total=positions[-1])
            rows = list(
                estimate(
                    config,
                    net,
                    data,
                    plan.rate,
                    engine,
                    positions,
                    -(-examples // batch) * batch,
                    lambda trained: bar.advance(task, trained),
                    gateware,
                )
            )
    finally:
        engine.close()
        if gateware:
            gateware.close()
    return Counted(config, plan, data, rows, gateware is not None)


def print_estimate(
    chosen: Chosen, positions: str, examples: int, freq_mhz: float, as_json: bool
) -> None:
    """Print cycles by verb, and examples in a second, at some positions of a run.

    Parameters
    ----------
    chosen : Chosen
        As for training.
    positions : str
        Examples trained before, ``0,1200``.
    examples : int
        Counted at each position; rounded up to whole mini-batches.
    freq_mhz : float
        The clock.
    as_json : bool
        One JSON object instead of a table.
    """
    check_int("examples", examples, 1, MOST_COUNTED)
    check_float("clock", freq_mhz, 0.001, MOST_MHZ)
    batch = chosen.config.batch
    places = _positions(positions, batch)
    tell(chosen.warnings)
    counted = count_cycles(chosen, places, examples, Console(stderr=True))
    config, plan = counted.config, counted.plan
    arrays = place_arrays(plan.net().shapes, words_of(config.device), config.build, config.layout)
    facts: dict[str, Any] = {
        "device": device_name(config.device),
        "layers": plan.layers,
        "data": counted.data.name,
        "batch": batch,
        "lanes": config.build.lanes,
        "share": config.build.share,
        "train_groups": config.build.train_groups,
        "turned": [number for number, place in enumerate(arrays) if place.turned],
        "freq_mhz": freq_mhz,
        "examples": -(-examples // batch) * batch,
        "counted_by": "simulated gateware" if counted.simulated else "model",
        "left_out": [] if counted.simulated else left_out(config),
    }
    if as_json:
        rows = [_row(one, freq_mhz) for one in counted.rows]
        click.echo(json.dumps(facts | {"rows": rows}))
        return
    click.echo(_table(counted.rows, freq_mhz))
    print_rows(Console(), _notes(config, facts))


def _row(one: Estimate, freq_mhz: float) -> dict[str, Any]:
    return {
        "position": one.position,
        **one.cycles,
        "cycles": one.total,
        "examples_per_s": freq_mhz * 1e6 / one.total,
    }


def _table(found: Sequence[Estimate], freq_mhz: float) -> str:
    """Return a line for each position."""
    lines = ["   after" + "".join(f"{part:>10}" for part in (*PARTS, "all")) + "  examples/s"]
    for one in found:
        numbers = [*(one.cycles[part] for part in PARTS), one.total]
        rate = f"{freq_mhz * 1e6 / one.total:12,.0f}"
        lines.append(f"{one.position:8,}" + "".join(f"{n:10,.0f}" for n in numbers) + rate)
    return "\n".join(lines)


def _notes(config: Config, facts: dict[str, Any]) -> dict[str, str]:
    """Return what the numbers are about, by name."""
    build, turned = config.build, ", ".join(map(str, facts["turned"])) or "none"
    left = [*facts["left_out"], "the link to the host, taken to bring a word a cycle"]
    return {
        "net": f"{facts['layers']}, {facts['device']}, mini-batches of {config.batch}",
        "build": f"{build.lanes} lanes, {build.share} to a device unit, {build.train_groups} "
        f"train groups; arrays that lie turned: {turned}",
        "clock": f"{facts['freq_mhz']:g} MHz, as it is built for: whether place and route "
        "reaches it is not estimated here",
        "cycles": f"mean of {facts['examples']} examples at each position, "
        + BY[facts["counted_by"]],
        "not modelled": "; ".join(left),
    }
