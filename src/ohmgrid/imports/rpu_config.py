"""A printed configuration of the reference simulator (``rpu_config``) as our settings."""

from pathlib import Path
from typing import Any, NamedTuple

from ohmgrid.devices.presets import NAMED
from ohmgrid.doors.checks import ConfigError, shown
from ohmgrid.doors.schema import read_text
from ohmgrid.imports.config_presets import CONFIG_PRESETS
from ohmgrid.imports.devices import ImportedDevice, device_from_call
from ohmgrid.imports.keywords import check_known, left_out, lines_of
from ohmgrid.imports.periphery import converter_table, pulse_table
from ohmgrid.imports.printed import Call, parse_call
from ohmgrid.periphery import PulseConfig
from ohmgrid.training.settings import Settings

__all__ = [
    "CONFIGS",
    "DIGITAL_BIAS",
    "SUFFIXES",
    "Imported",
    "config_from_call",
    "has_digital_bias",
    "load_rpu_config",
    "load_rpu_device",
]

SUFFIXES = (".txt", ".py", ".cfg", ".log")
"""What names of files with a printed configuration may end with."""

CONFIGS = ("SingleRPUConfig", "UnitCellRPUConfig", "DigitalRankUpdateRPUConfig")
NOT_MODELLED = {"FloatingPointRPUConfig": "training without pulses"}
TAKEN = ("device", "forward", "backward", "update")
MACHINERY = ("tile_class", "tile_array_class", "runtime")
"""How a tile is computed there, and not what it computes."""

IDLE_MAPPING: dict[str, Any] = {
    "digital_bias": False,
    "weight_scaling_omega": 0.0,
    "weight_scaling_columnwise": False,
    "weight_scaling_lr_compensation": False,
    "learn_out_scaling": False,
    "out_scaling_columnwise": False,
}
"""Fields of ``mapping``, and the values with which weights are what they are here."""
SIZES = ("max_input_size", "max_output_size")
DIGITAL_BIAS = "mapping.digital_bias"
BIAS = "the bias is a column of the array; there it is digital unless digital_bias=False"


class Imported(NamedTuple):
    """Settings, and what of a file is not in them."""

    settings: Settings
    left: list[str]
    """A line for each field that has no counterpart."""


def has_digital_bias(call: Call) -> bool:
    """Return whether a configuration has its biases beside the array; there they do by default."""
    mapping = call.keywords.get("mapping", Call("MappingParameter"))
    return not isinstance(mapping, Call) or mapping.keywords.get("digital_bias", True) is not False


def config_from_call(call: Call) -> Imported:
    """Return the settings that a call of a class of configurations describes.

    Raises
    ------
    ConfigError
        It is another class, what it stands for is not modelled, or a keyword is unknown or out of
        range.
    """
    # Only configurations for inference have a model of what time does to programmed weights.
    inference = "inference with programmed weights" if "noise_model" in call.keywords else None
    other = NOT_MODELLED.get(call.name, inference)
    if other is not None:
        raise ConfigError(call.name, f"{other} is not modelled")
    if not call.name.endswith("RPUConfig") and not call.name.endswith("Preset"):
        raise ConfigError(
            "content",
            f"expected one of {', '.join(CONFIGS)}, got {shown(call.name)}; "
            "a device alone is for --device",
        )
    named = call.name in CONFIG_PRESETS or "device" in call.keywords
    if call.name.endswith("Preset") and not named:
        raise ConfigError(
            call.name, "expected a preset of aihwkit 1.2.0 that trains, or its device"
        )
    known = [*TAKEN, *MACHINERY, "pre_post", "mapping"]
    check_known("configuration", call, known)
    preset = NAMED.get(CONFIG_PRESETS.get(call.name, ""))
    io, given = Call("PresetIOParameters" if preset else "IOParameters"), call.keywords
    longest = getattr(preset, "usual_bl", PulseConfig.desired_bl)
    parts = {
        "device": Call("ConstantStepDevice"),
        "forward": io,
        "backward": io,
        "update": Call("UpdateParameters", {"desired_bl": longest}),
    } | {key: value for key, value in given.items() if key in TAKEN}
    for key, value in parts.items():
        if not isinstance(value, Call):
            raise ConfigError(key, f"expected a class with keywords, got {shown(value)}")
    if preset is not None and "device" not in given:
        device = ImportedDevice(preset, True, [])
    else:
        device = device_from_call(parts["device"])
    forward = converter_table("forward", parts["forward"])
    backward = converter_table("backward", parts["backward"], backward=True)
    pulses = pulse_table(parts["update"])
    settings = Settings(
        tables={"forward": forward.values, "backward": backward.values, "pulses": pulses.values},
        device=device.device,
        from_preset=device.from_preset,
    )
    left = [*device.left, *forward.left, *backward.left, *pulses.left]
    return Imported(settings, left + _around(call))


def _around(call: Call) -> list[str]:
    """Return a line for what a configuration says of the arithmetic around a tile."""
    mapping = call.keywords.get("mapping", Call("MappingParameter"))
    before = call.keywords.get("pre_post", Call("PrePostProcessingParameter"))
    for name, part in (("mapping", mapping), ("pre_post", before)):
        if not isinstance(part, Call):
            raise ConfigError(name, f"expected a class with keywords, got {shown(part)}")
    check_known("mapping", mapping, [*IDLE_MAPPING, *SIZES])
    others = Call(mapping.name, {k: v for k, v in mapping.keywords.items() if k != "digital_bias"})
    lines = lines_of("mapping", others, IDLE_MAPPING)
    if has_digital_bias(call):
        digital = mapping.keywords.get("digital_bias", True)
        lines.append(left_out(DIGITAL_BIAS, digital, BIAS))
    ranges = before.keywords.get("input_range", Call("InputRangeParameter"))
    if isinstance(ranges, Call) and ranges.keywords.get("enable", False):
        lines.append(left_out("pre_post.input_range", ranges))
    return lines


def _read(path: Path) -> Call:
    return parse_call(read_text(path))


def load_rpu_config(path: Path) -> Imported:
    """Read a printed configuration; errors begin with the file's name.

    Parameters
    ----------
    path : Path
        A text such as ``SingleRPUConfig(device=..., forward=..., backward=..., update=...)``. What
        is not printed has the default of the reference simulator.
    """
    try:
        return config_from_call(_read(path))
    except ConfigError as error:
        raise error.at(path) from None


def load_rpu_device(path: Path) -> tuple[Imported, list[str]]:
    """Return the device of a printed configuration, or a printed device, and what is not used.

    The second value names the parts of the configuration that are not about its device.
    """
    try:
        call = _read(path)
        inside = call.keywords.get("device")
        whole = isinstance(inside, Call)
        found = device_from_call(inside if isinstance(inside, Call) else call)
    except ConfigError as error:
        raise error.at(path) from None
    unused = [key for key in call.keywords if whole and key in ("forward", "backward", "update")]
    settings = Settings(device=found.device, from_preset=found.from_preset)
    return Imported(settings, found.left), unused
