"""The virtual board: the complete gateware, simulated, behind a pseudo-terminal.

To a host it is a board: the same bytes, but for their pace.
"""

import contextlib
import os
import select
import threading
import tty
from pathlib import Path

import numpy as np

from ohmgrid.config import Config
from ohmgrid.gateware.board import BoardCore
from ohmgrid.hdl.link.linked_core import LinkedCore
from ohmgrid.hdl.link.linked_unit import LinkedUnit
from ohmgrid.host.identity import make_identity
from ohmgrid.net import Net
from ohmgrid.sim.cxxrtl.library import Library, build
from ohmgrid.sim.gateware import gateware_formats
from ohmgrid.sim.sdram_boards import SdramBoard

__all__ = ["PseudoTerminal", "VirtualBoard", "VirtualCore", "build_board"]

CYCLES = 20_000
"""Clock cycles between two looks at the line."""
CHUNK = 4096
"""Bytes that are taken from the line at once."""
IDLE_S = 0.2
"""Seconds between two looks at whether to stop."""


def build_board(config: Config) -> Library:
    """Compile the complete gateware of a build and its formats (or take it from the cache)."""
    config = config.replace(formats=gateware_formats(config.formats))
    formats, parts = config.formats, config.build
    board = LinkedUnit if parts.dynamics else SdramBoard if parts.sdram else LinkedCore
    return build(
        lambda: board(config, make_identity(config)),
        "board",
        identity=f"LinkedCore {formats} {parts} {make_identity(config).hex()}",
    )


class PseudoTerminal:
    """A line of bytes between two programs, with a name that a serial port could have.

    Attributes
    ----------
    name : str
        Of the host's side.
    end : int
        File descriptor of the board's side.
    """

    def __init__(self) -> None:
        self.end, self._other = os.openpty()
        for side in (self.end, self._other):
            tty.setraw(side)
        os.set_blocking(self.end, False)
        self.name = os.ttyname(self._other)
        self._link: Path | None = None

    def call(self, link: Path) -> None:
        """Give the host's side a name that stays the same: a symbolic link, until it is closed."""
        if link.is_symlink():
            link.unlink()
        link.symlink_to(self.name)
        self._link, self.name = link, str(link)

    def read(self, most: int) -> bytes:
        """Return what the host has sent, at most so many bytes; nothing if there is nothing."""
        try:
            return os.read(self.end, most)
        except BlockingIOError:
            return b""

    def write(self, data: bytes) -> int:
        """Send bytes to the host; return how many the line took."""
        try:
            return os.write(self.end, data)
        except BlockingIOError:
            return 0

    def close(self) -> None:
        """Close both sides."""
        if self._link is not None and self._link.is_symlink():
            self._link.unlink()
        for side in (self.end, self._other):
            with contextlib.suppress(OSError):
                os.close(side)


class VirtualBoard:
    """The gateware of a configuration behind one end of a line.

    Parameters
    ----------
    config : Config
        Formats and build.
    line : PseudoTerminal
    """

    def __init__(self, config: Config, line: PseudoTerminal) -> None:
        self._sim = build_board(config).instance()
        self._sim.reset()
        self._line = line
        self._out = bytearray()

    def serve(self, stop: threading.Event) -> None:
        """Run the gateware until it is to stop; sleep while nothing is at work."""
        while not stop.is_set():
            busy = bool(self._sim.get("busy"))
            if not busy and not self._out:
                select.select([self._line.end], [], [], IDLE_S)
            came = self._line.read(CHUNK)
            if not came and not busy and not self._out:
                continue
            # What the line does not take waits in the board, as on a line; what comes is taken, a
            # byte a cycle.
            room = 0 if len(self._out) >= CHUNK else CHUNK
            words, _ = self._sim.pump(
                {"rx": np.frombuffer(came, np.uint8)}, {"tx": room}, CYCLES if busy else CHUNK
            )
            self._out += words["tx"].astype(np.uint8).tobytes()
            if self._out:
                went = self._line.write(bytes(self._out))
                del self._out[:went]
                if not went:
                    select.select([], [self._line.end], [], IDLE_S)


class VirtualCore(BoardCore):
    """A net on a virtual board of its own, over the same link as on any other.

    Parameters
    ----------
    config : Config
        The board has its build.
    net : Net
    threads : int
        Without effect.
    """

    def __init__(self, config: Config, net: Net, threads: int = 1) -> None:
        self._line = PseudoTerminal()
        self._stop = threading.Event()
        try:
            board = VirtualBoard(config, self._line)
            self._thread = threading.Thread(target=board.serve, args=(self._stop,), daemon=True)
            self._thread.start()
            super().__init__(config, net, self._line.name)
        except BaseException:
            self._end()
            raise

    def close(self) -> None:
        """Close the line, stop the board."""
        super().close()
        self._end()

    def _end(self) -> None:
        self._stop.set()
        if (thread := getattr(self, "_thread", None)) is not None:
            thread.join()
        self._line.close()
