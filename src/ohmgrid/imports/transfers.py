"""Transfer algorithms of the reference simulator: its compounds of a fast and a slow device."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from ohmgrid.devices.base import Device, StepDevice
from ohmgrid.devices.transfer import (
    BufferedTransfer,
    ChoppedTransfer,
    DynamicTransfer,
    Transfer,
)
from ohmgrid.doors.checks import ConfigError, shown
from ohmgrid.doors.schema import given_values, inner_tables
from ohmgrid.imports.keywords import check_known, lines_of
from ohmgrid.imports.periphery import converter_table, pulse_table
from ohmgrid.imports.printed import Call
from ohmgrid.periphery import ConverterConfig, PulseConfig

__all__ = ["TRANSFERS", "transfer_from_call"]

TRANSFERS: dict[str, type[Transfer]] = {
    "TransferCompound": Transfer,
    "BufferedTransferCompound": BufferedTransfer,
    "ChoppedTransferCompound": ChoppedTransfer,
    "DynamicTransferCompound": DynamicTransfer,
}
BUFFERED = (BufferedTransfer, ChoppedTransfer)
IDLE: dict[str, Any] = {"construction_seed": 0, "no_self_transfer": True}
"""Keywords without a counterpart, and the values at which they change nothing."""
FIXED: dict[str, tuple[Any, ...]] = {
    "gamma": (0, 0.0),
    "gamma_vec": ([], [0.0, 1.0], [0, 1]),
    "transfer_every_vec": ([],),
    "transfer_lr_vec": ([],),
    "transfer_columns": (True,),
    "with_reset_prob": (0, 0.0),
    "random_selection": (False,),
    "step": (1, 1.0),
    "no_buffer": (False,),
    "correct_gradient_magnitudes": (False,),
    "experimental_correct_accumulation": (False,),
    "experimental_fast_lr_feedback": (False,),
}
"""Keywords that would make another algorithm, and what is modelled of them."""


def transfer_from_call(
    call: Call, unit: Callable[[Call], tuple[StepDevice, list[str]]]
) -> tuple[Device, list[str]]:
    """Return a device with transfers, and a line for each keyword that has no counterpart.

    Parameters
    ----------
    call : Call
        Of a class of `TRANSFERS`.
    unit : callable
        Returns a step device from its call, and such lines.

    Raises
    ------
    ConfigError
        A keyword is unknown, out of range, or makes another algorithm.
    """
    cls = TRANSFERS[call.name]
    tables = inner_tables(cls)
    own = [field.name for field in fields(cls) if field.name not in (*tables, "usual_bl")]
    tabled = [name for name, kind in tables.items() if not issubclass(kind, Device)]
    check_known("device", call, ["unit_cell_devices", *own, *tabled, *IDLE, *FIXED])
    for key, modelled in FIXED.items():
        value = call.keywords.get(key, modelled[0])
        if value not in modelled:
            raise ConfigError(
                f"device.{key}", f"only {modelled[0]!r} is modelled, got {shown(value)}"
            )
    both = call.keywords.get("unit_cell_devices")
    if not isinstance(both, list) or [type(one) for one in both] != [Call, Call]:
        raise ConfigError(
            "device.unit_cell_devices", f"expected a fast and a slow device, got {shown(both)}"
        )
    (fast, fast_left), (slow, slow_left) = unit(both[0]), unit(both[1])
    left = [*fast_left, *slow_left, *lines_of("device", call, IDLE)]
    values = given_values("device", {k: call.keywords[k] for k in own if k in call.keywords}, cls)
    values["fast_lr"] = max(values.get("fast_lr", 1.0), 0.0)
    for name in tabled:
        inner = call.keywords.get(name)
        if inner is None and name == "transfer_update":
            continue
        made, lines = _table(name, inner)
        single = isinstance(made, PulseConfig) and made.desired_bl == 1
        if single and issubclass(cls, BUFFERED):
            # A step of a buffer is one pulse on one column: managements change nothing of it.
            made = replace(made, update_management=False, update_bl_management=False)
        values[name], left = made, [*left, *lines]
    try:
        return cls(fast=fast, slow=slow, **values), left
    except ConfigError as error:
        raise error.of("device") from None


def _table(name: str, call: Any) -> tuple[ConverterConfig | PulseConfig, list[str]]:
    """Return the converters of a read, which has no managements, or the pulses of a write."""
    call = Call("IOParameters") if call is None else call
    if not isinstance(call, Call):
        raise ConfigError(f"device.{name}", f"expected a class with keywords, got {shown(call)}")
    if name == "transfer_update":
        pulses = pulse_table(call)
        return PulseConfig(**pulses.values), [f"device.transfer_{line}" for line in pulses.left]
    idle = {
        "noise_management": "NoiseManagementType.NONE",
        "bound_management": "BoundManagementType.NONE",
    }
    table = converter_table(f"device.{name}", Call(call.name, {**call.keywords, **idle}))
    return ConverterConfig(**table.values), table.left
