"""What a tile remembers beside the weights that forward and backward see.

Transfers have a fast array of devices, and between both arrays a buffer, signs and averages
(`ohmgrid.model.core.transfer`); cells of several devices have an array for each; mixed precision
has sums. Standard library and NumPy only.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ohmgrid.devices.base import Device
from ohmgrid.devices.mixed_precision import MixedPrecision
from ohmgrid.devices.pcm_capacitor import PcmCapacitor
from ohmgrid.devices.transfer import BufferedTransfer, ChoppedTransfer, DynamicTransfer, Transfer
from ohmgrid.devices.vector_cell import VectorUnitCell
from ohmgrid.registers.cells import device_name
from ohmgrid.registers.mixed import CHI_TOP
from ohmgrid.registers.pcm import MOST_COUNT
from ohmgrid.registers.transfer import AVERAGE_FRAC, BUFFER_TOP

__all__ = ["Field", "check_hidden", "fresh_hidden", "hidden_fields"]


class Field(NamedTuple):
    """An array of integers."""

    dtype: str
    """As NumPy names it, little endian."""
    shape: tuple[int, ...]
    low: int
    high: int


def hidden_fields(device: Device, rows: int, cols: int, weight_bits: int) -> dict[str, Field]:
    """Return what a tile remembers beside its weights, by name.

    ``fast``
        Conductances of the fast array, weight LSB of its own device.
    ``transfer_steps``
        Columns read so far, and pulsed writes of the slow array.
    ``buffer``
        In thresholds, `ohmgrid.registers.transfer.BUFFER_FRAC` fraction bits.
    ``column_signs``, ``row_signs``
        Bit 0: turned; bit 1 of a column: it was turned after its last read.
    ``mean``, ``past``
        Mean of what is read of a cell, and that before the last turn; results of a read.
    ``plus``, ``minus``, ``plus_pulses``, ``minus_pulses``, ``transfers``
        Phase-change devices, their pulses since a RESET, transfers so far
        (`ohmgrid.model.core.pcm_capacitor.CellState`).
    ``averages``
        Of largest activations and errors, edge LSB with `AVERAGE_FRAC` fraction bits.
    ``device_1``, ``device_2``, ...
        Conductances of the devices of a `VectorUnitCell` but the first, weight LSB of each.
    ``chi``, ``writes``
        Sums of products of a `MixedPrecision`, in steps with `ohmgrid.registers.mixed.CHI_FRAC`
        fraction bits, and rows written so far.

    Parameters
    ----------
    device : Device
    rows, cols : int
    weight_bits : int
    """
    top, cells = (1 << (weight_bits - 1)) - 1, (rows, cols)
    if isinstance(device, PcmCapacitor):
        g, pulses = Field("<i4", cells, 0, top), Field("<u1", cells, 0, MOST_COUNT)
        return {
            "plus": g,
            "minus": g,
            "plus_pulses": pulses,
            "minus_pulses": pulses,
            "transfers": Field("<i8", (1,), 0, (1 << 40) - 1),
        }
    if isinstance(device, VectorUnitCell):
        count = len(device.unit_cell_devices)
        return {device_name(place): Field("<i4", cells, -top, top) for place in range(1, count)}
    if isinstance(device, MixedPrecision):
        return {
            "chi": Field("<i4", cells, -CHI_TOP, CHI_TOP),
            "writes": Field("<i8", (1,), 0, (1 << 48) - 1),
        }
    if not isinstance(device, Transfer):
        return {}
    word = (1 << 31) - 1
    fields = {
        "fast": Field("<i4", cells, -top, top),
        "transfer_steps": Field("<i8", (2,), 0, (1 << 48) - 1),
    }
    if isinstance(device, BufferedTransfer | ChoppedTransfer):
        fields["buffer"] = Field("<i4", cells, -BUFFER_TOP, BUFFER_TOP)
    if isinstance(device, ChoppedTransfer):
        fields["column_signs"] = Field("<u1", (cols,), 0, 3)
        fields["row_signs"] = Field("<u1", (rows,), 0, 1)
        fields["averages"] = Field("<i8", (2,), 0, 1 << 16 + AVERAGE_FRAC)
    if isinstance(device, DynamicTransfer):
        fields["mean"] = fields["past"] = Field("<i4", cells, -word, word)
    return fields


def fresh_hidden(device: Device, rows: int, cols: int, weight_bits: int) -> dict[str, np.ndarray]:
    """Return what a tile that was never updated remembers: zeros."""
    fields = hidden_fields(device, rows, cols, weight_bits)
    return {name: np.zeros(field.shape, field.dtype) for name, field in fields.items()}


def check_hidden(
    hidden: Mapping[str, np.ndarray], fields: Mapping[str, Field]
) -> dict[str, np.ndarray]:
    """Return a copy of what a tile is to remember.

    Raises
    ------
    ValueError
        If it is not what `hidden_fields` says.
    """
    if sorted(hidden) != sorted(fields):
        wanted, came = (", ".join(names) or "nothing" for names in (fields, hidden))
        raise ValueError(f"hidden: expected {wanted}, got {came}")
    for name, field in fields.items():
        array = np.asarray(hidden[name])
        if array.shape != field.shape or not np.issubdtype(array.dtype, np.integer):
            raise ValueError(
                f"{name}: expected integers of shape {field.shape}, "
                f"got {array.dtype} of shape {array.shape}"
            )
        if array.size and not field.low <= array.min() <= array.max() <= field.high:
            raise ValueError(f"{name}: expected values of {field.low}..{field.high}")
    return {name: np.asarray(hidden[name]).astype(field.dtype) for name, field in fields.items()}
