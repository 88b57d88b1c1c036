"""``ohmgrid synth``: what one part of the gateware costs, and how fast it runs."""

from pathlib import Path

import click
from rich.console import Console

from ohmgrid.boards.parts import REGISTRY, part
from ohmgrid.boards.synth import DEVICES
from ohmgrid.boards.synth import synth as synthesise
from ohmgrid.boards.synthesis import FAMILIES
from ohmgrid.commands.options import Options, choose, json_option, tell
from ohmgrid.commands.outputs import check_new, force_option
from ohmgrid.commands.types import FOLDER, INTEGER, NUMBER, PATH
from ohmgrid.training.settings import Settings

__all__ = ["synth", "unused_settings"]


@click.command
@click.argument("component", type=click.Choice(list(REGISTRY)), metavar="COMPONENT")
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
    "--device", type=click.Choice(list(DEVICES)), help="For --pnr the part [25k, up5k or hx8k]."
)
@click.option("--freq", type=NUMBER, default=100.0, help="Clock that --pnr aims at, in MHz [100].")
@click.option("--pnr-seed", type=INTEGER, default=1, help="Seed of the placer [1].")
@click.option(
    "--router", type=click.Choice(["router1", "router2"]), default="router2", help="[router2]"
)
@click.option("--out", type=FOLDER, help="A new or empty folder: keep all files there.")
@force_option
@json_option
def synth(
    component: str,
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
    """Synthesise one component of the gateware alone, and count what it costs by part.

    COMPONENT is one of: {components}.
    """
    chosen = choose(Options(config=config, lanes=lanes, share=share))
    tell(unused_settings(chosen.settings, ("build", "formats")))
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


def unused_settings(settings: Settings, used: tuple[str, ...]) -> list[str]:
    """Return a line if settings were given that no gateware is built from."""
    tables = {*settings.top, *settings.tables, *(["device"] if settings.gives("device") else [])}
    unused = sorted(tables - set(used))
    return [f"of these settings {', '.join(unused)} make no gateware"] if unused else []


synth.help = (synth.help or "").format(components=", ".join(REGISTRY))
