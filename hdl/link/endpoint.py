"""A board's end of the link: two streams of bytes over frames, none lost, none twice.

What has come is kept until it is taken, what is to go until the host has it. All patience is the
host's: nothing here waits for a time, so nothing can hang.
"""

from collections.abc import Sequence

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.hdl.base.pipeline import delayed
from ohmgrid.hdl.link.frame_receiver import FrameReceiver
from ohmgrid.hdl.link.frame_sender import FrameSender
from ohmgrid.hdl.link.uart import error_counters
from ohmgrid.host.frames import (
    FLUSH_CYCLES,
    MOST_PAYLOAD,
    OFFSET_BITS,
    QUESTION_PLACE,
    STATUS_BYTES,
    FrameType,
)

__all__ = ["LINE_ERRORS", "STATE", "Endpoint"]

LINE_ERRORS = error_counters(16)
"""What a line has counted."""
STATE = data.StructLayout({"busy": 1, "errors": 8, "example_errors": 5})
"""What a core says of itself."""
COUNT = 16
CYCLE_BITS = 32


class Endpoint(wiring.Component):
    """Streams of bytes from and to a host.

    Parameters
    ----------
    identity : sequence of int
        Bytes that say what the board is.
    room : int
        Bytes that each direction holds, a power of two from 512 to 16384.

    Members
    -------
    rx : In(stream.Signature(8)), tx : Out(stream.Signature(8))
        The line. The first one is always ready.
    o : Out(stream.Signature(8)), i : In(stream.Signature(8))
        From the host, and to it.
    fault : In(1)
        What came is no record; until the next `restart`.
    restart : Out(1)
        Strobe: a new session.
    state : In(STATE), line : In(LINE_ERRORS)
    busy : Out(1)
        Frames are on their way.
    """

    def __init__(self, identity: Sequence[int], room: int):
        self._identity, self._room = list(identity), room
        byte = stream.Signature(8)
        super().__init__(
            {
                "rx": In(byte),
                "tx": Out(byte),
                "o": Out(byte),
                "i": In(byte),
                "fault": In(1),
                "restart": Out(1),
                "state": In(STATE),
                "line": In(LINE_ERRORS),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.receiver = self._receiver = FrameReceiver()
        m.submodules.sender = self._sender = FrameSender()
        wiring.connect(m, wiring.flipped(self.rx), self._receiver.i)
        wiring.connect(m, self._sender.o, wiring.flipped(self.tx))
        self._session = Signal(8)
        # Whether ACK, identity and status are owed to the host, and what the ACK says.
        self._owed = {
            kind: Signal(name=f"{kind.name.lower()}_due")
            for kind in (FrameType.ACK, FrameType.IDENTITY, FrameType.STATUS)
        }
        self._dropped = Signal()
        # A frame is over, and what it asks for is being done.
        self._over = Signal()
        self._bad_count, self._dropped_count = Signal(COUNT), Signal(COUNT)
        self._asked, self._question = Signal(OFFSET_BITS), Signal(8 - QUESTION_PLACE)
        self._take(m)
        self._give(m)
        self._frames(m)
        self._send(m)
        return m

    def _offset(self, name: str):
        return Signal(OFFSET_BITS, name=name)

    def _take(self, m):
        """Keep what the host sends until it is taken."""
        receiver, room = self._receiver, self._room
        m.submodules.taken = taken = Memory(shape=8, depth=room, init=[])
        write, read = taken.write_port(), taken.read_port()
        self._expected, self._read = self._offset("expected"), self._offset("read")
        self._announced, self._commits = Signal(OFFSET_BITS, init=room), Signal()
        follows = self._offset("read_next")
        self._free = free = Signal(range(room + 1))
        m.d.comb += [
            free.eq(room - (self._expected - self._read)[: len(free)]),
            # What is no frame in the end was written where nothing is yet.
            write.en.eq(receiver.byte_valid & (receiver.index < free)),
            write.addr.eq((self._expected + receiver.index)[: len(write.addr)]),
            write.data.eq(receiver.byte),
            follows.eq(self._read + (self.o.valid & self.o.ready)),
            read.addr.eq(follows[: len(read.addr)]),
            self.o.payload.eq(read.data),
        ]
        m.d.sync += [self._read.eq(follows), self.o.valid.eq(follows != self._expected)]
        with m.If(self._commits):
            m.d.sync += self._expected.eq(self._expected + receiver.count)
        with m.If(self.restart):
            m.d.sync += [self._expected.eq(0), self._read.eq(0), self.o.valid.eq(0)]
        # Room is made known by and by.
        self._limit = limit = self._offset("limit")
        m.d.comb += limit.eq(self._read + room)
        with m.If((limit - self._announced)[:OFFSET_BITS] >= room // 4):
            m.d.sync += self._owed[FrameType.ACK].eq(1)

    def _give(self, m):
        """Keep what goes to the host until it says that it has come."""
        m.submodules.given = given = Memory(shape=8, depth=self._room, init=[])
        write, self._given = given.write_port(), given.read_port()
        self._written, self._sent = self._offset("written"), self._offset("sent")
        self._acked = self._offset("acked")
        quiet = Signal(range(FLUSH_CYCLES + 1))
        takes = self.i.valid & self.i.ready
        m.d.comb += [
            self.i.ready.eq((self._written - self._acked)[:OFFSET_BITS] != self._room),
            write.en.eq(takes),
            write.addr.eq(self._written[: len(write.addr)]),
            write.data.eq(self.i.payload),
        ]
        with m.If(takes):
            m.d.sync += [self._written.eq(self._written + 1), quiet.eq(0)]
        with m.Elif(quiet != FLUSH_CYCLES):
            m.d.sync += quiet.eq(quiet + 1)
        self._waiting = waiting = self._offset("waiting")
        self._flush = Signal()
        m.d.sync += waiting.eq(self._written - self._sent)
        m.d.comb += self._flush.eq(
            (waiting >= MOST_PAYLOAD) | ((waiting != 0) & (quiet == FLUSH_CYCLES))
        )
        with m.If(self.restart):
            m.d.sync += [self._written.eq(0), self._acked.eq(0)]

    def _frames(self, m):
        """Say what a frame that has come does."""
        receiver, owed, room = self._receiver, self._owed, self._room
        header, count = receiver.header, receiver.count
        # What a frame is like, a cycle after it is over; then it is done what it asks for.
        good, mine, next_one, fits_in = (delayed(m, value, name) for name, value in {
            "good": receiver.good,
            "mine": (header.session == self._session) & (self._session != 0),
            "next_one": header.offset == self._expected,
            "fits_in": (count <= self._free) & ~self.fault,
        }.items())  # fmt: skip
        ahead = (header.offset - self._acked)[:OFFSET_BITS]
        unsent = (header.offset - self._sent)[:OFFSET_BITS]
        in_window = delayed(m, ahead <= (self._written - self._acked)[:OFFSET_BITS], "in_window")
        # Sent again, though the host has had it meanwhile.
        had = delayed(m, (unsent <= room) & (unsent != 0), "had")
        drops, bad = Signal(), Signal()
        m.d.comb += self._over.eq(receiver.good | receiver.bad | good | self.restart)
        again, answer = receiver.first[0], receiver.first[1]
        m.d.sync += self.restart.eq(0)
        with m.If(good):
            with m.Switch(header.type):
                with m.Case(FrameType.DATA):
                    m.d.sync += owed[FrameType.ACK].eq(1)
                    fits = mine & next_one & fits_in
                    m.d.comb += [self._commits.eq(fits), drops.eq(~fits)]
                with m.Case(FrameType.ACK):
                    sound = mine & in_window & (count == 1)
                    m.d.comb += drops.eq(~sound)
                    with m.If(sound & answer):
                        m.d.sync += self._question.eq(receiver.first[QUESTION_PLACE:])
                    with m.If(sound):
                        m.d.sync += self._acked.eq(header.offset)
                        with m.If(again | had):
                            m.d.sync += self._sent.eq(header.offset)
                    with m.If(~sound | answer):
                        m.d.sync += owed[FrameType.ACK].eq(1)
                with m.Case(FrameType.RESET):
                    m.d.sync += owed[FrameType.ACK].eq(1)
                    fresh = (header.session != self._session) & (header.session != 0)
                    m.d.sync += self.restart.eq(fresh & (count == 0))
                    m.d.comb += drops.eq((count != 0) | (header.session == 0))
                with m.Case(FrameType.IDENTITY):
                    m.d.sync += [owed[FrameType.IDENTITY].eq(1), self._asked.eq(header.offset)]
                with m.Case(FrameType.STATUS):
                    m.d.sync += owed[FrameType.STATUS].eq(1)
                with m.Default():
                    m.d.comb += bad.eq(1)
        with m.If(receiver.bad):
            # Something of the host's stream may have been in it.
            m.d.sync += owed[FrameType.ACK].eq(1)
        with m.If(receiver.bad | bad):
            m.d.sync += self._bad_count.eq(self._bad_count + 1)
        with m.If(drops):
            m.d.sync += self._dropped_count.eq(self._dropped_count + 1)
        with m.If(drops | receiver.bad | bad):
            m.d.sync += self._dropped.eq(1)
        with m.If(self.restart):
            m.d.sync += [self._session.eq(header.session), self._sent.eq(0), self._dropped.eq(0)]
        faults = Signal()
        m.d.sync += faults.eq(self.fault)
        with m.If(self.fault & ~faults):
            m.d.sync += owed[FrameType.ACK].eq(1)

    def _send(self, m):
        """Send what is owed, then bytes of the stream."""
        sender, owed = self._sender, self._owed
        identity = [*self._identity, *[0] * (-len(self._identity) % 2)]
        m.submodules.identity = rom = Memory(shape=8, depth=len(identity), init=identity)
        said, known = rom.read_port(), len(self._identity)
        left = Mux(self._asked < known, known - self._asked, 0)[:OFFSET_BITS]
        cycles = Signal(CYCLE_BITS)
        m.d.sync += cycles.eq(cycles + 1)
        state, line = self.state, self.line
        status = Signal(8 * STATUS_BYTES)
        ack = Signal(24)
        # Where the bytes of the frame at work come from; of a payload that is made here, one
        # moment's.
        kind, start = Signal(8), self._offset("start")
        place = Signal(8)
        from_status = Array(status.word_select(k, 8) for k in range(STATUS_BYTES))[place]
        from_ack = ack.word_select(place[:2], 8)
        m.d.sync += place.eq(sender.index)
        m.d.comb += [
            self._given.addr.eq((start + sender.index)[: len(self._given.addr)]),
            said.addr.eq((start + sender.index)[: len(said.addr)]),
        ]
        m.d.sync += sender.byte.eq(
            Array([from_ack, self._given.data, said.data, from_status])[kind[:2]]
        )
        here = {FrameType.ACK: 0, FrameType.DATA: 1, FrameType.IDENTITY: 2, FrameType.STATUS: 3}
        header = sender.header

        def send(frame: FrameType, offset, count):
            m.d.sync += [
                sender.start.eq(1),
                header.type.eq(frame),
                header.offset.eq(offset),
                header.session.eq(self._session),
                sender.count.eq(count),
                kind.eq(here[frame]),
                start.eq(offset),
            ]

        # A register: what is to be sent first is known late.
        sending = sender.busy | sender.start
        m.d.sync += sender.start.eq(0)
        # What a frame that is over has changed is there two cycles later.
        changed = delayed(m, self._over, "changed")
        with m.If(~sending & ~self._over & ~changed & ~delayed(m, changed, "changed_before")):
            with m.If(owed[FrameType.IDENTITY]):
                m.d.sync += owed[FrameType.IDENTITY].eq(0)
                send(FrameType.IDENTITY, self._asked, Mux(left > MOST_PAYLOAD, MOST_PAYLOAD, left))
            with m.Elif(owed[FrameType.STATUS]):
                m.d.sync += [
                    owed[FrameType.STATUS].eq(0),
                    status.eq(
                        Cat(
                            *(self._bad_count, self._dropped_count),
                            *(line.framing, line.overrun, line.noise, line.breaks),
                            *(self.fault, Const(0, 7), state.busy, Const(0, 7)),
                            *(state.errors, state.example_errors, Const(0, 3), cycles),
                        )
                    ),
                ]
                send(FrameType.STATUS, 0, STATUS_BYTES)
            with m.Elif(owed[FrameType.ACK]):
                m.d.sync += [
                    owed[FrameType.ACK].eq(0),
                    ack.eq(Cat(self._limit, self._dropped, self.fault, self._question)),
                    self._announced.eq(self._limit),
                    self._dropped.eq(0),
                ]
                send(FrameType.ACK, self._expected, 3)
            with m.Elif(self._flush):
                size = Mux(self._waiting > MOST_PAYLOAD, MOST_PAYLOAD, self._waiting[:8])
                m.d.sync += self._sent.eq(self._sent + size)
                send(FrameType.DATA, self._sent, size)
        m.d.comb += self.busy.eq(
            sending
            | (self._waiting != 0)
            | (self._written != self._sent)
            | Cat(owed.values()).any()
            | self._over
            | changed
        )
