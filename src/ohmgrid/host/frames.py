"""Frames of a link: how bytes travel between a host and a board, so that none is lost.

A frame is ``{type, session, offset, payload, CRC}``, coded so that it holds no 0 (COBS), and a 0
ends it. Offsets number the bytes of a stream: each direction has one, and a frame that is lost is
sent again from its offset. docs/protocol.md has all of it; gateware, golden twin and host share
what is here.
"""

import struct
import zlib
from enum import IntEnum, IntFlag
from typing import NamedTuple

from cobs import cobs

__all__ = [
    "CRC_BYTES",
    "FLUSH_CYCLES",
    "HEADER_BYTES",
    "IDENTITY_HEAD",
    "MOST_PAYLOAD",
    "OFFSET_BITS",
    "PROTOCOL",
    "QUESTIONS",
    "QUESTION_PLACE",
    "Ask",
    "Frame",
    "FrameType",
    "Identity",
    "Record",
    "Say",
    "Status",
    "Tag",
    "decode_frame",
    "encode_frame",
]

PROTOCOL = 1
"""Version of the protocol: a host and a board of different ones do not talk."""
HEADER_BYTES, CRC_BYTES = 4, 4
"""Type, session and offset; the CRC-32 of zlib over header and payload, low byte first."""
MOST_PAYLOAD = 240
"""Bytes that a frame can carry: coded, it is one block of COBS at most."""
OFFSET_BITS = 16
FLUSH_CYCLES = 64
"""A board sends a frame that is not full when nothing more has come for so many cycles."""


class FrameType(IntEnum):
    """What a frame is; a request and what answers it have the same type."""

    DATA = 1
    """Bytes of the sender's stream from ``offset`` on."""
    ACK = 2
    """All bytes below ``offset`` of the receiver's stream have come; with `Ask` or `Say`."""
    RESET = 3
    """Host alone: a new session, ``session``, begins: core and streams start anew. Answered by an
    ACK; when it is the session at work nothing else happens."""
    IDENTITY = 4
    """Host: what are you, from byte ``offset`` on? Board: such bytes (`Identity`)."""
    STATUS = 5
    """Host: how are you? Board: `Status`."""


class Ask(IntFlag):
    """Payload of a host's ACK, with the number of the question above it (`QUESTION_PLACE`)."""

    AGAIN = 1
    """Send again from the offset on."""
    ANSWER = 2
    """Answer with an ACK: what the host sent before this frame has come by then, or is lost."""


QUESTION_PLACE, QUESTIONS = 2, 1 << 6
"""Place of a question's number, and how many there are."""


class Say(IntFlag):
    """Flags of a board's ACK, with the number of the last question that it was asked above them.

    Its payload is the offset up to which a host may send (2 bytes), and these (1).
    """

    DROPPED = 1
    """A frame has been dropped since the last ACK."""
    FAULT = 2
    """The stream held what is no record: nothing more is taken until a RESET."""


class Record(IntEnum):
    """Kinds of records, of which a host's stream is made: each begins with a byte of these.

    Numbers are little-endian; what is listed follows the kind.
    """

    COMMAND = 1
    """A command of the core, 10 bytes."""
    WORDS = 2
    """How many (2 bytes), then words for the core of 2 bytes each."""
    CELLS = 3
    """How many (2 bytes), then words for the core of 3 bytes each."""
    TABLE = 4
    """The command that writes the first entry (10 bytes), how many entries (2), bytes of each (1:
    1 to 5), then the entries: the low bits of the commands' data."""
    EXAMPLE = 5
    """How many (2 bytes), then the bytes of an example."""
    FORM = 6
    """Place of the bits of a value in `ohmgrid.registers.examples.BITS`, with bit 7 set where there
    are runs (1 byte); values of an example (2)."""
    PIXELS = 7
    """How many (2 bytes), the first pixel (1), then the value of each in 2 bytes."""
    KEEP = 8
    """Bit 0: examples are kept; bit 1: forget those that are (1 byte)."""
    ORDER = 9
    """How many (2 bytes), then the number of an example that is kept in 3 bytes each."""


class Tag(IntEnum):
    """What begins a record of a board's stream: how many bytes follow is in its lowest 4 bits."""

    RESULT = 0x13
    """A word that the core sends, if it fits so many bytes."""
    WIDE_RESULT = 0x15
    """Any other."""
    ANSWER = 0x28
    """An answer of the core."""
    MISS = 0x34
    """The word of an answer about an example that was not a hit."""
    HIT = 0x44
    """Of one that was."""


class Frame(NamedTuple):
    """One frame."""

    type: int
    session: int
    offset: int
    payload: bytes = b""


class Status(NamedTuple):
    """What a board says of itself."""

    bad: int
    """Frames with another CRC, too long, cut, or of no known type, modulo 2**16 as all of these."""
    dropped: int
    """Whole frames of another session, out of order, or for which there was no room."""
    framing: int
    """Bytes without a stop bit."""
    overrun: int
    """Bytes for which the link had no time."""
    noise: int
    """Bits whose samples differed."""
    fault: int
    """1 if the stream held what is no record."""
    busy: int
    """1 while the core works."""
    errors: int
    """`ohmgrid.host.protocol.Error` bits of the core."""
    example_errors: int
    """`ohmgrid.registers.examples.ExampleError` bits since the session began."""
    cycles: int
    """Clock cycles since power-up, modulo 2**32."""

    FORM = "<HHHHHBBBBI"

    @classmethod
    def unpack(cls, payload: bytes) -> "Status":
        """Return the status of a payload; raise `struct.error` where it is none."""
        return cls(*struct.unpack(cls.FORM, payload))


class Identity(NamedTuple):
    """The first bytes of an identity."""

    protocol: int
    length: int
    """Bytes of the whole identity."""
    digest: bytes
    """First 8 bytes of the SHA-256 of what the gateware was built for."""
    clock_hz: int
    """0 if the board has no clock of its own, as a simulated one."""
    lanes: int
    words: int
    room: int
    """Bytes that each direction of the link holds."""

    FORM = "<BH8sIHIH"

    def pack(self) -> bytes:
        """Return the bytes."""
        return struct.pack(self.FORM, *self)

    @classmethod
    def unpack(cls, head: bytes) -> "Identity":
        """Return the identity of its bytes."""
        return cls(*struct.unpack(cls.FORM, head))


IDENTITY_HEAD = struct.calcsize(Identity.FORM)
"""Bytes of `Identity`; the rest is a description (`ohmgrid.host.identity`)."""


def encode_frame(frame: Frame) -> bytes:
    """Return a frame as it goes over the line.

    Raises
    ------
    ValueError
        If its payload is too long.
    """
    if len(frame.payload) > MOST_PAYLOAD:
        raise ValueError(
            f"payload: expected at most {MOST_PAYLOAD} bytes, got {len(frame.payload)}"
        )
    body = struct.pack("<BBH", frame.type, frame.session, frame.offset) + frame.payload
    return cobs.encode(body + zlib.crc32(body).to_bytes(CRC_BYTES, "little")) + b"\0"


def decode_frame(block: bytes) -> Frame | None:
    """Return the frame of what came between two zeros; None where it is damaged."""
    try:
        body = cobs.decode(block)
    except cobs.DecodeError:
        return None
    if not HEADER_BYTES <= len(body) - CRC_BYTES <= HEADER_BYTES + MOST_PAYLOAD:
        return None
    body, crc = body[:-CRC_BYTES], body[-CRC_BYTES:]
    if zlib.crc32(body).to_bytes(CRC_BYTES, "little") != crc:
        return None
    return Frame(*struct.unpack_from("<BBH", body), body[HEADER_BYTES:])
