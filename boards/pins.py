"""Pins for a component without a board: every port bit in a register at the edge of the chip."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.tools.export import ports

__all__ = ["Pins"]


class Pins(wiring.Component):
    """A component between registers, on at most so many pins.

    Each input bit comes from a register and each output bit goes into one, so that the clock
    period covers every path of the component, and none to a pin. Where the pins do not suffice the
    registers form a scan chain: inputs are shifted in all the time, outputs are captured while
    ``load`` is high and shifted out otherwise (one more LUT for each output bit).

    Parameters
    ----------
    component : wiring.Component
        What is to be placed and routed.
    pins : int
        Pins of the package, those of clock and reset not counted.

    Members
    -------
    *ports of the component* : In, Out
        Where they fit; else

    load, scan_i : In(1)
    scan_o : Out(1)
    """

    def __init__(self, component: wiring.Component, pins: int):
        self.component: Any = component
        self.ports = ports(component)
        bits = sum(len(signal) for signal, _ in self.ports.values())
        self.folded = bits > pins
        """Whether the ports are on a scan chain."""
        if self.folded:
            super().__init__({"load": In(1), "scan_i": In(1), "scan_o": Out(1)})
        else:
            super().__init__(
                {
                    name: (In if direction.value == "input" else Out)(len(signal))
                    for name, (signal, direction) in self.ports.items()
                }
            )

    def elaborate(self, platform) -> Module:
        """Return the component, its registers and their connections."""
        m = Module()
        m.submodules.unit = self.component
        into = [(name, s) for name, (s, way) in self.ports.items() if way.value == "input"]
        out_of = [(name, s) for name, (s, way) in self.ports.items() if way.value == "output"]
        pin = {name: getattr(self, name) for name in self.signature.members}
        if not self.folded:
            for name, signal in into:
                edge = Signal(len(signal), name=f"{name}_pin", reset_less=True)
                m.d.sync += edge.eq(pin[name])
                m.d.comb += signal.eq(edge)
            for name, signal in out_of:
                m.d.sync += pin[name].eq(signal)
            return m
        inputs = Cat(signal for _, signal in into)
        chain_i = Signal(max(1, len(inputs)), reset_less=True)
        m.d.sync += chain_i.eq(Cat(pin["scan_i"], chain_i))
        m.d.comb += inputs.eq(chain_i)
        outputs = Cat(signal for _, signal in out_of)
        chain_o = Signal(max(1, len(outputs)), reset_less=True)
        m.d.sync += chain_o.eq(Mux(pin["load"], outputs, Cat(chain_i[-1], chain_o)))
        m.d.comb += pin["scan_o"].eq(chain_o[-1])
        return m
