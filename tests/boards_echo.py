"""A board's gateware in its smallest form: tests of boards need no core behind the line."""

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.hdl.base.sdram import SDRAM_PINS
from ohmgrid.hdl.link.endpoint import LINE_ERRORS

__all__ = ["Echo"]


class Echo(wiring.Component):
    """In place of the complete gateware: what comes is sent back."""

    def __init__(self, config, identity, clock_hz=0):
        byte = stream.Signature(8)
        super().__init__(
            {
                **{"rx": In(byte), "tx": Out(byte), "line": In(LINE_ERRORS), "busy": Out(1)},
                **({"sdram": Out(SDRAM_PINS)} if config.build.sdram else {}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        wiring.connect(m, wiring.flipped(self.rx), wiring.flipped(self.tx))
        m.d.comb += self.busy.eq(self.tx.valid)
        return m
