"""``ohmgrid train``: train a net on an engine, with progress, pictures and checkpoints."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from ohmgrid.checks import ConfigError, check_int
from ohmgrid.commands.options import (
    Options,
    choose_config,
    choose_plan,
    device_name,
    fit_build,
    json_option,
    load_plan_data,
    plan_changes,
    plan_options,
    tile_options,
)
from ohmgrid.config import Config, config_to_toml
from ohmgrid.engines import ENGINES, check_engine, close_tiles, make_tiles, start_note
from ohmgrid.files import make_folder, write_whole
from ohmgrid.session import (
    CHECKPOINT,
    Checkpoint,
    Plan,
    Progress,
    Session,
    changed_fields,
    read_checkpoint,
)

INTERRUPTED = Path("runs/interrupted")
"""Where a run without a folder is kept after Ctrl-C."""
INTERRUPT_STATUS = 130
RULE = f"{'epoch':>5}  {'test accuracy':>13}  {'train loss':>10}  {'time':>8}  {'examples/s':>10}"


@contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a request to stop between two examples; the second one kills."""
    asked = False

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        asked = True
        signal.signal(number, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)


def _load_run(options: Options, folder: Path) -> tuple[Checkpoint, Config, Plan]:
    """Return the checkpoint of a folder, and configuration and plan to go on with."""
    checkpoint = read_checkpoint(folder / CHECKPOINT)
    config = choose_config(options, checkpoint.config)
    plan = replace(checkpoint.plan, **plan_changes(options))
    changed = changed_fields(checkpoint.plan, plan)
    if changed:
        name = changed[0]
        raise ConfigError(
            f"{name}: expected {getattr(checkpoint.plan, name)!r}, with which the run in {folder} "
            f"began, got {getattr(plan, name)!r}"
        )
    if replace(config, build=checkpoint.config.build) != checkpoint.config:
        raise ConfigError(
            f"resume: expected the configuration with which the run in {folder} began; "
            "only engine, lanes, share and epochs may change"
        )
    return checkpoint, config, plan


def _check_folder(folder: Path, resume: bool) -> None:
    """Raise `ConfigError` rather than write over a run that is not finished."""
    path = folder / CHECKPOINT
    if resume or not path.exists():
        return
    old = read_checkpoint(path)
    if old.progress.epoch < old.plan.epochs:
        raise ConfigError(
            f"out: {folder} holds an unfinished run (epoch {old.progress.epoch} of "
            f"{old.plan.epochs}); go on with --resume, or name another folder"
        )


def _row(row: dict[str, Any]) -> str:
    accuracy = f"{row['epoch']:>5}  {row['test_accuracy']:>13.2%}"
    if row["train_loss"] is None:
        return accuracy
    rate = row["examples"] / row["seconds"] if row["seconds"] else 0.0
    return f"{accuracy}  {row['train_loss']:>10.4f}  {row['seconds']:>6.1f} s  {rate:>10.0f}"


def _train(session: Session, console: Console, save: Callable[[], None]) -> bool:
    """Run a session with a progress bar and a row for each epoch; return whether it finished."""
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
    with (
        Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar,
        stop_on_signal() as stop,
    ):
        task = bar.add_task("", total=session.plan.epochs * examples, epoch=1)

        def on_block(progress: Progress) -> None:
            epoch = min(progress.epoch + 1, session.plan.epochs)
            done = progress.epoch * examples + progress.position
            bar.update(task, completed=done, epoch=epoch)

        def on_epoch(row: dict[str, Any]) -> None:
            bar.console.print(_row(row), soft_wrap=True, highlight=False)
            save()

        return session.run(stop, on_block, on_epoch)


def _write_results(session: Session, folder: Path, result: dict[str, Any]) -> None:
    """Write metrics, configuration and pictures of a finished run."""
    # matplotlib takes a second to import: only a run that draws pays for it.
    from ohmgrid.plots import plot_accuracy, plot_conductances

    title = f"{session.plan.data} {session.plan.layers}, {result['device']}, seed {result['seed']}"
    plot_accuracy(folder / "accuracy.png", session.history, title)
    tiles = session.trainer.state()
    lsb = session.trainer.tiles[0].lsb
    plot_conductances(
        folder / "conductance.png",
        session.initial_weights(),
        [state.weights for state in tiles],
        lsb,
        title,
    )
    toml = config_to_toml(session.config).encode()
    write_whole(folder / "config.toml", lambda file: file.write(toml))
    text = json.dumps(result, indent=1).encode() + b"\n"
    write_whole(folder / "metrics.json", lambda file: file.write(text))


def _result(session: Session, engine: str) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    plan, config = session.plan, session.config
    return {
        "engine": engine,
        "device": device_name(config.device),
        "data": plan.data,
        "crop": plan.crop,
        "layers": plan.layers,
        "cells": plan.net().cells,
        "activation": plan.activation,
        "loss": plan.loss,
        "lr": plan.lr,
        "batch": plan.batch,
        "bit_length": config.pulses.desired_bl,
        "seed": config.seed,
        "lanes": config.build.lanes,
        "test_accuracy": session.history[-1]["test_accuracy"],
        "examples_per_s": session.examples_per_s,
        "state_sha256": session.state_sha256,
        "epochs": session.history,
    }


def _print_result(console: Console, result: dict[str, Any], folder: Path | None) -> None:
    lines = {
        "engine": result["engine"],
        "device": result["device"],
        "net": f"{result['layers']}, {result['cells']} cells, seed {result['seed']}",
        "test accuracy": f"{result['test_accuracy']:.2%}",
        "examples/s": f"{result['examples_per_s']:.0f}",
        "state_sha256": result["state_sha256"],
    }
    if folder is not None:
        lines["pictures"] = f"{folder / 'accuracy.png'}, {folder / 'conductance.png'}"
        lines["results"] = f"{folder / 'metrics.json'}, {folder / CHECKPOINT}"
    console.print()
    for name, value in lines.items():
        console.print(f"{name:14} {value}", soft_wrap=True, highlight=False, markup=False)


@click.command()
@plan_options
@tile_options
@click.option("--engine", default="compiled", metavar="|".join(ENGINES), help="Engine [compiled].")
@click.option("--threads", type=int, default=1, help="Threads for mini-batches; no result [1].")
@click.option("--batch", type=int, help="Examples of a mini-batch [1].")
@click.option("--epochs", type=int, help=f"Passes over the data [{Plan.epochs}].")
@click.option("--out", type=Path, metavar="DIR", help="Folder for pictures, metrics, checkpoint.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out.")
@json_option
def train(
    engine: str, threads: int, out: Path | None, resume: bool, as_json: bool, **given: Any
) -> None:
    """Train a net on a data set and say how well it does."""
    options = Options(**given)
    check_engine(engine)
    check_int("threads", threads, 1, 256)
    checkpoint = None
    if resume:
        if out is None:
            raise ConfigError("resume: expected --out DIR with the run to go on with, got none")
        checkpoint, config, plan = _load_run(options, out)
        data = load_plan_data(plan.data, plan.crop, config)
    else:
        config = choose_config(options)
        plan, data = choose_plan(options, config)
    config = fit_build(config, plan)
    if out is not None:
        _check_folder(out, resume)
        make_folder(out)
    console = Console(stderr=as_json)
    note, begin = start_note(engine), time.perf_counter()
    if note:
        console.print(note)
    tiles = make_tiles(engine, config, plan.net().shapes)
    try:
        session = Session(config, plan, data, tiles, threads)
        if note:
            console.print(f"ready after {time.perf_counter() - begin:.0f} s")
        if checkpoint is None:
            session.start()
        else:
            session.resume(checkpoint)

        def save(folder: Path | None = out) -> None:
            if folder is not None:
                session.checkpoint().write(folder / CHECKPOINT)

        if not _train(session, console, save):
            folder = make_folder(out or INTERRUPTED)
            save(folder)
            progress = session.progress
            click.echo(
                f"interrupted in epoch {progress.epoch + 1} after {progress.position} of "
                f"{len(data.train_labels)} examples; go on with: "
                f"ohmgrid train --resume --out {folder} --engine {engine}",
                err=True,
            )
            raise click.exceptions.Exit(INTERRUPT_STATUS)
        result = _result(session, engine)
        if out is not None:
            save()
            _write_results(session, out, result)
    finally:
        close_tiles(tiles)
    if as_json:
        click.echo(json.dumps(result))
    else:
        _print_result(console, result, out)
