"""``ohmgrid test``: how well the weights of a run or of a file classify, and what they say."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from rich.console import Console

from ohmgrid.commands.after import PICTURE, After, Examples, over_time
from ohmgrid.commands.options import (
    Options,
    choose,
    choose_plan,
    json_option,
    plan_options,
    tell,
    tile_options,
    weights_options,
    with_whole_path,
)
from ohmgrid.commands.outputs import check_new, force_option, free_file, print_rows
from ohmgrid.commands.starting import start_core
from ohmgrid.commands.types import FOLDER, INTEGER, PATH
from ohmgrid.config import Config
from ohmgrid.devices.presets import device_name
from ohmgrid.doors.checks import ConfigError
from ohmgrid.engines import CHOICES, check_engine
from ohmgrid.net import Net, state_sha256
from ohmgrid.storage.files import write_whole
from ohmgrid.studies.phase_change import MODELS
from ohmgrid.tile import TileState
from ohmgrid.training.data import load_examples
from ohmgrid.training.fitting import fit_build, load_plan_data
from ohmgrid.training.identity import identity
from ohmgrid.training.runs import Checkpoint, read_run
from ohmgrid.weights.load import program, read_start


class _Job(NamedTuple):
    """What is tested."""

    config: Config
    net: Net
    states: Sequence[TileState]
    data: str
    pixels: np.ndarray
    labels: np.ndarray | None
    names: Sequence[str]
    """Of the classes; empty where they are numbers."""
    notes: Sequence[str]
    warnings: Sequence[str]


WITH_RUN = ("data",)
"""Options that a test of a run takes of those that all verbs share."""
OVER_TIME = ("data", "g_max", "seed")
"""The same of one over time."""


def _of_run(run: Checkpoint, options: Options, taken: Sequence[str]) -> _Job:
    """Return the test of a run."""
    for field in fields(Options):
        if field.name not in taken and getattr(options, field.name) is not None:
            name = field.name.replace("_", "-")
            raise ConfigError(name, "expected without RUN, whose own settings count")
    net, formats, learned = run.plan.net(), run.config.formats, run.preparation
    plan = run.plan if options.data is None else replace(run.plan, data=options.data)
    if with_whole_path(plan) == run.plan:
        own = load_plan_data(run.plan, run.config, learned)
        run.check_data(own)
        pixels, labels, notes = own.test_x, own.test_labels, own.notes
    else:
        pixels, labels, notes = load_examples(
            plan.data, formats.x_frac, formats.edge_bits, learned, net.layers[0]
        )
    return _Job(run.config, net, run.states, plan.data, pixels, labels, learned.names, notes, ())


def _of_file(options: Options) -> _Job:
    """Return the test of weights in a file."""
    chosen = choose(options)
    plan, data = choose_plan(chosen)
    start = read_start(chosen.config, plan)
    if start is None:
        raise ConfigError("weights", "expected a run's folder, or --weights FILE, got neither")
    config = fit_build(chosen.config, plan, chosen.settings)
    states, notes = program(config, plan.net(), start)
    return _Job(
        config=config,
        net=plan.net(),
        states=states,
        data=plan.data,
        pixels=data.test_x,
        labels=data.test_labels,
        names=data.preparation.names,
        notes=data.notes,
        warnings=(*chosen.warnings, *notes),
    )


def _predict(job: _Job, engine: str, console: Console) -> tuple[np.ndarray, str]:
    """Return the class of each example, and the hash of the states before."""
    core = start_core(engine, job.config, job.net, console)
    try:
        core.load(job.states)
        digest = state_sha256(core.state())
        return np.array([core.predict(one) for one in job.pixels], np.int64), digest
    finally:
        core.close()


def _confusion(job: _Job, found: np.ndarray) -> np.ndarray:
    """Return how many examples of each label (row) were found to be of each class (column)."""
    assert job.labels is not None
    size = int(max(job.labels.max(), found.max())) + 1
    table = np.zeros((size, size), np.int64)
    np.add.at(table, (job.labels, found), 1)
    return table


def _name(job: _Job, index: int) -> str:
    return job.names[index] if index < len(job.names) else str(index)


def _predictions(job: _Job, found: np.ndarray) -> bytes:
    """Return the text of a file of predictions."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    labels = job.labels
    writer.writerow(["example", "predicted", *([] if labels is None else ["label"])])
    for number, one in enumerate(found.tolist()):
        label = [] if labels is None else [_name(job, int(labels[number]))]
        writer.writerow([number, _name(job, one), *label])
    return file.getvalue().encode()


def _print_confusion(console: Console, job: _Job, table: np.ndarray) -> None:
    names = [_name(job, index) for index in range(len(table))]
    width = max(5, *(len(name) for name in names), len(str(table.max())))
    console.print("label, then how often each class was found:", highlight=False)
    for head, row in zip(["", *names], [names, *table.tolist()], strict=True):
        cells = " ".join(f"{cell:>{width}}" for cell in row)
        console.print(
            f"{head:>{width}} {cells}", soft_wrap=True, no_wrap=True, highlight=False, markup=False
        )


def _check_out(path: Path | None, force: bool) -> None:
    """Raise `ConfigError` unless predictions can go to ``path``."""
    if path is None:
        return
    if not path.absolute().parent.is_dir():
        raise ConfigError("predictions", f"expected a file in an existing folder, got {path}")
    check_new("predictions", force, path)


def _result(job: _Job, engine: str, found: np.ndarray, digest: str) -> dict[str, Any]:
    """Return what ``--json`` prints, without what was asked for beside it."""
    labels = job.labels
    return {
        **identity(job.config),
        "engine": engine,
        "device": device_name(job.config.device),
        "cell": job.config.device.remark,
        "data": job.data,
        "layers": "-".join(map(str, job.net.layers)),
        "examples": len(found),
        "accuracy": None if labels is None else float(np.mean(found == labels)),
        "state_sha256": digest,
        "notes": list(job.notes),
        "warnings": list(job.warnings),
    }


def _test_over_time(
    folder: Path, options: Options, late: After, engine: str, force: bool, as_json: bool
) -> None:
    """Test a run on phase-change memory."""
    run = read_run(folder)
    question = late.question(options.g_max, options.seed, run.config)
    job = _of_run(run, options, OVER_TIME)
    if job.labels is None:
        raise ConfigError("after", f"expected labels in {job.data}, found none")
    tell(job.notes, "note")
    picture = folder / PICTURE if force else free_file(folder / PICTURE)
    examples = Examples(job.data, job.pixels, job.labels, job.notes)
    over_time(picture, run, examples, question, late.model, engine, as_json)


@click.command()
@click.argument("run", type=FOLDER, metavar="[RUN]", required=False)
@weights_options
@plan_options
@tile_options
@click.option("--engine", default="compiled", metavar=CHOICES, help="Engine [compiled].")
@click.option("--after", metavar="1h,1d,1y", help="Test RUN so long after programming PCM.")
@click.option("--repeats", type=INTEGER, help="For --after: how often it is programmed [5].")
@click.option(
    "--noise-model", metavar="|".join(MODELS), help="For --after: how devices are programmed [pcm]."
)
@click.option("--confusion", is_flag=True, help="Print how often each class was found for each.")
@click.option("--predictions", type=PATH, metavar="FILE.csv", help="Write what was found for each.")
@force_option
@json_option
def test(
    run: Path | None,
    engine: str,
    after: str | None,
    repeats: int | None,
    noise_model: str | None,
    confusion: bool,
    predictions: Path | None,
    force: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Test the weights of a run, or those of a file (--weights), on test examples.

    --data names other examples than the run's own; they are scaled as those were that it was
    trained on, and may be without labels. Reads draw noise, so that the accuracy of a second test
    differs a little from the first one's.

    --after programs the weights of RUN into phase-change memory instead, and reads them so long
    afterwards (0, 25s, 5min, 1h, 1d, 1mo, 1y), with and without global drift compensation: a table,
    and a picture in RUN. --g-max is then the conductance of a layer's largest weight in uS, and
    --seed that of all noise (docs/retention.md).
    """
    check_engine(engine)
    late = After(after, repeats, noise_model)
    _check_out(predictions, force)
    options = Options(**given)
    if run is not None and options.weights is not None:
        raise ConfigError("weights", f"expected a run or --weights, got both ({run})")
    if after is not None:
        if run is None or confusion or predictions:
            raise ConfigError("after", "expected a RUN, without --confusion and --predictions")
        _test_over_time(run, options, late, engine, force, as_json)
        return
    late.check_absent()
    job = _of_file(options) if run is None else _of_run(read_run(run), options, WITH_RUN)
    if confusion and job.labels is None:
        raise ConfigError("confusion", f"expected labels in {job.data}, found none")
    tell(job.notes, "note")
    tell(job.warnings)
    console = Console(stderr=as_json)
    found, digest = _predict(job, engine, console)
    result = _result(job, engine, found, digest)
    if predictions is not None:
        content = _predictions(job, found)
        write_whole(predictions, lambda file: file.write(content))
        result["predictions"] = str(predictions)
    table = _confusion(job, found) if confusion else None
    if table is not None:
        result["confusion"] = table.tolist()
    if as_json:
        click.echo(json.dumps(result))
        return
    accuracy = result["accuracy"]
    lines = {
        "engine": engine,
        "device": result["device"],
        **({"cell": result["cell"]} if result["cell"] else {}),
        "net": f"{result['layers']}, seed {result['seed']}",
        "examples": f"{len(found)} of {job.data}",
        "accuracy": "no labels to compare with" if accuracy is None else f"{accuracy:.2%}",
        **({"predictions": str(predictions)} if predictions else {}),
    }
    print_rows(console, lines)
    if table is not None:
        _print_confusion(console, job, table)
