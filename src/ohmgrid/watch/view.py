"""What a page shows: the newest of everything that a run told, for any number of browsers.

A browser that takes its time gets the newest state when it is ready, and every row of the history.
"""

from collections.abc import AsyncIterator

import msgspec

from ohmgrid.watch.messages import Hello, Message, Row, Update, Weights
from ohmgrid.watch.stream import BEAT, Stream

__all__ = ["LIVE", "View"]

LIVE = ("running", "paused")
"""States of a run that is alive."""


class View(Stream):
    """The state of a run as far as it is known.

    Attributes
    ----------
    state : str
        One of `LIVE`; ``waiting``: nothing is known; ``finished``, ``stopped``, ``failed``; or
        ``lost``: its process ended without a word.
    """

    def __init__(self) -> None:
        super().__init__()
        self.state = "waiting"
        self._run = 0
        self._hello = self._weights = b""
        self._update: Update | None = None
        self._rows: list[Row] = []

    def take(self, message: Message) -> None:
        """Take over what a run tells; a `Hello` begins anew."""
        if isinstance(message, Hello):
            self._run += 1
            self._hello, self._update, self._rows = msgspec.json.encode(message), None, []
            self._weights, self.state = b"", "running"
        elif isinstance(message, Update):
            self._rows[message.first :] = message.rows
            self._update = message
            self.state = "paused" if message.paused else "running"
        elif isinstance(message, Weights):
            self._weights = msgspec.json.encode(message)
        else:
            self.set_state(message.state)
        self._wake()

    def set_state(self, state: str) -> None:
        """Say what has become of the run."""
        self.state = state
        self._wake()

    async def events(self) -> AsyncIterator[tuple[str, bytes]]:
        """Yield names and contents (JSON) of events for one browser, until `close`."""
        run = rows = 0
        told: Update | None = None
        shown = b""
        state = ""
        while not self._closed:
            # Whatever changes from here on, while a browser takes its time, is looked at again.
            changed = self._changed
            if run != self._run:
                run, rows, told, shown = self._run, 0, None, b""
                yield "hello", self._hello
            if run == self._run and self._update is not None and self._update is not told:
                told = self._update
                rows = min(rows, told.first, len(self._rows))
                new = self._rows[rows:]
                update = msgspec.structs.replace(told, first=rows, rows=new)
                rows = len(self._rows)
                yield "update", msgspec.json.encode(update)
            if run == self._run and self._weights and self._weights is not shown:
                shown = self._weights
                yield "weights", shown
            if state != self.state:
                state = self.state
                yield "state", msgspec.json.encode({"state": state})
            if not await self._news(changed):
                yield BEAT
