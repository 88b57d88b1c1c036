"""Frames of all kinds for the gateware's end of a link: it does what its golden twin does.

Frames that are right; that have another session, offset, type or length; that are cut, doubled,
turned round, changed in a bit or nothing but noise; between them bytes are taken and given, and new
sessions begin. After each of them a whole frame must be understood.
"""

import numpy as np

from ohmgrid.hdl.link.endpoint import Endpoint as EndpointGateware
from ohmgrid.host.frames import MOST_PAYLOAD, Frame, FrameType, decode_frame, encode_frame
from ohmgrid.model.link.endpoint import Endpoint
from ohmgrid.sim.cxxrtl.library import build
from ohmgrid.studies.fuzzing import Fault

__all__ = ["LinkFuzz"]

ROOM = 512
IDENTITY = bytes(range(1, 251)) + b"\0tail"
QUIET = 300
"""Cycles in which whatever is on its way moves, or nothing is."""
MOST = 8192
CLOCK_BYTES = 4
"""Of a status: the twin has no clock."""
LINE = MOST_PAYLOAD + 20
DAMAGES = ("bit", "cut", "noise", "doubled", "zeros", "hole", "turned")
RESTS = FrameType.RESET, FrameType.IDENTITY, FrameType.STATUS


class LinkFuzz:
    """A gateware endpoint and its golden twin, side by side.

    Parameters
    ----------
    seed : int

    Attributes
    ----------
    kinds : dict
        How many frames were ``whole``, and damaged in each way; how many sessions began.
    """

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._sim = build(lambda: EndpointGateware(IDENTITY, ROOM), "endpoint").instance()
        self._sim.reset()
        self._twin = Endpoint(IDENTITY, ROOM)
        self.kinds: dict[str, int] = dict.fromkeys(("whole", *DAMAGES, "sessions"), 0)
        self._line(encode_frame(Frame(FrameType.RESET, 7, 0)), "reset")
        self.kinds["sessions"] = 1

    @property
    def frames(self) -> int:
        """Frames so far, whole and damaged."""
        return sum(self.kinds.values()) - self.kinds["sessions"]

    # The gateware

    def _move(self, inputs: dict[str, bytes]) -> bytes:
        """Give bytes; return those of the line until all is still."""
        words = {name: np.frombuffer(data, np.uint8) for name, data in inputs.items()}
        most = max((len(data) for data in words.values()), default=0)
        came, taken = self._sim.pump(words, {"tx": MOST}, most + 1)
        for name, data in words.items():
            if taken[name] != len(data):
                raise Fault(f"{name}: expected {len(data)} bytes taken, got {taken[name]}")
        out = came["tx"].astype(np.uint8).tobytes()
        for _ in range(1000):
            came, _ = self._sim.pump({}, {"tx": MOST}, QUIET)
            out += came["tx"].astype(np.uint8).tobytes()
            if not self._sim.get("busy"):
                return out
        raise Fault("the link is busy without an end")

    # Both

    def _same(self, found: bytes, what: str) -> None:
        """Compare what the gateware sent with what the twin sends."""
        expected = _frames(self._twin.frames())
        if (frames := _frames(found)) != expected:
            raise Fault(f"{what}: expected the frames {expected}, got {frames}")

    def _line(self, data: bytes, what: str) -> None:
        # One after the other, and whole: what is owed twice is paid once.
        for block in data.rstrip(b"\0").split(b"\0"):
            self._twin.take(block + b"\0")
            self._same(self._move({"rx": block + b"\0"}), what)

    def step(self) -> None:
        """One frame, and a whole one behind it; now and then bytes are taken or given."""
        before = self._twin.session
        data, what = self._frame()
        self.kinds[what] += 1
        self._line(data, what)
        self.kinds["sessions"] += self._twin.session != before
        self._line(encode_frame(Frame(FrameType.STATUS, 0, 0)), f"status after {what}")
        rng = self._rng
        if rng.random() < 0.3:
            # Not beyond the byte from which on an ACK is owed: it says how much was read then.
            most = int(rng.integers(1, self._twin.untold + 1))
            expected = self._twin.read(most)
            came, _ = self._sim.pump({}, {"o": most}, 3 * most + 10)
            if came["o"].astype(np.uint8).tobytes() != expected:
                raise Fault("stream: expected other bytes")
            self._same(self._move({}), "read")
        if rng.random() < 0.3:
            data = rng.integers(0, 3, int(rng.integers(0, self._twin.space + 1)), dtype=np.uint8)
            self._twin.write(data.tobytes())
            self._same(self._move({"i": data.tobytes()}), "write")

    def _frame(self) -> tuple[bytes, str]:
        """Return a frame that is right, or wrong in any way that one can think of."""
        rng, twin = self._rng, self._twin
        session = twin.session if rng.random() < 0.8 else int(rng.integers(256))
        kind = FrameType.DATA
        if rng.random() < 0.4:
            others = [FrameType.ACK] * 4 + [*RESTS, int(rng.integers(256))]
            kind = int(rng.choice(others))
        payload = rng.integers(0, rng.choice([2, 256]), int(rng.integers(0, MOST_PAYLOAD + 1)))
        offset = twin.expected
        if kind == FrameType.ACK:
            payload = rng.integers(0, 256, int(rng.choice([1, 1, 1, 1, 0, 2])))
            offset = twin.acked + int(rng.integers(0, ROOM - twin.space + 1))
        elif kind != FrameType.DATA and rng.random() < 0.8:
            payload = payload[:0]
        if kind == FrameType.IDENTITY:
            offset = int(rng.choice([0, 240, 100, len(IDENTITY), 65535]))
        if rng.random() < 0.1:
            offset += int(rng.integers(-3, 300))
        frame = Frame(kind, session, offset % 65536, payload.astype(np.uint8).tobytes())
        return self._damaged(bytearray(encode_frame(frame)))

    def _damaged(self, line: bytearray) -> tuple[bytes, str]:
        """Return a frame as it arrives, and what has become of it."""
        rng = self._rng
        if rng.random() < 0.6:
            return bytes(line), "whole"
        what = str(rng.choice(DAMAGES))
        at = int(rng.integers(len(line)))
        if what == "bit":
            line[at] ^= 1 << int(rng.integers(8))
        elif what == "cut":
            del line[:at]
        elif what == "noise":
            line = bytearray(rng.integers(0, 256, int(rng.integers(1, 2 * LINE)), dtype=np.uint8))
        elif what == "doubled":
            line = line * 2
        elif what == "zeros":
            line = bytearray(int(rng.integers(1, 4)))
        elif what == "hole":
            del line[at : at + int(rng.integers(1, 5))]
        else:
            line = line[::-1]
        return bytes(line), what


def _frames(line: bytes) -> list[Frame | None]:
    """Return the frames of a line, the clock of a status left out."""
    frames = []
    for block in line.split(b"\0")[:-1]:
        frame = decode_frame(block)
        if frame and frame.type == FrameType.STATUS:
            frame = frame._replace(payload=frame.payload[:-CLOCK_BYTES])
        frames.append(frame)
    return frames
