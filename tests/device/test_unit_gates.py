"""A device unit with its tables after synthesis, as a family's cells: still the golden model's."""

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from device_cells import ADDRESS_BITS, LANE_BITS, Build, golden, random_cells, used
from gates import Gates
from numpy.testing import assert_array_equal

from ohmgrid.devices.presets import PRESETS
from ohmgrid.hdl.device.ports import REGISTERS, TABLE_WRITE, request_layout, result_layout
from ohmgrid.hdl.device.step import DeviceUnit
from ohmgrid.hdl.device.tables import Tables
from ohmgrid.host.registers import device_tables, device_values
from ohmgrid.registers.device import device_registers

CELLS = 150
FAMILIES = ("ecp5", "gowin", "ice40")
PLAIN = Build(18, 2, 4, power=False, curve=False, tables=False, references=False)
CURVED = Build(18, 4, 64, tables=False)


class TabledUnit(wiring.Component):
    """One device unit, and the tables that it reads."""

    def __init__(self, build: Build):
        self._unit = DeviceUnit(lane_bits=LANE_BITS, address_bits=ADDRESS_BITS, **build._asdict())
        self.latency = self._unit.latency
        widths = (build.weight_bits, LANE_BITS, ADDRESS_BITS)
        super().__init__(
            {
                "write": In(TABLE_WRITE),
                "registers": In(REGISTERS),
                "turned": In(1),
                "request": In(request_layout(*widths)),
                "result": Out(result_layout(*widths)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self._unit
        m.submodules.tables = tables = Tables(unit.tables)
        m.d.comb += [
            tables.write.eq(self.write),
            tables.lookup0.eq(unit.lookup),
            unit.entries.eq(tables.entries0),
            unit.registers.eq(self.registers),
            unit.turned.eq(self.turned),
            unit.request.eq(self.request),
            self.result.eq(unit.result),
        ]
        return m


def check(family, build, name, rng, work):
    """Send random cells of a preset through the netlist; compare values, cells and cycles."""
    dut = TabledUnit(build)
    gates = Gates(dut, family, work)
    registers = device_registers(PRESETS[name], build.weight_bits, build.segments)
    cells = random_cells(rng, CELLS, build.weight_bits, registers)
    if not build.references:
        cells["reference"][:] = 0
    for field, value in device_values(registers).items():
        gates.set(f"registers.{field}", value)
    turned = bool(rng.integers(2))
    gates.set("turned", turned)
    needed = used(cells)
    for table, address, entry in device_tables(registers, build.weight_bits):
        if address in needed.get(table, {address}):
            write = {"en": 1, "table": table, "address": address, "data": entry}
            for field, value in write.items():
                gates.set(f"write.{field}", value)
            gates.step()
    gates.set("write.en", 0)
    gates.step()

    times, found = {}, []
    for cycle in range(2 * CELLS + dut.latency):
        comes = len(times) < CELLS and bool(rng.integers(3))
        gates.set("request.valid", comes)
        if comes:
            for field, values in cells.items():
                gates.set(f"request.{field}", int(values[len(times)]))
            times[cycle] = len(times)
        if gates.get("result.valid"):
            fields = [gates.get(f"result.{field}") for field in ("weight", "lane", "address")]
            found.append((times[cycle - dut.latency], *fields))
        gates.step()
    number, weight, lane, address = np.array(found, np.int64).reshape(-1, 4).T
    expected, stuck = golden(cells, registers, build.weight_bits, turned)
    assert len(times) == CELLS
    assert_array_equal(number, np.flatnonzero(~stuck))
    assert_array_equal(weight, expected[~stuck])
    assert_array_equal(lane, cells["lane"][number])
    assert_array_equal(address, cells["address"][number])


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("build", "name"), [(PLAIN, "gokmen-vlasov"), (CURVED, "reram-es")], ids=["plain", "curved"]
)
def test_a_device_unit_is_right_after_synthesis(family, build, name, rng, tmp_path):
    check(family, build, name, rng, tmp_path)
