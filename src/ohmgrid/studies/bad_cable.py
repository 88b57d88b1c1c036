"""A cable that damages what it likes, and a board that sends back what it gets: for a host's link.

With them the host's end is tried as `ohmgrid.studies.link_fuzz` tries the gateware's.
"""

from collections import deque

import numpy as np

from ohmgrid.host import link as link_module
from ohmgrid.host.frames import PROTOCOL
from ohmgrid.host.identity import BoardError
from ohmgrid.host.link import Link
from ohmgrid.host.ports import PortLost
from ohmgrid.model.link.endpoint import Endpoint
from ohmgrid.studies.fuzzing import Fault

__all__ = ["IDENTITY", "Cable", "Echo", "HostFuzz", "exchanged", "hasten"]

IDENTITY = bytes([PROTOCOL]) + (600).to_bytes(2, "little") + bytes(597)
"""Of the board that echoes: as long as it says."""
MOST_BYTES = 20_000
"""Of an exchange."""


class Echo:
    """A board whose core sends back what it gets, as fast as it may."""

    def __init__(self, room: int = 512):
        self.starts = 0
        self.end = Endpoint(IDENTITY, room, self._restart)
        self.taken = bytearray()

    def _restart(self) -> None:
        self.starts += 1
        self.taken = bytearray()

    def line(self, data: bytes) -> bytes:
        """Return what the board sends when bytes have come."""
        self.end.take(data)
        out = self.end.frames()
        while space := min(self.end.space, 300):
            data = self.end.read(space)
            if not data:
                break
            self.taken += data
            self.end.write(data)
            out += self.end.frames()
        return out


class Cable:
    """A port whose line damages what it likes."""

    name = "cable"

    def __init__(self, board: Echo, rng: np.random.Generator | None = None, damage: float = 0.0):
        self.board, self._rng, self.damage = board, rng, damage
        self._back: deque[bytes] = deque()
        self.pulled = False
        self.opens = self.frames = self.damages = 0

    def open(self) -> None:
        """Count, and refuse while it is pulled."""
        self.opens += 1
        if self.pulled:
            raise BoardError("cable: no such port")

    def close(self) -> None:
        """Do nothing."""

    def read(self, seconds: float) -> bytes:
        """Return what the board has sent, as it arrives."""
        if self.pulled:
            raise PortLost("pulled")
        if not self._back:
            # Nothing comes: the board may have something to say.
            self._back.append(self._over(self.board.line(b"")))
        return self._back.popleft()

    def write(self, data: bytes) -> None:
        """Give the board what arrives of bytes."""
        if self.pulled:
            raise PortLost("pulled")
        self._back.append(self._over(self.board.line(self._over(data))))

    def _over(self, data: bytes) -> bytes:
        """Return what arrives of bytes."""
        rng = self._rng
        self.frames += data.count(0)
        if rng is None or rng.random() >= self.damage or not data:
            return data
        self.damages += 1
        frames = [block + b"\0" for block in data.split(b"\0")[:-1]] or [data]
        at = int(rng.integers(len(frames)))
        frame = bytearray(frames[at])
        match rng.integers(6):
            case 0:
                frame[int(rng.integers(len(frame)))] ^= 1 << int(rng.integers(8))
            case 1:
                del frame[int(rng.integers(len(frame))) :]
            case 2:
                frame.clear()
            case 3:
                frame *= 2
            case 4:
                frame = bytearray(rng.integers(0, 256, 40, dtype=np.uint8))
            case 5:
                frames.reverse()
        frames[at] = bytes(frame)
        return b"".join(frames)


def exchanged(link: Link, data: bytes, cut: int = 100) -> bytes:
    """Send bytes in pieces; return as many as come back."""
    pieces = [data[at : at + cut] for at in range(0, len(data), cut)]
    link.exchange(pieces, lambda: len(link.came) >= len(data))
    back = bytes(link.came)
    link.came.clear()
    return back


class HostFuzz:
    """A host's link over a cable that is good, bad or very bad.

    Parameters
    ----------
    seed : int
    """

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._board = Echo()
        self._cable = Cable(self._board, self._rng)
        self._link = Link(self._cable)
        self._link.begin()

    @property
    def frames(self) -> int:
        """Frames that went over the cable, both ways."""
        return self._cable.frames

    @property
    def kinds(self) -> dict[str, int]:
        """The same by name, and how often some of them were damaged."""
        return {"frames": self.frames, "times damaged": self._cable.damages}

    def step(self) -> None:
        """Send random bytes and wait for them, over a cable as good or bad as may be."""
        rng = self._rng
        self._cable.damage = float(rng.choice([0.0, 0.1, 0.5]))
        data = rng.integers(0, 4, int(rng.integers(1, MOST_BYTES)), dtype=np.uint8).tobytes()
        if exchanged(self._link, data, int(rng.integers(1, 2000))) != data:
            raise Fault("host: other bytes came back than went")
        if self._board.starts != 1:
            raise Fault("host: a session began unasked")


def hasten(seconds: float = 0.002) -> None:
    """Have hosts wait no longer than a board in the same process needs."""
    link_module.RETRY_S = seconds
