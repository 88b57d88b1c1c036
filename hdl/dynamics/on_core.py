"""J on the core: a core's array in the place of a dynamics unit's crossbar."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.config import Config
from ohmgrid.hdl.core.core import Core
from ohmgrid.hdl.dynamics.unit import Unit
from ohmgrid.host.protocol import COMMAND_BITS, OUT_BITS, Op, command
from ohmgrid.systems import MOST_UNITS

__all__ = ["ArrayDesk", "UnitOnCore"]

LINES = range(MOST_UNITS + 1)


class ArrayDesk(wiring.Component):
    """Hands vectors of a dynamics unit to array 0 of a core, and its results back.

    For each vector the core gets `Op.LOAD_X` and `Op.FORWARD`; their answers are kept here. Between
    vectors, and before the first one, the core is the host's, whose commands all have been answered
    by then.

    Parameters
    ----------
    edge_bits, word_bits : int
        Widths of a unit's ``x``, and of a word that the core takes.

    Members
    -------
    lines : In(range(MOST_UNITS + 1))
        Rows and columns of the array.
    x : In stream, signed(edge_bits) ; y : Out stream, signed(OUT_BITS)
        The unit's.
    cmd : In stream of `COMMAND_BITS` bits ; i : In stream, signed(word_bits)
    o : Out stream, signed(OUT_BITS) ; r : Out stream of 64 bits
        The host's.
    core_cmd, core_i : Out ; core_o, core_r : In
        Streams of the same widths: the core's.
    """

    def __init__(self, edge_bits: int, word_bits: int):
        commands, answers = stream.Signature(COMMAND_BITS), stream.Signature(64)
        words = stream.Signature(signed(word_bits))
        results = stream.Signature(signed(OUT_BITS))
        super().__init__(
            {
                "lines": In(LINES),
                "x": In(stream.Signature(signed(edge_bits))),
                "y": Out(results),
                **{"cmd": In(commands), "i": In(words), "o": Out(results), "r": Out(answers)},
                **{"core_cmd": Out(commands), "core_i": Out(words)},
                **{"core_o": In(results), "core_r": In(answers)},
            }
        )

    def elaborate(self, platform):
        m = Module()
        left = Signal.like(self.lines, reset_less=True)
        ways = (
            (self.cmd, self.core_cmd),
            (self.i, self.core_i),
            (self.core_o, self.o),
            (self.core_r, self.r),
        )
        with m.FSM():
            with m.State("HOST"):
                for source, sink in ways:
                    m.d.comb += [
                        sink.payload.eq(source.payload),
                        sink.valid.eq(source.valid),
                        source.ready.eq(sink.ready),
                    ]
                m.d.sync += left.eq(self.lines)
                # A word that was offered stays until it is taken.
                with m.If(self.x.valid & ~self.core_cmd.valid & ~self.core_i.valid):
                    m.next = "LOAD"
            with m.State("LOAD"):
                self._tell(m, Op.LOAD_X, "VECTOR")
            with m.State("VECTOR"):
                m.d.comb += [
                    self.core_i.payload.eq(self.x.payload),
                    self.core_i.valid.eq(self.x.valid),
                    self.x.ready.eq(self.core_i.ready),
                ]
                self._count(m, left, self.x.valid & self.core_i.ready, "LOADED")
            with m.State("LOADED"):
                self._hear(m, "FORWARD")
            with m.State("FORWARD"):
                self._tell(m, Op.FORWARD, "RESULTS")
            with m.State("RESULTS"):
                m.d.comb += [
                    self.y.payload.eq(self.core_o.payload),
                    self.y.valid.eq(self.core_o.valid),
                    self.core_o.ready.eq(self.y.ready),
                ]
                self._count(m, left, self.core_o.valid & self.y.ready, "DONE")
            with m.State("DONE"):
                self._hear(m, "HOST")
        return m

    def _tell(self, m: Module, op: Op, then: str) -> None:
        """Give the core a command."""
        m.d.comb += [self.core_cmd.payload.eq(command(op)), self.core_cmd.valid.eq(1)]
        with m.If(self.core_cmd.ready):
            m.next = then

    def _hear(self, m: Module, then: str) -> None:
        """Take an answer of the core."""
        m.d.comb += self.core_r.ready.eq(1)
        with m.If(self.core_r.valid):
            m.next = then

    def _count(self, m: Module, left: Signal, moves, then: str) -> None:
        """Count the words of a vector that move."""
        with m.If(moves):
            m.d.sync += left.eq(left - 1)
            with m.If(left == 1):
                m.d.sync += left.eq(self.lines)
                m.next = then


class UnitOnCore(wiring.Component):
    """A dynamics unit whose crossbar is array 0 of a core: no vector passes a host.

    Parameters
    ----------
    config : Config
        Formats and build of the core.
    neurons, ring : int
        As of `Unit`.

    Members
    -------
    unit_cmd, unit_o, unit_r
        Streams of the unit: its ``cmd``, ``o`` and ``r``.
    cmd, i, o, r
        Streams of the core, as of `ArrayDesk`.
    """

    def __init__(self, config: Config, neurons: int, ring: int):
        self._unit = Unit(neurons, ring, 0, config.formats.edge_bits)
        self._core = Core(config)
        self._desk = ArrayDesk(config.formats.edge_bits, len(self._core.i.payload))
        names = self._desk.signature.members
        super().__init__(
            {
                **{
                    f"unit_{name}": self._unit.signature.members[name] for name in ("cmd", "o", "r")
                },
                **{name: names[name] for name in ("cmd", "i", "o", "r")},
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self._unit
        m.submodules.core = core = self._core
        m.submodules.desk = desk = self._desk
        for name in ("cmd", "o", "r"):
            wiring.connect(m, getattr(unit, name), wiring.flipped(getattr(self, f"unit_{name}")))
        for name in ("cmd", "i", "o", "r"):
            wiring.connect(m, getattr(desk, name), wiring.flipped(getattr(self, name)))
            wiring.connect(m, getattr(desk, f"core_{name}"), getattr(core, name))
        wiring.connect(m, unit.x, desk.x)
        wiring.connect(m, desk.y, unit.y)
        m.d.comb += desk.lines.eq(unit.lines)
        return m
