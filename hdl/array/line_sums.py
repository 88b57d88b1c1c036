"""Sums of serial lines: what a line has in a block meets what earlier blocks left."""

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.config import Config
from ohmgrid.hdl.array.bundles import array_layout, place_layout, sweep_layout
from ohmgrid.hdl.array.lane import sum_bits
from ohmgrid.hdl.base.pipeline import delayed, moving, strobe_after
from ohmgrid.hdl.base.timed import Stages, Timed

__all__ = ["LineSums"]


class LineSums(wiring.Component):
    """Adds up the sums over all lanes, visit by visit, to those of lines.

    Two cycles pass between read and write of a line's sum, fewer than between two blocks.

    Parameters
    ----------
    config : Config
    latency : int
        Cycles from a visit until its sum over the lanes is there.

    Members
    -------
    array : In(array_layout), job : In(sweep_layout)
        Constant during a sweep.
    valid, visit : In
        A visit as the sweep has sent it (`ohmgrid.hdl.array.bundles.place_layout`).
    sum : In
        That of the visit ``latency`` cycles before.
    o_valid, o : Out
        The sum of a line, in the last block.
    """

    def __init__(self, config: Config, latency: int):
        build = config.build
        self._build, self._bits, self._latency = build, sum_bits(config), latency
        super().__init__(
            {
                "array": In(array_layout(config)),
                "job": In(sweep_layout(config)),
                "valid": In(1),
                "visit": In(place_layout(build.lines, build.words, build.key_banks)),
                "sum": In(signed(self._bits)),
                "o_valid": Out(1),
                "o": Out(signed(self._bits)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.sums = sums = Memory(
            shape=unsigned(self._bits), depth=self._build.lines, init=[]
        )
        read, write = sums.read_port(), sums.write_port()
        pipe = Stages(m, moving(m, self.valid, self._latency))
        fresh = pipe.at(Timed(self.valid & self.job.tree, 0, strobe=True), self._latency)
        fields = ("line", "start", "final", "minus", "more")
        line, start, final, minus, more = (
            field.value
            for field in pipe.together(
                self._latency, *(Timed(self.visit[name], 0) for name in fields)
            )
        )
        # Of several words of a line, the sum waits for the last one.
        valid = fresh & ~more
        value, earlier, before, own = (Signal.like(self.sum, reset_less=True) for _ in range(4))
        m.d.sync += [value.eq(self.sum), before.eq(read.data.as_signed())]
        m.d.comb += own.eq(self._joined(value, earlier, delayed(m, minus, "value_minus")))
        with m.If(delayed(m, fresh, "value_fresh")):
            m.d.sync += earlier.eq(own)
        m.d.comb += [
            read.addr.eq(line),
            self.o_valid.eq(strobe_after(m, valid & final, 3, "final_sum")),
            self.o.eq(delayed(m, write.data.as_signed(), "final_value")),
            write.en.eq(strobe_after(m, valid, 2, "sum_valid")),
            write.addr.eq(delayed(m, line, "sum_line", 2)),
            write.data.eq(
                Mux(delayed(m, start, "sum_start", 2), 0, before) + delayed(m, own, "sum_value")
            ),
        ]
        return m

    def _joined(self, value, earlier, minus):
        """Return what a line's words up to this one are together, given what they were before it.

        A pair's minus device counts against its plus device, of magnitudes it alone counts; a
        second word is added as often as it comes.
        """
        array = self.array
        own = Mux(array.paired & minus & ~self.job.magnitude, earlier - value, value)
        if not self._build.significance:
            return own
        cell = Mux(minus, earlier + value, Mux(array.inverted, -value, value))
        return Mux(array.significance != 0, cell, own)
