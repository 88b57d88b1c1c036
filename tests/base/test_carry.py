"""Adders that choose: the netlist of the ECP5's carry cells against what Python says."""

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from vendor_blocks import merged_netlist, vendor_netlist

from ohmgrid.doors.checks import ConfigError
from ohmgrid.hdl.base.carry import AddSub, CountOrTake
from ohmgrid.sim.cxxrtl.instance import Instance, Ports, load
from ohmgrid.sim.cxxrtl.make import LIBRARY, make_library, read_ports

# Lattice FPGA-TN-02219, slices in ripple mode: a LUT that is 1 gives the carry on, of one that is 0
# its lowest part says what the carry is.
CCU2C = """
module CCU2C(input CIN, A0, B0, C0, D0, A1, B1, C1, D1, output S0, S1, COUT);
    parameter [15:0] INIT0 = 0, INIT1 = 0;
    parameter INJECT1_0 = "YES", INJECT1_1 = "YES";
    wire sum0 = INIT0[{D0, C0, B0, A0}], low0 = INIT0[{2'b00, B0, A0}];
    wire sum1 = INIT1[{D1, C1, B1, A1}], low1 = INIT1[{2'b00, B1, A1}];
    wire carry = sum0 ? CIN : low0;
    assign S0 = sum0 ^ CIN, S1 = sum1 ^ carry, COUT = sum1 ? carry : low1;
    always @* assert(INJECT1_0 == "NO" && INJECT1_1 == "NO");
endmodule
"""
WIDTHS = (1, 2, 25)


class Both(wiring.Component):
    """Both adders of each width, with a register behind them."""

    def __init__(self):
        wide = max(WIDTHS)
        outputs = {f"{name}{bits}": Out(bits) for name in ("sum", "next") for bits in WIDTHS}
        super().__init__({"a": In(wide), "b": In(wide), "choice": In(1), "count": In(1), **outputs})

    def elaborate(self, platform):
        m = Module()
        for bits in WIDTHS:
            m.submodules[f"sum{bits}"] = adder = AddSub(bits)
            m.submodules[f"next{bits}"] = counter = CountOrTake(bits)
            m.d.comb += [
                *(adder.a.eq(self.a), adder.b.eq(self.b), adder.less.eq(self.choice)),
                *(counter.a.eq(self.a), counter.b.eq(self.b), counter.take.eq(self.choice)),
                counter.count.eq(self.count & ~self.choice),
            ]
            m.d.sync += [
                getattr(self, f"sum{bits}").eq(adder.o),
                getattr(self, f"next{bits}").eq(counter.o),
            ]
        return m


@pytest.mark.parametrize("family", ["ecp5", "ice40"])
def test_adders_add_what_they_choose(family, rng, tmp_path):
    text = vendor_netlist(Both(), family)
    cells = sum(-(-bits // 2) for bits in WIDTHS)
    assert text.count("cell \\CCU2C ") == (2 * cells if family == "ecp5" else 0)
    merged, library = tmp_path / "merged", tmp_path / "library"
    for folder in (merged, library):
        folder.mkdir()
    make_library(merged_netlist(text, CCU2C, merged), family, library, fast=False)
    sim = Instance(load(library / LIBRARY), Ports(read_ports(library)))
    for _ in range(400):
        a, b = (int(rng.integers(1 << max(WIDTHS))) for _ in range(2))
        # A long carry, often.
        a |= (1 << int(rng.integers(max(WIDTHS)))) - 1
        choice, count = (int(rng.integers(2)) for _ in range(2))
        for name, value in (("a", a), ("b", b), ("choice", choice), ("count", count)):
            sim.set(name, value)
        sim.step()
        for bits in WIDTHS:
            mask = (1 << bits) - 1
            assert sim.get(f"sum{bits}") == (a - b if choice else a + b) & mask
            assert sim.get(f"next{bits}") == (b if choice else a + count) & mask


def test_a_bad_width_says_what_was_expected():
    with pytest.raises(ConfigError, match=r"width: expected 1..64, got 0"):
        AddSub(0)
    with pytest.raises(ConfigError, match=r"width: expected 1..64, got 65"):
        CountOrTake(65)
