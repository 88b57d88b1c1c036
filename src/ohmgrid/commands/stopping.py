"""Ctrl-C and SIGTERM: a run that is asked to stop does so between two blocks, with a checkpoint."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Stop", "stop_on_signal"]


class Stop:
    """Which signal asked the run to stop, if one has."""

    signal: int | None = None

    def asked(self) -> bool:
        """Return whether one has."""
        return self.signal is not None

    @property
    def status(self) -> int:
        """Exit status, as shells have it."""
        return 128 + (self.signal or 0)


@contextmanager
def stop_on_signal() -> Iterator[Stop]:
    """Turn the first Ctrl-C or SIGTERM into a request to stop; the second one kills."""
    stop = Stop()
    before: dict[int, Any] = {}

    def ask(number: int, frame: object) -> None:
        stop.signal = number
        for one, handler in before.items():
            signal.signal(one, handler)

    for one in (signal.SIGINT, signal.SIGTERM):
        before[one] = signal.signal(one, ask)
    try:
        yield stop
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
