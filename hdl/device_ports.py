"""What goes into and comes out of a device unit: layouts, and how registers are packed."""

from amaranth.hdl import Shape, signed
from amaranth.lib import data

from ohmgrid.config import SLOTS
from ohmgrid.registers import DW_BITS, REL_FRAC, DeviceRegisters

__all__ = [
    "C2C_BITS",
    "C2C_WRITE",
    "COUNT_BITS",
    "MAX_WEIGHT_BITS",
    "REGISTERS",
    "pack_registers",
    "request_layout",
    "result_layout",
]

COUNT_BITS = SLOTS.bit_length()
C2C_BITS = 12
MAX_WEIGHT_BITS = 18

REGISTERS = data.StructLayout(
    {
        "rel_up": REL_FRAC + 1,
        "rel_down": REL_FRAC + 1,
        "k_step": 9,
        "k_updown": 9,
        "b_max": signed(MAX_WEIGHT_BITS),
        "b_min": signed(MAX_WEIGHT_BITS),
        "k_max": MAX_WEIGHT_BITS - 7,
        "k_min": MAX_WEIGHT_BITS - 7,
        "gamma_up": REL_FRAC + 1,
        "gamma_down": REL_FRAC + 1,
        "k_gamma_up": 8,
        "k_gamma_down": 8,
        "own_bounds": 1,
        "multiplicative": 1,
        "dw": DW_BITS,
        "dw_shift": 4,
    }
)
"""Device parameters, named as in `ohmgrid.registers.DeviceRegisters` and held while cells are in
flight; ``b_max >= 0 >= b_min``. The table ``c2c`` is written through `C2C_WRITE`."""

C2C_WRITE = data.StructLayout({"en": 1, "address": COUNT_BITS, "data": C2C_BITS})
"""Write port of the cycle-to-cycle noise table: one entry for each number of pulses."""


def pack_registers(registers: DeviceRegisters) -> dict[str, int]:
    """Return the fields of `REGISTERS`; raise `ValueError` for a value that does not fit."""
    values = {name: int(getattr(registers, name)) for name in REGISTERS.members}
    for name, member in REGISTERS.members.items():
        shape = Shape.cast(member)
        low = -(1 << (shape.width - 1)) if shape.signed else 0
        top = low + (1 << shape.width) - 1
        if not low <= values[name] <= top:
            raise ValueError(f"{name}: expected {low}..{top}, got {values[name]}")
    return values


def request_layout(weight_bits: int, lane_bits: int, address_bits: int) -> data.StructLayout:
    """Return the layout of a cell to update."""
    return data.StructLayout(
        {
            "valid": 1,
            "weight": signed(weight_bits),
            "mask": SLOTS,
            "down": 1,
            "row_static": 64,
            "col_static": 64,
            "row_cycle": 32,
            "col_cycle": 32,
            "lane": lane_bits,
            "address": address_bits,
        }
    )


def result_layout(weight_bits: int, lane_bits: int, address_bits: int) -> data.StructLayout:
    """Return the layout of an updated cell."""
    return data.StructLayout(
        {"valid": 1, "weight": signed(weight_bits), "lane": lane_bits, "address": address_bits}
    )
