"""Options that several verbs take, and what they mean together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from ohmgrid.commands.types import INTEGER, NUMBER, PATH
from ohmgrid.config import Config
from ohmgrid.devices.base import Device
from ohmgrid.devices.presets import PRESETS
from ohmgrid.doors.checks import ConfigError, shown
from ohmgrid.registers.build_check import check_build
from ohmgrid.training.data import Dataset, load_data, parse_crop
from ohmgrid.training.plan import Plan
from ohmgrid.training.settings import Settings, load_device, load_settings

__all__ = [
    "Chosen",
    "Options",
    "batch_option",
    "choose",
    "choose_config",
    "choose_device",
    "choose_plan",
    "device_name",
    "epochs_option",
    "fit_build",
    "json_option",
    "load_plan_data",
    "plan_options",
    "tell",
    "tile_options",
    "with_whole_path",
]

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Options:
    """Options as given; None where the user said nothing."""

    config: Path | None = None
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
    click.option("--config", type=PATH, metavar="FILE.toml", help="Configuration; see `config`."),
    click.option("--device", metavar="NAME|FILE.toml", help="Preset (see `devices`) or TOML file."),
    click.option("--seed", type=INTEGER, help="Seed of all noise, weights and orders [1]."),
    click.option("--lanes", type=INTEGER, help="Cells read in each cycle; changes no result [16]."),
    click.option("--share", type=INTEGER, help="Lanes that share a device unit; no result [16]."),
    click.option("--bit-length", type=INTEGER, help="Most slots of a pulse train, 1..31 [31]."),
)

batch_option = click.option("--batch", type=INTEGER, help="Examples of a mini-batch [1].")

epochs_option = click.option(
    "--epochs", type=INTEGER, help=f"Passes over the data [{Plan.epochs}]."
)

plan_options = _stack(
    click.option("--data", metavar="digits|mnist|FILE.npz", help="Data set [digits]."),
    click.option("--crop", metavar="HxW", help="Use the middle of each image, as in 22x24."),
    click.option("--layers", metavar="N-N-...", help="Sizes, inputs first [digits: 64-32-10]."),
    click.option("--activation", metavar="sigmoid|tanh|relu", help="Activation [sigmoid]."),
    click.option("--loss", metavar="cross-entropy|squared", help="Loss [cross-entropy]."),
    click.option("--lr", type=NUMBER, help=f"Learning rate of an example [{Plan.lr:g}]."),
)


PLACES = {
    "seed": "seed",
    "batch": "batch",
    "lanes": "build.lanes",
    "share": "build.share",
    "bit_length": "pulses.desired_bl",
    **{field.name: f"training.{field.name}" for field in fields(Plan)},
}
"""Options and the keys of a configuration that they set."""


@dataclass(frozen=True)
class Chosen:
    """What file and options come to."""

    settings: Settings
    """The keys that were given, in a file or as options."""
    config: Config
    warnings: tuple[str, ...]
    """One line each: what a user should know, though nothing is wrong."""


def device_name(device: Device) -> str:
    """Return the name of the preset that a device equals, else the name of its class."""
    return next((name for name, known in PRESETS.items() if known == device), device.kind)


def choose_device(name: str) -> tuple[Settings, list[str]]:
    """Return the device that a user names, as settings, and warnings.

    The device is a preset, or that of a TOML file (`ohmgrid.training.settings.load_device`).
    """
    if name in PRESETS:
        return Settings(device=PRESETS[name]), []
    if not name.endswith(".toml"):
        raise ConfigError(
            "device",
            f"expected one of {', '.join(PRESETS)} or a file FILE.toml, got {shown(name)}",
        )
    file = load_device(Path(name))
    settings = Settings(device=file.device, from_preset=file.from_preset)
    if not file.unused:
        return settings, []
    return settings, [
        f"{name}: of this file only [device] is used, not {', '.join(file.unused)}; "
        "--config takes all of it"
    ]


def _option_settings(options: Options) -> Settings:
    """Return what the options say; errors carry the option's name, not the key's."""
    settings = Settings()
    for option, place in PLACES.items():
        value = getattr(options, option)
        if value is None:
            continue
        table, _, key = place.rpartition(".")
        one = Settings(tables={table: {key: value}}) if table else Settings(top={key: value})
        try:
            one.config()
            one.plan()
        except ConfigError as error:
            raise ConfigError(option.replace("_", "-"), error.problem) from None
        settings = settings.under(one)
    return settings


def device_warnings(config: Config) -> list[str]:
    """Return what is allowed of a device and yet hardly ever meant."""
    unit = config.device.unit
    if 0 < unit.lifetime < 1:
        return [
            f"device.lifetime: {unit.lifetime:g} updates, below 1: every weight is lost each time "
            "that leaks are applied"
        ]
    return []


def _converter_warnings(settings: Settings, file: str) -> list[str]:
    """Return a line if a device of one's own gets other converters than presets do."""
    left = [name for name in ("forward", "backward") if not settings.tables.get(name)]
    if settings.from_preset or not left:
        return []
    config = settings.config()
    io = getattr(config, left[0])
    return [
        f"{file}: no preset, so the plain converters are used ({' and '.join(left)}: out_bound "
        f"{io.out_bound:g}, out_noise {io.out_noise:g}; presets come with 20 and 0.1)"
    ]


def choose(options: Options, base: Settings | None = None) -> Chosen:
    """Return the settings and the configuration that file and options ask for.

    An option overrides the file, and the file what is below it.

    Parameters
    ----------
    options : Options
    base : Settings, optional
        What holds where neither file nor option says anything, instead of the defaults.
    """
    settings, warnings = base or Settings(), []
    if options.config is not None:
        settings = settings.under(load_settings(options.config))
    if options.device is not None:
        device, warnings = choose_device(options.device)
        settings = settings.under(device)
    settings = settings.under(_option_settings(options))
    config = settings.config()
    if base is None and (file := options.device or options.config):
        warnings += _converter_warnings(settings, str(file))
    return Chosen(settings, config, (*warnings, *device_warnings(config)))


def choose_config(options: Options) -> Config:
    """Return the configuration alone, for what has nobody to warn."""
    return choose(options).config


def tell(warnings: Sequence[str]) -> None:
    """Print each warning as one line on stderr."""
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)


def fit_build(config: Config, plan: Plan) -> Config:
    """Return the configuration with memory for the plan's largest layer, its build checked."""
    shapes = plan.net().shapes
    devices = 2 if config.device.paired else 1
    rows = max(config.build.max_rows, *(devices * rows for rows, _ in shapes))
    cols = max(config.build.max_cols, *(cols for _, cols in shapes))
    try:
        config = config.replace(build={"max_rows": rows, "max_cols": cols})
    except ConfigError as error:
        raise ConfigError("layers", str(error)) from None
    check_build(config)
    return config


def load_plan_data(name: str, crop: str, config: Config) -> Dataset:
    """Load the data of a plan in the configuration's edge format."""
    size = parse_crop(crop) if crop else None
    return load_data(name, config.formats.x_frac, config.formats.edge_bits, size)


def with_whole_path(plan: Plan) -> Plan:
    """Return the plan with the absolute name of a data file: it holds in any folder."""
    if not plan.data.endswith(".npz"):
        return plan
    return replace(plan, data=str(Path(plan.data).absolute()))


def choose_plan(chosen: Chosen) -> tuple[Plan, Dataset]:
    """Return what is to be trained, and its data.

    Without sizes the net is ``inputs-32-classes``.
    """
    plan = chosen.settings.plan()
    data = load_plan_data(plan.data, plan.crop, chosen.config)
    if not chosen.settings.gives("training.layers"):
        plan = replace(plan, layers=f"{data.inputs}-32-{max(2, data.classes)}")
    plan = with_whole_path(plan)
    plan.check_fits(data)
    return plan, data
