"""What a tile remembers beside the weights that forward and backward see.

Transfers have a fast array of devices, and between both arrays a buffer, signs and averages
(`ohmgrid.model.core.transfer`); cells of several devices have an array for each; mixed precision
has sums. Standard library and NumPy only.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ohmgrid.devices.base import Device
from ohmgrid.devices.mixed_precision import MixedPrecision
from ohmgrid.devices.pcm_capacitor import PcmCapacitor
from ohmgrid.devices.residual import ResidualLearning
from ohmgrid.devices.transfer import BufferedTransfer, ChoppedTransfer, DynamicTransfer, Transfer
from ohmgrid.devices.vector_cell import VectorUnitCell
from ohmgrid.registers.cells import device_name
from ohmgrid.registers.mixed import CHI_TOP
from ohmgrid.registers.pcm import MOST_COUNT
from ohmgrid.registers.transfer import AVERAGE_FRAC, BUFFER_TOP

__all__ = [
    "TRANSFER_WORK",
    "WRITTEN",
    "Field",
    "check_hidden",
    "fresh_hidden",
    "hidden_fields",
    "transfer_work",
]

TRANSFER_WORK = {
    "columns_read": "columns of a fast array that were read",
    "slow_pulses": "coincidences of writes that moved a device of a slow array",
    "weights_read": "weights that were read to be written to phase-change devices",
    "set_pulses": "SET pulses of phase-change devices",
    "resets": "RESETs of phase-change devices",
    "devices_read": "reads of single phase-change devices, before their writes and in them",
    "residue_steps": "steps by which capacitors were moved to what writes had left",
}
"""What transfers of a run took, and what each counts."""
WRITTEN = ("set_pulses", "resets", "devices_read", "residue_steps")
"""Of these, what a cell with phase-change devices counts itself, in its order."""


MOST_WORK = (1 << 62) - 1


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
    ``finer``
        Conductances of all arrays of a sum but the last one: array N - 2 first, array 0 last.
    ``transfer_steps``
        Columns read so far, of a sum those of each array, array 0 first; and last pulsed writes.
    ``slow_pulses``
        Coincidences of writes that moved a device of the slow array.
    ``buffer``
        In thresholds, `ohmgrid.registers.transfer.BUFFER_FRAC` fraction bits.
    ``column_signs``, ``row_signs``
        Bit 0: turned; bit 1 of a column: it was turned after its last read.
    ``mean``, ``past``
        Mean of what is read of a cell, and that before the last turn; results of a read.
    ``plus``, ``minus``, ``plus_pulses``, ``minus_pulses``, ``transfers``
        Phase-change devices, their pulses since a RESET, transfers so far
        (`ohmgrid.model.core.pcm_capacitor.CellState`).
    ``written``
        What transfers took, in the order of `WRITTEN`.
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
            "written": Field("<i8", (len(WRITTEN),), 0, MOST_WORK),
        }
    if isinstance(device, ResidualLearning):
        return {
            "finer": Field("<i4", (rows, (device.count - 1) * cols), -top, top),
            "transfer_steps": Field("<i8", (device.count,), 0, (1 << 48) - 1),
            "slow_pulses": Field("<i8", (1,), 0, MOST_WORK),
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
        "slow_pulses": Field("<i8", (1,), 0, MOST_WORK),
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


def transfer_work(layers: Sequence[tuple[Mapping[str, np.ndarray], int]]) -> dict[str, list[int]]:
    """Return what transfers of a net took so far: by the names of `TRANSFER_WORK`, layer by layer.

    Parameters
    ----------
    layers : sequence of (hidden, cells)
        What each tile remembers beside its weights, and how many weights it has.
    """
    return {
        name: [_work(hidden, cells)[name] for hidden, cells in layers] for name in TRANSFER_WORK
    }


def _work(hidden: Mapping[str, np.ndarray], cells: int) -> dict[str, int]:
    found = dict.fromkeys(TRANSFER_WORK, 0)
    if "transfer_steps" in hidden:
        found["columns_read"] = int(hidden["transfer_steps"][:-1].sum())
        found["slow_pulses"] = int(hidden["slow_pulses"][0])
    if "written" in hidden:
        found["weights_read"] = int(hidden["transfers"][0]) * cells
        found |= dict(zip(WRITTEN, hidden["written"].tolist(), strict=True))
    return found
