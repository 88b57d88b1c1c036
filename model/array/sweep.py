"""Where a cell lies, in which order cells are visited, and how long that takes (golden model)."""

import math
from typing import NamedTuple

import numpy as np

from ohmgrid.config import BuildConfig
from ohmgrid.model.array.visit_queue import VisitQueue

__all__ = ["SweepCycles", "group_hits", "memory_order", "sweep_cycles"]

FILL = 3
"""Cycles from the start of a sweep until an address can be there."""


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
    """Cycles until the last visit has left stage D, and all cells that are hit their queues."""
    last: int
    """Cycles until the last visit comes to stage D."""


def sweep_cycles(
    rows: int, cols: int, build: BuildConfig, hits: np.ndarray | None = None, spaced: bool = False
) -> SweepCycles:
    """Return the cycles of a sweep through so many rows (all or those listed), clock by clock.

    A visit passes stages A (address), B, C and D. In D, its hit cells go to the queues of their
    groups; one cycle after a queue was full all stages are held. Loading a block's columns takes
    one cycle a column and one more, starts in the cycle after the previous block's first row came
    to D (the first block's: with the sweep, and `FILL` cycles at least), and must end before the
    block's first visit is issued. It waits, a cycle too long, while visits need the keys in its
    bank.

    Parameters
    ----------
    rows, cols : int
        Without rows there is nothing to do.
    build : BuildConfig
    hits : bool, shape (rows, cols), optional
        Cells to update; none if left out.
    spaced : bool
        Backward: last rows of two blocks stay ``lanes`` cycles apart in stage D, for a block's
        sums leave one a cycle.
    """
    lanes = build.lanes
    blocks = -(-cols // lanes)
    total = rows * blocks
    cells = group_hits(np.zeros((rows, cols), bool) if hits is None else hits, lanes, build.share)
    demand = cells.tolist()
    queues = [VisitQueue(build.queue) for _ in range(build.units)]
    stages: list[int | None] = [None, None, None]
    issued, clock, end, last = 0, 0, 0, 0
    fresh = held = used = False
    load_done, to_load, free = {0: max(lanes + 1, FILL)}, 0, 0.0
    while True:
        clock += 1
        visit = stages[2]
        waits = any(queue.waits for queue in queues)
        sweeping = issued < total or stages[:2] != [None, None] or (visit is not None and held)
        if not (sweeping or waits or fresh):
            return SweepCycles(end, last)
        if sweeping or waits:
            end = clock
        full = any(queue.full for queue in queues)
        # The bank of the next block to load was that of a block so many before.
        bank = len(load_done) - build.key_banks
        now_used = any(queue.block == bank for queue in queues)
        block, row = divmod(visit or 0, rows)
        for group, queue in enumerate(queues):
            queue.clock(block, demand[visit][group] if fresh and visit is not None else 0)
        if fresh:
            last = clock - 1
            if row == rows - 1:
                free = clock + 1 + max(0, lanes - 4)
            if row == 0 and block + 1 < blocks:
                to_load = block + 1
        if to_load and not used:
            load_done[to_load] = clock + lanes + 1
            to_load = 0
        used, fresh = now_used, False
        if not held:
            block, row = divmod(issued, rows)
            ready = issued < total and (row > 0 or load_done.get(block, clock) < clock)
            if spaced and row == rows - 1:
                ready = ready and clock >= free
                free = math.inf if ready else free
            stages = [issued if ready else None, *stages[:2]]
            issued += bool(ready)
            fresh = stages[2] is not None
        held = full
