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


def memory_order(rows: int, cols: int, lanes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of all cells in the order in which a sweep meets them.

    Block by block of ``lanes`` columns, row by row, lane by lane; lanes beyond the last column
    hold no cell and are left out.
    """
    row, col = np.meshgrid(np.arange(rows), np.arange(cols), indexing="ij")
    order = np.lexsort(((col % lanes).ravel(), row.ravel(), (col // lanes).ravel()))
    return row.ravel()[order], col.ravel()[order]


def group_hits(hits: np.ndarray, lanes: int, share: int) -> np.ndarray:
    """Return how many cells each visit hits in each group of ``share`` lanes.

    Parameters
    ----------
    hits : bool, shape (rows, cols)

    Returns
    -------
    int64, shape (blocks * rows, groups), in the order of visits
    """
    rows, cols = hits.shape
    blocks = -(-cols // lanes)
    padded = np.zeros((rows, blocks * lanes), bool)
    padded[:, :cols] = hits
    by_lane = padded.reshape(rows, blocks, lanes).transpose(1, 0, 2).reshape(-1, lanes)
    return np.add.reduceat(by_lane.astype(np.int64), np.arange(0, lanes, share), axis=1)


class SweepCycles(NamedTuple):
    """How long a sweep takes."""

    total: int
    """Cycles until the last visit is sent, and all cells that are hit have left their queues."""
    last: int
    """Cycles until the last visit is sent."""


def sweep_cycles(
    rows: int, cols: int, build: BuildConfig, hits: np.ndarray | None = None, spaced: bool = False
) -> SweepCycles:
    """Return the cycles of a sweep through so many rows (all or those listed), clock by clock.

    Loading a block's columns takes one cycle a column, starts two cycles after the previous block's
    first visit (the first block's: with the sweep, and the first visit is `FILL` cycles after that
    at least), and must end before the block's first visit is sent. In an update a visit is sent if
    each group has a place for it in its queue, as it was known three cycles before; and a block is
    not loaded before visits that need the keys in its bank have left the queues.

    Parameters
    ----------
    rows, cols : int
        Without rows there is nothing to do.
    build : BuildConfig
    hits : bool, shape (rows, cols), optional
        Cells to update; without, the sweep is no update.
    spaced : bool
        Backward: last rows of two blocks are ``lanes`` cycles apart or more, for a block's sums
        leave one a cycle.
    """
    if not rows:
        return SweepCycles(0, 0)
    blocks = -(-cols // build.lanes)
    demand = [] if hits is None else group_hits(hits, build.lanes, build.share).tolist()
    queues = Queues(build, demand, rows)
    issued, clock, last, free = 0, 0, 0, 0
    loaded_block, loads_until, wanted = 0, max(build.lanes, FILL), False
    # Clocks from which a bank is known to be free, and how far blocks have settled.
    bank_seen, settling = 0, deque()
    unsettled = 1
    while issued < rows * blocks or queues.busy:
        clock += 1
        block, row = divmod(issued, rows)
        sends = (
            issued < rows * blocks
            and (row > 0 or (loaded_block == block and clock > loads_until))
            and not (spaced and row == rows - 1 and clock < free)
            and (hits is None or queues.go)
        )
        settled = bool(settling) and settling[0] == clock
        if settled:
            settling.popleft()
        begins = wanted and (
            hits is None
            or (unsettled < build.key_banks and clock > bank_seen and not queues.bank_used)
        )
        queues.clock(issued if sends else None, loaded_block + 1)
        unsettled += begins - settled
        if begins:
            wanted = False
            loaded_block += 1
            loads_until, bank_seen = clock + build.lanes, clock + BANK_SEEN
        if sends:
            last = clock
            issued += 1
            if row == 0 and block + 1 < blocks:
                wanted = True
            if row == rows - 1:
                free = clock + build.lanes
                if hits is not None:
                    settling.append(clock + build.visit_cycles + SETTLE)
    return SweepCycles(max(last, queues.end), last)


class Queues:
    """The queues of all groups and the places in them, as the sweep sees them."""

    def __init__(self, build: BuildConfig, demand: list[list[int]], rows: int):
        self._build, self._demand, self._rows = build, demand, rows
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
        self._used = [queue.block == self._bank - self._build.key_banks for queue in self._queues]
        self._bank = bank
        self._on_the_way.append(sent)
        come = self._on_the_way.popleft()
        block = 0 if come is None else come // self._rows
        for group, queue in enumerate(self._queues):
            queue.clock(block, None if come is None else self._demand[come][group])
