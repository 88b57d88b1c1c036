"""The device unit's registers and tables: every device fits them, and nothing else gets in."""

from dataclasses import replace

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from ohmgrid.devices.presets import PRESETS
from ohmgrid.doors.checks import ConfigError
from ohmgrid.hdl.device.ports import (
    REGISTERS,
    TABLE_WRITE,
)
from ohmgrid.host.protocol import TABLE_DATA_BITS, table_command
from ohmgrid.host.registers import device_tables, device_values
from ohmgrid.registers.device import CURVE_BITS, REL_BITS, device_registers
from ohmgrid.registers.map import TABLES


def signed(value: int, bits: int) -> int:
    """Return the two's complement number in the low bits."""
    value &= (1 << bits) - 1
    return value - (value >> (bits - 1) << bits)


@given(data=st.data(), weight_bits=st.integers(12, 18), segments=st.sampled_from([1, 64, 256]))
def test_registers_and_tables_hold_every_device(devices, data, weight_bits, segments):
    try:
        registers = device_registers(data.draw(devices), weight_bits, segments)
    except ConfigError:
        reject()
    packed = device_values(registers)
    assert list(packed) == list(REGISTERS.members)
    assert packed["b_min"] == -registers.b_min
    assert packed["dw"] == registers.dw

    tables: dict[int, list[int]] = {}
    for table, address, entry in device_tables(registers, weight_bits):
        assert address == len(tables.setdefault(table, []))
        assert 0 <= entry < 1 << TABLE_WRITE["data"].width
        tables[table].append(entry)
    # What comes after these is of time, and has its own writes.
    pulsed = {number for number in TABLES.values() if number < TABLES["leak"]}
    assert set(tables) == pulsed | ({TABLES["steps"]} if registers.steps else set())
    gain = [signed(entry, REL_BITS + 1) for entry in tables[TABLES["gain"]]]
    assert gain == list(registers.gain)
    curve = tables[TABLES["curve"]]
    starts = [signed(entry, CURVE_BITS) for entry in curve]
    ends = [
        start + signed(entry >> CURVE_BITS, CURVE_BITS)
        for start, entry in zip(starts, curve, strict=True)
    ]
    for side, nodes in enumerate((registers.curve_up, registers.curve_down)):
        part = slice(side * segments, (side + 1) * segments)
        assert (starts[part], ends[part]) == (list(nodes[:-1]), list(nodes[1:]))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("dw", -1, "0..131071"),
        ("bias_up", -1025, "-1024..1023"),
        ("b_min", 1, "0..131071"),
        ("curve_frac", 18, "0..31"),
    ],
)
def test_a_value_that_does_not_fit_is_named(name, value, expected):
    registers = replace(device_registers(PRESETS["ecram"], 18, 64), **{name: value})
    name = {"curve_frac": "power_shift"}.get(name, name)
    with pytest.raises(ValueError, match=f"{name}: expected {expected}, got "):
        device_values(registers)


def test_an_entry_that_does_not_fit_is_named():
    registers = device_registers(PRESETS["ecram"], 18, 64)
    wide = replace(registers, curve_down=(1 << 17, *registers.curve_down[1:]))
    with pytest.raises(ValueError, match=r"curve: expected -65536\.\.65535, got 131072"):
        list(device_tables(wide, 18))


def test_a_table_command_holds_table_address_and_entry():
    word = table_command(246, 255, (1 << 36) - 1)
    assert word >> 8 & 255 == 246
    assert word >> 16 >> TABLE_DATA_BITS == 255
    assert word >> 16 & ((1 << TABLE_DATA_BITS) - 1) == (1 << 36) - 1
