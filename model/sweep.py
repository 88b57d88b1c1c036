"""Where a cell lies, in which order cells are visited, and how long that takes (golden model)."""

import math
from collections.abc import Sequence

import numpy as np

__all__ = ["memory_order", "sweep_cycles", "visit_stalls"]


def memory_order(rows: int, cols: int, lanes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of all cells in the order in which a sweep meets them.

    Block by block of ``lanes`` columns, row by row, lane by lane; lanes beyond the last column
    hold no cell and are left out.
    """
    row, col = np.meshgrid(np.arange(rows), np.arange(cols), indexing="ij")
    order = np.lexsort(((col % lanes).ravel(), row.ravel(), (col // lanes).ravel()))
    return row.ravel()[order], col.ravel()[order]


def visit_stalls(hits: np.ndarray, lanes: int, share: int) -> np.ndarray:
    """Return for how many cycles each visit waits for the device units.

    A group of ``share`` lanes sends one hit cell a cycle, so a visit takes as many cycles as the
    busiest group has hit cells.

    Parameters
    ----------
    hits : bool, shape (rows, cols)

    Returns
    -------
    int64, shape (blocks * rows,), in the order of visits
    """
    rows, cols = hits.shape
    blocks = -(-cols // lanes)
    padded = np.zeros((rows, blocks * lanes), bool)
    padded[:, :cols] = hits
    by_lane = padded.reshape(rows, blocks, lanes).transpose(1, 0, 2).reshape(-1, lanes)
    starts = np.arange(0, lanes, share)
    per_group = np.add.reduceat(by_lane.astype(np.int64), starts, axis=1)
    return np.maximum(per_group.max(axis=1) - 1, 0)


def sweep_cycles(
    rows: int, cols: int, lanes: int, stalls: Sequence[int] = (), spaced: bool = False
) -> int:
    """Return the cycles of a sweep, clock by clock.

    A visit passes stages A (address), B, C and D and holds all of them for its stalls when it is
    in D. Loading a block's columns takes one cycle a column, starts two cycles after the visit of
    the previous block's first row came to D (the first block's: with the sweep), and must end
    before the block's first visit is issued.

    Parameters
    ----------
    rows, cols, lanes : int
    stalls : sequence of int
        As from `visit_stalls`; missing ones are 0.
    spaced : bool
        Backward: last rows of two blocks stay ``lanes`` cycles apart in stage D, for a block's
        sums leave one a cycle.
    """
    blocks = -(-cols // lanes)
    total = rows * blocks
    waits = list(stalls) or [0] * total
    pipeline: list[int | None] = [None, None, None]
    issued, clock, hold = 0, 0, 0
    load_done = {0: lanes}
    free = 0.0
    while issued < total or any(visit is not None for visit in pipeline[:2]) or hold:
        clock += 1
        if hold:
            hold -= 1
            continue
        block, row = divmod(issued, rows)
        ready = issued < total and (row or load_done.get(block, clock) < clock)
        if spaced and row == rows - 1:
            ready = ready and clock >= free
            free = math.inf if ready else free
        pipeline = [issued if ready else None, *pipeline[:2]]
        issued += bool(ready)
        visit = pipeline[2]
        if visit is not None:
            hold = waits[visit]
            block, row = divmod(visit, rows)
            if row == rows - 1:
                free = clock + 2 + max(0, lanes - 4)
            if row == 0 and block + 1 < blocks:
                load_done[block + 1] = clock + 1 + lanes
    return clock
