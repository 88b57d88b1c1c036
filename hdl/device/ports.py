"""What goes into and comes out of a device unit: layouts."""

from amaranth.hdl import signed
from amaranth.lib import data

from ohmgrid.periphery import SLOTS
from ohmgrid.registers.map import DEVICE
from ohmgrid.registers.noise import GAUSS_BITS

__all__ = [
    "MAX_SEGMENTS",
    "REGISTERS",
    "TABLE_WRITE",
    "request_layout",
    "result_layout",
]

MAX_SEGMENTS = 256

REGISTERS = data.StructLayout(
    {
        name: signed(register.bits) if register.signed else register.bits
        for name, register in DEVICE.items()
    }
)
"""Device parameters, held while cells are in flight."""

TABLE_WRITE = data.StructLayout(
    {"en": 1, "set": 1, "table": 4, "address": GAUSS_BITS + 1, "data": 36}
)
"""Write port of all tables: ``table`` is what the low bits of a number in
`ohmgrid.registers.map.TABLES` say, ``set`` the set of devices (0 where there is one)."""


def request_layout(weight_bits: int, lane_bits: int, address_bits: int) -> data.StructLayout:
    """Return the layout of a cell to update."""
    return data.StructLayout(
        {
            "valid": 1,
            "weight": signed(weight_bits),
            "reference": signed(weight_bits),
            "bias": 1,
            "mask": SLOTS,
            "down": 1,
            "serial_static": 64,
            "lane_static": 64,
            "serial_cycle": 32,
            "lane_cycle": 32,
            "lane": lane_bits,
            "address": address_bits,
        }
    )


def result_layout(weight_bits: int, lane_bits: int, address_bits: int) -> data.StructLayout:
    """Return the layout of an updated cell."""
    return data.StructLayout(
        {"valid": 1, "weight": signed(weight_bits), "lane": lane_bits, "address": address_bits}
    )
