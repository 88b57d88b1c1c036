"""``ohmgrid compare``: the same short run on several engines, every cell compared."""

import json
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from ohmgrid.commands.options import (
    Options,
    batch_option,
    choose,
    choose_plan,
    device_name,
    fit_build,
    json_option,
    plan_options,
    tell,
    tile_options,
)
from ohmgrid.commands.outputs import print_rows
from ohmgrid.commands.types import INTEGER
from ohmgrid.doors.checks import ConfigError, check_int
from ohmgrid.engines import ENGINES, check_engine
from ohmgrid.net import state_sha256
from ohmgrid.training.comparison import Comparison
from ohmgrid.training.identity import identity


def _parse_engines(text: str) -> list[str]:
    engines = text.split(",")
    for engine in engines:
        check_engine(engine)
    if len(engines) < 2 or len(set(engines)) < len(engines):
        raise ConfigError(
            "engines", f"expected two or more of {', '.join(ENGINES)}, each once, got {text!r}"
        )
    return engines


def _describe(difference: dict[str, Any]) -> str:
    place = [f"tile {difference['tile']}"]
    place += [f"{key} {difference[key]}" for key in ("row", "col") if difference[key] is not None]
    values = ", ".join(f"{engine}: {value}" for engine, value in difference["values"].items())
    return f"step {difference['step']}, {difference['what']}, {', '.join(place)}: {values}"


@click.command()
@click.option("--engines", default="model,rtl", metavar="A,B", help="Engines [model,rtl].")
@click.option("--steps", type=INTEGER, default=200, help="Training examples [200].")
@plan_options
@batch_option
@tile_options
@json_option
def compare(engines: str, steps: int, as_json: bool, **given: Any) -> None:
    """Train on several engines and compare every cell.

    All engines see the same examples; every output is compared too. Then each engine's own trainer
    does the same in mini-batches.
    """
    names = _parse_engines(engines)
    check_int("steps", steps, 1, 10**9)
    options = Options(**given)
    chosen = choose(options)
    plan, data = choose_plan(chosen)
    config = fit_build(chosen.config, plan, chosen.settings)
    tell(data.notes, "note")
    tell(chosen.warnings)
    if chosen.settings.gives("training.epochs"):
        tell(["training.epochs: not used, --steps says how many examples are compared"])
    console = Console(stderr=as_json)
    console.print(f"starting engines {', '.join(names)} (a first start builds them: minutes)")
    comparison = Comparison(names, config, plan, data)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("steps, left"), TimeRemainingColumn())
    try:
        with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("", total=steps)
            difference = comparison.run(steps, lambda done: bar.update(task, completed=done))
        states = comparison.states()
        if difference is None:
            difference = comparison.run_loops(steps)
        rates = {run.engine: steps / run.seconds for run in comparison.runs if run.seconds}
    finally:
        comparison.close()
    result = {
        **identity(config),
        "engines": names,
        "equal": difference is None,
        "cells": plan.net().cells,
        "steps": steps,
        "batch": config.batch,
        "first_difference": difference,
        "state_sha256": state_sha256(states),
        "device": device_name(config.device),
        "data": plan.data,
        "layers": plan.layers,
        "lanes": config.build.lanes,
        "examples_per_s": rates,
    }
    if as_json:
        click.echo(json.dumps(result))
    else:
        verdict = "equal" if difference is None else f"NOT equal: {_describe(difference)}"
        lines = {
            "engines": ", ".join(f"{name} ({rates.get(name, 0):.0f} examples/s)" for name in names),
            "net": f"{plan.layers}, {result['cells']} cells, seed {config.seed}, "
            f"{config.build.lanes} lanes",
            "compared": f"all cells and all outputs of {steps} training steps: {verdict}",
            "trainers": f"each engine's own, in mini-batches of {config.batch}",
            "state_sha256": result["state_sha256"],
        }
        print_rows(console, lines)
    if difference is not None:
        raise click.exceptions.Exit(1)
