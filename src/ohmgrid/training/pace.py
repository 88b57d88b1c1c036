"""How many examples are trained between two looks at what else there is to do."""

from collections import deque

__all__ = ["WATCHED_S", "Pace"]

WATCHED_S = 1 / 72
"""Seconds of a block while somebody watches: 60 looks a second, and room for what comes between."""
OVERHEAD = 0.025
"""Part of the time that the beginnings and ends of shorter blocks may take."""
LONG = 4
"""Once in a while a block is so many times as long, to see what beginning one costs."""
EVERY = 64
"""One block of so many is a long one."""
KEPT = 8
"""Comparisons of short and long blocks of which the least counts: what is always there."""
SMOOTH = 0.2
"""Weight of the newest block in the mean of short ones."""


class Pace:
    """Whole mini-batches for each call of an engine.

    Unwatched, a block is as long as the engine wants it. Watched, it lasts `WATCHED_S` seconds,
    by the measured time of those before, or as much longer as an engine needs whose calls cost
    something themselves: a block of n examples takes a + b n, and a may be `OVERHEAD` of it. No
    result depends on it.

    Parameters
    ----------
    most : int
        Examples of an unwatched block, `ohmgrid.core.Core.block`.
    batch : int
        Examples of a mini-batch.

    Attributes
    ----------
    watched : bool
    """

    def __init__(self, most: int, batch: int) -> None:
        self._batch = batch
        self.limit(most)
        self.watched = False
        self._per_example: float | None = None
        self._blocks = self._short = 0
        self._costs: deque[float] = deque(maxlen=KEPT)

    def limit(self, most: int) -> None:
        """Set the examples of an unwatched block: an engine may have learned how fast it is."""
        self._most = max(1, most // self._batch) * self._batch

    def size(self) -> int:
        """Return the examples of the next block: whole mini-batches, at least one."""
        if not self.watched or self._per_example is None:
            return self._most
        seconds = self.seconds * (LONG if self._is_long else 1)
        batches = int(seconds / (self._per_example * self._batch))
        return min(max(1, batches) * self._batch, self._most)

    @property
    def seconds(self) -> float:
        """How long a watched block is to be."""
        if len(self._costs) < KEPT:
            return WATCHED_S
        return max(WATCHED_S, min(self._costs) / OVERHEAD)

    @property
    def _is_long(self) -> bool:
        return self._blocks % EVERY == EVERY - 1

    def took(self, examples: int, seconds: float) -> None:
        """Learn that a block of so many examples took so long."""
        each = seconds / examples
        if each <= 0:  # a clock too coarse to say anything
            return
        if self._per_example is None:
            self._per_example, self._short = each, examples
        elif self.watched and self._is_long:
            # An example takes b + a / n in a block of n.
            if examples > self._short:
                share = (self._per_example - each) / (1 / self._short - 1 / examples)
                self._costs.append(max(0.0, share))
        else:
            self._per_example += SMOOTH * (each - self._per_example)
            self._short = examples
        self._blocks += 1
