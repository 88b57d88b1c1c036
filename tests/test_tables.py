"""Tables and scales of the layer arithmetic, against the functions that they round."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ohmgrid.checks import ConfigError
from ohmgrid.tables import (
    EXP_FRAC,
    SCALE_BITS,
    SLOPE_FRAC,
    TABLE_SIZE,
    activation_table,
    exp_table,
    scale_registers,
)


def sigmoid(v: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-v))


@pytest.mark.parametrize("x_frac", [4, 8, 12, 15])
@pytest.mark.parametrize(
    ("name", "function", "derivative"),
    [
        ("sigmoid", sigmoid, lambda v: sigmoid(v) * sigmoid(-v)),
        ("tanh", np.tanh, lambda v: 1 / np.cosh(v) ** 2),
    ],
)
def test_activation_tables_are_the_functions_rounded(name, function, derivative, x_frac):
    middles = (np.arange(TABLE_SIZE) + 0.5) / 128 - 8
    table = activation_table(name, x_frac)
    for entries, exact, frac in (
        (table.value, function(middles), x_frac),
        (table.slope, derivative(middles), SLOPE_FRAC),
    ):
        # Nearest, but for the last bits of the float functions that check it.
        assert np.abs(np.array(entries) - exact * 2**frac).max() <= 0.5 + 1e-9


def test_the_exponential_table_is_the_function_rounded():
    exact = np.exp(-np.arange(TABLE_SIZE) / 128) * 2**EXP_FRAC
    assert np.abs(np.array(exp_table()) - exact).max() <= 0.5 + 1e-9
    assert exp_table()[0] == 1 << EXP_FRAC


def test_tables_hold_the_same_bits_on_every_machine():
    digest = hashlib.sha256()
    for name in ("sigmoid", "tanh"):
        table = activation_table(name, 12)
        digest.update(np.array(table.value + table.slope, "<i4").tobytes())
    digest.update(np.array(exp_table(), "<i4").tobytes())
    assert digest.hexdigest() == (
        "5cd1b05d2925a981b91fd5f88746f86f0738dd41522c461f1fbccd77e6f818dd"
    )


@given(st.floats(1e-9, 1e5))
def test_a_scale_is_its_factor_to_18_bits(factor):
    mantissa, shift = scale_registers("scale", factor)
    assert 1 << (SCALE_BITS - 1) <= mantissa < 1 << SCALE_BITS
    assert shift >= 1
    assert abs(mantissa / 2**shift / factor - 1) <= 2.0**-SCALE_BITS


@pytest.mark.parametrize("factor", [0.0, -1.0, 1e6, 1e-30])
def test_a_scale_out_of_range_gets_one_line(factor):
    with pytest.raises(ConfigError, match=r"forward scale: expected a factor of .*got"):
        scale_registers("forward scale", factor)
