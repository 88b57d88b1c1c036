"""An exact crossbar: integers in a memory, a row after the other."""

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.doors.checks import check_power_of_two
from ohmgrid.hdl.base.block_ram import BlockRam
from ohmgrid.hdl.base.multiplier import Multiplier
from ohmgrid.hdl.base.pipeline import delayed, strobe_after
from ohmgrid.hdl.base.stations import Station
from ohmgrid.registers.dynamics import MATRIX_BITS, OUT_BITS
from ohmgrid.systems import MOST_UNITS

__all__ = ["SUM_BITS", "Crossbar"]

SUM_BITS = MATRIX_BITS + OUT_BITS + (MOST_UNITS - 1).bit_length()
"""Width of a sum: no vector overflows it."""


class Crossbar(wiring.Component):
    """``y = J x``: takes a vector, then gives its products with all rows.

    Parameters
    ----------
    neurons : int
        Most rows and columns, a power of two.
    lanes : int
        Columns that are multiplied in a cycle, a power of two.

    Members
    -------
    last, columns : In
        Rows, and words of ``lanes`` columns, each less one.
    write : In(1), address : In, data : In(signed(MATRIX_BITS))
        A weight; those beside the matrix have to be 0.
    x : In(stream.Signature(signed(OUT_BITS)))
    y : Out(stream.Signature(signed(SUM_BITS)))
    """

    def __init__(self, neurons: int, lanes: int = 1):
        check_power_of_two("neurons", neurons, 1, MOST_UNITS)
        check_power_of_two("lanes", lanes, 1, neurons)
        self._lanes, self._words = lanes, neurons // lanes
        self._size = neurons * self._words
        super().__init__(
            {
                "last": In(range(max(2, neurons))),
                "columns": In(range(max(2, self._words))),
                "write": In(1),
                "address": In(range(max(2, neurons * neurons))),
                "data": In(signed(MATRIX_BITS)),
                "x": In(stream.Signature(signed(OUT_BITS))),
                "y": Out(stream.Signature(signed(SUM_BITS))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.station = station = Station(signed(SUM_BITS))
        wiring.connect(m, station.o, wiring.flipped(self.y))
        lane_bits = (self._lanes - 1).bit_length()
        row, word, came = Signal.like(self.last), Signal.like(self.columns), Signal.like(self.last)
        place = Signal(range(max(2, self._size)))
        reads, writes = Signal(), Signal()
        products = []
        for lane in range(self._lanes):
            m.submodules[f"weights{lane}"] = weights = BlockRam(MATRIX_BITS, self._size)
            m.submodules[f"inputs{lane}"] = inputs = BlockRam(OUT_BITS, self._words)
            m.submodules[f"multiplier{lane}"] = multiplier = Multiplier(
                signed(OUT_BITS), signed(MATRIX_BITS)
            )
            m.d.comb += [
                weights.write.eq(self.write & (self.address[:lane_bits] == lane)),
                weights.write_address.eq(self.address[lane_bits:]),
                weights.data.eq(self.data),
                weights.read0.eq(reads),
                weights.address0.eq(place),
                inputs.write.eq(writes & (came[:lane_bits] == lane)),
                inputs.write_address.eq(came[lane_bits:]),
                inputs.data.eq(self.x.payload),
                inputs.read0.eq(reads),
                inputs.address0.eq(word),
                multiplier.a.eq(inputs.o0),
                multiplier.b.eq(weights.o0),
            ]
            products.append(multiplier.o)
        total = Signal(signed(SUM_BITS), reset_less=True)
        parts = delayed(m, sum(products[1:], products[0]), "parts")
        latency = BlockRam.latency + Multiplier.latency + 1
        first, last = Signal(), Signal()
        moving = strobe_after(m, reads, latency, "moving")
        begun = strobe_after(m, first, latency, "begun")
        ended = Signal(latency + 1)
        m.d.sync += ended.eq(Cat(last, ended))
        with m.If(moving & begun):
            m.d.sync += total.eq(parts)
        with m.Elif(moving):
            m.d.sync += total.eq(total + parts)
        m.d.comb += [station.i.payload.eq(total), first.eq(word == 0)]
        with m.FSM():
            with m.State("TAKE"):
                m.d.comb += [self.x.ready.eq(1), writes.eq(self.x.valid)]
                m.d.sync += [row.eq(0), word.eq(0), place.eq(0)]
                with m.If(self.x.valid):
                    m.d.sync += came.eq(came + 1)
                    with m.If(came == self.last):
                        m.d.sync += came.eq(0)
                        m.next = "ROW"
            with m.State("ROW"):
                m.d.comb += [reads.eq(1), last.eq(word == self.columns)]
                m.d.sync += [word.eq(word + 1), place.eq(place + 1)]
                with m.If(last):
                    m.d.sync += word.eq(0)
                    m.next = "SUM"
            with m.State("SUM"):
                with m.If(ended[-1]):
                    m.next = "GIVE"
            with m.State("GIVE"):
                m.d.comb += station.i.valid.eq(1)
                with m.If(station.i.ready):
                    m.d.sync += row.eq(row + 1)
                    m.next = "ROW"
                    with m.If(row == self.last):
                        m.next = "TAKE"
        return m
