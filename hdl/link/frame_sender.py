"""Frames into the bytes of a line: header, payload and CRC, coded by COBS.

A frame is read twice, block by block: until its next 0, then to send what lies before it. So no
byte of it is kept here.
"""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.wiring import In, Out

from ohmgrid.hdl.link.frame_receiver import HEADER
from ohmgrid.host.frames import CRC_BYTES, HEADER_BYTES, MOST_PAYLOAD

__all__ = ["FrameSender"]

FETCHED = 3
"""Cycles from a place to its byte in a register: no line is so fast that it would notice."""


class FrameSender(wiring.Component):
    """Sends one frame from `start` to `busy` low.

    Members
    -------
    start : In(1), header : In(HEADER), count : In(range(MOST_PAYLOAD + 1))
        Strobe: a frame with this header and so many bytes; taken with the strobe.
    busy : Out(1)
    index : Out(8), byte : In(8)
        A byte of the payload, which comes two cycles after its place.
    o : Out(stream.Signature(8))
    """

    def __init__(self):
        super().__init__(
            {
                "start": In(1),
                "header": In(HEADER),
                "count": In(range(MOST_PAYLOAD + 1)),
                "busy": Out(1),
                "index": Out(8),
                "byte": In(8),
                "o": Out(stream.Signature(8)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        crc: Any = CRC32_ISO_HDLC(data_width=8).create()
        m.submodules.crc = crc
        header, count = Signal(HEADER), Signal.like(self.count)
        # Places in the frame: what is at hand, where a block begins and ends.
        place, begin, end = (Signal(8, name=name) for name in ("place", "begin", "end"))
        body, total = Signal(8), Signal(8)
        # A place, the byte from wherever it lies, the choice of them, the byte: a register each.
        age, byte = Signal(range(FETCHED + 1)), Signal(8, reset_less=True)
        there = Signal()
        of_header, of_crc = Signal(8), Signal(8)
        m.d.sync += [
            body.eq(count + HEADER_BYTES),
            total.eq(count + (HEADER_BYTES + CRC_BYTES)),
        ]
        m.d.comb += [
            self.index.eq(place - HEADER_BYTES),
            of_header.eq(header.as_value().word_select(place[:2], 8)),
            of_crc.eq(crc.crc.word_select((place - body)[:2], 8)),
            there.eq(age == FETCHED),
            crc.data.eq(byte),
            crc.start.eq(self.start),
        ]
        # Known long before a byte is there.
        at_end, at_total, is_last = Signal(), Signal(), Signal()
        m.d.sync += [
            at_end.eq(place == end),
            at_total.eq(place == total),
            is_last.eq(end == total),
        ]
        with m.If(~there):
            m.d.sync += age.eq(age + 1)
        with m.If(age == FETCHED - 1):
            m.d.sync += byte.eq(
                Mux(place < HEADER_BYTES, of_header, Mux(place < body, self.byte, of_crc))
            )

        def go(to):
            m.d.sync += [place.eq(to), age.eq(0)]

        with m.FSM() as fsm:
            with m.State("IDLE"):
                m.d.sync += [header.eq(self.header), count.eq(self.count), begin.eq(0)]
                go(0)
                with m.If(self.start):
                    m.next = "SCAN"
            with m.State("SCAN"), m.If(there):
                m.d.comb += [crc.valid.eq(place < body)]
                m.d.sync += end.eq(place)
                go(place + 1)
                with m.If(at_total | (byte == 0)):
                    m.next = "CODE"
            with m.State("CODE"):
                m.d.comb += [self.o.payload.eq(end - begin + 1), self.o.valid.eq(1)]
                go(begin)
                with m.If(self.o.ready):
                    m.next = "SEND"
            with m.State("SEND"):
                with m.If(~at_end):
                    m.d.comb += [self.o.payload.eq(byte), self.o.valid.eq(there)]
                    with m.If(there & self.o.ready):
                        go(place + 1)
                with m.Elif(is_last):
                    m.next = "END"
                with m.Else():
                    go(end + 1)
                    m.d.sync += begin.eq(end + 1)
                    m.next = "SCAN"
            with m.State("END"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.next = "IDLE"
        m.d.comb += self.busy.eq(~fsm.ongoing("IDLE"))
        return m
