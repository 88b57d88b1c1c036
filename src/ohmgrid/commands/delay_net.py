"""``ohmgrid dynamics delay-net``: a crossbar closed on itself through delays."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from ohmgrid.commands.options import Options, choose, json_option, tell
from ohmgrid.commands.outputs import check_new, force_option, free_file, print_rows
from ohmgrid.commands.scope import check_scope, show_scope, watch_option
from ohmgrid.commands.stopping import stop_on_signal
from ohmgrid.commands.types import INTEGER, NUMBER, PATH
from ohmgrid.doors.checks import ConfigError, check_float, check_int, parse_float
from ohmgrid.dynamics import NetEngine, OnTile
from ohmgrid.engines import CONTINUOUS_CHOICES as ENGINES
from ohmgrid.engines import make_network
from ohmgrid.imports.chosen import choose_device
from ohmgrid.storage.files import write_whole
from ohmgrid.studies import delay_theory as theory
from ohmgrid.studies.matrices import (
    NETS,
    all_inhibitory,
    hopfield,
    random_patterns,
    random_symmetric,
    read_matrix,
    ring,
)
from ohmgrid.studies.onset import Question, critical_delay
from ohmgrid.studies.oscillation import (
    mode_start,
    oscillation_of,
    random_start,
    real,
    sweep,
    tile_for,
)
from ohmgrid.systems import FUNCTIONS, MOST_DEPTH, DelayNet

__all__ = ["delay_net"]

MOST_SAMPLES = 10_000_000


def _numbers(name: str, text: str) -> tuple[float, ...]:
    return tuple(parse_float(name, part.strip()) for part in text.split(","))


def _range(name: str, text: str, points: int) -> list[float]:
    """Return evenly spaced numbers of LOW:HIGH."""
    ends = text.split(":")
    if len(ends) != 2:
        raise ConfigError(name, f"expected LOW:HIGH, got {text!r}")
    low, high = (parse_float(name, end) for end in ends)
    for end in (low, high):
        check_float(name, end, 0.001, 1000.0)
    if high <= low:
        raise ConfigError(name, f"expected LOW below HIGH, got {text!r}")
    return [float(one) for one in np.linspace(low, high, points)]


def _matrix(net: str, neurons: int, patterns: int, seed: int) -> np.ndarray:
    made: dict[str, Callable[[], np.ndarray]] = {
        "ring": lambda: ring(neurons),
        "inhibitory": lambda: all_inhibitory(neurons),
        "random": lambda: random_symmetric(neurons, seed),
        "hopfield": lambda: hopfield(random_patterns(patterns, neurons, seed)),
    }
    return made[net]() if net in made else read_matrix(Path(net))


def _crossbar(given: dict[str, Any], matrix: np.ndarray) -> OnTile | None:
    """Return the tile that a user asks for; None: an exact crossbar."""
    if given["config"] is not None:
        chosen = choose(Options(config=given["config"], device=given["device"], seed=given["seed"]))
        tell(chosen.warnings)
        return OnTile(chosen.config)
    if given["device"] is None:
        return None
    settings, warnings = choose_device(given["device"])
    tell(warnings)
    return tile_for(
        matrix,
        settings.config().device,
        given["seed"],
        given["dac_bits"],
        given["adc_bits"],
        given["out_noise"],
    )


@click.command("delay-net")
@click.argument("net", metavar="|".join((*NETS, "FILE")), default="inhibitory")
@click.option("--neurons", type=INTEGER, default=3, help="Of a net without a FILE [3].")
@click.option("--patterns", type=INTEGER, default=2, help="Of hopfield [2].")
@click.option("--gain", type=NUMBER, default=4.0, help="Slope of a neuron at 0 [4].")
@click.option("--delay", default="1", metavar="N[,N,...]", help="RC; one, or of each line [1].")
@click.option("--step", type=NUMBER, help="Time between samples, RC [a 100th of the delay].")
@click.option("--time", type=NUMBER, default=100.0, help="That is simulated, RC [100].")
@click.option("--function", default="tanh", metavar="|".join(FUNCTIONS), help="Neurons [tanh].")
@click.option("--device", metavar="NAME|FILE", help="On a tile of these devices [exact].")
@click.option("--config", type=PATH, metavar="FILE", help="On a tile of this configuration.")
@click.option("--dac-bits", type=INTEGER, default=7, help="With --device [7].")
@click.option("--adc-bits", type=INTEGER, default=9, help="With --device [9].")
@click.option("--out-noise", type=NUMBER, default=0.005, help="Of the ADC's range [0.005].")
@click.option("--seed", type=INTEGER, default=1, help="Of matrix, beginning and noise [1].")
@click.option("--engine", default="compiled", metavar=ENGINES, help="[compiled]")
@click.option("--random-start", is_flag=True, help="Not along the mode that oscillates first.")
@click.option("--no-onset", is_flag=True, help="Do not search for the critical delay.")
@click.option("--sweep", "sweeps", is_flag=True, help="Over gain and delay: what oscillates.")
@click.option("--gains", default="0.5:4", metavar="LOW:HIGH", help="Of --sweep [0.5:4].")
@click.option("--delays", default="0.1:3", metavar="LOW:HIGH", help="Of --sweep, RC [0.1:3].")
@click.option("--points", type=INTEGER, default=24, help="Of --sweep, each way [24].")
@watch_option
@click.option("--out", type=PATH, metavar="FILE.npz", help="Write the traces, or the map.")
@click.option("--plot", is_flag=True, help="Draw them, beside --out or here, as PNG.")
@force_option
@json_option
def delay_net(net: str, out: Path | None, force: bool, as_json: bool, **given: Any) -> None:
    """Simulate du_i/dt = -u_i + sum_j J_ij f(gain u_j(t - delay)); times in units of RC.

    The critical delay is searched for where a small perturbation neither grows nor decays, and
    stands beside theory's (docs/dynamics.md). A net may have states of rest beside oscillation:
    where it begins decides.
    """
    if out is not None and out.suffix != ".npz":
        raise ConfigError("out", f"expected a file FILE.npz, got {out}")
    if out is not None:
        check_new("out", force, out, *([out.with_suffix(".png")] if given["plot"] else []))
    check_scope(given["watched"])
    matrix = _matrix(net, given["neurons"], given["patterns"], given["seed"])
    delays = _numbers("delay", given["delay"])
    step = given["step"] or max(min(delays) / 100, max(delays) / (MOST_DEPTH // 2), 1e-4)
    config = DelayNet(given["gain"], delays, step, given["function"])
    check_float("time", given["time"], 10 * step, MOST_SAMPLES * step)
    check_int("points", given["points"], 2, 200)
    crossbar = _crossbar(given, matrix)
    question = Question(matrix, config.function, crossbar, given["engine"])
    if given["watched"]:
        _watch(question, config, given, net)
        return
    picture = _picture(out, given["plot"], "delay-map" if given["sweeps"] else f"delay-{net}")
    if given["sweeps"]:
        facts = _sweep(question, given, out, picture)
    else:
        facts = _simulate(question, config, given, out, picture)
    facts = {"net": net, "neurons": len(matrix), "engine": question.engine} | facts
    if out is not None:
        facts["out"] = str(out)
    if picture is not None:
        facts["plot"] = str(picture)
    if as_json:
        click.echo(json.dumps(facts))
        return
    print_rows(Console(), {key: _shown(value) for key, value in facts.items()})


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _picture(out: Path | None, plot: bool, name: str) -> Path | None:
    if not plot:
        return None
    stem = Path(name).name.replace(".", "-")
    return out.with_suffix(".png") if out else free_file(Path(f"{stem}.png"))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _high_gain_delay(matrix: np.ndarray) -> float | None:
    """Return the critical delay of a symmetric matrix at infinite gain; None: none, or unknown."""
    if not np.allclose(matrix, matrix.T):
        return None
    values = np.linalg.eigvalsh(matrix)
    low, high = float(values[0]), float(values[-1])
    return _finite(theory.high_gain_delay(low, high)) if low < 0 else None


def _started(question: Question, net: DelayNet, given: dict[str, Any]) -> NetEngine:
    """Return a network at its beginning."""
    network = make_network(question.engine, net, question.matrix, question.crossbar)
    if given["random_start"]:
        network.start(random_start(question.matrix, given["seed"]))
    else:
        network.start(mode_start(question.matrix, net.gain, given["seed"]))
    return network


def _watch(question: Question, net: DelayNet, given: dict[str, Any], name: str) -> None:
    """Show a network live."""
    network = _started(question, net, given)
    names = [f"u{line}" for line in range(network.lines)]
    title = f"{name}, gain {net.gain:g}, delay {given['delay']} RC, engine {question.engine}"

    def run(samples: int) -> np.ndarray:
        return real(network.run(samples))

    show_scope(run, given["time"], title, names, "RC", net.step, max(net.delays))


def _simulate(
    question: Question,
    net: DelayNet,
    given: dict[str, Any],
    out: Path | None,
    picture: Path | None,
) -> dict[str, Any]:
    """Run a network; return what it does, and what theory says."""
    network = _started(question, net, given)
    samples = round(given["time"] / net.step)
    trace = real(network.run(samples))
    cycles = network.cycles / samples or None
    found = oscillation_of(trace, net.step)
    values = np.linalg.eigvals(question.matrix)
    measured, frequency = None, None
    if not given["no_onset"] and len(net.delays) == 1:
        measured, frequency = critical_delay(question, net.gain)
    if out is not None:
        times = np.arange(1, len(trace) + 1) * net.step
        arrays: dict[str, Any] = {"time": times, "u": trace, "matrix": question.matrix}
        write_whole(out, lambda file: np.savez_compressed(file, **arrays))
    if picture is not None:
        # matplotlib takes a second to import.
        from ohmgrid.plots.dynamics import plot_network

        lag = max(round(max(net.delays) / net.step), 1)
        title = f"{network.lines} neurons, gain {net.gain:g}, delay {given['delay']} RC"
        plot_network(picture, trace, net.step, lag, title)
    return {
        "gain": net.gain,
        "delay": net.delays[0] if len(net.delays) == 1 else list(net.delays),
        "step": net.step,
        "cycles_per_sample": cycles,
        "clipped": network.clipped,
        "state": "settles" if found.period is None else "oscillates",
        "swing": found.swing,
        "period": found.period,
        "frequency": found.frequency,
        "rate": None,
        "critical_delay": measured,
        "critical_delay_theory": _finite(theory.critical_delay(net.gain, question.matrix)),
        "onset_frequency": None if measured is None else frequency,
        "least_eigenvalue": float(values.real.min()),
        "largest_eigenvalue": float(values.real.max()),
        "high_gain_delay": _high_gain_delay(question.matrix),
        "high_gain_period": theory.high_gain_period(max(net.delays)),
    }


def _sweep(
    question: Question, given: dict[str, Any], out: Path | None, picture: Path | None
) -> dict[str, Any]:
    """Map what oscillates; return how far it is where theory has it."""
    gains = _range("gains", given["gains"], given["points"])
    delays = _range("delays", given["delays"], given["points"])
    for gain, delay in ((gains[0], delays[0]), (gains[-1], delays[-1])):
        DelayNet(gain, (delay,), min(delay, DelayNet.step))
    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("points, left"), TimeRemainingColumn())
    with (
        stop_on_signal() as stop,
        Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar,
    ):
        task = bar.add_task("", total=len(gains) * len(delays))
        swings = sweep(question, gains, delays, lambda: bar.update(task, advance=1), stop.asked)
    if swings is None:
        click.echo("interrupted", err=True)
        raise SystemExit(stop.status)
    border = np.array([theory.critical_delay(gain, question.matrix) for gain in gains])
    foretold = np.array(delays)[None, :] > border[:, None]
    if out is not None:
        arrays: dict[str, Any] = {"gains": gains, "delays": delays, "swing": swings}
        arrays |= {"border": border}
        write_whole(out, lambda file: np.savez_compressed(file, **arrays))
    if picture is not None:
        from ohmgrid.plots.dynamics import plot_sweep

        title = f"{len(question.matrix)} neurons"
        high = _high_gain_delay(question.matrix)
        plot_sweep(picture, swings, gains, delays, border.tolist(), high, title)
    return {
        "gains": given["gains"],
        "delays": given["delays"],
        "points": int(swings.size),
        "oscillating": int(np.count_nonzero(swings)),
        "oscillating_theory": int(np.count_nonzero(foretold)),
        "as_theory": float(np.mean((swings > 0) == foretold)),
    }
