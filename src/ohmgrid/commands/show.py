"""``ohmgrid devices`` and ``ohmgrid config``: what there is to choose from, and what is chosen."""

import json
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import click

from ohmgrid.commands.options import (
    Options,
    batch_option,
    choose,
    epochs_options,
    json_option,
    plan_options,
    tell,
    tile_options,
)
from ohmgrid.devices.presets import DEVICE_CLASSES, NAMED, device_name, device_to_dict
from ohmgrid.training.settings import config_to_toml, device_from_dict


@click.command()
@json_option
def devices(as_json: bool) -> None:
    """List the device presets with the parameters that differ from their class.

    First those of one array, then algorithms and cells on several. --json prints all parameters.
    """
    table = {name: device_to_dict(device) for name, device in NAMED.items()}
    if as_json:
        click.echo(json.dumps({"devices": table}))
        return
    width = max(map(len, table))
    for name, parameters in table.items():
        kind = parameters.pop("class")
        usual = {f.name: f.default for f in fields(DEVICE_CLASSES[kind])}  # type: ignore[arg-type]
        words = " ".join(_differing(parameters, usual))
        click.echo(f"{name:{width}}  {kind}{_made_of(parameters)}")
        if words:
            click.echo(click.wrap_text(words, 78, " " * (width + 2), " " * (width + 2)))


def _made_of(parameters: dict[str, Any]) -> str:
    """Return which devices one is made of: ``of X``, ``of X and Y (fast, slow)`` or ``of 2 X``."""
    for value in parameters.values():
        if _are_devices(value):
            counts = Counter(device_name(device_from_dict(one)) for one in value)
            return " of " + " and ".join(f"{count} {name}" for name, count in counts.items())
    inner = {key: device_from_dict(value) for key, value in parameters.items() if _is_device(value)}
    names = list(dict.fromkeys(map(device_name, inner.values())))
    if len(names) > 1:
        return f" of {' and '.join(names)} ({', '.join(inner)})"
    return f" of {names[0]}" if names else ""


def _is_device(value: Any) -> bool:
    return isinstance(value, dict) and "class" in value


def _are_devices(value: Any) -> bool:
    return isinstance(value, list) and any(map(_is_device, value))


def _differing(parameters: dict[str, Any], usual: dict[str, Any]) -> Iterator[str]:
    """Yield the parameters that differ, those of tables by their dotted names."""
    for key, value in parameters.items():
        if _are_devices(value):
            continue
        if _is_device(value):
            inner = device_from_dict(value)
            if device_name(inner) == inner.kind:  # no preset
                own = {f.name: f.default for f in fields(type(inner))}  # type: ignore[arg-type]
                plain = {name: one for name, one in value.items() if name != "class"}
                yield from (f"{key}.{word}" for word in _differing(plain, own))
            continue
        if isinstance(value, dict):
            for inner, one in value.items():
                if one != getattr(usual[key], inner):
                    yield f"{key}.{inner}={_short(one)}"
        elif value != usual[key]:
            yield f"{key}={_short(value)}"


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).lower()


@click.command()
@plan_options
@batch_option
@epochs_options
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
