"""The golden twin of a board's end of the link, at moments at which nothing is on its way.

Also what a board is made of that is no gateware: one that only pretends to have a core.
"""

import struct
from collections.abc import Callable

from ohmgrid.host.frames import (
    MOST_PAYLOAD,
    QUESTION_PLACE,
    Ask,
    Frame,
    FrameType,
    Say,
    Status,
    decode_frame,
    encode_frame,
)

__all__ = ["Endpoint"]

MODULO = 1 << 16


class Endpoint:
    """Streams of bytes from and to a host.

    Parameters
    ----------
    identity : bytes
    room : int
        Bytes that each direction holds.
    restart : callable, optional
        Called at the beginning of a session.

    Attributes
    ----------
    session, bad, dropped : int
        The session at work, and frames so far that were none or had no place, modulo 2**16.
    fault : bool
        Set by whoever takes what came, if it is no record; a new session clears it.
    """

    def __init__(
        self, identity: bytes, room: int, restart: Callable[[], object] = lambda: None
    ) -> None:
        self.identity, self.room, self._restart = identity, room, restart
        self.session = self.bad = self.dropped = 0
        self._block = bytearray()
        self._asked: int | None = None
        self._question = 0
        self._owed: set[FrameType] = set()
        self._lost = False
        self._announced = room
        self._told_fault = False
        self._begin()

    def _begin(self) -> None:
        """Begin the streams anew."""
        self.fault = self._told_fault = False
        # Offsets without their modulo; what has come and is not taken; what the host has not got.
        self._expected = self._acked = self._sent = 0
        self._came, self._given = bytearray(), bytearray()

    @property
    def _limit(self) -> int:
        return self._expected - len(self._came) + self.room

    # From the line and to it.

    def take(self, data: bytes) -> None:
        """Take bytes from the line."""
        *blocks, rest = data.split(b"\0")
        for block in blocks:
            self._block += block
            if self._block:
                self._frame(bytes(self._block))
            self._block.clear()
        self._block += rest

    def _frame(self, block: bytes) -> None:
        frame = decode_frame(block)
        if frame is None:
            self._owed.add(FrameType.ACK)
        known = frame is not None and frame.type in list(FrameType)
        if frame is None or not known:
            self.bad = (self.bad + 1) % MODULO
            self._lost = True
        elif not self._done(frame):
            self.dropped = (self.dropped + 1) % MODULO
            self._lost = True

    def _done(self, frame: Frame) -> bool:
        """Do what a frame asks for; return whether it had a place."""
        mine = frame.session == self.session != 0
        owed, payload = self._owed, frame.payload
        if frame.type == FrameType.DATA:
            owed.add(FrameType.ACK)
            fits = len(payload) <= self.room - len(self._came)
            if not (mine and frame.offset == self._expected % MODULO and fits) or self.fault:
                return False
            self._came += payload
            self._expected += len(payload)
        elif frame.type == FrameType.ACK:
            ahead = (frame.offset - self._acked) % MODULO
            if not (mine and len(payload) == 1 and ahead <= len(self._given)):
                owed.add(FrameType.ACK)
                return False
            del self._given[:ahead]
            self._acked += ahead
            if payload[0] & Ask.AGAIN or self._sent < self._acked:
                self._sent = self._acked
            if payload[0] & Ask.ANSWER:
                owed.add(FrameType.ACK)
                self._question = payload[0] >> QUESTION_PLACE
        elif frame.type == FrameType.RESET:
            owed.add(FrameType.ACK)
            if payload or not frame.session:
                return False
            if frame.session != self.session:
                self.session, self._lost = frame.session, False
                self._begin()
                self._restart()
        elif frame.type == FrameType.IDENTITY:
            owed.add(FrameType.IDENTITY)
            self._asked = frame.offset
        else:
            owed.add(FrameType.STATUS)
        return True

    def frames(self, status: Status | None = None, whole: bool = True) -> bytes:
        """Return what goes onto the line now.

        Parameters
        ----------
        status : Status, optional
            What else than the link a status says; its counts of frames are put in.
        whole : bool
            Bytes of the stream go although they fill no frame: nothing has come for a while.
        """
        out: list[Frame] = []
        owed = self._owed
        if (self._limit - self._announced) % MODULO >= self.room // 4:
            owed.add(FrameType.ACK)
        if self.fault and not self._told_fault:
            owed.add(FrameType.ACK)
            self._told_fault = True
        if FrameType.IDENTITY in owed:
            asked = self._asked or 0
            out.append(self._frame_of(FrameType.IDENTITY, asked, self.identity[asked:]))
        if FrameType.STATUS in owed:
            said = status or Status(*[0] * len(Status._fields))
            said = said._replace(bad=self.bad, dropped=self.dropped, fault=int(self.fault))
            out.append(self._frame_of(FrameType.STATUS, 0, struct.pack(Status.FORM, *said)))
        if FrameType.ACK in owed:
            flags = Say.DROPPED * self._lost | Say.FAULT * self.fault
            flags |= self._question << QUESTION_PLACE
            says = struct.pack("<HB", self._limit % MODULO, flags)
            out.append(self._frame_of(FrameType.ACK, self._expected, says))
            self._announced, self._lost = self._limit, False
        owed.clear()
        while (waiting := self._acked + len(self._given) - self._sent) >= (
            1 if whole else MOST_PAYLOAD
        ):
            at = self._sent - self._acked
            payload = bytes(self._given[at : at + min(waiting, MOST_PAYLOAD)])
            out.append(self._frame_of(FrameType.DATA, self._sent, payload))
            self._sent += len(payload)
        return b"".join(encode_frame(frame) for frame in out)

    def _frame_of(self, kind: FrameType, offset: int, payload: bytes) -> Frame:
        return Frame(kind, self.session, offset % MODULO, payload[:MOST_PAYLOAD])

    # From the streams and to them.

    def read(self, most: int | None = None) -> bytes:
        """Return, and forget, what the host's stream has brought."""
        most = len(self._came) if most is None else most
        data = bytes(self._came[:most])
        del self._came[:most]
        return data

    @property
    def space(self) -> int:
        """Bytes that `write` takes."""
        return self.room - len(self._given)

    def write(self, data: bytes) -> None:
        """Put bytes into the board's stream; raise `ValueError` where there is no room."""
        if len(data) > self.space:
            raise ValueError(f"data: expected at most {self.space} bytes, got {len(data)}")
        self._given += data
