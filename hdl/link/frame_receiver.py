"""Frames out of the bytes of a line: COBS undone, the CRC checked, header and payload apart."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.wiring import In, Out

from ohmgrid.host.frames import CRC_BYTES, HEADER_BYTES, MOST_PAYLOAD, OFFSET_BITS

__all__ = ["HEADER", "FrameReceiver"]

HEADER = data.StructLayout({"type": 8, "session": 8, "offset": OFFSET_BITS})
WHOLE_BLOCK = 255
"""A code byte behind whose block no 0 was."""


class FrameReceiver(wiring.Component):
    """Takes a byte a cycle; says of each frame what it was when it is over.

    Members
    -------
    i : In(stream.Signature(8))
        Always ready.
    byte : Out(8), byte_valid : Out(1), index : Out(8)
        A byte behind the header and its place; the CRC comes last, as if it were payload.
    header : Out(HEADER), count : Out(8)
        Of the last frame, and bytes of its payload; constant from the strobe on for two cycles, its
        session for three.
    first : Out(8)
        First byte of its payload.
    good, bad : Out(1)
        Strobes: a frame is over.
    """

    def __init__(self):
        super().__init__(
            {
                "i": In(stream.Signature(8)),
                "byte": Out(8),
                "byte_valid": Out(1),
                "index": Out(8),
                "header": Out(HEADER),
                "count": Out(8),
                "first": Out(8),
                "good": Out(1),
                "bad": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        crc: Any = CRC32_ISO_HDLC(data_width=8).create()
        m.submodules.crc = crc
        code = self.i.payload
        # Bytes until the next code byte; whether a 0 lies between the blocks; bytes of the frame.
        left, zero, some = Signal(8), Signal(), Signal()
        most = HEADER_BYTES + MOST_PAYLOAD + CRC_BYTES
        length = Signal(range(most + 2))
        byte, emits, ends = Signal(8), Signal(), Signal()
        m.d.comb += self.i.ready.eq(1)
        with m.If(self.i.valid):
            with m.If(code == 0):
                m.d.comb += ends.eq(1)
                m.d.sync += [left.eq(0), some.eq(0), zero.eq(0), length.eq(0)]
            with m.Elif(left == 0):
                m.d.comb += emits.eq(zero)
                m.d.sync += [left.eq(code - 1), zero.eq(code != WHOLE_BLOCK), some.eq(1)]
            with m.Else():
                m.d.comb += [emits.eq(1), byte.eq(code)]
                m.d.sync += left.eq(left - 1)
        with m.If(emits & (length <= most)):
            m.d.sync += length.eq(length + 1)
        m.d.comb += [
            crc.data.eq(byte),
            crc.valid.eq(emits),
            crc.start.eq(ends),
            self.byte.eq(byte),
            self.byte_valid.eq(emits & (length >= HEADER_BYTES) & (length < most)),
            self.index.eq(length - HEADER_BYTES),
        ]
        header = self.header.as_value()
        with m.If(emits):
            for place in range(HEADER_BYTES):
                with m.If(length == place):
                    m.d.sync += header.word_select(place, 8).eq(byte)
            with m.If(length == HEADER_BYTES):
                m.d.sync += self.first.eq(byte)
        whole = (left == 0) & (length >= HEADER_BYTES + CRC_BYTES) & (length <= most)
        right = whole & crc.match_detected
        m.d.sync += [self.good.eq(ends & some & right), self.bad.eq(ends & some & ~right)]
        with m.If(ends):
            m.d.sync += self.count.eq(length - HEADER_BYTES - CRC_BYTES)
        return m
