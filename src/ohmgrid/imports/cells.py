"""Cells of several devices and mixed precision of the reference simulator."""

from collections.abc import Callable
from typing import Any

from ohmgrid.devices.base import Device, StepDevice
from ohmgrid.devices.mixed_precision import MixedPrecision
from ohmgrid.devices.vector_cell import ReferenceUnitCell, VectorUnitCell
from ohmgrid.doors.checks import ConfigError, shown
from ohmgrid.doors.schema import given_values
from ohmgrid.imports.keywords import check_known, left_out, lines_of
from ohmgrid.imports.printed import Call

__all__ = ["CELLS", "MIXED", "cell_from_call", "mixed_from_call"]

CELLS: dict[str, type[VectorUnitCell]] = {
    "VectorUnitCell": VectorUnitCell,
    "ReferenceUnitCell": ReferenceUnitCell,
}
MIXED = "MixedPrecisionCompound"
POLICIES = {
    "VectorUnitCellUpdatePolicy.ALL": "all",
    "VectorUnitCellUpdatePolicy.SINGLE_FIXED": "single-fixed",
    "VectorUnitCellUpdatePolicy.SINGLE_SEQUENTIAL": "single-sequential",
    "VectorUnitCellUpdatePolicy.SINGLE_RANDOM": "single-random",
}
OF_CELLS = ("update_policy", "first_update_idx", "gamma_vec")
"""Keywords of a cell with the same name and meaning here."""
OF_MIXED = (
    "transfer_every",
    "n_rows_per_transfer",
    "random_row",
    "granularity",
    "transfer_lr",
    "n_x_bins",
    "n_d_bins",
    "stoc_round_x",
    "stoc_round_d",
)
IDLE: dict[str, Any] = {"construction_seed": 0}
"""Keywords without a counterpart, and the values at which they change nothing."""


def cell_from_call(
    call: Call, unit: Callable[[Call], tuple[StepDevice, list[str]]]
) -> tuple[Device, list[str]]:
    """Return a cell of several devices, and a line for each keyword that has no counterpart.

    Parameters
    ----------
    call : Call
        Of a class of `CELLS`.
    unit : callable
        Returns a step device from its call, and such lines.

    Raises
    ------
    ConfigError
        A keyword is unknown or out of range.
    """
    cls, given = CELLS[call.name], dict(call.keywords)
    check_known("device", call, ["unit_cell_devices", *OF_CELLS, *IDLE])
    left = lines_of("device", call, IDLE)
    units = given.get("unit_cell_devices")
    if not isinstance(units, list) or not units or not all(isinstance(u, Call) for u in units):
        raise ConfigError(
            "device.unit_cell_devices", f"expected devices with keywords, got {shown(units)}"
        )
    if cls is ReferenceUnitCell:
        # There a device alone is its own reference, and those beyond two are dropped.
        if len(units) > 2:
            left.append(left_out("device.unit_cell_devices", units[2], "two taken, there as here"))
        units = (2 * units)[:2] if len(units) == 1 else units[:2]
    policy = given.get("update_policy")
    if policy is not None:
        if policy not in POLICIES:
            raise ConfigError(
                "device.update_policy",
                f"expected a member of VectorUnitCellUpdatePolicy, got {shown(policy)}",
            )
        given["update_policy"] = POLICIES[policy]
    made = [unit(one) for one in units]
    devices = tuple(device for device, _ in made)
    values = given_values("device", {k: given[k] for k in OF_CELLS if k in given}, cls)
    try:
        return cls(devices, **values), [*left, *(line for _, lines in made for line in lines)]
    except ConfigError as error:
        raise error.of("device") from None


def mixed_from_call(
    call: Call, inner: Callable[[Call], tuple[Device, list[str]]]
) -> tuple[Device, list[str]]:
    """Return a device of mixed precision, and a line for each keyword that has no counterpart.

    Parameters
    ----------
    call : Call
        Of `MIXED`.
    inner : callable
        Returns the device of its array from its call, and such lines.

    Raises
    ------
    ConfigError
        A keyword is unknown or out of range.
    """
    check_known("device", call, ["device", *OF_MIXED, *IDLE])
    own = call.keywords.get("device")
    if not isinstance(own, Call):
        raise ConfigError("device.device", f"expected a class with keywords, got {shown(own)}")
    device, left = inner(own)
    given = {key: call.keywords[key] for key in OF_MIXED if key in call.keywords}
    values = given_values("device", given, MixedPrecision)
    try:
        return MixedPrecision(device, **values), [*lines_of("device", call, IDLE), *left]
    except ConfigError as error:
        raise error.of("device") from None
