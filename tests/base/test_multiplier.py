"""The multiplier: its portable body against Python, each family's block against the same numbers.

A block is simulated after synthesis, by its model (`vendor_models`).
"""

import re

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module, Shape
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from gates import Gates
from hypothesis import given
from hypothesis import strategies as st

from ohmgrid.boards.synth import Target, synth
from ohmgrid.doors.checks import ConfigError
from ohmgrid.hdl.base.multiplier import Multiplier
from ohmgrid.sim.tables import run_pipeline
from ohmgrid.tools import toolchain
from ohmgrid.tools.export import ports

CELLS = {"ecp5": "MULT18X18D", "gowin": "MULT18X18", "ice40": "SB_MAC16"}


def values(rng, shape: Shape, count: int) -> list[int]:
    """Return numbers of a shape, its ends often among them."""
    low = -(1 << (shape.width - 1)) if shape.signed else 0
    high = low + (1 << shape.width) - 1
    ends = rng.choice([low, high], count)
    numbers = rng.integers(low, high + 1, count)
    return np.where(rng.random(count) < 0.3, ends, numbers).tolist()


@given(
    st.data(),
    st.builds(Shape, st.integers(1, 22), st.booleans()),
    st.builds(Shape, st.integers(1, 22), st.booleans()),
)
def test_portable_body_multiplies(data, a, b):
    def numbers(shape):
        low = -(1 << (shape.width - 1)) if shape.signed else 0
        high = low + (1 << shape.width) - 1
        return st.one_of(st.sampled_from([low, high]), st.integers(low, high))

    table = data.draw(st.lists(st.tuples(numbers(a), numbers(b)), min_size=1, max_size=40))
    columns = {"a": [x for x, _ in table], "b": [y for _, y in table]}
    result = run_pipeline(Multiplier(a, b), columns, ["o"])["o"]
    assert result == [x * y for x, y in table]


FACTORS = [
    (Shape(16, True), Shape(16, True)),
    (Shape(16, False), Shape(16, False)),
    (Shape(15, True), Shape(9, False)),
    (Shape(1, False), Shape(12, True)),
]


class Beside(wiring.Component):
    """A multiplier for each pair of factors, so that all are compiled at once."""

    def __init__(self):
        members = {}
        for n, (a, b) in enumerate(FACTORS):
            members |= {f"a{n}": In(a), f"b{n}": In(b), f"o{n}": Out(Multiplier(a, b).o.shape())}
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        for n, factors in enumerate(FACTORS):
            m.submodules[f"product{n}"] = product = Multiplier(*factors)
            m.d.comb += [
                product.a.eq(getattr(self, f"a{n}")),
                product.b.eq(getattr(self, f"b{n}")),
                getattr(self, f"o{n}").eq(product.o),
            ]
        return m


@pytest.mark.parametrize("family", CELLS)
def test_what_synthesis_makes_equals_the_portable_body(family, rng, tmp_path):
    sim = Gates(Beside(), family, tmp_path)
    assert sim.cells.count(f"cell \\{CELLS[family]} ") == len(FACTORS)
    columns = [(values(rng, a, 200), values(rng, b, 200)) for a, b in FACTORS]
    seen = [[] for _ in FACTORS]
    for cycle in range(200 + Multiplier.latency):
        for n, numbers in enumerate(columns):
            for name, column in zip("ab", numbers, strict=True):
                sim.set(f"{name}{n}", column[min(cycle, 199)])
        for n, found in enumerate(seen):
            found.append(sim.get(f"o{n}"))
        sim.step()
    for (a, b), (x, y), found in zip(FACTORS, columns, seen, strict=True):
        expected = run_pipeline(Multiplier(a, b), {"a": x, "b": y}, ["o"])["o"]
        assert found[Multiplier.latency :] == expected, (a, b)


@pytest.mark.parametrize("family", ["ecp5", "gowin"])
def test_block_holds_all_registers(family):
    total = synth(Multiplier(Shape(16, True), Shape(16, True)), family, by_part=False).total
    assert (total.dsp, total.ff, total.lut4) == (1, 0, 0)


def test_yosys_still_switches_off_the_registers_of_a_named_block(tmp_path):
    # When this fails, yosys is cured, and iCE40's block may be named as the others are.
    (tmp_path / "named.v").write_text(
        "module top(input clk, input [15:0] a, b, output [31:0] o);"
        " SB_MAC16 #(.A_REG(1'b1), .B_REG(1'b1), .PIPELINE_16x16_MULT_REG2(1'b1), .A_SIGNED(1'b1),"
        " .B_SIGNED(1'b1), .TOPOUTPUT_SELECT(2'd3), .BOTOUTPUT_SELECT(2'd3))"
        " block(.CLK(clk), .CE(1'b1), .A(a), .B(b), .C(16'b0), .D(16'b0), .O(o)); endmodule"
    )
    for option, kept in (("", True), ("-dsp", False)):
        script = f"read_verilog named.v; synth_ice40 {option} -top top"
        script += "; select top; write_rtlil -selected out.il"
        yosys = toolchain.find("yosys", native=False)
        toolchain.run(yosys, ["-q", "-p", script], cwd=tmp_path, log=tmp_path / "yosys.log")
        register = re.search(r"parameter \\A_REG .*([01])\n", (tmp_path / "out.il").read_text())
        assert register
        assert (register[1] == "1") is kept


def test_wide_factors_take_the_portable_body():
    component = Multiplier(19, 8)
    text = rtlil.convert(component, "top", Target("ecp5"), ports=ports(component))
    assert "MULT18X18D" not in text
    assert "$mul" in text


def test_bad_shapes_say_what_was_expected():
    with pytest.raises(ConfigError, match=r"width of a_shape: expected 1..64, got 0"):
        Multiplier(0, 8)
