"""Verilog of a component: the same text each time, from each place, in what simulators read."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from amaranth.back import verilog
from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.tools.export import export_verilog, ports


class Sums(wiring.Component):
    """Adds pairs from an always-ready stream; `level` depends on nothing, so it is set once."""

    i: In(stream.Signature(data.StructLayout({"a": signed(8), "b": signed(8)}), always_ready=True))
    o: Out(stream.Signature(signed(20)))
    level: Out(4)
    bias: In(signed(5))

    def elaborate(self, platform):
        m = Module()
        three = Signal(2, init=3)
        with m.Switch(three):
            with m.Case(3):
                m.d.comb += self.level.eq(9)
            with m.Default():
                m.d.comb += self.level.eq(1)
        with m.If(self.i.valid):
            product = self.i.payload.a + self.i.payload.b + self.bias
            m.d.sync += self.o.payload.eq(self.o.payload + product)
        m.d.comb += self.o.valid.eq(1)
        return m


def test_ports_are_the_members_of_the_signature():
    names = ["bias", "i__payload", "i__valid", "level", "o__payload", "o__ready", "o__valid"]
    assert sorted(ports(Sums())) == names
    assert "module sums(" in export_verilog(Sums(), "sums")


def test_a_constant_ready_is_no_port():
    text = export_verilog(Sums(), "sums")
    assert "i__valid" in text
    assert "i__ready" not in text
    # amaranth#1574: fails here when upstream takes constants, and `ports` can go.
    with pytest.raises(TypeError, match="Only signals and IO ports may be added as ports"):
        verilog.convert(Sums(), "sums")


def test_combinational_blocks_run_at_time_zero():
    assert "always @*" not in export_verilog(Sums(), "sums")
    assert "always_comb" in export_verilog(Sums(), "sums")
    # amaranth#1629, yosys#2271: fails here when upstream writes it, and the substitution can go.
    assert "always @*" in verilog.convert(Sums(), "sums", ports=ports(Sums()))


@pytest.mark.parametrize("seed", ["0", "1"])
def test_the_text_depends_on_the_component_alone(seed, tmp_path):
    script = (
        "import runpy, sys; from ohmgrid.tools.export import export_verilog; "
        "sys.stdout.write(export_verilog(runpy.run_path(sys.argv[1])['Sums'](), 'sums'))"
    )
    copy = tmp_path / "elsewhere.py"
    copy.write_bytes(Path(__file__).read_bytes())
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    command = [sys.executable, "-c", script, str(copy)]
    there = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert there.stdout == export_verilog(Sums(), "sums")


def test_what_cannot_be_exported_is_refused():
    with pytest.raises(TypeError, match=r"expected an Amaranth wiring\.Component, got <.*Module"):
        export_verilog(Module(), "sums")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"expected a Verilog identifier .* got '2sums'"):
        export_verilog(Sums(), "2sums")
