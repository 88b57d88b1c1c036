"""Where a cell lies, in which order cells are visited, and how long that takes (golden model)."""

from collections import deque
from typing import NamedTuple

import numpy as np

from ohmgrid.config import BuildConfig
from ohmgrid.model.array.visit_queue import VisitQueue

__all__ = ["Queues", "SweepCycles", "group_hits", "memory_order", "sweep_cycles"]

FILL = 3
"""Cycles from the start of a sweep until an address can be there."""
SPARE = 3
"""Places that a queue must have for another visit: two may be sent before the first is counted."""
BANK_SEEN = 3
"""Cycles after the start of loading that the next bank is known to be free or not."""
SETTLE = 3
"""Cycles from when a visit comes to a queue until the sweep knows of it."""


def memory_order(
    rows: int, cols: int, lanes: int, turned: bool = False, devices: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of all cells in the order in which a sweep meets them.

    Block by block of ``lanes`` lane lines, serial line by serial line, the plus device before the
    minus device of a pair, lane by lane; lanes beyond the last line hold no cell and are left out.

    Parameters
    ----------
    rows : int
        Rows of devices.
    cols, lanes : int
    turned : bool
        The lanes lie along outputs, not inputs.
    devices : int
        Devices of a weight: 2 for pairs.
    """
    row, col = (index.ravel() for index in np.indices((rows, cols)))
    lane_line, serial = (row // devices, col) if turned else (col, row // devices)
    order = np.lexsort((lane_line % lanes, row % devices, serial, lane_line // lanes))
    return row[order], col[order]


def group_hits(hits: np.ndarray, lanes: int, share: int) -> np.ndarray:
    """Return how many cells each visit hits in each group of ``share`` lanes.

    Parameters
    ----------
    hits : bool, shape (visits of a block, lane lines)

    Returns
    -------
    int64, shape (blocks * visits of a block, groups), in the order of visits
    """
    visits, lane_lines = hits.shape
    blocks = -(-lane_lines // lanes)
    padded = np.zeros((visits, blocks * lanes), bool)
    padded[:, :lane_lines] = hits
    by_lane = padded.reshape(visits, blocks, lanes).transpose(1, 0, 2).reshape(-1, lanes)
    return np.add.reduceat(by_lane.astype(np.int64), np.arange(0, lanes, share), axis=1)


class SweepCycles(NamedTuple):
    """How long a sweep takes."""

    total: int
    """Cycles until the last visit is sent, and all cells that are hit have left their queues."""
    last: int
    """Cycles until the last visit is sent."""


def sweep_cycles(
    serial: int,
    lane_lines: int,
    build: BuildConfig,
    devices: int = 1,
    turned: bool = False,
    chain: bool = False,
    bare: bool = False,
    hits: np.ndarray | None = None,
) -> SweepCycles:
    """Return the cycles of a sweep through so many serial lines, clock by clock.

    Loading a block's lane lines takes a cycle a line, and begins two cycles after the first visit
    of the block before (of the first block: with the sweep, and the first visit is `FILL` cycles
    after that at least); it must end before the block's first visit is sent. In an update a visit
    is sent if each group has a place for it in its queue, as it was known three cycles before; and
    a block is not loaded before visits that need the keys in its bank have left the queues.

    Parameters
    ----------
    serial : int
        Serial lines that are visited, all or those of a list. An update of none does nothing;
        another sweep visits one line at least.
    lane_lines : int
        Of the array, or of the one block that is swept.
    build : BuildConfig
    devices : int
        Visits that a serial line takes: 2 for pairs, if both devices are visited.
    turned : bool
        The lanes lie along outputs: in updates, lane lines of pairs have keys for both devices, so
        that they are loaded twice and take two banks.
    chain : bool
        Sums stay in the lanes: those of a block leave one a cycle, all lanes', and the last visit
        of the next block waits for that.
    bare : bool
        Then, nothing is loaded.
    hits : bool, shape (serial * devices, lane_lines), optional
        Cells to update, in the order of visits; without, the sweep is no update.
    """
    update = hits is not None
    if update and not serial:
        return SweepCycles(0, 0)
    visits, blocks = devices * max(1, serial), -(-lane_lines // build.lanes)
    halved = turned and devices == 2
    banks = build.key_banks // 2 if halved else build.key_banks

    def loading(block: int) -> int:
        lines = 0 if bare else min(build.lanes, lane_lines - block * build.lanes)
        return 2 * lines if update and halved else lines

    demand = [] if hits is None else group_hits(hits, build.lanes, build.share).tolist()
    queues = Queues(build, demand, visits, banks)
    issued, clock, last = 0, 0, 0
    loaded_block, loads_until, wanted = 0, max(loading(0), FILL), False
    drained = 0
    # Clocks from which a bank is known to be free, and how far blocks have settled.
    bank_seen, settling = 0, deque()
    unsettled = 1
    while issued < visits * blocks or queues.busy:
        clock += 1
        block, visit = divmod(issued, visits)
        there = (bare and block > 0) or (loaded_block == block and clock > loads_until)
        sends = (
            issued < visits * blocks
            and (visit > 0 or there)
            and (visit < visits - 1 or clock >= drained)
            and queues.go
        )
        settled = bool(settling) and settling[0] == clock
        if settled:
            settling.popleft()
        begins = wanted and (
            not update or (unsettled < banks and clock > bank_seen and not queues.bank_used)
        )
        queues.clock(issued if sends else None, loaded_block + 1)
        unsettled += begins - settled
        if begins:
            wanted = False
            loaded_block += 1
            loads_until, bank_seen = clock + loading(loaded_block), clock + BANK_SEEN
        if sends:
            last = clock
            issued += 1
            wanted |= visit == 0 and block + 1 < blocks
            if chain and visit == visits - 1:
                drained = clock + build.lanes
            if visit == visits - 1 and update:
                settling.append(clock + build.visit_cycles + SETTLE)
    return SweepCycles(max(last, queues.end), last)


class Queues:
    """The queues of all groups and the places in them, as the sweep sees them.

    Parameters
    ----------
    build : BuildConfig
    demand : list of list of int
        Cells that each visit of an update hits in each group; empty for another sweep.
    visits : int
        Visits of a block.
    banks : int
        Blocks whose lane lines have their keys at the same time.
    """

    def __init__(self, build: BuildConfig, demand: list[list[int]], visits: int, banks: int):
        self._demand, self._visits, self._banks = demand, visits, banks
        units = build.units if demand else 0
        self._queues = [VisitQueue() for _ in range(units)]
        self._on_the_way: deque[int | None] = deque([None] * build.visit_cycles)
        self._room, self._ready = [build.queue] * units, [True] * units
        self._returned = [0] * units
        self._used, self.bank_used = [False] * units, False
        self._bank = 1
        self._clock = 0
        self.go, self.end = True, 0

    @property
    def busy(self) -> bool:
        """A visit is on its way or in a queue."""
        return any(visit is not None for visit in self._on_the_way) or any(
            queue.waits for queue in self._queues
        )

    def clock(self, sent: int | None, bank: int) -> None:
        """Let a cycle pass in which a visit is sent; the next block to load is ``bank``."""
        self._clock += 1
        if any(queue.waits for queue in self._queues):
            # A cycle later the sweep knows.
            self.end = self._clock + 1
        if not self._queues:
            return
        self.go = all(self._ready)
        self._ready = [room >= SPARE for room in self._room]
        self._room = [
            room + back - (sent is not None)
            for room, back in zip(self._room, self._returned, strict=True)
        ]
        self._returned = [queue.missed + queue.popped for queue in self._queues]
        self.bank_used = any(self._used)
        self._used = [queue.block == self._bank - self._banks for queue in self._queues]
        self._bank = bank
        self._on_the_way.append(sent)
        come = self._on_the_way.popleft()
        block = 0 if come is None else come // self._visits
        for group, queue in enumerate(self._queues):
            queue.clock(block, None if come is None else self._demand[come][group])
