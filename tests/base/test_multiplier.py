"""The multiplier: its portable body against Python, each vendor's block against the same numbers.

A block is simulated as its netlist: yosys' own model of the iCE40's, and for the others, of which
it has none, what the vendors' manuals say of the ports and registers in use.
"""

import re
from pathlib import Path

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module, Shape
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from hypothesis import given
from hypothesis import strategies as st
from vendor_blocks import merged_netlist, vendor_netlist

from ohmgrid.boards.synth import Target, synth
from ohmgrid.doors.checks import ConfigError
from ohmgrid.hdl.base.multiplier import Multiplier
from ohmgrid.sim.cxxrtl.instance import Instance, Ports, load
from ohmgrid.sim.cxxrtl.make import LIBRARY, make_library, read_ports
from ohmgrid.sim.tables import run_pipeline
from ohmgrid.tools import toolchain
from ohmgrid.tools.export import ports

A_BITS = "".join(f"A{k}, " for k in range(17, -1, -1))
B_BITS = "".join(f"B{k}, " for k in range(17, -1, -1))
# Lattice TN1267: operands as wide as the block, each signed or not; a register is there if it has a
# clock, moves with its clock enable and is cleared with its reset.
ECP5 = f"""
module MULT18X18D(input {A_BITS} {B_BITS} {A_BITS.replace("A", "C")}
    SIGNEDA, SIGNEDB, SOURCEA, SOURCEB, CLK0, CE0, RST0,
    output {", ".join(f"P{k}" for k in range(35, -1, -1))});
    parameter REG_INPUTA_CLK = "NONE", REG_INPUTA_CE = "CE0", REG_INPUTA_RST = "RST0";
    parameter REG_INPUTB_CLK = "NONE", REG_INPUTB_CE = "CE0", REG_INPUTB_RST = "RST0";
    parameter REG_OUTPUT_CLK = "NONE", REG_OUTPUT_CE = "CE0", REG_OUTPUT_RST = "RST0";
    wire [17:0] a = {{{A_BITS[:-2]}}}, b = {{{B_BITS[:-2]}}};
    reg [17:0] held_a, held_b;
    reg [35:0] held_o;
    wire [17:0] at_a = REG_INPUTA_CLK == "CLK0" ? held_a : a;
    wire [17:0] at_b = REG_INPUTB_CLK == "CLK0" ? held_b : b;
    wire [35:0] wide_a = {{{{18{{SIGNEDA & at_a[17]}}}}, at_a}};
    wire [35:0] wide_b = {{{{18{{SIGNEDB & at_b[17]}}}}, at_b}};
    wire [35:0] o = wide_a * wide_b;
    always @(posedge CLK0)
        if (RST0) {{held_a, held_b, held_o}} <= 0;
        else if (CE0) {{held_a, held_b, held_o}} <= {{a, b, o}};
    assign {{{", ".join(f"P{k}" for k in range(35, -1, -1))}}} =
        REG_OUTPUT_CLK == "CLK0" ? held_o : o;
    always @* assert(!SOURCEA && !SOURCEB);
endmodule
"""
# Gowin UG287, the same with parameters for its registers; SIA and SIB are unused.
GOWIN = """
module MULT18X18(input [17:0] A, SIA, B, SIB, input ASIGN, BSIGN, ASEL, BSEL, CE, CLK, RESET,
    output [35:0] DOUT);
    parameter AREG = 1'b0, BREG = 1'b0, OUT_REG = 1'b0;
    reg [17:0] held_a, held_b;
    reg [35:0] held_o;
    wire [17:0] at_a = AREG ? held_a : A, at_b = BREG ? held_b : B;
    wire [35:0] wide_a = {{18{ASIGN & at_a[17]}}, at_a}, wide_b = {{18{BSIGN & at_b[17]}}, at_b};
    wire [35:0] o = wide_a * wide_b;
    always @(posedge CLK)
        if (RESET) {held_a, held_b, held_o} <= 0;
        else if (CE) {held_a, held_b, held_o} <= {A, B, o};
    assign DOUT = OUT_REG ? held_o : o;
    always @* assert(!ASEL && !BSEL);
endmodule
"""
MODELS = {"ecp5": ECP5, "gw1n": GOWIN, "ice40": None}
CELLS = {"ecp5": "MULT18X18D", "gw1n": "MULT18X18", "ice40": "SB_MAC16"}


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


def netlist(component, family: str, work: Path) -> str:
    """Return a component with the model of its family's block, as RTLIL; check that it is there."""
    text = vendor_netlist(component, family)
    blocks = len(re.findall(rf"cell \\{CELLS[family]} ", text))
    assert blocks == len(FACTORS)
    assert "$mul" not in text
    model = MODELS[family]
    if model is None:
        cells = (toolchain.yosys_data() / "ice40" / "cells_sim.v").read_text()
        found = re.search(r"(?ms)^module SB_MAC16.*?^endmodule", cells)
        assert found
        model = found[0]
    return merged_netlist(text, model, work)


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
def test_vendor_body_equals_the_portable_one(family, rng, tmp_path):
    merged, library = tmp_path / "merged", tmp_path / "library"
    for folder in (merged, library):
        folder.mkdir()
    make_library(netlist(Beside(), family, merged), family, library, fast=False)
    sim = Instance(load(library / LIBRARY), Ports(read_ports(library)))
    columns = [(values(rng, a, 200), values(rng, b, 200)) for a, b in FACTORS]
    seen = [[] for _ in FACTORS]
    for cycle in range(200 + Multiplier.latency):
        for n, (shapes, numbers) in enumerate(zip(FACTORS, columns, strict=True)):
            for name, shape, column in zip("ab", shapes, numbers, strict=True):
                sim.set(f"{name}{n}", column[min(cycle, 199)] % (1 << shape.width))
        sim.step()
        for n, found in enumerate(seen):
            found.append(sim.get(f"o{n}"))
    for (a, b), (x, y), found in zip(FACTORS, columns, seen, strict=True):
        expected = run_pipeline(Multiplier(a, b), {"a": x, "b": y}, ["o"])["o"]
        top = 1 << (a.width + b.width)
        assert found[Multiplier.latency - 1 : -1] == [number % top for number in expected], (a, b)


@pytest.mark.parametrize("family", ["ecp5", "ice40"])
def test_block_holds_all_registers(family):
    total = synth(Multiplier(Shape(16, True), Shape(16, True)), family, by_part=False).total
    assert (total.dsp, total.ff, total.lut4) == (1, 0, 0)


def test_wide_factors_take_the_portable_body():
    component = Multiplier(17, 8)
    text = rtlil.convert(component, "top", Target("ice40"), ports=ports(component))
    assert "SB_MAC16" not in text
    assert "$mul" in text


def test_bad_shapes_say_what_was_expected():
    with pytest.raises(ConfigError, match=r"width of a_shape: expected 1..64, got 0"):
        Multiplier(0, 8)
