"""Cells of several devices as integers (`ohmgrid.model.core.vector_cell`).

Standard library only.
"""

import math
from typing import NamedTuple

from ohmgrid.config import Config
from ohmgrid.devices.base import Device
from ohmgrid.devices.vector_cell import MOST_DEVICES, POLICIES, VectorUnitCell
from ohmgrid.portable import ceil_log2
from ohmgrid.registers.device import full_scale

__all__ = [
    "ALL",
    "FIXED",
    "GAIN_FRAC",
    "RANDOM",
    "SEQUENTIAL",
    "CellRegisters",
    "cell_gains",
    "cell_number",
    "cell_registers",
    "device_name",
    "weight_lsb",
]

GAIN_FRAC = 16
"""Fraction bits of what a device's conductance counts for."""
NUMBERS = 256 // MOST_DEVICES
"""Numbers of tiles with cells: device k of tile l is tile ``l + NUMBERS k``."""
ALL, FIXED, SEQUENTIAL, RANDOM = range(len(POLICIES))


class CellRegisters(NamedTuple):
    """Integer parameters of the cells of a tile."""

    policy: int
    """Place in `POLICIES`."""
    first: int
    """Place of the device that is fixed, or that the first update follows."""
    devices: int


def cell_number(number: int, place: int) -> int:
    """Return the number of the array that holds a device of each cell of a tile.

    Raises
    ------
    ValueError
        Of a tile that has none.
    """
    if not 0 <= number < NUMBERS:
        raise ValueError(f"number: expected 0..{NUMBERS - 1} of a tile of cells, got {number}")
    return number + NUMBERS * place


def device_name(place: int) -> str:
    """Return what the conductances of a device are called in a state: of all but the first."""
    return f"device_{place}"


def _full_scale(device: Device) -> float:
    """Return the weight at which a word of it would saturate: a power of two."""
    if not isinstance(device, VectorUnitCell):
        return full_scale(device.unit)
    own = zip(device.gammas, device.unit_cell_devices, strict=True)
    return math.ldexp(1.0, ceil_log2(sum(abs(gamma) * full_scale(unit) for gamma, unit in own)))


def weight_lsb(device: Device, weight_bits: int) -> float:
    """Return one weight LSB in weight units: a power of two.

    The weight of a cell of several devices fits a word too.
    """
    return _full_scale(device) / (1 << (weight_bits - 1))


def cell_gains(device: VectorUnitCell) -> tuple[int, ...]:
    """Return what an LSB of each device's conductance counts for, `GAIN_FRAC` fraction bits.

    Rounded towards 0, so that no weight is beyond its word.
    """
    whole = _full_scale(device)
    return tuple(
        int(gamma * full_scale(unit) / whole * (1 << GAIN_FRAC))
        for gamma, unit in zip(device.gammas, device.unit_cell_devices, strict=True)
    )


def cell_registers(config: Config) -> CellRegisters:
    """Return the parameters of a configuration whose device is a `VectorUnitCell`."""
    device = config.device
    assert isinstance(device, VectorUnitCell)
    return CellRegisters(
        POLICIES.index(device.update_policy),
        device.first_update_idx,
        len(device.unit_cell_devices),
    )
