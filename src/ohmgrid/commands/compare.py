"""``ohmgrid compare``: the same short run on several engines, every cell compared."""

import json
import shlex
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from ohmgrid.commands.options import (
    Options,
    batch_option,
    choose,
    choose_plan,
    json_option,
    plan_options,
    tell,
    tile_options,
)
from ohmgrid.commands.outputs import check_new, force_option, print_rows
from ohmgrid.commands.types import INTEGER, PATH
from ohmgrid.devices.presets import device_name
from ohmgrid.doors.checks import ConfigError, check_int
from ohmgrid.engines import ENGINES, check_engine
from ohmgrid.net import state_sha256
from ohmgrid.training.comparison import Comparison
from ohmgrid.training.differences import Difference
from ohmgrid.training.fitting import fit_build
from ohmgrid.training.identity import identity

ONCE = ("steps", "example", "waveform", "force", "as_json")
"""Options that a repetition has of its own."""


def _parse_engines(text: str) -> list[str]:
    engines = text.split(",")
    for engine in engines:
        check_engine(engine)
    if len(engines) < 2 or len(set(engines)) < len(engines):
        raise ConfigError(
            "engines", f"expected two or more of {', '.join(ENGINES)}, each once, got {text!r}"
        )
    return engines


def _repeat(difference: Difference) -> str:
    """Return the command that repeats what was given, as far as the example that differs."""
    given = click.get_current_context()
    words = ["ohmgrid", "compare"]
    for param in given.command.params:
        source = given.get_parameter_source(param.name or "")
        if source is not ParameterSource.COMMANDLINE or param.name in ONCE:
            continue
        value = given.params[param.name or ""]
        words += [param.opts[-1]] if value is True else [param.opts[-1], str(value)]
    if difference.found_in == "verbs" and given.params["batch"]:
        # Verb by verb, each example is a mini-batch of its own.
        words += ["--batch", "1"]
    words += ["--example", str(difference.example), "--waveform", "difference.vcd"]
    return shlex.join(words)


def _check_waveform(path: Path, force: bool) -> None:
    """Raise `ConfigError` unless a waveform can be written there."""
    if path.suffix != ".vcd":
        raise ConfigError("waveform", f"expected a file FILE.vcd, got {path}")
    if not path.parent.is_dir():
        raise ConfigError("waveform", f"expected a folder that exists, got {path.parent}")
    if path.is_dir():
        raise ConfigError("waveform", f"expected a file, got the folder {path}")
    check_new("waveform", force, path)


@click.command()
@click.option("--engines", default="model,rtl", metavar="A,B", help="Engines [model,rtl].")
@click.option("--steps", type=INTEGER, help="Training examples [200].")
@click.option("--example", type=INTEGER, metavar="N", help="Compare this one alone, from 0.")
@click.option(
    "--waveform", type=PATH, metavar="FILE.vcd", help="Waveform of the gateware at --example [0]."
)
@force_option
@plan_options
@batch_option
@tile_options
@json_option
def compare(
    engines: str,
    steps: int | None,
    example: int | None,
    waveform: Path | None,
    force: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Train on several engines and compare every cell.

    All engines see the same examples; every output is compared too. Then each engine's own trainer
    does the same in mini-batches: cells, counters and answers. The first difference is named:
    example, step, layer, line and values.
    """
    names = _parse_engines(engines)
    if waveform is not None:
        _check_waveform(waveform, force)
        example = 0 if example is None else example
    if example is not None and steps is not None:
        raise ConfigError("steps", "expected without --example and --waveform only")
    steps = 200 if steps is None else steps
    check_int("steps", steps, 1, 10**9)
    if example is not None:
        check_int("example", example, 0, 10**9)
    options = Options(**given)
    chosen = choose(options)
    plan, data = choose_plan(chosen)
    config = fit_build(chosen.config, plan, chosen.settings)
    tell(data.notes, "note")
    tell(chosen.warnings)
    if chosen.settings.gives("training.epochs"):
        tell(["training.epochs: not used, --steps says how many examples are compared"])
    if plan.lr_decay != 1:
        tell(["training.lr_decay: not used, all steps have the rate of the first epoch"])
    console = Console(stderr=as_json)
    console.print(f"starting engines {', '.join(names)} (a first start builds them: minutes)")
    comparison = Comparison(names, config, plan, data)
    try:
        difference, rates = _compared(comparison, console, steps, example)
        states = comparison.states()
        cycles = None
        if waveform is not None and example is not None:
            cycles = _write_waveform(comparison, console, waveform, example)
    finally:
        comparison.close()
    result = {
        **identity(config),
        "engines": names,
        "equal": difference is None,
        "cells": plan.net().cells,
        "steps": steps if example is None else None,
        "example": example,
        "batch": config.batch,
        "first_difference": difference and difference.as_dict(),
        "repeat": difference and _repeat(difference),
        "waveform": None if waveform is None else {"file": str(waveform), "cycles": cycles},
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
        _print(console, result, difference)
    if difference is not None:
        raise click.exceptions.Exit(1)


def _compared(
    comparison: Comparison, console: Console, steps: int, example: int | None
) -> tuple[Difference | None, dict[str, float]]:
    """Return the first difference, and examples a second of each engine, verb by verb."""

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False)

    if example is not None:
        return comparison.run_example(example, say), {}
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("examples, left"))
    show = console.is_terminal
    difference = None
    for run in (comparison.run, comparison.run_trainers):
        with Bar(
            *columns, TimeRemainingColumn(), console=console, transient=True, disable=not show
        ) as bar:
            task = bar.add_task("", total=steps)
            difference = run(steps, partial(_advance, bar, task), say)
        if difference is not None:
            break
    return difference, {r.engine: steps / r.seconds for r in comparison.runs if r.seconds}


def _advance(bar: Bar, task: TaskID, done: int) -> None:
    bar.update(task, completed=done)


def _write_waveform(comparison: Comparison, console: Console, path: Path, example: int) -> int:
    """Write the waveform of an example's mini-batch in the gateware; return its clock cycles."""
    # Only here is the gateware needed for certain.
    from ohmgrid.sim.waveform import write_waveform

    console.print("writing the waveform (a first start builds the gateware: minutes)")
    span = comparison.batch_of(example)
    states = comparison.states_before(span.start)
    plan, config = comparison.plan, comparison.config
    return write_waveform(path, config, plan.net(), states, comparison.examples(span), plan.lr)


def _print(console: Console, result: dict[str, Any], difference: Difference | None) -> None:
    """Print the result for people."""
    rates, example = result["examples_per_s"], result["example"]
    what = f"{result['steps']} training steps" if example is None else f"example {example}"
    equal = difference is None
    lines = {
        "engines": ", ".join(
            f"{name} ({rates[name]:.0f} examples/s)" if name in rates else name
            for name in result["engines"]
        ),
        "net": f"{result['layers']}, {result['cells']} cells, seed {result['seed']}, "
        f"{result['lanes']} lanes",
        "compared": f"all cells and all outputs of {what}: {'equal' if equal else 'NOT equal'}",
    }
    if difference is None or difference.found_in == "trainers":
        lines["trainers"] = (
            f"each engine's own, in mini-batches of {result['batch']}: cells, counters, answers"
        )
    if difference is not None:
        lines |= {"difference": str(difference), "repeat": result["repeat"]}
    if result["waveform"]:
        lines["waveform"] = f"{result['waveform']['file']}, {result['waveform']['cycles']} cycles"
    print_rows(console, lines | {"state_sha256": result["state_sha256"]})
