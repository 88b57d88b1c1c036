"""Options that several verbs take, and what they mean together."""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import click

from ohmgrid.checks import ConfigError
from ohmgrid.config import Config, default_converters, load_config
from ohmgrid.data import Dataset, load_data, parse_crop
from ohmgrid.presets import PRESETS, device_from_dict
from ohmgrid.session import Plan
from ohmgrid.step_device import Device

__all__ = [
    "Options",
    "choose_config",
    "choose_plan",
    "device_name",
    "fit_build",
    "json_option",
    "load_device",
    "load_plan_data",
    "plan_changes",
    "plan_options",
    "tile_options",
]

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Options:
    """Options as given; None where the user said nothing."""

    config: str | None = None
    device: str | None = None
    seed: int | None = None
    lanes: int | None = None
    share: int | None = None
    bit_length: int | None = None
    data: str | None = None
    crop: str | None = None
    layers: str | None = None
    activation: str | None = None
    loss: str | None = None
    lr: float | None = None
    batch: int | None = None
    epochs: int | None = None


def _stack(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")

tile_options = _stack(
    click.option("--config", metavar="FILE.toml", help="A whole configuration; see `config`."),
    click.option("--device", metavar="NAME|FILE.toml", help="Preset (see `devices`) or TOML file."),
    click.option("--seed", type=int, help="Seed of all noise, weights and orders [1]."),
    click.option("--lanes", type=int, help="Cells read in each cycle; changes no result [16]."),
    click.option("--share", type=int, help="Lanes that share a device unit; no result [16]."),
    click.option("--bit-length", type=int, help="Most slots of a pulse train, 1..31 [31]."),
)

plan_options = _stack(
    click.option("--data", metavar="digits|mnist|FILE.npz", help="Data set [digits]."),
    click.option("--crop", metavar="HxW", help="Use the middle of each image, as in 22x24."),
    click.option("--layers", metavar="N-N-...", help="Sizes, inputs first [digits: 64-32-10]."),
    click.option("--activation", metavar="sigmoid|tanh|relu", help="Activation [sigmoid]."),
    click.option("--loss", metavar="cross-entropy|squared", help="Loss [cross-entropy]."),
    click.option("--lr", type=float, help=f"Learning rate of an example [{Plan.lr:g}]."),
)


def load_device(name: str) -> tuple[Device, bool]:
    """Return a device and whether it is a preset or made of one.

    The device is a preset, or that of a TOML file (its [device] table, or the whole file).
    """
    if name in PRESETS:
        return PRESETS[name], True
    if not name.endswith(".toml"):
        known = ", ".join(PRESETS)
        raise ConfigError(f"device: expected one of {known} or a file FILE.toml, got {name!r}")
    try:
        data = tomllib.loads(Path(name).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"device: {name}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"device: {name}: not valid TOML: {error}") from None
    table = data if "class" in data or "preset" in data else data.get("device", data)
    if not isinstance(table, dict):
        raise ConfigError(f"device: {name}: expected a table [device], got {table!r}")
    try:
        return device_from_dict(table), "preset" in table
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None


def device_name(device: Device) -> str:
    """Return the name of the preset that a device equals, else the name of its class."""
    return next((name for name, known in PRESETS.items() if known == device), device.kind)


def choose_config(options: Options, base: Config | None = None) -> Config:
    """Return the configuration that the options ask for.

    Parameters
    ----------
    options : Options
    base : Config, optional
        What holds where an option was not given, instead of the defaults.
    """
    config = base or Config()
    if options.config is not None:
        config = load_config(options.config)
    changes: list[tuple[str, dict[str, Any]]] = []
    if options.seed is not None:
        changes.append(("seed", {"seed": options.seed}))
    if options.device is not None:
        device, preset_device = load_device(options.device)
        changes.append(("device", {"device": device}))
        if options.config is None and base is None:
            forward, backward = default_converters(preset_device)
            changes.append(("device", {"forward": forward, "backward": backward}))
    if options.lanes is not None:
        changes.append(("lanes", {"build": {"lanes": options.lanes}}))
    if options.share is not None:
        changes.append(("share", {"build": {"share": options.share}}))
    if options.bit_length is not None:
        changes.append(("bit-length", {"pulses": {"desired_bl": options.bit_length}}))
    for name, change in changes:
        try:
            config = config.replace(**change)
        except ConfigError as error:
            # The user knows the option's name, not the field's.
            raise ConfigError(f"{name}: {str(error).partition(': ')[2]}") from None
    return config


def fit_build(config: Config, plan: Plan) -> Config:
    """Return the configuration with the plan's mini-batches and memory for its largest layer."""
    shapes = plan.net().shapes
    devices = 2 if config.device.paired else 1
    rows = max(config.build.max_rows, *(devices * rows for rows, _ in shapes))
    cols = max(config.build.max_cols, *(cols for _, cols in shapes))
    try:
        return config.replace(build={"max_rows": rows, "max_cols": cols}, batch=plan.batch)
    except ConfigError as error:
        raise ConfigError(f"layers: {error}") from None


def load_plan_data(name: str, crop: str, config: Config) -> Dataset:
    """Load the data of a plan in the configuration's edge format."""
    size = parse_crop(crop) if crop else None
    return load_data(name, config.formats.x_frac, config.formats.edge_bits, size)


def plan_changes(options: Options) -> dict[str, Any]:
    """Return the fields of a plan that the user gave."""
    return {
        field.name: value
        for field in fields(Plan)
        if (value := getattr(options, field.name)) is not None
    }


def choose_plan(options: Options, config: Config) -> tuple[Plan, Dataset]:
    """Return the plan that the options ask for, and its data.

    Without sizes the net is ``inputs-32-classes``.
    """
    given = plan_changes(options)
    # Wrong numbers are reported before a data set is read or fetched.
    plan = Plan(**given)
    data = load_plan_data(plan.data, plan.crop, config)
    if options.layers is None:
        given["layers"] = f"{data.inputs}-32-{max(2, data.classes)}"
        plan = Plan(**given)
    plan.check_fits(data)
    return plan, data
