"""``ohmgrid test RUN --after``: accuracy long after programming phase-change memory."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from ohmgrid.commands.options import tell
from ohmgrid.commands.outputs import print_rows
from ohmgrid.commands.starting import start_core
from ohmgrid.config import Config
from ohmgrid.doors.checks import ConfigError, check_choice
from ohmgrid.studies.phase_change import MODELS
from ohmgrid.studies.retention import (
    Question,
    Retention,
    Trained,
    holding_config,
    mean_and_error,
    measure,
)
from ohmgrid.studies.times import parse_after, show_after
from ohmgrid.training.identity import identity
from ohmgrid.training.runs import Checkpoint

__all__ = ["PICTURE", "After", "Examples", "over_time"]

PICTURE = "retention.png"
"""Name of the picture in a run's folder."""
MOST_GAINS = 4
"""Layers whose gains a line of 80 characters holds."""


@dataclass(frozen=True)
class After:
    """Options of a test over time as given; None where the user said nothing."""

    after: str | None = None
    repeats: int | None = None
    noise_model: str | None = None

    def check_absent(self) -> None:
        """Raise `ConfigError` where an option is given that only a test over time has."""
        for name in ("repeats", "noise_model"):
            if getattr(self, name) is not None:
                raise ConfigError(name.replace("_", "-"), "expected with --after only")

    @property
    def model(self) -> str:
        """Name of the noise model."""
        return "pcm" if self.noise_model is None else self.noise_model

    def question(self, g_max: float | None, seed: int | None, config: Config) -> Question:
        """Return what is asked.

        Parameters
        ----------
        g_max : float, optional
            Conductance of a layer's largest weight, uS, instead of the model's.
        seed : int, optional
            Of all noise, instead of the run's.
        config : Config
            Of the run.

        Raises
        ------
        ConfigError
            An option is wrong.
        """
        check_choice("noise-model", self.model, tuple(MODELS))
        model = MODELS[self.model]
        return Question(
            model=model if g_max is None else replace(model, g_max=g_max),
            after=parse_after(self.after or ""),
            repeats=Question.repeats if self.repeats is None else self.repeats,
            seed=config.seed if seed is None else seed,
        )


@dataclass(frozen=True)
class Examples:
    """What a net is tested with."""

    name: str
    pixels: np.ndarray
    labels: np.ndarray
    notes: Sequence[str]


def over_time(
    picture: Path,
    run: Checkpoint,
    examples: Examples,
    question: Question,
    model: str,
    engine: str,
    as_json: bool,
) -> None:
    """Test a run's weights on phase-change memory; print a table or JSON, and draw a picture.

    Parameters
    ----------
    picture : Path
        Where it goes.
    run : Checkpoint
    examples : Examples
    question : Question
        Its seed is that of all noise.
    model : str
        Name of its noise model.
    engine : str
    as_json : bool
    """
    config, weights = run.config.replace(seed=question.seed), run.weights
    begun = [state.steps[0] for state in run.states]
    trained = Trained(weights, begun, examples.pixels, examples.labels)
    console = Console(stderr=as_json)
    core = start_core(engine, holding_config(config, weights), run.plan.net(), console)
    columns = BarColumn(), MofNCompleteColumn(), TextColumn("tests, left"), TimeRemainingColumn()
    try:
        total = question.repeats * len(question.after)
        with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("", total=total)
            found = measure(core, question, trained, lambda done: bar.update(task, completed=done))
    finally:
        core.close()
    clipped = _clipped(found)
    tell(clipped, "note")
    result = {
        **identity(config),
        "engine": engine,
        "noise_model": model,
        "g_max": question.model.g_max,
        "repeats": question.repeats,
        "data": examples.name,
        "layers": "-".join(map(str, run.plan.net().layers)),
        "examples": len(examples.labels),
        "exact": found.exact,
        "rows": _rows(found),
        "notes": [*examples.notes, *clipped],
        "picture": str(picture),
    }
    _draw(result, question.model.t_0)
    if as_json:
        click.echo(json.dumps(result))
    else:
        _print(console, result)


def _rows(found: Retention) -> list[dict[str, Any]]:
    rows = []
    for row in found.rows:
        one: dict[str, Any] = {"after": show_after(row.seconds), "seconds": row.seconds}
        for name, values in (("accuracy", row.plain), ("compensated", row.compensated)):
            one[name], one[f"{name}_error"] = mean_and_error(values)
        rows.append(one | {"gains": list(row.gains)})
    return rows


def _clipped(found: Retention) -> list[str]:
    if not found.clipped:
        return []
    return [f"{found.clipped} weights, of all that were read, are clipped at the devices' bounds"]


def _draw(result: dict[str, Any], t_0: float) -> None:
    # matplotlib takes a second to import: only what draws pays for it.
    from ohmgrid.plots.retention import plot_retention

    title = f"{result['data']} {result['layers']}, {result['noise_model']}, seed {result['seed']}"
    plot_retention(Path(result["picture"]), result["rows"], result["exact"], t_0, title)


def _shown(mean: float, error: float | None) -> str:
    return f"{mean:.2%}" if error is None else f"{mean:.2%} ± {error:.2%}"


def shown_gains(gains: Sequence[float]) -> str:
    """Return the gains of all layers, or their range where a line does not hold them."""
    if len(gains) > MOST_GAINS:
        return f"{min(gains):.2f} to {max(gains):.2f}"
    return " ".join(f"{gain:.2f}" for gain in gains)


def _print(console: Console, result: dict[str, Any]) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("after", "without", "with compensation", "gains"):
        table.add_column(title, justify="left" if title == "gains" else "right")
    for row in result["rows"]:
        table.add_row(
            row["after"],
            _shown(row["accuracy"], row["accuracy_error"]),
            _shown(row["compensated"], row["compensated_error"]),
            shown_gains(row["gains"]),
        )
    console.print(table)
    devices = f"{result['noise_model']}, {result['g_max']:g} uS, programmed {result['repeats']} x"
    lines = {
        "engine": result["engine"],
        "net": f"{result['layers']}, seed {result['seed']}",
        "examples": f"{result['examples']} of {result['data']}",
        "devices": devices,
        "before": f"{result['exact']:.2%}, with the weights as trained",
        "picture": result["picture"],
    }
    print_rows(console, lines)
