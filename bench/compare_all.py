"""``ohmgrid compare`` for every preset, loss, activation and size of a mini-batch, one line each.

``python bench/compare_all.py --steps 500 --json`` compares all engines, verb by verb and in their
own training. One build of the gateware holds all of it, so that it is compiled once. A line comes
as soon as its entry is done: one that was refused says why, one that differs says where. Status 1
if one differs.
"""

import json
import sys
import time
from dataclasses import replace
from itertools import product
from typing import Any

import click

from ohmgrid.commands.options import Options, choose, choose_plan
from ohmgrid.config import Config
from ohmgrid.devices.presets import PRESETS
from ohmgrid.doors.checks import ConfigError, check_int, parse_int
from ohmgrid.engines import ENGINES, check_engine
from ohmgrid.net import LOSSES
from ohmgrid.registers.build_check import check_build
from ohmgrid.registers.layers import ACTIVATIONS
from ohmgrid.registers.layout import Words, roomy_build
from ohmgrid.training.comparison import Comparison

PAIR = Words(devices=2)
"""Most that a weight of one array is made of."""


def _common_build(config: Config, shapes: list[tuple[int, int]], edge: int) -> Config:
    """Return the configuration with a build that holds any entry's net and mini-batch."""
    build = roomy_build(shapes, PAIR, config.build, config.layout, ())
    config = config.replace(build=replace(build, edge=max(build.edge, edge)))
    check_build(config)
    return config


def _entry(engines: list[str], options: Options, steps: int, edge: int) -> dict[str, Any]:
    """Compare one entry; return how it ended."""
    begin = time.perf_counter()
    try:
        chosen = choose(options)
        plan, data = choose_plan(chosen)
        config = _common_build(chosen.config, plan.net().shapes, edge)
        comparison = Comparison(engines, config, plan, data)
    except ConfigError as refused:
        return {"refused": str(refused)}
    try:
        # Verb by verb, every example is a mini-batch of its own.
        difference = comparison.run(steps) if config.batch == 1 else None
        difference = difference or comparison.run_trainers(steps)
    finally:
        comparison.close()
    return {
        "equal": difference is None,
        "first_difference": difference and str(difference),
        "seconds": round(time.perf_counter() - begin, 1),
    }


@click.command()
@click.option("--engines", default=",".join(ENGINES), metavar="A,B,...", help="Engines [all].")
@click.option("--data", metavar="digits|mnist|FILE|FOLDER", help="Data set [digits].")
@click.option("--layers", default="64-32-10", metavar="N-N-...", help="Sizes [64-32-10].")
@click.option("--steps", default=500, help="Examples of each entry [500].")
@click.option("--devices", default=",".join(PRESETS), metavar="A,B,...", help="Presets [all].")
@click.option("--batches", default="1,8,32", metavar="N,N,...", help="Mini-batches [1,8,32].")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object an entry.")
def main(
    engines: str,
    data: str | None,
    layers: str,
    steps: int,
    devices: str,
    batches: str,
    as_json: bool,
) -> None:
    """Compare engines in every combination."""
    names = engines.split(",")
    for name in names:
        check_engine(name)
    check_int("steps", steps, 1, 10**6)
    sizes = [parse_int("batches", text) for text in batches.split(",")]
    wrong = 0
    for batch, loss, activation, device in product(sizes, LOSSES, ACTIVATIONS, devices.split(",")):
        place = {"device": device, "loss": loss, "activation": activation, "batch": batch}
        options = Options(data=data, layers=layers, **place)
        found = _entry(names, options, steps, max(sizes))
        wrong += found.get("equal") is False
        row = {**place, "steps": steps, "engines": names, **found}
        if as_json:
            click.echo(json.dumps(row))
        else:
            state = row.get("refused") or row["first_difference"] or f"equal, {row['seconds']} s"
            click.echo(f"{device:14} {loss:13} {activation:8} batch {batch:3}: {state}")
        sys.stdout.flush()
    if wrong:
        raise click.exceptions.Exit(1)


if __name__ == "__main__":
    main()
