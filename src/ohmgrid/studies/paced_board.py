"""A board that takes bytes at the pace of a line, and only pretends to compute.

With it the host's end of a link is measured: how busy it keeps the line, and how fast a training is
that only the line limits. Its link is the golden twin of the gateware's; its core keeps the cells
that it is given, answers every command and example at once, and learns nothing.
"""

import select
import time
from collections.abc import Callable
from pathlib import Path

from ohmgrid.config import Config
from ohmgrid.host.frames import Status
from ohmgrid.host.identity import make_identity
from ohmgrid.host.protocol import EXAMPLES_BITS, SILENT, Answer, Op
from ohmgrid.model.link.endpoint import Endpoint
from ohmgrid.model.link.records import Fault, pack_answer, pack_result, unpack
from ohmgrid.registers.meters import TOTAL_FIELDS, TOTALS
from ohmgrid.sim.virtual import PseudoTerminal

__all__ = ["PacedBoard", "PretendedCore"]

BITS_A_BYTE = 10
"""Of a UART: start, eight, stop."""
TICK_S = 0.0005
BURST_S = 0.004
"""How much of a pause the line makes up for: what lies in a UART's own buffers."""
CLOCK_HZ, CYCLES = 80_000_000, 3000
"""Clock that the board is said to have, and cycles that an example is said to take."""


class PretendedCore:
    """Takes what records bring, and has an answer for all of it at once."""

    def __init__(self) -> None:
        self.out = bytearray()
        self._cells: dict[int, list[int]] = {}
        self._into: list[int] | None = None
        self._left = 0
        self._keeps = False
        self.examples = 0

    def take(self, what: str, value: tuple[int, ...] | bytes) -> None:
        """Take one thing that a record brings."""
        if what == "command":
            self._command(int(value[0]))
        elif what == "word" and self._into is not None:
            self._into.append(int(value[0]))
        elif what == "keep":
            self._keeps = bool(int(value[0]) & 1)
        elif what == "order" or (what == "example" and not self._keeps):
            self.examples += 1
            self._left -= 1
            self.out += pack_answer(Answer(Op.COUNT, 0, 1, 0, 0).encode())
            if not self._left:
                self._answer(Op.RUN)

    def _answer(self, op: int, count: int = 0) -> None:
        self.out += pack_answer(op | count << 8)

    def _command(self, word: int) -> None:
        op, array, data = word & 255, word >> 8 & 255, word >> 16
        self._into = None
        if op == Op.WRITE_CELLS:
            self._into = self._cells[array] = []
        elif op == Op.READ_CELLS:
            for cell in self._cells.get(array, []):
                self.out += pack_result(cell)
        elif op == Op.RUN:
            self._left = data & ((1 << EXAMPLES_BITS) - 1)
            return
        elif op == Op.COUNTER:
            count = 0
            if array == TOTALS and data == [*TOTAL_FIELDS].index("examples"):
                count = self.examples
            if array == TOTALS and data == [*TOTAL_FIELDS].index("cycles_take"):
                count = CYCLES * self.examples
            self._answer(op, count)
            return
        if op not in SILENT:
            self._answer(op)


class PacedBoard:
    """Behind a pseudo-terminal, at so many bits a second each way.

    Parameters
    ----------
    config : Config
        What its gateware is said to be built for.
    baud : int
    name : Path, optional
        A symbolic link to make to the port.

    Attributes
    ----------
    port : str
        Name of the host's side.
    taken, given : int
        Bytes so far.
    """

    def __init__(self, config: Config, baud: int, name: Path | None = None) -> None:
        self._line = PseudoTerminal()
        if name is not None:
            self._line.call(name)
        self.port = self._line.name
        self._rate = baud / BITS_A_BYTE
        self._core = PretendedCore()
        self._end = Endpoint(make_identity(config, CLOCK_HZ), config.build.link, self._restart)
        self._records = bytearray()
        self._out = bytearray()
        self.taken = self.given = 0

    def _restart(self) -> None:
        self._core = PretendedCore()
        self._records = bytearray()

    def serve(self, stopped: Callable[[], bool]) -> None:
        """Take and give bytes until it is stopped."""
        last = time.perf_counter()
        may_take = may_give = 0.0
        while not stopped():
            select.select([self._line.end], [], [], TICK_S)
            time.sleep(TICK_S)
            now = time.perf_counter()
            passed, last = min(now - last, BURST_S), now
            most = BURST_S * self._rate
            may_take = min(may_take + passed * self._rate, most)
            may_give = min(may_give + passed * self._rate, most)
            came = self._line.read(int(may_take)) if may_take >= 1 else b""
            may_take -= len(came)
            self.taken += len(came)
            self._end.take(came)
            self._work()
            self._out += self._end.frames(self._status())
            part = bytes(self._out[: int(may_give)])
            if part:
                went = self._line.write(part)
                del self._out[:went]
                may_give -= went
                self.given += went

    def _status(self) -> Status:
        cycles = int(time.perf_counter() * CLOCK_HZ)
        return Status(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, cycles & 0xFFFFFFFF)

    def _work(self) -> None:
        """Have the core take whole records, and give what it has to say."""
        core, end = self._core, self._end
        if len(core.out) < self._end.room:
            self._records += end.read()
            try:
                taken, used = unpack(bytes(self._records))
            except Fault:
                end.fault = True
                taken, used = [], len(self._records)
            del self._records[:used]
            for thing in taken:
                core.take(*thing)
        went = min(len(core.out), end.space)
        end.write(bytes(core.out[:went]))
        del core.out[:went]

    def close(self) -> None:
        """Close the line."""
        self._line.close()
