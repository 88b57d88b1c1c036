"""Tables of devices: memories that a host writes and that one or two pipelines read.

Two pipelines need no second memory: block RAM has two ports, and no table is written while cells
are in flight.
"""

from collections.abc import Mapping
from typing import NamedTuple

from amaranth.hdl import Cat, Module, Shape, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.devices.laws import ROOMS
from ohmgrid.doors.checks import check_int
from ohmgrid.hdl.base.block_ram import BlockRam
from ohmgrid.hdl.base.own_register import nearby
from ohmgrid.hdl.base.pipeline import delayed
from ohmgrid.hdl.base.timed import Stages, Timed
from ohmgrid.hdl.device.ports import TABLE_WRITE
from ohmgrid.registers.device import (
    C2C_BITS,
    COUNT_BITS,
    CURVE_BITS,
    DRAW_BITS,
    GAMMA_BITS,
    NODE_BITS,
    STEP_BITS,
)
from ohmgrid.registers.map import TABLES
from ohmgrid.registers.noise import GAUSS_BITS
from ohmgrid.registers.time import CHANGE_BITS, LEAK_BITS

__all__ = [
    "Table",
    "Tables",
    "aging_tables",
    "curve_tables",
    "entries_layout",
    "looked_up",
    "lookup_layout",
    "pulse_tables",
    "static_tables",
]


class Table(NamedTuple):
    """Size of a table: ``2**address_bits`` entries of a shape."""

    address_bits: int
    entry: Shape


def static_tables(weight_bits: int, slopes: bool = True) -> dict[str, Table]:
    """Return the tables of `ohmgrid.hdl.device.static.StaticProperties` by name."""
    step, bound = Table(GAUSS_BITS, signed(STEP_BITS)), Table(GAUSS_BITS, signed(weight_bits))
    tables = {"gain": step, "balance": step, "upper": bound, "lower": bound}
    if slopes:
        slope = signed(GAMMA_BITS)
        tables |= {"gamma": Table(GAUSS_BITS + 1, slope), "opposite": Table(GAUSS_BITS, slope)}
    return tables


def curve_tables(segments: int, steps: bool) -> dict[str, Table]:
    """Return the tables of `ohmgrid.hdl.device.curve.StepCurve` by name."""
    tables = {"curve": Table(segments.bit_length(), unsigned(2 * CURVE_BITS))}
    if steps:
        rooms = ROOMS.bit_length() - 1
        tables["steps"] = Table(1 + rooms + DRAW_BITS, signed(NODE_BITS))
    return tables


def pulse_tables() -> dict[str, Table]:
    """Return the tables of `ohmgrid.hdl.device.step.DeviceUnit` alone by name."""
    return {"c2c": Table(COUNT_BITS, unsigned(C2C_BITS))}


def aging_tables(weight_bits: int) -> dict[str, Table]:
    """Return the tables of `ohmgrid.hdl.device.aging.Aging` alone by name."""
    weight = Table(GAUSS_BITS, signed(weight_bits))
    return {
        "leak": Table(GAUSS_BITS, unsigned(LEAK_BITS)),
        "diffusion": Table(GAUSS_BITS, unsigned(CHANGE_BITS)),
        "reset": weight,
        "reference": weight,
    }


def lookup_layout(tables: Mapping[str, Table]) -> data.StructLayout:
    """Return the layout of a pipeline's addresses, one for each table."""
    return data.StructLayout({name: table.address_bits for name, table in tables.items()})


def entries_layout(tables: Mapping[str, Table]) -> data.StructLayout:
    """Return the layout of the entries there."""
    return data.StructLayout({name: table.entry for name, table in tables.items()})


class Tables(wiring.Component):
    """Entries of each table at an address for each reader, `latency` cycles later; no stalls.

    Parameters
    ----------
    tables : dict of str to Table
        By their names in `ohmgrid.registers.map.TABLES`.
    readers : int
        1 or 2.
    sets : int
        1 or 2: how many kinds of devices the tables hold.

    Members
    -------
    write : In(TABLE_WRITE)
        Never while addresses come whose entries matter.
    device_set : In(1)
        The set that is read; constant while addresses come. One set is read and written whatever
        this and ``write.set`` are.
    lookup0, lookup1 : In(lookup_layout)
    entries0, entries1 : Out(entries_layout)
    """

    latency = BlockRam.latency + 1
    """Cycles from an address to its entry: a register is on the way, for wires are scarce beside a
    block that two pipelines read."""

    def __init__(self, tables: Mapping[str, Table], readers: int = 1, sets: int = 1):
        check_int("readers", readers, 1, 2)
        check_int("sets", sets, 1, 2)
        self._tables, self._readers, self._sets = tables, readers, sets
        members = {"write": In(TABLE_WRITE), "device_set": In(1)}
        for k in range(readers):
            members[f"lookup{k}"] = In(lookup_layout(tables))
            members[f"entries{k}"] = Out(entries_layout(tables))
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        written = nearby(m, self.write, "written")
        for name, table in self._tables.items():
            depth = self._sets << table.address_bits
            m.submodules[name] = memory = BlockRam(table.entry.width, depth, self._readers)
            m.d.comb += [
                memory.write.eq(written.en & (written.table == TABLES[name] % 16)),
                memory.write_address.eq(self._place(table, written.address, written.set)),
                memory.data.eq(written.data),
            ]
            for k in range(self._readers):
                address = getattr(self, f"lookup{k}")[name]
                m.d.comb += [
                    getattr(memory, f"read{k}").eq(1),
                    getattr(memory, f"address{k}").eq(self._place(table, address, self.device_set)),
                    getattr(self, f"entries{k}")[name].eq(
                        delayed(m, getattr(memory, f"o{k}"), f"{name}{k}")
                    ),
                ]
        return m

    def _place(self, table: Table, address: Value, device_set: Value) -> Value:
        """Return the place of an entry of a set in its memory."""
        return Cat(address[: table.address_bits], device_set if self._sets > 1 else [])


def looked_up(pipe: Stages, lookup: data.View, entries: data.View, name: str, address: Timed):
    """Return the entry of a table, whose address goes out on ``lookup``, as a `Timed`."""
    pipe.m.d.comb += lookup[name].eq(address.value)
    return Timed(entries[name], address.time + Tables.latency)
