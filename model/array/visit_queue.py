"""Visits with cells to update, while they wait for their device unit (golden model)."""

from collections import deque

__all__ = ["VisitQueue"]


class VisitQueue:
    """Visits of one group that wait for its device unit, clock by clock.

    The visit at work sends a cell to the unit in each cycle. The next one stands ready, the others
    are stored behind it; each of these three takes a cycle to pass, and so does the write.

    Attributes
    ----------
    block : int or None
        Block of the visit that has waited longest.
    missed, popped : bool
        A place in the queue is free again.
    """

    def __init__(self):
        self._waiting: deque[tuple[int, int]] = deque()
        self._pushed = False
        self._stored = 0
        self._ahead = False
        # Cells of the visit at work that are left, and its block.
        self._left, self._block = 0, 0
        self.missed = False

    @property
    def waits(self) -> bool:
        """A visit is in the queue."""
        return bool(self._left or self._waiting)

    @property
    def block(self) -> int | None:
        if self._left:
            return self._block
        return self._waiting[0][0] if self._waiting else None

    @property
    def popped(self) -> bool:
        """The next visit is at work from now on."""
        return self._ahead and self._left <= 1

    def clock(self, block: int, cells: int | None) -> None:
        """Let a cycle pass in which a visit with so many hit cells (None: no visit) comes."""
        pop = self.popped
        take = self._stored > 0 and (pop or not self._ahead)
        self._stored += self._pushed - take
        self._ahead = take or (self._ahead and not pop)
        self._left = max(0, self._left - 1)
        if pop:
            self._block, self._left = self._waiting.popleft()
        self._pushed, self.missed = bool(cells), cells == 0
        if cells:
            self._waiting.append((block, cells))
