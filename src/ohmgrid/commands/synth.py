"""``ohmgrid synth``: what one part of the gateware costs, and how fast it runs."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from rich.console import Console

from ohmgrid.boards.parts import REGISTRY, part
from ohmgrid.boards.synth import DEVICES, FAMILIES
from ohmgrid.boards.synth import synth as synthesise
from ohmgrid.commands.estimate import EXAMPLES, POSITIONS, print_estimate
from ohmgrid.commands.options import (
    Options,
    batch_option,
    choose,
    json_option,
    plan_options,
    tell,
)
from ohmgrid.commands.outputs import check_new, force_option
from ohmgrid.commands.types import FOLDER, INTEGER, NUMBER, PATH
from ohmgrid.doors.checks import ConfigError, shown
from ohmgrid.training.settings import Settings

__all__ = ["synth"]


SYNTHESIS = (
    *("component", "family", "parts", "collisions", "pnr", "pnr_seed", "router", "out", "force"),
)
"""What is said of a synthesis alone."""
PLAN = ("data", "crop", "pool", "scale", "label", "layers", "activation", "loss", "lr", "batch")
ESTIMATE = (*PLAN, "turned", "positions", "examples")
"""What is said of an estimate alone."""


@click.command
@click.argument("component", type=click.Choice(list(REGISTRY)), metavar="COMPONENT", required=False)
@click.option("--family", type=click.Choice(list(FAMILIES)), default="ecp5", help="FPGA [ecp5].")
@click.option(
    "--config", type=PATH, metavar="FILE.toml", help="Sizes of the component; see `config`."
)
@click.option("--lanes", type=INTEGER, help="Lanes of an array [16].")
@click.option("--share", type=INTEGER, help="Lanes that share a device unit [16].")
@click.option("--parts/--no-parts", default=True, help="Count the submodules too [yes].")
@click.option("--collisions", is_flag=True, help="Keep logic for reading a word being written.")
@click.option("--pnr", is_flag=True, help="Place and route: clock and critical path (minutes).")
@click.option(
    "--device",
    metavar="|".join(DEVICES) + "|NAME|FILE",
    help="For --pnr the part [25k, up5k or hx8k]; for --estimate preset or file, as of `train`.",
)
@click.option(
    "--freq",
    type=NUMBER,
    default=100.0,
    help="Clock that --pnr aims at, or --estimate takes, in MHz [100].",
)
@click.option("--pnr-seed", type=INTEGER, default=1, help="Seed of the placer [1].")
@click.option(
    "--router", type=click.Choice(["router1", "router2"]), default="router2", help="[router2]"
)
@click.option("--out", type=FOLDER, help="A new or empty folder: keep all files there.")
@click.option(
    "--estimate", is_flag=True, help="No synthesis: clock cycles of an example of a net, by verb."
)
@click.option(
    "--positions", default=POSITIONS, help=f"For --estimate: examples trained before [{POSITIONS}]."
)
@click.option(
    "--examples",
    type=INTEGER,
    default=EXAMPLES,
    help=f"For --estimate: examples at each position [{EXAMPLES}].",
)
@click.option("--turned", metavar="auto|none|N,N", help="Arrays whose lanes lie along outputs.")
@plan_options
@batch_option
@force_option
@json_option
@click.pass_context
def synth(ctx: click.Context, estimate: bool, as_json: bool, **given: Any) -> None:
    """Synthesise one component of the gateware alone, and count what it costs by part.

    With --estimate, how many clock cycles a build takes to train a net on an example, by verb.
    COMPONENT is one of: {components}.
    """
    _check_alone(ctx, estimate)
    if estimate:
        names = {field.name for field in fields(Options)} & set(given)
        options = Options(**{name: given[name] for name in names})
        print_estimate(options, given["positions"], given["examples"], given["freq"], as_json)
    else:
        _synthesise(as_json=as_json, **{k: v for k, v in given.items() if k not in ESTIMATE})


def _check_alone(ctx: click.Context, estimate: bool) -> None:
    """Raise `ConfigError` if what was given does not go with --estimate, or needs it."""
    for name in SYNTHESIS if estimate else ESTIMATE:
        if ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE:
            option, value = name.replace("_", "-"), shown(ctx.params[name])
            goes = "none with --estimate" if estimate else "with --estimate only"
            raise ConfigError(option, f"expected {goes}, got {value}")


def _synthesise(
    component: str | None,
    family: str,
    config: Path | None,
    lanes: int | None,
    share: int | None,
    parts: bool,
    collisions: bool,
    pnr: bool,
    device: str | None,
    freq: float,
    pnr_seed: int,
    router: str,
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Print the report of a component."""
    if component is None:
        raise ConfigError("component", "expected one, as in `array.Lane`, or --estimate, got none")
    if device is not None and device not in DEVICES:
        raise ConfigError("device", f"expected one of {', '.join(DEVICES)}, got {shown(device)}")
    chosen = choose(Options(config=config, lanes=lanes, share=share))
    tell(_unused(chosen.settings))
    if out is not None and out.is_dir():
        check_new("out", force, *out.iterdir())
    with Console(stderr=True).status(f"{component}: elaborating") as status:
        report = synthesise(
            lambda: part(component, chosen.config),
            family,
            name=component,
            by_part=parts,
            collisions=collisions,
            pnr=pnr,
            device=device,
            freq_mhz=freq,
            seed=pnr_seed,
            router=router,
            out=out,
            on_line=lambda line: status.update(f"{component}: {line.strip()[:60]}"),
        )
    click.echo(report.to_json() if as_json else report.to_text())


def _unused(settings: Settings) -> list[str]:
    """Return a line if settings were given that no gateware is built from."""
    tables = {*settings.top, *settings.tables, *(["device"] if settings.gives("device") else [])}
    unused = sorted(tables - {"build", "formats"})
    return [f"of these settings {', '.join(unused)} make no gateware"] if unused else []


synth.help = (synth.help or "").format(components=", ".join(REGISTRY))
