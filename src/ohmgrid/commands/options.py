"""Options that several verbs take, and what they mean together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from ohmgrid.commands.types import INTEGER, NUMBER, PATH
from ohmgrid.config import Config
from ohmgrid.datasets.scaling import SCALES
from ohmgrid.doors.checks import ConfigError, parse_int, shown
from ohmgrid.imports.chosen import choose_device, lines_of_file
from ohmgrid.imports.rpu_config import SUFFIXES, load_rpu_config
from ohmgrid.training.data import BUILT_IN, Dataset
from ohmgrid.training.fitting import load_plan_data
from ohmgrid.training.plan import Plan
from ohmgrid.training.settings import Settings, load_settings
from ohmgrid.weights.layers import layer_sizes
from ohmgrid.weights.load import read_start

__all__ = [
    "Chosen",
    "Options",
    "batch_option",
    "choose",
    "choose_config",
    "choose_plan",
    "class_option",
    "epochs_options",
    "json_option",
    "plan_options",
    "tell",
    "tile_options",
    "weights_options",
    "with_whole_path",
]

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Options:
    """Options as given; None where the user said nothing."""

    config: Path | None = None
    device: str | None = None
    device_class: str | None = None
    seed: int | None = None
    lanes: int | None = None
    share: int | None = None
    turned: str | None = None
    bit_length: int | None = None
    data: str | None = None
    crop: str | None = None
    pool: int | None = None
    scale: str | None = None
    label: str | None = None
    layers: str | None = None
    activation: str | None = None
    loss: str | None = None
    lr: float | None = None
    batch: int | None = None
    epochs: int | None = None
    lr_decay: float | None = None
    weights: str | None = None
    g_max: float | None = None
    original: str | None = None


def _stack(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")

class_option = click.option(
    "--class", "device_class", metavar="CLASS", help="Class of a device file that names none."
)

tile_options = _stack(
    click.option(
        "--config",
        type=PATH,
        metavar="FILE",
        help="Configuration: TOML (see `config`) or printed.",
    ),
    click.option(
        "--device",
        metavar="NAME|FILE",
        help="Preset (see `devices`), or TOML, JSON or printed file.",
    ),
    class_option,
    click.option("--seed", type=INTEGER, help="Seed of all noise, weights and orders [1]."),
    click.option("--lanes", type=INTEGER, help="Cells read in each cycle; changes no result [16]."),
    click.option("--share", type=INTEGER, help="Lanes that share a device unit; no result [16]."),
    click.option(
        "--turned", metavar="auto|none|N,N", help="Arrays whose lanes lie along outputs [auto]."
    ),
    click.option("--bit-length", type=INTEGER, help="Most slots of a pulse train, 1..127 [31]."),
)

batch_option = click.option("--batch", type=INTEGER, help="Examples of a mini-batch [1].")

epochs_options = _stack(
    click.option("--epochs", type=INTEGER, help=f"Passes over the data [{Plan.epochs}]."),
    click.option("--lr-decay", type=NUMBER, help="Times the learning rate after each [1]."),
)

weights_options = _stack(
    click.option("--weights", metavar="RUN|FILE", help="Weights to begin with, NPZ or CSV."),
    click.option(
        "--g-max", type=NUMBER, metavar="uS", help="The CSV has conductances, this the largest."
    ),
    click.option("--original", metavar="RUN|FILE", help="What they are of: signs, scales of rows."),
)

plan_options = _stack(
    click.option("--data", metavar="digits|mnist|FILE|FOLDER", help="Data set [digits]."),
    click.option("--crop", metavar="HxW", help="Use the middle of each image, as in 22x24."),
    click.option("--pool", type=INTEGER, help="Average squares of N x N pixels [1]."),
    click.option("--scale", metavar="|".join(SCALES), help="Scaling of the inputs [none]."),
    click.option("--label", metavar="first|last|NAME", help="Column of a table with the labels."),
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
    "turned": "layout.turned",
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


def _choose_config(path: Path) -> tuple[Settings, list[str]]:
    """Return the settings of a configuration file, and warnings."""
    if path.suffix == ".json":
        raise ConfigError(str(path), "a device alone is for --device, expected a configuration")
    if path.suffix not in SUFFIXES:
        return load_settings(path), []
    found = load_rpu_config(path)
    return found.settings, lines_of_file(str(path), found.left)


def _parse_turned(text: str) -> str | tuple[int, ...]:
    """Return ``auto``, or the numbers of arrays in ``0,2``; none of them for ``none``."""
    if text == "auto":
        return text
    parts = [] if text == "none" else text.split(",")
    if not all(part.isdecimal() for part in parts):
        raise ConfigError("turned", f"expected auto, none or arrays as in 0,2, got {shown(text)}")
    return tuple(parse_int("turned", part) for part in parts)


def _option_settings(options: Options) -> Settings:
    """Return what the options say; errors carry the option's name, not the key's."""
    settings = Settings()
    for option, place in PLACES.items():
        value = getattr(options, option)
        if value is None:
            continue
        if option == "turned":
            value = _parse_turned(value)
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
        config, warnings = _choose_config(options.config)
        settings = settings.under(config)
    if options.device is not None:
        device, more = choose_device(options.device, options.device_class)
        settings, warnings = settings.under(device), [*warnings, *more]
    elif options.device_class is not None:
        raise ConfigError("class", "expected with --device FILE.json only, got no device")
    settings = settings.under(_option_settings(options))
    config = settings.config()
    if base is None and (file := options.device or options.config):
        warnings += _converter_warnings(settings, str(file))
    return Chosen(settings, config, (*warnings, *device_warnings(config)))


def choose_config(options: Options) -> Config:
    """Return the configuration alone, for what has nobody to warn."""
    return choose(options).config


def tell(lines: Sequence[str], kind: str = "warning") -> None:
    """Print each warning, or note, as one line on stderr."""
    for line in lines:
        click.echo(f"{kind}: {line}", err=True)


def with_whole_path(plan: Plan) -> Plan:
    """Return the plan with the absolute names of its files: they hold in any folder."""

    def whole(name: str) -> str:
        return str(Path(name).absolute()) if name else ""

    data = plan.data if plan.data in BUILT_IN else whole(plan.data)
    return replace(plan, data=data, weights=whole(plan.weights), original=whole(plan.original))


def choose_plan(chosen: Chosen) -> tuple[Plan, Dataset]:
    """Return what is to be trained, and its data.

    Without sizes the net is that of the weights to begin with, or ``inputs-32-classes``.
    """
    plan = chosen.settings.plan()
    data = load_plan_data(plan, chosen.config)
    if not chosen.settings.gives("training.layers"):
        start = read_start(chosen.config, plan)
        sizes = (
            (data.inputs, 32, max(2, data.classes))
            if start is None
            else layer_sizes(start, data.inputs)
        )
        plan = replace(plan, layers="-".join(map(str, sizes)))
    plan = with_whole_path(plan)
    plan.check_fits(data)
    return plan, data
