"""``ohmgrid export``: the weights of a run, or of a file, in a form that others read."""

import io
import json
from pathlib import Path

import click
import numpy as np
from rich.console import Console

from ohmgrid import __version__
from ohmgrid.commands.options import json_option, tell
from ohmgrid.commands.outputs import check_new, force_option
from ohmgrid.commands.types import NUMBER, PATH
from ohmgrid.config import Config
from ohmgrid.devices.base import Device
from ohmgrid.doors.checks import ConfigError, check_choice
from ohmgrid.storage.files import write_whole
from ohmgrid.training.identity import identity
from ohmgrid.training.runs import CHECKPOINT, read_checkpoint
from ohmgrid.weights.csv import text_of
from ohmgrid.weights.layers import Layer, full_scale
from ohmgrid.weights.load import check_g_max, layers_of_run, read_weights
from ohmgrid.weights.npz import arrays_of

FORMATS = ("npz", "csv")


def _content(layers: list[Layer], device: Device, form: str, g_max: float | None) -> bytes:
    if form == "csv":
        return text_of(layers, full_scale(device), g_max).encode()
    file = io.BytesIO()
    np.savez_compressed(file, **arrays_of(layers, device, g_max))
    return file.getvalue()


@click.command()
@click.argument("run", type=PATH, metavar="RUN|FILE")
@click.option("--format", "form", default="npz", metavar="|".join(FORMATS), help="Form [npz].")
@click.option("--g-max", type=NUMBER, metavar="uS", help="Conductances too; this is the largest.")
@click.option("--out", type=PATH, metavar="FILE", help="The file [RUN/weights.npz, or .csv].")
@force_option
@json_option
def export(
    run: Path, form: str, g_max: float | None, out: Path | None, force: bool, as_json: bool
) -> None:
    """Write the weights of a run, or of another file of weights, to a file.

    NPZ: weights_L of each layer L in weight units, bias last; of pairs plus_L and minus_L; with
    --g-max conductances in microsiemens. CSV: a line for each layer; with --g-max the magnitudes in
    microsiemens, each row's largest at --g-max, as chips are programmed with.
    """
    check_choice("format", form, FORMATS)
    check_g_max(g_max)
    config = Config()
    if run.is_dir():
        checkpoint = read_checkpoint(run / CHECKPOINT)
        config, layers = checkpoint.config, layers_of_run(checkpoint)
    else:
        layers = read_weights(run, full_scale(config.device), g_max)
    place = run / "weights" if run.is_dir() else run
    out = out or place.with_suffix(f".{form}")
    if out.suffix != f".{form}":
        raise ConfigError("out", f"expected a file FILE.{form}, got {out}")
    if not out.absolute().parent.is_dir():
        raise ConfigError("out", f"expected a file in an existing folder, got {out}")
    check_new("out", force, out)
    if any(layer.magnitudes for layer in layers):
        tell([f"{run}: magnitudes alone, written as positive weights"])
    content = _content(layers, config.device, form, g_max)
    write_whole(out, lambda file: file.write(content))
    shapes = [list(layer.weights.shape) for layer in layers]
    # A file of weights does not say of which configuration they are.
    source = identity(config) if run.is_dir() else {"version": __version__}
    facts = {**source, "out": str(out), "shapes": shapes, "g_max": g_max}
    if as_json:
        click.echo(json.dumps(facts))
        return
    sizes = ", ".join(f"{rows}x{columns}" for rows, columns in shapes)
    unit = "weight units" if g_max is None else f"weight units, up to {g_max:g} uS"
    line = f"{out}: layers of {sizes} (rows x columns), {unit}"
    Console().print(line, soft_wrap=True, highlight=False, markup=False)
