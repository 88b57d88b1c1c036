"""A host's end of the link: all patience is here, and what to do when the cable is pulled."""

import struct
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from ohmgrid.core import StateLost
from ohmgrid.host.frames import (
    IDENTITY_HEAD,
    MOST_PAYLOAD,
    PROTOCOL,
    QUESTION_PLACE,
    QUESTIONS,
    STATUS_BYTES,
    Ask,
    Frame,
    FrameType,
    Identity,
    Say,
    Status,
    decode_frame,
    encode_frame,
)
from ohmgrid.host.identity import BoardError
from ohmgrid.host.ports import Port, PortLost

__all__ = ["Link", "SessionLost"]

T = TypeVar("T")

MODULO = 1 << 16
RETRY_S = 0.25
"""Seconds without progress after which a host asks."""
SILENT_S = 3.0
"""Seconds without a frame after which nobody is there."""
STALLED_S = 300.0
"""Seconds without any progress of the core after which it is given up."""
GONE_S = 60.0
"""Seconds for which a host waits for a port that has gone."""
AGAIN_S = 0.2
"""Seconds between two attempts to open a port that has gone."""
ACK_BYTES = 256
"""A host tells at least after so many bytes that it has them."""
AHEAD_BYTES = 4 * MOST_PAYLOAD
"""What is made before there is room for it."""
SESSIONS = 255


class SessionLost(BoardError, StateLost):
    """The board has begun anew: what it held is gone."""


class Link:
    """Streams of bytes to and from a board.

    Parameters
    ----------
    port : Port
        Opened here.
    tell : callable
        Called with a line for a user: the port has gone, it is back.
    gone_s : float
        Seconds to wait for a port that has gone.

    Attributes
    ----------
    came : bytearray
        What the board's stream has brought; whoever takes it removes it.
    written : int
        Bytes written to the port so far.

    Raises
    ------
    BoardError
        The port cannot be opened, or nobody answers behind it.
    """

    def __init__(
        self, port: Port, tell: Callable[[str], object] = lambda line: None, gone_s: float = GONE_S
    ) -> None:
        self._port, self._tell, self._gone_s = port, tell, gone_s
        self.came = bytearray()
        self.written = 0
        self._block = bytearray()
        self._noise = 0
        self._session = 0
        self._known = False
        """A board has answered here."""
        self._said: dict[FrameType, Frame] = {}
        self._begin_streams()
        port.open()

    def _begin_streams(self) -> None:
        # Offsets without their modulo. Of the host's stream: what the board has, what was sent
        # (since it went back, and ever), what it has room for; the bytes from the first one on.
        self._acked = self._sent = self._reached = self._limit = 0
        self._queue = bytearray()
        self._went_back = -1
        # Of the board's stream: what has come, and what the board was told of it.
        self._received = self._told = 0
        self._asked_again = -1
        self._strange = False
        """Something of another session has come: the board may have begun anew, its port not."""
        self._question, self._asked, self._sent_before = 0, False, 0
        self.came.clear()
        self._frame_at = self._moved_at = time.monotonic()

    # What a user calls

    def begin(self) -> None:
        """Begin a session: the core is reset, both streams are empty.

        Where a board has answered before, and goes away meanwhile, it is waited for.

        Raises
        ------
        BoardError
            Nobody answers.
        """
        try:
            self._begin()
        except BoardError as gone:
            if not self._known:
                raise
            self._wait(str(gone), self._begin)

    def _begin(self) -> None:
        self._begin_streams()
        self._drain()
        # Another one than any that is at work.
        before = self.status_frame().session
        self._session = before % SESSIONS + 1
        self._ask(FrameType.RESET, FrameType.ACK, lambda f: f.session == self._session)
        self._begin_streams()
        self._take_ack(self._said[FrameType.ACK])

    def identity(self) -> bytes:
        """Return what the board says of itself; raise `BoardError` if nobody answers."""
        data = self._ask(FrameType.IDENTITY, FrameType.IDENTITY, lambda f: f.offset == 0).payload
        if not data or data[0] != PROTOCOL or len(data) < IDENTITY_HEAD:
            return data
        length = Identity.unpack(data[:IDENTITY_HEAD]).length
        while len(data) < length:
            at = len(data)
            more = self._ask(
                FrameType.IDENTITY, FrameType.IDENTITY, lambda f, at=at: f.offset == at, at
            ).payload
            if not more:
                raise BoardError(f"{self._port.name}: expected {length} bytes of identity")
            data += more
        return data

    def status_frame(self) -> Frame:
        """Return the frame with the board's status."""
        return self._ask(
            FrameType.STATUS, FrameType.STATUS, lambda f: len(f.payload) == STATUS_BYTES
        )

    def status(self) -> Status:
        """Return what the board says of its state."""
        return Status.unpack(self.status_frame().payload)

    def exchange(self, data: Iterable[bytes], done: Callable[[], bool]) -> None:
        """Send bytes; take what comes until all is sent and `done` says so.

        Parameters
        ----------
        data : iterable of bytes
            For the host's stream; each piece is made when there is room for it.
        done : callable
            Looks at `came`.

        Raises
        ------
        SessionLost
            The board has begun anew meanwhile.
        BoardError
            Nobody answers, though it was waited for; the core does nothing any more; or the board
            says that the stream was none.
        """
        source, more = iter(data), True
        self._frame_at = self._moved_at = asked_at = time.monotonic()
        while more or self._sent < self._end or not done():
            while more and self._end - self._sent < AHEAD_BYTES:
                piece = next(source, None)
                more = piece is not None
                self._queue += piece or b""
            try:
                self._fill(more)
                moved = self._pump(RETRY_S / 4)
                now = time.monotonic()
                if moved:
                    asked_at = now
                elif now - asked_at > RETRY_S:
                    if self._strange:
                        self._strange = False
                        self._check_session(self.status_frame().session)
                    self._poll()
                    asked_at = now
                if now - self._frame_at > SILENT_S:
                    raise PortLost("nobody answers")
            except PortLost as lost:
                self._reconnect(str(lost))
                asked_at = time.monotonic()
            if time.monotonic() - self._moved_at > STALLED_S:
                raise BoardError(
                    f"{self._port.name}: expected the core to go on, nothing came for "
                    f"{STALLED_S:.0f} s"
                )
        if self._told != self._received:
            self._tell_received()

    def close(self) -> None:
        """Close the port."""
        self._port.close()

    # Frames to the board

    def _write(self, *frames: Frame) -> None:
        data = b"".join(encode_frame(frame) for frame in frames)
        self._port.write(data)
        self.written += len(data)

    def _frame(self, kind: FrameType, offset: int, payload: bytes = b"") -> Frame:
        return Frame(kind, self._session, offset % MODULO, payload)

    @property
    def _end(self) -> int:
        """Offset behind the last byte of the queue."""
        return self._acked + len(self._queue)

    def _fill(self, more: bool) -> None:
        """Send as much of the stream as the board has room for.

        Parameters
        ----------
        more : bool
            What lies in the queue is not all: a frame that it does not fill can wait.
        """
        frames = []
        end = self._end
        while (size := min(MOST_PAYLOAD, end - self._sent, self._limit - self._sent)) > 0:
            # Rather a whole frame later than a bit of one now, while the board has some to do.
            little = size < MOST_PAYLOAD
            if little and (more or size < end - self._sent) and self._sent > self._acked:
                break
            at = self._sent - self._acked
            frames.append(
                self._frame(FrameType.DATA, self._sent, bytes(self._queue[at : at + size]))
            )
            self._sent += size
        self._reached = max(self._reached, self._sent)
        if frames:
            self._write(*frames)

    def _tell_received(self, ask: int = 0) -> None:
        self._told = self._received
        self._write(self._frame(FrameType.ACK, self._received, bytes([ask])))

    def _poll(self) -> None:
        """Ask where the board is, and for what may be lost."""
        self._question = (self._question + 1) % QUESTIONS
        self._asked, self._asked_again = True, self._received
        self._sent_before = self._sent
        self._tell_received(Ask.AGAIN | Ask.ANSWER | self._question << QUESTION_PLACE)

    # Frames from the board

    def _pump(self, seconds: float) -> bool:
        """Take what has come; return whether a stream moved."""
        before = self._acked, self._received, self._limit
        data = self._port.read(seconds)
        if data:
            self._noise += len(data)
            *blocks, rest = data.split(b"\0")
            for block in blocks:
                frame = decode_frame(bytes(self._block + block))
                self._block.clear()
                if frame is not None:
                    self._take(frame)
            self._block += rest
            del self._block[: -2 * MOST_PAYLOAD]
        if self._received - self._told >= ACK_BYTES:
            self._tell_received()
        moved = (self._acked, self._received, self._limit) != before
        if moved:
            self._moved_at = time.monotonic()
        return moved

    def _take(self, frame: Frame) -> None:
        self._frame_at, self._noise = time.monotonic(), 0
        if frame.type in list(FrameType):
            self._said[FrameType(frame.type)] = frame
        if frame.type not in (FrameType.DATA, FrameType.ACK):
            return
        if frame.session != self._session:
            self._strange = True
            return
        if frame.type == FrameType.ACK:
            self._take_ack(frame)
        elif (frame.offset - self._received) % MODULO == 0:
            self.came += frame.payload
            self._received += len(frame.payload)
        elif (self._received - frame.offset) % MODULO > MODULO // 2:
            # One before it is missing.
            if self._asked_again != self._received:
                self._asked_again = self._received
                self._tell_received(Ask.AGAIN)
        else:
            # What has come already: the board does not know.
            self._told = -1

    def _take_ack(self, frame: Frame) -> None:
        if len(frame.payload) != 3:
            return
        limit, flags = struct.unpack("<HB", frame.payload)
        ahead = (frame.offset - self._acked) % MODULO
        if ahead > self._reached - self._acked:
            return
        if flags & Say.FAULT:
            raise BoardError(f"{self._port.name}: the board took the stream for none")
        del self._queue[:ahead]
        self._acked += ahead
        # Gone back for what had come after all.
        self._sent = max(self._sent, self._acked)
        self._limit = self._acked + (limit - frame.offset) % MODULO
        # What was sent behind a frame that is lost is lost, too: once for each such frame.
        lost = flags & Say.DROPPED and self._went_back != self._acked
        # What was sent before a question is there when it is answered, or lost.
        answered = self._asked and flags >> QUESTION_PLACE == self._question
        if answered:
            self._asked = False
            lost = self._sent_before > self._acked
        if lost and self._acked < self._sent:
            self._went_back, self._sent = self._acked, self._acked

    def _ask(
        self,
        question: FrameType,
        answer: FrameType,
        fits: Callable[[Frame], bool],
        offset: int = 0,
    ) -> Frame:
        """Send a question until it is answered."""
        self._noise, begin = 0, time.monotonic()
        while time.monotonic() - begin < SILENT_S:
            self._said.pop(answer, None)
            try:
                self._write(self._frame(question, offset))
                until = time.monotonic() + RETRY_S
                while (left := until - time.monotonic()) > 0:
                    self._pump(left)
                    frame = self._said.get(answer)
                    if frame is not None and fits(frame):
                        self._known = True
                        return frame
            except PortLost as lost:
                raise BoardError(f"{self._port.name}: the port has gone ({lost})") from None
        raise BoardError(f"{self._port.name}: {self._why_silent()}")

    def _why_silent(self) -> str:
        if self._noise:
            return (
                f"expected a board of ohmgrid, got {self._noise} bytes that are no frames of one; "
                "is its rate that of the board (PORT@BAUD)?"
            )
        return (
            f"expected a board of ohmgrid, got no answer for {SILENT_S:.0f} s; is its bitstream "
            "loaded, and is this its port?"
        )

    def _drain(self) -> None:
        """Forget what came before."""
        try:
            while self._port.read(0.0):
                pass
        except PortLost as lost:
            raise BoardError(f"{self._port.name}: the port has gone ({lost})") from None
        self._block.clear()

    def _wait(self, why: str, then: Callable[[], T]) -> T:
        """Wait for the port, which has gone; return what is done when it is back."""
        name = self._port.name
        why = why.removeprefix(f"{name}: ")
        self._tell(f"{name}: {why}; waiting up to {self._gone_s:.0f} s for it to come back")
        begin, last = time.monotonic(), why
        while time.monotonic() - begin < self._gone_s:
            try:
                self._port.open()
                done = then()
            except BoardError as error:
                last = str(error)
                time.sleep(AGAIN_S)
                continue
            self._tell(f"{name}: it is back")
            return done
        raise BoardError(
            f"{name}: the board did not come back within {self._gone_s:.0f} s ({last})"
        )

    def _check_session(self, session: int) -> None:
        """Raise `SessionLost` unless this one is at work."""
        if session != self._session:
            raise SessionLost(
                f"{self._port.name}: the board has begun anew, and forgot what it held"
            )

    def _reconnect(self, why: str) -> None:
        """Wait for the port; go on where it was, if the board still knows."""

        def look() -> int:
            self._drain()
            return self.status_frame().session

        self._check_session(self._wait(why, look))
        self._frame_at = time.monotonic()
        try:
            self._poll()
        except PortLost as lost:
            self._reconnect(str(lost))
