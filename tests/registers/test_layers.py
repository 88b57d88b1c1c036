"""Tables and scales of the layer arithmetic, against the functions that they round."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ohmgrid.doors.checks import ConfigError
from ohmgrid.model.base.arith import shift_round
from ohmgrid.registers.layers import (
    EXP_FRAC,
    FAR_BITS,
    FINE_BITS,
    INDEX_SHIFT,
    SCALE_BITS,
    SLOPE_FRAC,
    TABLE_SIZE,
    activation_table,
    exp_tables,
    half_table,
    scale_registers,
)


def sigmoid(v: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-v))


@pytest.mark.parametrize("x_frac", [8, 10, 12, 15])
@pytest.mark.parametrize(("name", "function"), [("sigmoid", sigmoid), ("tanh", np.tanh)])
def test_activation_tables_are_the_functions_rounded(name, function, x_frac):
    middles = (np.arange(TABLE_SIZE) + 0.5) / 128 - 8
    exact = function(middles) * 2**x_frac
    table = np.array(activation_table(name, x_frac))
    top, low = (1 << x_frac) - 1, 1 if name == "sigmoid" else 1 - (1 << x_frac)
    # Nearest, but for the last bits of the float functions that check it, and never a limit.
    assert np.abs(table - np.clip(exact, low, top)).max() <= 0.5 + 1e-9
    assert (table.min(), table.max()) == (
        max(low, round(exact.min())),
        min(top, round(exact.max())),
    )
    # Half of it tells the rest.
    whole = 1 << x_frac if name == "sigmoid" else 0
    assert (table[::-1] == whole - table).all()


@pytest.mark.parametrize("x_frac", range(8, 16))
@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_half_a_table_tells_all_of_it(name, x_frac):
    middle, half = {"sigmoid": 1 << (x_frac - 1), "tanh": 0}[name], half_table(name, x_frac)
    upper, lower = [middle + c for c in half], [middle - c for c in reversed(half)]
    assert (*lower, *upper) == activation_table(name, x_frac)
    assert min(half) >= 0
    assert max(half) < 1 << x_frac


def slope(name: str, value: np.ndarray, x_frac: int) -> np.ndarray:
    one = 1 << x_frac
    product = (one - value) * (value if name == "sigmoid" else one + value)
    return shift_round(product, 2 * x_frac - SLOPE_FRAC)


@pytest.mark.parametrize(
    ("name", "derivative", "steep"),
    [
        ("sigmoid", lambda v: sigmoid(v) * sigmoid(-v), 1.0),
        ("tanh", lambda v: 1 / np.cosh(v) ** 2, 2.0),
    ],
)
@pytest.mark.parametrize("x_frac", [8, 10, 12, 15])
def test_a_slope_is_that_of_its_value_and_never_zero(name, derivative, steep, x_frac):
    middles = (np.arange(TABLE_SIZE) + 0.5) / 128 - 8
    value = np.array(activation_table(name, x_frac))
    found = slope(name, value, x_frac)
    assert found.min() > 0
    # A value is off by half an LSB, by a whole one where it is kept from its limit.
    worst = steep * 2.0**-x_frac + 2.0 ** -(SLOPE_FRAC + 1)
    assert np.abs(found / 2**SLOPE_FRAC - derivative(middles)).max() <= worst


def test_the_exponential_is_a_product_of_two_tables():
    index = np.arange(TABLE_SIZE)
    coarse, fine = map(np.array, exp_tables())
    product = shift_round(coarse[index >> FINE_BITS] * fine[index & 127], EXP_FRAC)
    exact = np.exp(-index / 128) * 2**EXP_FRAC
    assert np.abs(product - np.rint(exact)).max() <= 1
    assert product[0] == 1 << EXP_FRAC
    assert (np.diff(product) <= 0).all()
    assert (len(coarse), len(fine)) == (16, 128)
    assert TABLE_SIZE << INDEX_SHIFT == 1 << FAR_BITS


def test_tables_hold_the_same_bits_on_every_machine():
    digest = hashlib.sha256()
    for name in ("sigmoid", "tanh"):
        digest.update(np.array(activation_table(name, 12), "<i4").tobytes())
    for table in exp_tables():
        digest.update(np.array(table, "<i4").tobytes())
    assert digest.hexdigest() == (
        "9c67baead1eed6f1498307a28d7780fba76d390d12c7fdea47344942dcaaa925"
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
