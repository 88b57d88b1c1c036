"""Visits with cells to update, while they wait for their device unit (golden model)."""

from collections import deque

__all__ = ["VisitQueue"]


class VisitQueue:
    """Visits of one group that wait for its device unit, clock by clock.

    The first visit sends a cell to the unit in each cycle; the others stand behind it.

    Parameters
    ----------
    depth : int
        Visits behind the first one that there is room for.

    Attributes
    ----------
    block : int or None
        Block of the visit that has waited longest.
    """

    def __init__(self, depth: int):
        self._depth = depth
        self._first = 0
        self._behind: deque[tuple[int, int]] = deque()
        self.block: int | None = None

    @property
    def full(self) -> bool:
        """Only two more visits can be taken: those that are on their way when a sweep is held."""
        return len(self._behind) >= self._depth - 2

    @property
    def waits(self) -> bool:
        """A visit is in the queue."""
        return self.block is not None

    def clock(self, block: int, cells: int) -> None:
        """Let a cycle pass in which a visit with so many hit cells (0: no visit) comes."""
        self._first = max(0, self._first - 1)
        empty = not self._first
        if empty:
            self.block = None
        if empty and self._behind:
            self.block, self._first = self._behind.popleft()
        if cells:
            self._behind.append((block, cells))
        if self.block is None and self._behind:
            self.block = self._behind[0][0]
