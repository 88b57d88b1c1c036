"""What a page shows: the newest of everything that a run told, for any number of browsers.

A browser that takes its time gets the newest state when it is ready, and every row of the history.
"""

import asyncio
from collections.abc import AsyncIterator

import msgspec

from ohmgrid.watch.messages import Hello, Message, Row, Update, Weights

__all__ = ["LIVE", "View"]

LIVE = ("running", "paused")
"""States of a run that is alive."""

BEAT_S = 5.0
"""Seconds of silence after which an event says that the connection is alive."""


class View:
    """The state of a run as far as it is known.

    Attributes
    ----------
    state : str
        One of `LIVE`; ``waiting``: nothing is known; ``finished``, ``stopped``, ``failed``; or
        ``lost``: its process ended without a word.
    """

    def __init__(self) -> None:
        self.state = "waiting"
        self._run = 0
        self._hello = self._weights = b""
        self._update: Update | None = None
        self._rows: list[Row] = []
        # Each thing has the number of the change that brought it.
        self._change, self._updated, self._pictured = 0, 0, 0
        self._changed = asyncio.Event()
        self._closed = False

    def take(self, message: Message) -> None:
        """Take over what a run tells; a `Hello` begins anew."""
        if isinstance(message, Hello):
            self._run += 1
            self._hello, self._update, self._rows = msgspec.json.encode(message), None, []
            self._weights, self.state = b"", "running"
        elif isinstance(message, Update):
            self._rows += message.rows
            self._update = message
            self.state = "paused" if message.paused else "running"
            self._updated = self._change + 1
        elif isinstance(message, Weights):
            self._weights, self._pictured = msgspec.json.encode(message), self._change + 1
        else:
            self.set_state(message.state)
        self._wake()

    def set_state(self, state: str) -> None:
        """Say what has become of the run."""
        self.state = state
        self._wake()

    def close(self) -> None:
        """End all streams of events."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        self._change += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def events(self) -> AsyncIterator[tuple[str, bytes]]:
        """Yield names and contents (JSON) of events for one browser, until `close`."""
        run = rows = seen = 0
        state = ""
        while not self._closed:
            changed, change = self._changed, self._change
            if run != self._run:
                run, rows, seen = self._run, 0, 0
                yield "hello", self._hello
            if run == self._run and self._update is not None and self._updated > seen:
                update = msgspec.structs.replace(self._update, rows=self._rows[rows:])
                rows = len(self._rows)
                yield "update", msgspec.json.encode(update)
            if run == self._run and self._weights and self._pictured > seen:
                yield "weights", self._weights
            if state != self.state:
                state = self.state
                yield "state", msgspec.json.encode({"state": state})
            seen = change
            try:
                await asyncio.wait_for(changed.wait(), BEAT_S)
            except TimeoutError:
                yield "beat", b"{}"
