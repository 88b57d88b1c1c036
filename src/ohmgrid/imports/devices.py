"""Devices of the reference simulator by their constructors' keywords.

Names and meanings of parameters are the same there and here, so that a keyword is taken as it is.
A few have no counterpart: they are listed where they are not at a value that changes nothing.
"""

from dataclasses import fields, replace
from typing import Any, NamedTuple

from ohmgrid.devices.base import Device, StepDevice
from ohmgrid.devices.cells import OneSided
from ohmgrid.devices.presets import DEVICE_CLASSES, NAMED, PRESETS
from ohmgrid.devices.steps import PowStepReference, SoftBounds
from ohmgrid.doors.checks import ConfigError, shown
from ohmgrid.doors.schema import given_values
from ohmgrid.imports.cells import CELLS, MIXED, cell_from_call, mixed_from_call
from ohmgrid.imports.keywords import check_known, left_out, lines_of
from ohmgrid.imports.periphery import converter_table, pulse_table
from ohmgrid.imports.printed import Call
from ohmgrid.imports.transfers import TRANSFERS, transfer_from_call

__all__ = ["SUFFIX", "ImportedDevice", "device_from_call", "step_classes"]

SUFFIX = "Device"
"""What names of step devices end with there, and not here."""

PRESET_CLASSES = {
    "IdealizedPresetDevice": "idealized",
    "GokmenVlasovPresetDevice": "gokmen-vlasov",
    "CapacitorPresetDevice": "capacitor",
    "EcRamPresetDevice": "ecram",
    "EcRamMOPresetDevice": "ecram-mo",
    "ReRamESPresetDevice": "reram-es",
    "ReRamSBPresetDevice": "reram-sb",
    "ReRamArrayOMPresetDevice": "reram-array-om",
    "ReRamArrayHfO2PresetDevice": "reram-array-hfo2",
    "PCMPresetDevice": "pcm-device",
    "PCMPresetUnitCell": "pcm",
}
"""Classes of presets there, and the presets here."""

PAIRS = ("OneSidedUnitCell", "DifferenceUnitCell", "PCMPresetUnitCell")

NOT_MODELLED = {
    "DigitalRankUpdateCell": "training by digital rank updates",
    "FloatingPointDevice": "a device without pulses",
    "IdealDevice": "a device without pulses",
    "UnitCell": "a cell of no kind of its own",
}
"""Devices and algorithms that are not here, and what they are."""

IDLE: dict[str, Any] = {"construction_seed": 0, "count_pulses": False, "drift": None}
"""Keywords of every step device without a field here, and the values that change nothing."""
NO_DRIFT = {"nu": 0.0, "nu_dtod": 0.0, "nu_std": 0.0, "w_noise_std": 0.0}
OWN = ("refresh_every", "units_in_mbatch", "refresh_upper_thres", "refresh_lower_thres")
"""Keywords of a pair with the same name and meaning here."""
IDLE_PAIR: dict[str, Any] = {"copy_inverted": False, "construction_seed": 0}
IDLE_REFRESH = {"is_perfect": False, "inp_noise": 0.0, "w_noise": 0.0, "ir_drop": 0.0}


class ImportedDevice(NamedTuple):
    """A device, and what of its keywords is not in it."""

    device: Device
    from_preset: bool
    """Whether it is a preset, or one with single parameters replaced."""
    left: list[str]
    """A line for each keyword that has no counterpart."""


def _parameters(cls: type) -> list[str]:
    """Return the parameters of a class of devices that the reference simulator has too."""
    return [f.name for f in fields(cls) if f.name not in ("time_every", "device")]


def _idle(cls: type) -> dict[str, Any]:
    """Return the keywords of a class that have no field here."""
    names = _parameters(cls)
    idle = dict(IDLE)
    if "write_noise_std" in names:
        idle["apply_write_noise_on_set"] = True
    if issubclass(cls, SoftBounds):
        idle |= {"reverse_up": False, "reverse_down": False, "reverse_offset": 0.01}
    if issubclass(cls, PowStepReference):
        idle["n_estimation_steps"] = -1
    return idle


def step_classes(keywords: list[str]) -> list[str]:
    """Return our classes of step devices that have all of these keywords."""
    return [
        kind
        for kind, cls in DEVICE_CLASSES.items()
        if issubclass(cls, StepDevice) and set(keywords) <= {*_parameters(cls), *_idle(cls)}
    ]


def _step_class(name: str) -> type[StepDevice]:
    """Return the class of step devices of that name, with the suffix or without."""
    if name in NOT_MODELLED:
        raise ConfigError(
            name,
            f"{NOT_MODELLED[name]} is not modelled; import one of its devices alone, "
            "as in SingleRPUConfig(device=SoftBoundsDevice(...))",
        )
    cls = DEVICE_CLASSES.get(name.removesuffix(SUFFIX))
    if cls is None or not issubclass(cls, StepDevice):
        known = [f"{one}{SUFFIX}" for one in step_classes([])]
        raise ConfigError("class", f"expected one of {', '.join(known)}, got {shown(name)}")
    return cls


def _step_device(call: Call) -> ImportedDevice:
    """Return a step device from the keywords of its class."""
    preset = PRESETS.get(PRESET_CLASSES.get(call.name, ""))
    cls = type(preset) if isinstance(preset, StepDevice) else _step_class(call.name)
    names, idle = _parameters(cls), _idle(cls)
    check_known("device", call, [*names, *idle])
    # None is what the derived parameters of SoftBoundsPmax are printed as.
    taken = {k: v for k, v in call.keywords.items() if k in names and v is not None}
    others = {k: v for k, v in call.keywords.items() if k not in names}
    drift = others.get("drift")
    if isinstance(drift, Call) and not lines_of("drift", drift, NO_DRIFT):
        del others["drift"]
    left = lines_of("device", Call(call.name, others), idle)
    values = given_values("device", taken, cls)
    try:
        device = replace(preset, **values) if isinstance(preset, StepDevice) else cls(**values)
    except ConfigError as error:
        raise error.of("device") from None
    if not getattr(device, "allow_increasing", True):
        left += [
            left_out(f"device.{key}", values[key], "its magnitude counts, there as here")
            for key in ("gamma_up", "gamma_down")
            if values.get(key, 0.0) < 0
        ]
    return ImportedDevice(device, preset is not None or device in PRESETS.values(), left)


def _refresh(call: Call) -> tuple[dict[str, Any], list[str]]:
    """Return the fields of a pair that its ``refresh_forward`` and ``refresh_update`` set."""
    values, left = {}, []
    io, update = call.keywords.get("refresh_forward"), call.keywords.get("refresh_update")
    if io is not None:
        table = converter_table("device.refresh_forward", _inside(call, "refresh_forward"))
        left += table.left + lines_of("device.refresh_forward", io, IDLE_REFRESH)
        values |= {
            "refresh_out_bound": table.values.get("out_bound", 12.0),
            "refresh_adc_bits": table.values["adc_bits"],
            "refresh_out_noise": table.values.get("out_noise", 0.06),
        }
    if update is not None:
        table = pulse_table(_inside(call, "refresh_update"))
        left += [f"device.refresh_{line}" for line in table.left]
        values["refresh_bl"] = table.values["desired_bl"]
    return values, left


def _inside(call: Call, key: str) -> Call:
    """Return a keyword's value that has to be a class with keywords itself."""
    value = call.keywords[key]
    if not isinstance(value, Call):
        raise ConfigError(f"device.{key}", f"expected a class with keywords, got {shown(value)}")
    return value


def _pair(call: Call) -> ImportedDevice:
    """Return a pair of two equal devices."""
    preset = PRESETS.get(PRESET_CLASSES.get(call.name, ""))
    known = ["unit_cell_devices", *OWN, "refresh_forward", "refresh_update", *IDLE_PAIR]
    check_known("device", call, known)
    usual = [Call("PCMPresetDevice")] if preset is not None else None
    units = call.keywords.get("unit_cell_devices", usual)
    alike = isinstance(units, list) and len(units) in (1, 2) and units[0] == units[-1]
    if not alike or not isinstance(units[0], Call):
        raise ConfigError(
            "device.unit_cell_devices", f"expected two devices that are equal, got {shown(units)}"
        )
    unit = _step_device(units[0])
    own = {key: call.keywords[key] for key in OWN if key in call.keywords}
    refresh, left = _refresh(call)
    values = {**given_values("device", own, OneSided), **refresh, "device": unit.device}
    try:
        device = replace(preset, **values) if preset is not None else OneSided(**values)  # type: ignore[type-var]
    except ConfigError as error:
        raise error.of("device") from None
    left = unit.left + lines_of("device", call, IDLE_PAIR) + left
    return ImportedDevice(device, preset is not None or device in PRESETS.values(), left)


def device_from_call(call: Call) -> ImportedDevice:
    """Return the device that a call describes.

    Raises
    ------
    ConfigError
        The class, or what it stands for, is not modelled; a keyword is unknown or out of range.
    """
    if call.name in TRANSFERS:
        device, left = transfer_from_call(call, _unit)
        return ImportedDevice(device, device in NAMED.values(), left)
    if call.name in CELLS:
        device, left = cell_from_call(call, _unit)
        return ImportedDevice(device, device in NAMED.values(), left)
    if call.name == MIXED:
        device, left = mixed_from_call(call, _device)
        return ImportedDevice(device, device in NAMED.values(), left)
    return _pair(call) if call.name in PAIRS else _step_device(call)


def _device(call: Call) -> tuple[Device, list[str]]:
    """Return any device, and what of its keywords is not in it."""
    found = device_from_call(call)
    return found.device, found.left


def _unit(call: Call) -> tuple[StepDevice, list[str]]:
    """Return a step device, and what of its keywords is not in it."""
    found = _step_device(call)
    assert isinstance(found.device, StepDevice)
    return found.device, found.left
