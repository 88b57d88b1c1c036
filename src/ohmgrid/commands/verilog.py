"""``ohmgrid verilog``: one part of the gateware as Verilog, for a design of one's own."""

import json
from dataclasses import replace
from pathlib import Path

import click
from amaranth.hdl import Shape
from amaranth.hdl._ir import PortDirection  # not public, but `ports` returns it

from ohmgrid.boards.parts import REGISTRY, part
from ohmgrid.commands.options import Options, choose, json_option, tell
from ohmgrid.commands.outputs import check_new, force_option
from ohmgrid.commands.synth import unused_settings
from ohmgrid.commands.types import INTEGER, PATH
from ohmgrid.doors.checks import ConfigError, shown
from ohmgrid.registers.layout import roomy_build, words_of
from ohmgrid.storage.files import write_whole
from ohmgrid.tools.export import export_verilog, is_identifier, ports

__all__ = ["verilog"]


@click.command
@click.argument(
    "component", type=click.Choice(list(REGISTRY)), metavar="COMPONENT", default="core.Core"
)
@click.option("--config", type=PATH, metavar="FILE.toml", help="Build and formats; see `config`.")
@click.option("--lanes", type=INTEGER, help="Cells read in each cycle [16].")
@click.option("--share", type=INTEGER, help="Lanes that share a device unit [16].")
@click.option("--layers", metavar="N-N-...", help="A net whose arrays have room in the memories.")
@click.option("--name", default="ohmgrid", help="Of the module at the top [ohmgrid].")
@click.option("--out", type=PATH, default=Path("ohmgrid.v"), help="A new file [ohmgrid.v].")
@force_option
@json_option
def verilog(
    component: str,
    config: Path | None,
    lanes: int | None,
    share: int | None,
    layers: str | None,
    name: str,
    out: Path,
    force: bool,
    as_json: bool,
) -> None:
    """Write one component of the gateware as Verilog, and say what ports it has.

    COMPONENT is core.Core, all of it without a link, or one that `ohmgrid synth --help` lists.
    docs/core.md says what goes through the streams of a core.
    """
    chosen = choose(Options(config=config, lanes=lanes, share=share, layers=layers))
    tell(unused_settings(chosen.settings, ("build", "formats", "training")))
    if not is_identifier(name):
        raise ConfigError("name", f"expected a Verilog identifier, got {shown(name)}")
    check_new("out", force, out)
    made_of = chosen.config
    if layers is not None:
        shapes, words = chosen.settings.plan().net().shapes, words_of(made_of.device)
        fixed = [f for f in ("words", "inputs", "outputs") if chosen.settings.gives(f"build.{f}")]
        build = roomy_build(shapes, words, made_of.build, made_of.layout, fixed)
        made_of = replace(made_of, build=build)
    made = part(component, made_of)
    rows = [
        {
            "port": port,
            "direction": "input" if way == PortDirection.Input else "output",
            "bits": Shape.cast(signal.shape()).width,
            "signed": Shape.cast(signal.shape()).signed,
        }
        for port, (signal, way) in ports(made).items()
    ]
    text = export_verilog(made, name)
    write_whole(out, lambda file: file.write(text.encode()))
    if as_json:
        click.echo(json.dumps({"component": component, "file": str(out), "ports": rows}))
        return
    click.echo(f"{component} as module {name} in {out}; clk, rst and")
    for row in rows:
        kind = " signed" if row["signed"] else ""
        click.echo(f"  {row['direction']:6} {row['port']:20} {row['bits']:4} bits{kind}")
