"""A device as a JSON object of the reference simulator's keywords."""

import re
from pathlib import Path
from typing import Any

import msgspec

from ohmgrid.devices.presets import DEVICE_CLASSES, PRESETS
from ohmgrid.doors.checks import ConfigError, shown
from ohmgrid.doors.schema import check_table, read_text
from ohmgrid.imports.devices import SUFFIX, device_from_call, step_classes
from ohmgrid.imports.printed import Call
from ohmgrid.imports.rpu_config import Imported
from ohmgrid.training.settings import Settings, device_from_dict

__all__ = ["load_device_json"]

METADATA = "_metadata"
"""Key of remarks, of which the name of the class is read."""
NAMES = ("device_type", "device_class", "class")
"""Keys of the class's name in it."""


def _table(text: str) -> dict[str, Any]:
    try:
        return check_table("device", msgspec.json.decode(text))
    except (msgspec.MsgspecError, RecursionError) as error:
        problem = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise ConfigError("content", f"not valid JSON: {problem}") from None


def _class(table: dict[str, Any], chosen: str | None) -> str:
    """Return the name of the class: the user's, that of the metadata, or the only one that fits."""
    if chosen is not None:
        return chosen
    metadata = table.get(METADATA)
    for name in NAMES if isinstance(metadata, dict) else ():
        text = metadata.get(name)  # type: ignore[union-attr]
        # Names have remarks behind them: LinearStepDevice_with_CycleToCycleVariation.
        known = re.match(r"([A-Za-z]+?)(?:Device)?(?:_|$)", text) if isinstance(text, str) else None
        if known is not None and known[1] in DEVICE_CLASSES:
            return known[1]
    keywords = [key for key in table if key != METADATA]
    fitting = step_classes(keywords)
    if len(fitting) == 1:
        return fitting[0]
    raise ConfigError(
        "class",
        f"expected {METADATA}.{NAMES[0]} in the file, or --class with one of "
        f"{', '.join(fitting or step_classes([]))}",
    )


def load_device_json(path: Path, chosen: str | None = None) -> Imported:
    """Read a device; errors begin with the file's name.

    Parameters
    ----------
    path : Path
        A JSON object of constructor keywords, or one with our own ``class`` or ``preset``.
    chosen : str, optional
        The class, for a file that does not name it.
    """
    try:
        table = _table(read_text(path))
        if "preset" in table or "class" in table:
            if chosen is not None:
                raise ConfigError("class", f"{shown(chosen)} given, but the file has its own")
            device = device_from_dict(table)
            like = "preset" in table or device in PRESETS.values()
            return Imported(Settings(device=device, from_preset=like), [])
        name = _class(table, chosen)
        keywords = {key: value for key, value in table.items() if key != METADATA}
        found = device_from_call(Call(name.removesuffix(SUFFIX) + SUFFIX, keywords))
    except ConfigError as error:
        raise error.at(path) from None
    return Imported(Settings(device=found.device, from_preset=found.from_preset), found.left)
