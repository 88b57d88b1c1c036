"""A device by the name that a user has for it: a preset, or a file of any form."""

from collections.abc import Sequence
from pathlib import Path

from ohmgrid.devices.presets import NAMED, PRESETS
from ohmgrid.doors.checks import ConfigError, shown
from ohmgrid.imports.device_json import load_device_json
from ohmgrid.imports.rpu_config import SUFFIXES, load_rpu_device
from ohmgrid.training.settings import Settings, load_device

__all__ = ["choose_device", "lines_of_file"]


def lines_of_file(name: str, left: Sequence[str]) -> list[str]:
    """Return a line for each field of a file that has no counterpart here."""
    return [f"{name}: {line}" for line in left]


def _only_device(name: str, device: str, unused: Sequence[str]) -> list[str]:
    """Return a line if a file holds more than its device."""
    if not unused:
        return []
    return [
        f"{name}: of this file only {device} is used, not {', '.join(unused)}; "
        "--config takes all of it"
    ]


def choose_device(name: str, kind: str | None = None) -> tuple[Settings, list[str]]:
    """Return the device that a user names, as settings, and warnings.

    The device is a preset, or that of a file: TOML (`ohmgrid.training.settings.load_device`), JSON
    or a printed configuration (`ohmgrid.imports`).

    Parameters
    ----------
    name : str
    kind : str, optional
        The class of the device, for a JSON file that names none.
    """
    path = Path(name)
    if path.suffix == ".json":
        found = load_device_json(path, kind)
        return found.settings, lines_of_file(name, found.left)
    if kind is not None:
        raise ConfigError("class", f"expected with --device FILE.json only, got {shown(kind)}")
    if name in NAMED:
        return Settings(device=NAMED[name]), []
    if path.suffix in SUFFIXES:
        found, unused = load_rpu_device(path)
        return found.settings, [
            *lines_of_file(name, found.left),
            *_only_device(name, "the device", unused),
        ]
    if path.suffix != ".toml":
        raise ConfigError(
            "device",
            f"expected one of {', '.join(PRESETS)}, an algorithm (`ohmgrid devices` lists all) "
            f"or a file FILE.toml, FILE.json or FILE.txt, got {shown(name)}",
        )
    file = load_device(path)
    settings = Settings(device=file.device, from_preset=file.from_preset)
    return settings, _only_device(name, "[device]", file.unused)
