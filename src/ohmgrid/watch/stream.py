"""Events for any number of browsers, each at its own pace."""

import asyncio

__all__ = ["BEAT", "Stream"]

BEAT_S = 5.0
"""Seconds of silence after which an event says that the connection is alive."""
BEAT = "beat", b"{}"
"""That event."""


class Stream:
    """Wakes whoever waits for news, until it is closed."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self._closed = False

    def close(self) -> None:
        """End all streams of events."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    @staticmethod
    async def _news(changed: asyncio.Event) -> bool:
        """Wait until something has changed; return False if it is time for a beat."""
        try:
            await asyncio.wait_for(changed.wait(), BEAT_S)
        except TimeoutError:
            return False
        return True
