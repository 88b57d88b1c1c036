"""A part of the gateware goes onto a board: pins and clock are those of amaranth-boards."""

from amaranth.hdl import Elaboratable, Module
from amaranth.lib import io
from amaranth_boards.ulx3s import ULX3S_85F_Platform

from ohmgrid.boards.parts import part
from ohmgrid.boards.pins import Pins
from ohmgrid.config import Config


class Top(Elaboratable):
    """One component between a button, a switch and an LED, as a scan chain."""

    def elaborate(self, platform):
        m = Module()
        m.submodules.pins = pins = Pins(part("base.CellMix", Config()), 8)
        pads = {}
        ways = io.Direction.Input, io.Direction.Input, io.Direction.Output
        for name, way in zip(("button_fire", "switch", "led"), ways, strict=True):
            pads[name] = io.Buffer(way, platform.request(name, 0, dir="-"))
            m.submodules[name] = pads[name]
        m.d.comb += [
            pins.load.eq(pads["button_fire"].i),
            pins.scan_i.eq(pads["switch"].i),
            pads["led"].o.eq(pins.scan_o),
        ]
        return m


def test_a_top_for_the_ulx3s_is_made_without_its_tools():
    plan = ULX3S_85F_Platform().build(Top(), do_build=False)
    files = {name: t if isinstance(t, str) else t.decode() for name, t in plan.files.items()}
    constraints = files["top.lpf"]
    # As the board's schematic has them.
    for port, site in (("clk25_0__io", "G2"), ("led_0__io", "B2"), ("switch_0__io", "E8")):
        assert f'LOCATE COMP "{port}" SITE "{site}"' in constraints
    assert 'FREQUENCY PORT "clk25_0__io" 25000000.0 HZ' in constraints
    assert "module \\top.pins.unit\n" in files["top.il"]
    assert "synth_ecp5" in files["top.ys"]
