"""What goes into and comes out of a device unit: layouts, and tables that a host writes."""

from amaranth.hdl import Value, signed, unsigned
from amaranth.lib import data
from amaranth.lib.memory import Memory

from ohmgrid.config import SLOTS
from ohmgrid.hdl.base.timed import Stages
from ohmgrid.registers.map import DEVICE, TABLES
from ohmgrid.registers.noise import GAUSS_BITS

__all__ = [
    "MAX_SEGMENTS",
    "REGISTERS",
    "TABLE_WRITE",
    "loadable",
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

TABLE_WRITE = data.StructLayout({"en": 1, "table": 4, "address": GAUSS_BITS + 1, "data": 36})
"""Write port of all tables: ``table`` is what the low bits of a number in
`ohmgrid.registers.map.TABLES` say."""


def loadable(pipe: Stages, name: str, write: Value, depth: int, bits: int) -> Memory:
    """Return a memory that `TABLE_WRITE` writes as the table of that name."""
    memory = Memory(shape=unsigned(bits), depth=depth, init=[])
    port = memory.write_port()
    pipe.m.d.comb += [
        port.en.eq(write.en & (write.table == TABLES[name] % 16)),
        port.addr.eq(write.address),
        port.data.eq(write.data),
    ]
    return memory


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
