"""Products in gateware against Python's own."""

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from hypothesis import given
from hypothesis import strategies as st
from strategies import FEW

from ohmgrid.boards.synth import synth
from ohmgrid.doors.checks import ConfigError
from ohmgrid.hdl.base.pipeline import delayed
from ohmgrid.hdl.base.products import Product, SoftProduct, soft_product
from ohmgrid.sim.tables import run_function, run_pipeline

SHAPES = st.builds(Shape, st.integers(1, 22), st.booleans())


def rows(*shapes: Shape) -> st.SearchStrategy[list[tuple[int, ...]]]:
    """Make rows of values of these shapes, their ends often among them."""
    ones = []
    for shape in shapes:
        low = -(1 << (shape.width - 1)) if shape.signed else 0
        high = low + (1 << shape.width) - 1
        ones.append(st.one_of(st.sampled_from([low, high]), st.integers(low, high)))
    return st.lists(st.tuples(*ones), min_size=1, max_size=40)


@FEW
@given(st.data(), SHAPES, SHAPES)
def test_soft_product(data, a, b):
    table = data.draw(rows(a, b))
    assert run_function(soft_product, [a, b], table) == [x * y for x, y in table]


@FEW
@given(st.data(), SHAPES, SHAPES, st.integers(1, 4))
def test_soft_product_in_stages(data, a, b, additions):
    table = data.draw(rows(a, b))
    columns = {"a": [x for x, _ in table], "b": [y for _, y in table]}
    result = run_pipeline(SoftProduct(a, b, additions), columns, ["o"])["o"]
    assert result == [x * y for x, y in table]


@given(st.data(), st.integers(1, 44), st.integers(1, 24), st.sampled_from([9, 16, 18]))
def test_product_in_pieces(data, a_bits, b_bits, dsp_bits):
    table = data.draw(rows(Shape(a_bits), Shape(b_bits)))
    columns = {"a": [x for x, _ in table], "b": [y for _, y in table]}
    result = run_pipeline(Product(a_bits, b_bits, dsp_bits), columns, ["o"])["o"]
    assert result == [x * y for x, y in table]


def test_soft_products_hold_no_multiplier():
    a, b, o = Signal(15), Signal(9), Signal(24)
    m = Module()
    m.d.comb += o.eq(soft_product(a, b))
    assert "$mul" not in rtlil.convert(m, ports=[a, b, o])


def test_blocks_of_a_product():
    def blocks(*widths: int) -> int:
        product = Product(*widths)
        return rtlil.convert(product, ports=[product.a, product.b, product.o]).count("$mul")

    assert blocks(15, 22, 16) == blocks(15, 22, 18) == 1
    assert blocks(36, 18, 18) == blocks(35, 18, 16) == 2


class TwoRegistersBehind(wiring.Component):
    """A product with registers on both inputs and two behind it, as nobody should write it."""

    a: In(16)
    b: In(16)
    o: Out(32)

    def elaborate(self, platform):
        m = Module()
        a, b = delayed(m, self.a, "held_a"), delayed(m, self.b, "held_b")
        m.d.comb += self.o.eq(delayed(m, a * b, "product", 2))
        return m


def test_yosys_still_loses_such_a_product():
    # When this fails, yosys is cured, and `Product` need not keep its first register any more.
    assert synth(TwoRegistersBehind(), "ice40", by_part=False).total.dsp == 0


@pytest.mark.parametrize(("a_bits", "b_bits", "blocks"), [(16, 16, 1), (32, 16, 2)])
def test_yosys_keeps_the_blocks(a_bits, b_bits, blocks):
    report = synth(Product(a_bits, b_bits, 16), "ice40", by_part=False)
    assert report.total.dsp == blocks


def test_bad_parameters_say_what_was_expected():
    with pytest.raises(ConfigError, match=r"a_bits: expected 1..64, got 0"):
        Product(0, 8)
    with pytest.raises(ConfigError, match=r"dsp_bits: expected 7..64, got 4"):
        Product(8, 8, 4)
    with pytest.raises(ConfigError, match=r"additions: expected 1..8, got 0"):
        SoftProduct(8, 8, 0)
