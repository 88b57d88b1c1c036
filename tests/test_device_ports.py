"""The device unit's registers: every device fits them, and nothing else gets in."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ohmgrid.devices import PRESETS, LinearStep, preset
from ohmgrid.hdl.device_ports import C2C_WRITE, REGISTERS, pack_registers
from ohmgrid.registers import device_registers, full_scale


@given(
    dw_min=st.floats(1e-6, 1.0),
    spread=st.sampled_from([0.0, 0.3, 1.0]),
    up_down=st.sampled_from([-0.99, 0.0, 0.99]),
    w_max=st.floats(0.1, 8.0),
    w_min=st.floats(-8.0, 0.0),
    gamma=st.floats(0, 1.9),
    weight_bits=st.integers(12, 18),
)
def test_registers_hold_every_device(dw_min, spread, up_down, w_max, w_min, gamma, weight_bits):
    device = LinearStep(
        dw_min=dw_min,
        dw_min_dtod=spread,
        dw_min_std=7.9,
        up_down=up_down,
        up_down_dtod=spread,
        w_max=w_max,
        w_max_dtod=spread,
        w_min=w_min,
        w_min_dtod=spread,
        gamma_up=gamma,
        gamma_down=gamma,
        gamma_up_dtod=spread / 2,
        gamma_down_dtod=spread / 2,
    )
    assume(dw_min < full_scale(device) / 4)
    registers = device_registers(device, weight_bits)
    values = pack_registers(registers)
    assert list(values) == list(REGISTERS.members)
    assert all(values[name] == getattr(registers, name) for name in values)
    assert max(registers.c2c) < 1 << C2C_WRITE["data"].width


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [("k_step", 512, "0..511"), ("dw", -1, "0..131071"), ("b_min", -(1 << 17) - 1, "-131072..")],
)
def test_a_value_that_does_not_fit_is_named(name, value, expected):
    registers = replace(device_registers(preset(next(iter(PRESETS))), 18), **{name: value})
    with pytest.raises(ValueError, match=f"{name}: expected {expected}.*, got {value}"):
        pack_registers(registers)
