"""Settings as text: what a file or a command line says, and the configuration that it makes.

`Settings` holds the keys that were given and nothing else, so that a command line can be laid over
a file, and so that whoever chooses a default can see whether it was left to them. A run's own
``config.toml`` is such a text with every key: it repeats the run.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import tomli_w

from ohmgrid.config import SECTIONS, Config, FormatConfig, default_converters
from ohmgrid.devices.base import Device, StepDevice
from ohmgrid.devices.presets import DEVICE_CLASSES, NAMED, PRESETS, device_to_dict, preset
from ohmgrid.doors.checks import ConfigError, check_choice, shown
from ohmgrid.doors.schema import (
    check_table,
    given_values,
    inner_lists,
    inner_tables,
    parse_toml,
    read_text,
)
from ohmgrid.periphery import PulseConfig
from ohmgrid.registers.layers import RELU_X_FRAC
from ohmgrid.training.plan import Plan

__all__ = [
    "DeviceFile",
    "Settings",
    "config_to_toml",
    "device_from_dict",
    "device_to_toml",
    "load_device",
    "load_settings",
    "parse_settings",
]

TOP = ("seed", "batch")
"""Keys outside any table."""
TABLES: dict[str, type] = {**SECTIONS, "training": Plan}
"""Tables beside the device's."""


@dataclass(frozen=True)
class _Top:
    """Types of the keys outside any table."""

    seed: int = 0
    batch: int = 0


@dataclass(frozen=True)
class Settings:
    """Keys that were given, with values of their types.

    Nothing is known here of ranges: they are checked when a `config` or a plan is made.
    """

    top: Mapping[str, Any] = field(default_factory=dict)
    """Of `TOP`."""
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Of `TABLES`."""
    device: Device | None = None
    from_preset: bool = True
    """Whether the device is a preset, or one with single parameters replaced."""

    def gives(self, key: str) -> bool:
        """Return whether a key was given: ``seed``, ``device`` or ``formats.x_frac``."""
        table, _, name = key.rpartition(".")
        if key == "device":
            return self.device is not None
        return name in (self.tables.get(table, {}) if table else self.top)

    def under(self, other: "Settings") -> "Settings":
        """Return these settings with another's laid over them."""
        names = {*self.tables, *other.tables}
        tables = {
            name: {**self.tables.get(name, {}), **other.tables.get(name, {})} for name in names
        }
        own = other.device is not None
        return Settings(
            {**self.top, **other.top},
            tables,
            other.device if own else self.device,
            other.from_preset if own else self.from_preset,
        )

    def _x_frac(self) -> int:
        """Return the fraction bits of an activation where they are not given: the net's."""
        net = self.tables.get("training", {}).get("activation", Plan.activation)
        widest = self.tables.get("formats", {}).get("edge_bits", FormatConfig.edge_bits) - 1
        return min(RELU_X_FRAC if net == "relu" else FormatConfig.x_frac, max(widest, 8))

    def config(self) -> Config:
        """Return the configuration; what was not given has its default.

        Converters and lengths of trains not given are those that the device comes with
        (`default_converters`, ``usual_bl`` of chopped transfers); the activations of ReLU nets have
        fewer fraction bits and reach further.
        """
        plain = Config(formats=FormatConfig(x_frac=self._x_frac()))
        forward, backward = default_converters(self.from_preset)
        device = self.device or plain.device
        usual_bl = getattr(device, "usual_bl", PulseConfig.desired_bl)
        values: dict[str, Any] = {name: getattr(plain, name) for name in SECTIONS}
        values |= {"forward": forward, "backward": backward}
        values["pulses"] = PulseConfig(desired_bl=usual_bl)
        for name, base in values.items():
            try:
                values[name] = replace(base, **self.tables.get(name, {}))
            except ConfigError as error:
                raise error.of(name) from None
        return Config(**self.top, **values, device=device)

    def plan(self) -> Plan:
        """Return what is to be trained; what was not given has its default."""
        try:
            return Plan(**self.tables.get("training", {}))
        except ConfigError as error:
            raise error.of("training") from None


def parse_settings(text: str) -> Settings:
    """Return the settings of a TOML text, its ranges checked too."""
    data = parse_toml(text)
    known = [*TOP, "device", *TABLES]
    for key in data:
        if key not in known:
            raise ConfigError(
                "configuration", f"unknown key {shown(key)}; expected {', '.join(known)}"
            )
    device, from_preset = None, True
    if "device" in data:
        device = device_from_dict(data["device"])
        from_preset = _like_preset(data["device"], device)
    settings = Settings(
        given_values("", {key: data[key] for key in TOP if key in data}, _Top),
        {name: given_values(name, data[name], cls) for name, cls in TABLES.items() if name in data},
        device,
        from_preset,
    )
    settings.config()
    settings.plan()
    return settings


def load_settings(path: Path) -> Settings:
    """Read a TOML file; errors begin with its name."""
    text = read_text(path)
    try:
        return parse_settings(text)
    except ConfigError as error:
        raise error.at(path) from None


def _like_preset(table: Mapping[str, Any], device: Device) -> bool:
    """Return whether a device's table names a preset, or gives one's parameters."""
    return "preset" in table or device in NAMED.values()


def device_from_dict(data: Any, name: str = "device") -> Device:
    """Build a device from ``{"preset": NAME}`` or ``{"class": KIND, parameter: value, ...}``.

    With a preset, further keys replace single parameters of it. Keys that are devices are such
    tables themselves (``device`` of a pair), or lists of them, others tables of their own kind.

    Parameters
    ----------
    data : object
        What came for a table.
    name : str
        Dotted name of the table, for errors.
    """
    table = dict(check_table(name, data))
    values: dict[str, Any] = {}
    if "preset" in table:
        chosen = table.pop("preset")
        if not isinstance(chosen, str) or chosen not in NAMED:
            raise ConfigError(
                f"{name}.preset",
                f"expected one of {', '.join(PRESETS)}, or an algorithm that `ohmgrid devices` "
                f"lists, got {shown(chosen)}",
            )
        base = preset(chosen)
        cls = type(base)
        values = {f.name: getattr(base, f.name) for f in fields(base)}  # type: ignore[arg-type]
    else:
        kind = table.pop("class", None)
        check_choice(f"{name}.class", kind, tuple(DEVICE_CLASSES))
        cls = DEVICE_CLASSES[kind]
    preset_values = dict(values)
    values |= given_values(name, table, cls)
    _fill_tables(name, table, cls, values, preset_values)
    try:
        return cls(**values)
    except ConfigError as error:
        raise error.of(name) from None


def _fill_tables(
    name: str,
    table: Mapping[str, Any],
    cls: type[Device],
    values: dict[str, Any],
    preset_values: Mapping[str, Any],
) -> None:
    """Replace the fields of a device that are tables themselves by what these say."""
    for key, kind in inner_tables(cls).items():
        place = f"{name}.{key}"
        if issubclass(kind, Device):
            if key in table:
                values[key] = device_from_dict(table[key], place)
            if not isinstance(values.get(key), kind):
                wanted = "a step device" if kind is StepDevice else "a device"
                raise ConfigError(name, f"expected a table [{place}] with {wanted} in a {cls.kind}")
        elif key in table:
            defaults = {f.name: f.default for f in fields(cls)}  # type: ignore[arg-type]
            given = given_values(place, table[key], kind)
            try:
                values[key] = replace(preset_values.get(key, defaults[key]), **given)
            except ConfigError as error:
                raise error.of(place) from None
    for key in inner_lists(cls):
        place = f"{name}.{key}"
        if key in table:
            if not isinstance(table[key], list):
                raise ConfigError(
                    place, f"expected tables [[{place}]], one a device, got {shown(table[key])}"
                )
            every = enumerate(table[key])
            values[key] = tuple(device_from_dict(one, f"{place}[{n}]") for n, one in every)
        elif key not in values:
            raise ConfigError(
                name, f"expected tables [[{place}]] with step devices in a {cls.kind}"
            )


class DeviceFile(NamedTuple):
    """What a file says of a device."""

    device: Device
    from_preset: bool
    """As in `Settings`."""
    unused: list[str]
    """Keys of the file that are not about the device."""


def load_device(path: Path) -> DeviceFile:
    """Return the device of a TOML file; errors begin with its name.

    The file is a device's table, or has a table ``[device]``; then it may be a whole configuration,
    of which every key must be known.
    """
    text = read_text(path)
    try:
        data = parse_toml(text)
        if "class" in data or "preset" in data:
            device = device_from_dict(data)
            return DeviceFile(device, _like_preset(data, device), [])
        settings = parse_settings(text)
        if settings.device is None:
            raise ConfigError("device", "expected a class or a preset, or a table [device]")
    except ConfigError as error:
        raise error.at(path) from None
    unused = [key for key in data if key != "device"]
    return DeviceFile(settings.device, settings.from_preset, unused)


def _tables_last(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table with those inside it last, as TOML wants them."""
    plain = {key: value for key, value in table.items() if not isinstance(value, dict)}
    return plain | {key: _tables_last(table[key]) for key in table if key not in plain}


def device_to_toml(device: Device) -> str:
    """Return the text of a device file."""
    return tomli_w.dumps({"device": _tables_last(device_to_dict(device))})


def config_to_toml(config: Config, training: Mapping[str, Any] | None = None) -> str:
    """Return TOML text from which `parse_settings` makes an equal configuration.

    Parameters
    ----------
    config : Config
    training : mapping, optional
        Fields of a `Plan`, for the table ``[training]``.
    """
    tables = {name: asdict(getattr(config, name)) for name in SECTIONS}
    return tomli_w.dumps(
        {
            "seed": config.seed,
            "batch": config.batch,
            **tables,
            **({"training": dict(training)} if training else {}),
            "device": _tables_last(device_to_dict(config.device)),
        }
    )
