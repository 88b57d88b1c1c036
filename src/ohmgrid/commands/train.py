"""``ohmgrid train``: train a net on an engine, with progress, pictures and checkpoints."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from ohmgrid.commands.options import (
    Chosen,
    Options,
    batch_option,
    choose,
    choose_plan,
    epochs_options,
    json_option,
    plan_options,
    tell,
    tile_options,
    weights_options,
    with_whole_path,
)
from ohmgrid.commands.outputs import check_new, force_option, free_folder, print_rows
from ohmgrid.commands.starting import start_core
from ohmgrid.commands.stopping import Stop, stop_on_signal
from ohmgrid.commands.types import FOLDER, INTEGER, NUMBER, PATH
from ohmgrid.config import Config
from ohmgrid.counters import SATURATIONS
from ohmgrid.devices.base import Device
from ohmgrid.devices.presets import device_name
from ohmgrid.doors.checks import ConfigError, check_float, check_int
from ohmgrid.engines import CHOICES, check_engine
from ohmgrid.host.identity import BoardError
from ohmgrid.registers.meters import cycles_by_verb
from ohmgrid.storage.files import make_folder, write_whole
from ohmgrid.tile import WEIGHTS, parts_of
from ohmgrid.training.data import BUILT_IN, Dataset
from ohmgrid.training.events import Events, check_events
from ohmgrid.training.fitting import fit_build, load_plan_data
from ohmgrid.training.identity import identity
from ohmgrid.training.memory import memory_line
from ohmgrid.training.plan import Plan
from ohmgrid.training.runs import CHECKPOINT, Checkpoint, Progress, read_checkpoint
from ohmgrid.training.session import Session
from ohmgrid.training.settings import config_to_toml, parse_settings
from ohmgrid.watch.feed import Feed
from ohmgrid.watch.launch import check_server, open_page
from ohmgrid.weights.load import program, read_start

INTERRUPTED = Path("runs/interrupted")
"""Where a run without a folder is kept when it is interrupted; later ones get a number."""
CONFIG, METRICS = "config.toml", "metrics.json"
PICTURES = ("accuracy.png", "conductance.png", "weights.png")
HINT_AFTER = 2
"""Epochs after which a run that is still at chance says why."""
RULE = f"{'epoch':>5}  {'test accuracy':>13}  {'train loss':>10}  {'time':>8}  {'examples/s':>10}"


def _first_change(old: Any, new: Any, left_out: tuple[str, ...]) -> tuple[str, Any, Any] | None:
    """Return dotted name and values of the first field in which two dataclasses differ."""
    for field in fields(old):
        one, other = getattr(old, field.name), getattr(new, field.name)
        if field.name in left_out or one == other:
            continue
        if isinstance(one, Device):
            return field.name, device_name(one), device_name(other)
        inside = _first_change(one, other, ()) if is_dataclass(one) else None
        return (f"{field.name}.{inside[0]}", *inside[1:]) if inside else (field.name, one, other)
    return None


def _load_run(options: Options, folder: Path) -> tuple[Checkpoint, Chosen, Plan]:
    """Return the checkpoint of a folder, and configuration and plan to go on with.

    Raises
    ------
    ConfigError
        If file or options ask for other bits than those of the run, or for less than is done.
    """
    checkpoint = read_checkpoint(folder / CHECKPOINT)
    base = parse_settings(config_to_toml(checkpoint.config, asdict(checkpoint.plan)))
    chosen = choose(options, base)
    plan = with_whole_path(chosen.settings.plan())
    # Where data and weights are may change: their hashes must not.
    moved = ("data", "weights", "original", "epochs")
    change = _first_change(checkpoint.plan, plan, moved) or _first_change(
        checkpoint.config, chosen.config, ("build",)
    )
    if change:
        name, old, new = change
        raise ConfigError(
            name, f"expected {old!r}, with which the run in {folder} began, got {new!r}"
        )
    done = checkpoint.progress
    least = done.epoch + (done.position > 0)
    if plan.epochs < least:
        raise ConfigError(
            "epochs", f"expected at least {least}, so far is the run, got {plan.epochs}"
        )
    return checkpoint, chosen, plan


def _check_folder(folder: Path, force: bool) -> None:
    """Raise `ConfigError` rather than write over a run, finished or not."""
    path = folder / CHECKPOINT
    if force or not path.exists():
        check_new("out", force, *(folder / name for name in (CONFIG, METRICS, *PICTURES)))
        return
    old = read_checkpoint(path)
    if old.progress.epoch < old.plan.epochs:
        raise ConfigError(
            "out",
            f"{folder} holds an unfinished run (epoch {old.progress.epoch} of {old.plan.epochs}); "
            "go on with --resume, name another folder, or begin anew with --force",
        )
    raise ConfigError(
        "out",
        f"{folder} holds a finished run; name another folder, or write over it with --force",
    )


def _row(row: dict[str, Any]) -> str:
    accuracy = f"{row['epoch']:>5}  {row['test_accuracy']:>13.2%}"
    if row["train_loss"] is None:
        return accuracy
    rate = row["examples"] / row["seconds"] if row["seconds"] else 0.0
    return f"{accuracy}  {row['train_loss']:>10.4f}  {row['seconds']:>6.1f} s  {rate:>10.0f}"


def _train(
    session: Session,
    console: Console,
    save: Callable[[], None],
    stop: Stop,
    every_s: float,
    look: Callable[[], None],
) -> bool:
    """Run a session with a progress bar and a row for each epoch; return whether it finished.

    ``save`` is called after each epoch, and when ``every_s`` seconds have passed since; ``look``
    after each block.
    """
    saved = time.monotonic()
    examples = len(session.data.train_labels)
    columns = (
        TextColumn("epoch {task.fields[epoch]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("examples, left"),
        TimeRemainingColumn(),
    )
    console.print(RULE, soft_wrap=True, highlight=False)
    for row in session.history:
        console.print(_row(row), soft_wrap=True, highlight=False)
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=session.plan.epochs * examples, epoch=1)

        def keep() -> None:
            nonlocal saved
            save()
            saved = time.monotonic()

        def on_block(progress: Progress) -> None:
            epoch = min(progress.epoch + 1, session.plan.epochs)
            done = progress.epoch * examples + progress.position
            bar.update(task, completed=done, epoch=epoch)
            if time.monotonic() - saved >= every_s:
                keep()
            look()

        def on_epoch(row: dict[str, Any]) -> None:
            bar.console.print(_row(row), soft_wrap=True, highlight=False)
            if row["epoch"] == HINT_AFTER and row["epoch"] < session.plan.epochs:
                tell(session.chance_hint(), "hint")
            keep()

        def on_lost(line: str) -> None:
            tell([f"{line}; going on from the last checkpoint"])

        return session.run(stop.asked, on_block, on_epoch, on_lost)


def _write_results(session: Session, folder: Path, result: dict[str, Any]) -> None:
    """Write metrics and pictures of a finished run."""
    # matplotlib takes a second to import: only a run that draws pays for it.
    from ohmgrid.plots.training import plot_accuracy, plot_conductances, plot_weights

    title = f"{session.plan.data} {session.plan.layers}, {result['device']}, seed {result['seed']}"
    plot_accuracy(folder / PICTURES[0], session.history, title)
    tiles = session.core.state()
    lsb, device = session.core.tiles[0].lsb, session.config.device
    plot_conductances(
        folder / PICTURES[1],
        [parts_of(device, state)[WEIGHTS] for state in session.initial_states()],
        [parts_of(device, state)[WEIGHTS] for state in tiles],
        lsb,
        title,
    )
    plot_weights(folder / PICTURES[2], session.history, **result["bins"], title=title)
    text = json.dumps(result, indent=1).encode() + b"\n"
    write_whole(folder / METRICS, lambda file: file.write(text))


def _result(session: Session, engine: str, warnings: Sequence[str]) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    plan, config = session.plan, session.config
    return {
        **identity(config),
        "engine": engine,
        "device": device_name(config.device),
        "cell": config.device.remark,
        "data": plan.data,
        "crop": plan.crop,
        "pool": plan.pool,
        "scale": plan.scale,
        "layers": plan.layers,
        "cells": plan.net().cells,
        "activation": plan.activation,
        "loss": plan.loss,
        "lr": plan.lr,
        "lr_decay": plan.lr_decay,
        "batch": config.batch,
        "bit_length": config.pulses.desired_bl,
        "lanes": config.build.lanes,
        "test_accuracy": session.history[-1]["test_accuracy"],
        "examples_per_s": session.examples_per_s,
        "state_sha256": session.state_sha256,
        "bits_sha256": session.checkpoint().bits_sha256,
        "data_sha256": session.data.sha256,
        "notes": list(session.data.notes),
        "warnings": [*warnings, *session.counter_warnings()],
        "counters": session.core.counters.as_dict(),
        "transfers": session.transfers(),
        "clock": session.core.clock,
        "at_bounds": session.at_bounds(),
        "bins": {"number": session.bins.number, "full": session.bins.full},
        "epochs": session.history,
    }


def _counts(result: dict[str, Any]) -> dict[str, str]:
    """Return what a table says of the counters: sums over layers."""
    totals = {name: sum(counts) for name, counts in result["counters"].items()}
    clipped = {name: totals[name] for name in SATURATIONS if totals[name]}
    at_bounds = ", ".join(f"{part:.0%}" for part in result["at_bounds"])
    return {
        "pulses": f"{totals['pulses_up']} up, {totals['pulses_down']} down",
        "clipped": ", ".join(f"{count} {name}" for name, count in clipped.items()) or "nothing",
        "updates": f"{totals['updates']}, {totals['clipped_trains']} with clipped trains, "
        f"{totals['below_pulse']} below one pulse",
        "at bounds": f"{at_bounds} of the devices of each layer",
    }


def _print_result(console: Console, result: dict[str, Any], folder: Path | None) -> None:
    lines = {
        "engine": result["engine"],
        "device": result["device"],
        **({"cell": result["cell"]} if result["cell"] else {}),
        "net": f"{result['layers']}, {result['cells']} cells, seed {result['seed']}",
        "test accuracy": f"{result['test_accuracy']:.2%}",
        "examples/s": f"{result['examples_per_s']:.0f}",
        "state_sha256": result["state_sha256"],
        "hashes": f"ohmgrid {result['version']}, configuration {result['config_sha256'][:12]}, "
        f"device {result['device_sha256'][:12]}",
    }
    lines |= _counts(result)
    if clock := result["clock"]:
        verbs = {verb: n / clock["examples"] for verb, n in cycles_by_verb(clock).items()}
        parts = ", ".join(f"{verb} {n:,.0f}" for verb, n in verbs.items())
        lines["cycles an example"] = f"{sum(verbs.values()):,.0f}: {parts}"
    if folder is not None:
        lines["pictures"] = ", ".join(str(folder / name) for name in PICTURES)
        lines["results"] = f"{folder / METRICS}, {folder / CHECKPOINT}"
    console.print()
    print_rows(console, lines)


def _begin(session: Session, folder: Path) -> None:
    """Make a folder a run's: its settings and first checkpoint, nothing of an earlier run."""
    for name in (METRICS, *PICTURES):
        (folder / name).unlink(missing_ok=True)
    _write_settings(session, folder)
    session.checkpoint().write(folder / CHECKPOINT)


def _write_settings(session: Session, folder: Path) -> None:
    """Write the file that repeats the run."""
    toml = config_to_toml(session.config, asdict(session.plan)).encode()
    write_whole(folder / CONFIG, lambda file: file.write(toml))


def _interrupted(session: Session, checkpoint: Checkpoint, engine: str, out: Path | None) -> None:
    """Keep an interrupted run and say how it goes on."""
    folder = out or free_folder(INTERRUPTED)
    _write_settings(session, folder)
    checkpoint.write(folder / CHECKPOINT)
    progress = checkpoint.progress
    click.echo(
        f"interrupted in epoch {progress.epoch + 1} after {progress.position} of "
        f"{len(session.data.train_labels)} examples; go on with: "
        f"ohmgrid train --resume --out {folder} --engine {engine}",
        err=True,
    )


def _plan_run(
    options: Options, out: Path | None, resume: bool, force: bool
) -> tuple[Config, Plan, Dataset, Checkpoint | None, Sequence[str]]:
    """Return what is to be trained; write nothing."""
    if resume:
        if out is None:
            raise ConfigError("resume", "expected --out DIR with the run to go on with, got none")
        checkpoint, chosen, plan = _load_run(options, out)
        for name, there in (
            ("data", "" if plan.data in BUILT_IN else plan.data),
            ("weights", plan.weights),
            ("original", plan.original),
        ):
            if there and not Path(there).exists():
                raise ConfigError(name, f"{there}: no such file; name its new place with --{name}")
        data = load_plan_data(plan, chosen.config, checkpoint.preparation)
        checkpoint.check_data(data)
        # The sizes of its memories are no wish, but what it needed with the lanes that it had.
        config = fit_build(chosen.config, plan)
        return config, plan, data, checkpoint, chosen.warnings
    chosen = choose(options)
    plan, data = choose_plan(chosen)
    if out is not None:
        _check_folder(out, force)
    config = fit_build(chosen.config, plan, chosen.settings)
    return config, plan, data, None, chosen.warnings


@click.command()
@plan_options
@weights_options
@batch_option
@tile_options
@click.option("--engine", default="compiled", metavar=CHOICES, help="Engine [compiled].")
@click.option("--threads", type=INTEGER, default=1, help="Threads for mini-batches; no result [1].")
@epochs_options
@click.option("--out", type=FOLDER, metavar="DIR", help="Folder for pictures, metrics, checkpoint.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out.")
@click.option(
    "--checkpoint-every", type=NUMBER, default=60.0, help="Seconds between checkpoints [60]."
)
@click.option("--tensorboard", type=PATH, metavar="DIR", help="Folder for TensorBoard's events.")
@click.option("--watch", is_flag=True, help="Show the run on a page in the browser (see `watch`).")
@force_option
@json_option
def train(
    engine: str,
    threads: int,
    out: Path | None,
    resume: bool,
    checkpoint_every: float,
    tensorboard: Path | None,
    watch: bool,
    force: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Train a net on a data set and say how well it does."""
    options = Options(**given)
    check_engine(engine)
    check_int("threads", threads, 1, 256)
    check_float("checkpoint-every", checkpoint_every, 0.0, 86400.0)
    if resume and force:
        raise ConfigError("force", "expected --resume or --force, got both")
    if watch:
        check_server()
    if tensorboard is not None:
        check_events()
    config, plan, data, checkpoint, warnings = _plan_run(options, out, resume, force)
    start, more = read_start(config, plan), []
    first = None
    if start is not None:
        first, more = program(config, plan.net(), start)
    warnings = (*warnings, *more)
    memory = memory_line(config, plan.net(), data)
    tell([*data.notes, *([memory] if memory else [])], "note")
    tell(warnings)
    if out is not None:
        make_folder(out)
    console = Console(stderr=as_json)
    core, events = start_core(engine, config, plan.net(), console, threads), None
    try:
        # A board has a build of its own.
        session = Session(core.config, plan, data, core, first)
        if checkpoint is None:
            session.start()
        else:
            session.resume(checkpoint)
        if out is not None:
            folder = out
            session.look(lambda: _begin(session, folder))

        if tensorboard is not None:
            events = Events(make_folder(tensorboard), session.bins, len(session.history))

        def save() -> None:
            checkpoint = session.checkpoint()
            if out is not None:
                checkpoint.write(out / CHECKPOINT)
            if events is not None:
                events.show(session.history)

        def say(line: str) -> None:
            console.print(line, soft_wrap=True, highlight=False)

        with stop_on_signal() as stop, Feed(session, engine, out, stop.asked, say) as feed:
            if watch:
                say(f"page {open_page()}")
            try:
                finished = _train(session, console, save, stop, checkpoint_every, feed.look)
            except BoardError:
                if session.last is not None:
                    _interrupted(session, session.last, engine, out)
                raise
            if not finished:
                _interrupted(session, session.look(session.checkpoint), engine, out)
                raise click.exceptions.Exit(stop.status)
        result = session.look(lambda: _result(session, engine, warnings))
        tell(result["warnings"][len(warnings) :])
        if out is not None:
            folder = out
            session.look(lambda: _write_results(session, folder, result))
    finally:
        core.close()
        if events is not None:
            events.close()
    if as_json:
        click.echo(json.dumps(result))
    else:
        _print_result(console, result, out)
