"""A register of its own: a cycle late, cleared by a reset, and never made one with another."""

import re
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.boards.synth import Target, synth
from ohmgrid.hdl.base.own_register import OwnRegister, nearby, reset_nearby
from ohmgrid.sim.cxxrtl.instance import Instance, Ports, load
from ohmgrid.sim.cxxrtl.make import LIBRARY, make_library, read_ports
from ohmgrid.tools import toolchain
from ohmgrid.tools.export import ports


class Twice(wiring.Component):
    """Two registers of one bit."""

    i: In(1)
    o: Out(2)

    def elaborate(self, platform):
        m = Module()
        for k, bit in enumerate(self.o):
            m.d.comb += bit.eq(nearby(m, self.i, f"copy{k}"))
        return m


class Counts(wiring.Component):
    """A count of two bits in each of some modules, one within the other."""

    def __init__(self, modules: int):
        self._modules = modules
        super().__init__({"o": Out(2 * modules)})

    def elaborate(self, platform):
        m, count = Module(), Signal(2)
        m.d.sync += count.eq(count + 1)
        m.d.comb += self.o[:2].eq(count)
        if self._modules > 1:
            m.submodules.inner = inner = Counts(self._modules - 1)
            m.d.comb += self.o[2:].eq(inner.o)
        return m


class Begun(wiring.Component):
    """Counts that begin anew."""

    i: In(1)
    o: Out(6)

    def elaborate(self, platform):
        m = Module()
        m.submodules.counts = counts = reset_nearby(m, self.i, platform)(Counts(3))
        m.d.comb += self.o.eq(counts.o)
        return m


def test_each_module_is_reset_by_a_register_of_its_own():
    assert synth(Begun(), by_part=False).total.ff == 3 * (2 + 1)


def test_synthesis_keeps_equal_registers_apart():
    assert synth(Twice(), by_part=False).total.ff == 2


def simulation(work: Path, family: str | None, component: OwnRegister | Begun) -> Instance:
    """Return a component as it is simulated, or with a family's cells in yosys' model of them."""
    target = Target(family) if family else None
    design = rtlil.convert(component, "top", target, ports=ports(component), emit_src=False)
    assert ("TRELLIS_FF" in design) == (family == "ecp5")
    (work / "library").mkdir(parents=True)
    if family:
        (work / "design.il").write_text(design)
        cells = (toolchain.yosys_data() / "lattice" / "common_sim.vh").read_text()
        model = re.search(r"(?ms)^module TRELLIS_FF.*?^endmodule", cells)
        assert model
        (work / "model.v").write_text(model[0])
        script = "read_verilog -sv model.v; read_rtlil design.il; hierarchy -top top; proc; flatten"
        toolchain.run(
            toolchain.find("yosys", native=False),
            ["-q", "-p", f"{script}; opt_clean; write_rtlil merged.il"],
            cwd=work,
            log=work / "yosys.log",
        )
        # Ports of one bit as Amaranth writes them.
        merged = (work / "merged.il").read_text()
        design = re.sub(r"(?m)^  wire (?=input|output)", "  wire width 1 ", merged)
    make_library(design, "register", work / "library", fast=False)
    return Instance(load(work / "library" / LIBRARY), Ports(read_ports(work / "library")))


def test_the_named_register_equals_the_portable_one(rng, tmp_path):
    sims = [
        simulation(tmp_path / (family or "portable"), family, OwnRegister())
        for family in (None, "ecp5")
    ]
    bits, seen = rng.integers(0, 2, 60).tolist(), [[], []]
    for sim, states in zip(sims, seen, strict=True):
        for cycle, bit in enumerate(bits):
            sim.set("i", bit)
            sim.step()
            states.append(sim.get("o"))
            if cycle % 20 == 19:
                sim.reset()
                states.append(sim.get("o"))
    assert seen[0] == seen[1]
    expected = []
    for start in range(0, 60, 20):
        expected += [*bits[start : start + 20], 0]
    assert seen[0] == expected


def test_a_reset_nearby_is_one_a_cycle_late(rng, tmp_path):
    bits, seen = rng.integers(0, 2, 60).tolist(), []
    for family in (None, "ecp5"):
        sim = simulation(tmp_path / (family or "portable"), family, Begun())
        for bit in bits:
            sim.set("i", bit)
            sim.step()
            seen.append(sim.get("o"))
    expected, count, late = [], 0, 0
    for bit in bits:
        count, late = 0 if late else (count + 1) % 4, bit
        expected.append(count * 0b010101)
    assert seen == 2 * expected
