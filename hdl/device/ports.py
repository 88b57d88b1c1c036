"""What goes into and comes out of a device unit: layouts, and how registers are packed."""

from collections.abc import Iterator
from itertools import pairwise

from amaranth.hdl import Shape, Value, signed, unsigned
from amaranth.lib import data
from amaranth.lib.memory import Memory

from ohmgrid.config import SLOTS
from ohmgrid.hdl.base.timed import Stages
from ohmgrid.registers.device import (
    CURVE_BITS,
    DW_BITS,
    GAMMA_BITS,
    NOISES,
    REL_BITS,
    REL_FRAC,
    SLOPE_FRAC,
    VISIBLE_BITS,
    DeviceRegisters,
)
from ohmgrid.registers.noise import GAUSS_BITS
from ohmgrid.registers.powers import POWER_BITS
from ohmgrid.registers.protocol import DEVICE_TABLES

__all__ = [
    "ADDITIVE_SHIFT",
    "C2C_BITS",
    "COUNT_BITS",
    "MAX_SEGMENTS",
    "MAX_WEIGHT_BITS",
    "NODE_BITS",
    "REGISTERS",
    "STEP_BITS",
    "TABLE_WRITE",
    "loadable",
    "pack_registers",
    "pack_tables",
    "request_layout",
    "result_layout",
    "table_number",
]

COUNT_BITS = SLOTS.bit_length()
C2C_BITS = 12
MAX_WEIGHT_BITS = 18
MAX_SEGMENTS = 256
STEP_BITS = REL_BITS + 1
"""Width of a relative step as drawn (signed)."""
NODE_BITS = CURVE_BITS - 1
"""Width of a node of a curve's table (signed), so that a difference of two has `CURVE_BITS`."""

ADDITIVE_SHIFT = 3
"""Additive noise scales with the relative step so many bits up: as wide as a weight."""

REGISTERS = data.StructLayout(
    {
        "bias_up": signed(REL_FRAC + 1),
        "bias_down": signed(REL_FRAC + 1),
        "b_max": MAX_WEIGHT_BITS - 1,
        "b_min": MAX_WEIGHT_BITS - 1,
        "own_bounds": 1,
        "perfect_bias": 1,
        "corrupt": 17,
        "gamma_common": 1,
        "signed_gamma": 1,
        "position": 2,
        "behind_up": 1,
        "behind_down": 1,
        "power": 1,
        "power_shift": 5,
        "offset": signed(CURVE_BITS),
        "additive": 1,
        "noise_add": CURVE_BITS - 1,
        "noise_factor": CURVE_BITS,
        "dw": DW_BITS,
        "dw_shift": 4,
        "visible": VISIBLE_BITS,
    }
)
"""Device parameters, named as in `ohmgrid.registers.device.DeviceRegisters` and held while cells
are in flight. ``b_max`` and ``b_min`` are the magnitudes; ``power_shift`` is what a power of
`POWER_BITS` is shifted by to ``curve_frac`` fraction bits; noise is ``noise_add`` and
``noise_factor`` times the weight's magnitude or, if ``additive``, 8 times the relative step."""

TABLE_WRITE = data.StructLayout({"en": 1, "table": 4, "address": GAUSS_BITS + 1, "data": 36})
"""Write port of all tables: ``table`` is a place in `ohmgrid.registers.protocol.DEVICE_TABLES`.

========= ============================================ ==================================
table     address                                      data
========= ============================================ ==================================
gain      ten random bits                              relative step as drawn
balance   ten random bits                              what one direction has more
upper     ten random bits                              upper bound as drawn
lower     ten random bits                              lower bound as drawn
gamma     ten random bits, + 1024 down                 slope as drawn
opposite  ten random bits                              what one slope has more
curve     segment, + segments down                     node, then difference to the next one
c2c       pulses                                       noise of so many
leak      ten random bits                              part that leaks
diffusion ten random bits                              size of a diffusion
reset     ten random bits                              where leak and reset lead
reference ten random bits                              reference as drawn
========= ============================================ ==================================
"""


def loadable(pipe: Stages, name: str, write: Value, depth: int, bits: int) -> Memory:
    """Return a memory that `TABLE_WRITE` writes as the table of that name."""
    memory = Memory(shape=unsigned(bits), depth=depth, init=[])
    port = memory.write_port()
    pipe.m.d.comb += [
        port.en.eq(write.en & (write.table == table_number(name))),
        port.addr.eq(write.address),
        port.data.eq(write.data),
    ]
    return memory


def table_number(name: str) -> int:
    """Return what selects a table in `TABLE_WRITE`."""
    return DEVICE_TABLES.index(name)


def pack_registers(registers: DeviceRegisters) -> dict[str, int]:
    """Return the fields of `REGISTERS`; raise `ValueError` for a value that does not fit."""
    kind = NOISES[registers.noise]
    derived = {
        "b_min": -registers.b_min,
        "power_shift": POWER_BITS - registers.curve_frac,
        "additive": kind == "additive",
        "noise_add": registers.noise_add if kind == "complex" else 0,
        "noise_factor": {
            "multiplicative": 0,
            "additive": 1 << (registers.curve_frac + SLOPE_FRAC - REL_FRAC - ADDITIVE_SHIFT),
            "complex": registers.noise_slope,
        }[kind],
    }
    packed = {
        name: int(derived[name] if name in derived else getattr(registers, name))
        for name in REGISTERS.members
    }
    for name, member in REGISTERS.members.items():
        _check(name, packed[name], Shape.cast(member))
    return packed


def pack_tables(registers: DeviceRegisters, weight_bits: int) -> Iterator[tuple[int, int, int]]:
    """Yield all writes of tables as (table, address, data); data is not negative.

    Raises
    ------
    ValueError
        If an entry does not fit its table.
    """
    gamma = signed(GAMMA_BITS)
    columns = {
        "gain": (registers.gain, signed(STEP_BITS)),
        "balance": (registers.balance, signed(STEP_BITS)),
        "upper": (registers.upper, signed(weight_bits)),
        "lower": (registers.lower, signed(weight_bits)),
        "gamma": (registers.gamma_up + registers.gamma_down, gamma),
        "opposite": (registers.gamma_balance, gamma),
        "c2c": (registers.c2c, Shape.cast(C2C_BITS)),
    }
    for name, (entries, shape) in columns.items():
        for address, entry in enumerate(entries):
            _check(name, entry, shape)
            yield table_number(name), address, entry & ((1 << shape.width) - 1)
    mask = (1 << CURVE_BITS) - 1
    address = 0
    for nodes in (registers.curve_up, registers.curve_down):
        for node, after in pairwise(nodes):
            _check("curve", node, signed(NODE_BITS))
            _check("curve", after, signed(NODE_BITS))
            yield (
                table_number("curve"),
                address,
                (node & mask) | ((after - node) & mask) << CURVE_BITS,
            )
            address += 1


def _check(name: str, value: int, shape: Shape) -> None:
    low = -(1 << (shape.width - 1)) if shape.signed else 0
    top = low + (1 << shape.width) - 1
    if not low <= value <= top:
        raise ValueError(f"{name}: expected {low}..{top}, got {value}")


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
