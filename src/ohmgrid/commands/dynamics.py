"""``ohmgrid dynamics``: networks with delay, and single neurons, in continuous time."""

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console

from ohmgrid.commands.delay_net import delay_net
from ohmgrid.commands.options import json_option
from ohmgrid.commands.outputs import check_new, force_option, free_file, print_rows
from ohmgrid.commands.scope import check_scope, show_scope, watch_option
from ohmgrid.commands.types import INTEGER, NUMBER, PATH
from ohmgrid.doors.checks import ConfigError, check_float, parse_float
from ohmgrid.dynamics import NeuronsEngine
from ohmgrid.engines import CONTINUOUS_CHOICES as ENGINES
from ohmgrid.engines import make_neurons
from ohmgrid.storage.files import write_whole
from ohmgrid.studies.onset import hopf_points
from ohmgrid.studies.oscillation import oscillation_of, real
from ohmgrid.systems import Drive, Fhn, Lif, Neuron

__all__ = ["dynamics"]

MOST_SAMPLES = 10_000_000
REST = 0.2, 1.6
"""Currents at which a FitzHugh-Nagumo neuron of the usual parameters rests."""


@click.group()
def dynamics() -> None:
    """Systems in continuous time: networks with delay, single neurons (docs/dynamics.md)."""


dynamics.add_command(delay_net)


def _neuron_options(command: Any) -> Any:
    """Add what both kinds of neurons take."""
    for option in reversed(
        (
            click.option("--count", type=INTEGER, default=1, help="Neurons [1]."),
            click.option("--event-rate", type=NUMBER, default=0.0, help="Poisson events [0]."),
            click.option("--kick", type=NUMBER, default=0.0, help="What an event adds [0]."),
            click.option("--seed", type=INTEGER, default=1, help="Of the events [1]."),
            click.option("--engine", default="compiled", metavar=ENGINES, help="[compiled]"),
            watch_option,
            click.option("--out", type=PATH, metavar="FILE.npz", help="Write traces and spikes."),
            click.option("--plot", is_flag=True, help="Draw them, beside --out or here, as PNG."),
            force_option,
            json_option,
        )
    ):
        command = option(command)
    return command


def _drive(given: dict[str, Any]) -> Drive:
    currents = tuple(parse_float("current", part.strip()) for part in given["current"].split(","))
    return Drive(currents, given["event_rate"], given["kick"], given["seed"])


def _show(name: str, neuron: Neuron, given: dict[str, Any], more: dict[str, Any]) -> None:
    """Run neurons; print, write and draw what they do."""
    out = given["out"]
    check_scope(given["watched"])
    if out is not None:
        if out.suffix != ".npz":
            raise ConfigError("out", f"expected a file FILE.npz, got {out}")
        check_new("out", given["force"], out, *([out.with_suffix(".png")] * given["plot"]))
    check_float("time", given["time"], 10 * neuron.step, MOST_SAMPLES * neuron.step)
    neurons = make_neurons(given["engine"], neuron, given["count"])
    if given["watched"]:
        _watch(name, neuron, neurons, given)
        return
    samples = round(given["time"] / neuron.step)
    states, spikes = neurons.run(samples)
    values = real(states)
    found = oscillation_of(values[:, 0, :1], neuron.step)
    facts: dict[str, Any] = {
        "neuron": name,
        "count": neurons.count,
        "engine": given["engine"],
        "step": neuron.step,
        "time": given["time"],
        "cycles_per_sample": neurons.cycles / samples or None,
        "spikes": int(spikes.sum()),
        "rate": _rate(spikes, neuron.step),
        "period": found.period,
        "frequency": found.frequency,
        "critical_delay": None,
        **more,
    }
    if out is not None:
        times = np.arange(1, len(values) + 1) * neuron.step
        arrays = {"time": times, "spikes": spikes}
        arrays |= {one: values[:, place] for place, one in enumerate(neuron.VARIABLES)}
        write_whole(out, lambda file: np.savez_compressed(file, **arrays))
        facts["out"] = str(out)
    if given["plot"]:
        from ohmgrid.plots.dynamics import plot_neurons

        picture = out.with_suffix(".png") if out else free_file(Path(f"{name}.png"))
        title = f"{name}, current {given['current']}"
        plot_neurons(picture, values, spikes, neuron.step, neuron.VARIABLES, title)
        facts["plot"] = str(picture)
    if given["as_json"]:
        click.echo(json.dumps(facts))
        return
    shown = {key: f"{one:.6g}" if isinstance(one, float) else one for key, one in facts.items()}
    print_rows(Console(), {key: "none" if one is None else one for key, one in shown.items()})


def _watch(name: str, neuron: Neuron, neurons: NeuronsEngine, given: dict[str, Any]) -> None:
    """Show neurons live: all variables of one, the first one of several."""
    one, first = neurons.count == 1, neuron.VARIABLES[0]
    names = [*neuron.VARIABLES] if one else [f"{first}{k}" for k in range(neurons.count)]
    lag = 10 * neuron.step if len(names) == 1 else 0.0

    def run(samples: int) -> np.ndarray:
        values = real(neurons.run(samples)[0])
        return values[:, :, 0] if one else values[:, 0]

    title = f"{name}, current {given['current']}, engine {given['engine']}"
    show_scope(run, given["time"], title, names, "units of time", neuron.step, lag)


def _rate(spikes: np.ndarray, step: float) -> float | None:
    """Return spikes of a neuron in a unit of time, from its first to its last; a mean over them."""
    rates = []
    for neuron in range(spikes.shape[1]):
        places = np.flatnonzero(spikes[:, neuron])
        if len(places) > 1:
            rates.append((len(places) - 1) / (float(places[-1] - places[0]) * step))
    return float(np.mean(rates)) if rates else None


@dynamics.command()
@click.option("--current", default="0.5", metavar="N[,N,...]", help="One, or of each [0.5].")
@click.option("--a", type=NUMBER, default=Fhn.a, help=f"[{Fhn.a:g}]")
@click.option("--b", type=NUMBER, default=Fhn.b, help=f"[{Fhn.b:g}]")
@click.option("--tau", type=NUMBER, default=Fhn.tau, help=f"[{Fhn.tau:g}]")
@click.option("--threshold", type=NUMBER, default=Fhn.threshold, help=f"[{Fhn.threshold:g}]")
@click.option("--step", type=NUMBER, default=Fhn.step, help="Time between samples [1/32].")
@click.option("--time", type=NUMBER, default=500.0, help="That is simulated [500].")
@click.option("--hopf", is_flag=True, help="Search for the currents between which it spikes.")
@_neuron_options
def fhn(hopf: bool, **given: Any) -> None:
    """FitzHugh-Nagumo: v' = v - v^3/3 - w + I, w' = (v + a - b w) / tau."""
    names = ("a", "b", "tau", "threshold", "step")
    neuron = Fhn(_drive(given), **{name: given[name] for name in names})
    more = {"hopf_points": list(hopf_points(neuron, *REST, given["engine"]))} if hopf else {}
    _show("fhn", neuron, given, more)


@dynamics.command()
@click.option("--current", default="2", metavar="N[,N,...]", help="R I: one, or of each [2].")
@click.option("--rc", type=NUMBER, default=Lif.rc, help=f"Time constant [{Lif.rc:g}].")
@click.option("--threshold", type=NUMBER, default=Lif.threshold, help=f"[{Lif.threshold:g}]")
@click.option("--reset", type=NUMBER, default=Lif.reset, help=f"[{Lif.reset:g}]")
@click.option("--refractory", type=NUMBER, default=Lif.refractory, help="Time [0].")
@click.option("--step", type=NUMBER, help="Time between samples [a 100th of --rc].")
@click.option("--time", type=NUMBER, help="That is simulated [100 times --rc].")
@_neuron_options
def lif(step: float | None, time: float | None, **given: Any) -> None:
    """Leaky integrate-and-fire: RC V' = -V + R I; a spike resets V at the threshold."""
    names = ("rc", "threshold", "reset", "refractory")
    own = {name: given[name] for name in names}
    neuron = Lif(_drive(given), **own, step=given["rc"] / 100 if step is None else step)
    given["time"] = 100 * neuron.rc if time is None else time
    theory = [neuron.rate(current) for current in neuron.drive.currents]
    quiet = neuron.drive.rate == 0
    _show("lif", neuron, given, {"rate_theory": sum(theory) / len(theory) if quiet else None})
