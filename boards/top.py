"""What goes onto a board: clock, serial line, LEDs, and the complete gateware between them."""

from amaranth.build import Attrs, Pins, Resource, Subsignal
from amaranth.hdl import ClockDomain, Elaboratable, Module, Signal
from amaranth.lib import io, wiring

from ohmgrid.boards.board_file import Board
from ohmgrid.boards.clock_plan import ClockPlan
from ohmgrid.boards.clocking import Clocking
from ohmgrid.config import Config
from ohmgrid.hdl.link.linked_core import LinkedCore
from ohmgrid.hdl.link.linked_unit import LinkedUnit
from ohmgrid.hdl.link.uart import Uart
from ohmgrid.host.identity import make_identity

__all__ = ["Top"]

SEEN_S = 0.1
"""Seconds that a LED shows what may last a clock cycle."""


class Top(Elaboratable):
    """A board's top.

    Parameters
    ----------
    board : Board
    plan : ClockPlan
    config : Config
        Formats and build.
    """

    def __init__(self, board: Board, plan: ClockPlan, config: Config) -> None:
        self._board, self._plan, self._config = board, plan, config

    def elaborate(self, platform):
        """Return the top; pins come from the platform."""
        m = Module()
        m.domains.sync = ClockDomain()
        pin = platform.request(platform.default_clk, dir="-")
        m.submodules.clock_pin = clock = io.Buffer(io.Direction.Input, pin)
        m.submodules.clocking = Clocking(self._plan, clock.i, getattr(platform, "family", ""))
        identity = make_identity(self._config, int(self._plan.hz))
        linked = LinkedUnit if self._config.build.dynamics else LinkedCore
        m.submodules.core = core = linked(self._config, identity, int(self._plan.hz))
        m.submodules.uart = uart = Uart(self._plan.hz, self._board.link.baud)
        rx, tx = self._line(platform)
        m.submodules.rx = received = io.Buffer(io.Direction.Input, rx)
        m.submodules.tx = sent = io.Buffer(io.Direction.Output, tx)
        wiring.connect(m, uart.o, core.rx)
        wiring.connect(m, core.tx, uart.i)
        m.d.comb += [uart.rx.eq(received.i), sent.o.eq(uart.tx), core.line.eq(uart.errors)]
        if self._config.build.sdram:
            _connect_sdram(m, _request(platform, "sdram", 0), core.sdram)
        self._leds(m, platform, core.busy, uart.errors.as_value().any())
        return m

    def _line(self, platform):
        """Return the ports of the serial line."""
        link = self._board.link
        if not link.resource:
            wires = [
                Subsignal(name, Pins(getattr(link, name), dir=way, conn=link.connector))
                for name, way in (("rx", "i"), ("tx", "o"))
            ]
            platform.add_resources([Resource("link", 0, *wires, Attrs(**link.attributes))])
        port = _request(platform, link.resource or "link", 0)
        return port.rx, port.tx

    def _leds(self, m: Module, platform, busy, errors) -> None:
        """Show that the clock runs, that something is at work, that the line is disturbed."""
        hz = int(self._plan.hz)
        beat = Signal(range(hz), reset_less=True)
        lit = Signal()
        with m.If(beat == hz // 2):
            m.d.sync += lit.eq(~lit)
        m.d.sync += beat.eq(beat + 1)
        with m.If(beat == hz - 1):
            m.d.sync += [beat.eq(0), lit.eq(~lit)]
        left = Signal(range(int(hz * SEEN_S) + 1), reset_less=True)
        with m.If(busy):
            m.d.sync += left.eq(int(hz * SEEN_S))
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        values = lit, left != 0, errors
        names = "alive", "busy", "line"
        ports = {}
        for name, led, value in zip(names, self._board.leds, values, strict=False):
            place, _, colour = led.partition(".")
            if place not in ports:
                resource, _, number = place.partition(":")
                ports[place] = _request(platform, resource, int(number or 0))
            port = getattr(ports[place], colour) if colour else ports[place]
            m.submodules[f"led_{name}"] = buffer = io.Buffer(io.Direction.Output, port)
            m.d.comb += buffer.o.eq(value)


def _connect_sdram(m: Module, port, pins) -> None:
    """Connect the pins of a controller; the chip's clock falls where the gateware's rises."""
    m.submodules.sdram_clk = clock = io.DDRBuffer(io.Direction.Output, port.clk)
    m.d.comb += [clock.o[0].eq(0), clock.o[1].eq(1)]
    for name in ("clk_en", "cs", "ras", "cas", "we", "ba", "a", "dqm"):
        m.submodules[f"sdram_{name}"] = buffer = io.Buffer(io.Direction.Output, getattr(port, name))
        m.d.comb += buffer.o.eq(getattr(pins, name))
    m.submodules.sdram_dq = data = io.Buffer(io.Direction.Bidir, port.dq)
    m.d.comb += [data.o.eq(pins.dq_o), data.oe.eq(pins.dq_oe), pins.dq_i.eq(data.i)]


def _request(platform, name: str, number: int):
    """Return the port of a resource, or those of its parts: without buffers."""
    parts = [part.name for part in platform.lookup(name, number).ios if hasattr(part, "ios")]
    return platform.request(name, number, dir=dict.fromkeys(parts, "-") if parts else "-")
