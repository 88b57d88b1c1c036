"""``ohmgrid devices`` and ``ohmgrid config``: what there is to choose from, and what is chosen."""

import json
import tomllib
from dataclasses import fields
from typing import Any

import click

from ohmgrid.commands.options import (
    Options,
    batch_option,
    choose,
    epochs_option,
    json_option,
    plan_options,
    tell,
    tile_options,
)
from ohmgrid.devices.presets import DEVICE_CLASSES, PRESETS, device_name, device_to_dict
from ohmgrid.training.settings import config_to_toml, device_from_dict


@click.command()
@json_option
def devices(as_json: bool) -> None:
    """List the device presets with the parameters that differ from their class.

    --json prints all parameters.
    """
    table = {name: device_to_dict(device) for name, device in PRESETS.items()}
    if as_json:
        click.echo(json.dumps({"devices": table}))
        return
    width = max(map(len, table))
    for name, parameters in table.items():
        kind = parameters.pop("class")
        inner = parameters.pop("device", None)
        if inner is not None:
            kind += f" of {device_name(device_from_dict(inner))}"
        usual = {f.name: f.default for f in fields(DEVICE_CLASSES[kind.split()[0]])}  # type: ignore[arg-type]
        words = " ".join(
            f"{key}={_short(value)}" for key, value in parameters.items() if value != usual[key]
        )
        click.echo(f"{name:{width}}  {kind}")
        click.echo(click.wrap_text(words, 78, " " * (width + 2), " " * (width + 2)))


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).lower()


@click.command()
@plan_options
@batch_option
@epochs_option
@tile_options
@json_option
def config(as_json: bool, **given: Any) -> None:
    """Print the chosen configuration as TOML.

    The text is a file for --config. Of what is trained it has only what was given.
    """
    chosen = choose(Options(**given))
    tell(chosen.warnings)
    text = config_to_toml(chosen.config, chosen.settings.tables.get("training"))
    click.echo(json.dumps(tomllib.loads(text)) if as_json else text, nl=as_json)
