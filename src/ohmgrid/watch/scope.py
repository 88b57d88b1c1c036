"""An oscilloscope: a page that shows a system in continuous time while it is simulated.

A system goes on a frame after the other, at the pace that was asked for; where it is slower than
that, at its own.
"""

import asyncio
import signal
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import msgspec
import numpy as np

from ohmgrid.watch.server import SCOPE, Page
from ohmgrid.watch.stream import BEAT, Stream

__all__ = ["Scope", "Signals", "show"]

FRAME_S = 0.05
"""Seconds between two frames."""
POINTS = 40
"""Samples of a frame that are shown, at most."""
MOST_TRACES = 8
FRAMES = 200
"""Frames that a page shows."""


class Signals(NamedTuple):
    """What is shown, as a page is told first."""

    title: str
    names: list[str]
    """Of the traces."""
    unit: str
    """Of time."""
    step: float
    """Time between samples."""
    lag: float
    """The phase portrait is the first trace over itself so much earlier; 0: the second one over the
    first."""


class Scope(Stream):
    """The newest frames of a system, for any number of browsers."""

    def __init__(self, signals: Signals) -> None:
        super().__init__()
        self.signals = signals
        self.paused = False
        self._frames: deque[tuple[int, bytes]] = deque(maxlen=FRAMES)
        self._count = 0
        self._samples = 0

    def take(self, values: np.ndarray) -> None:
        """Take over samples (shape (samples, traces)); some of many, the last one among them."""
        times = np.arange(self._samples + 1, self._samples + len(values) + 1) * self.signals.step
        self._samples += len(values)
        every = -(-len(values) // POINTS)
        shown = slice((len(values) - 1) % every, None, every)
        frame = {
            "times": times[shown].round(6).tolist(),
            "values": values[shown, :MOST_TRACES].round(5).tolist(),
        }
        self._count += 1
        self._frames.append((self._count, msgspec.json.encode(frame)))
        self._wake()

    def pause(self, paused: bool) -> None:
        """Take note that the system rests, or goes on."""
        self.paused = paused
        self._wake()

    async def events(self) -> AsyncIterator[tuple[str, bytes]]:
        """Yield names and contents (JSON) of events for one browser, until `close`."""
        told, state = 0, ""
        names = self.signals.names[:MOST_TRACES]
        yield "hello", msgspec.json.encode(self.signals._replace(names=names)._asdict())
        while not self._closed:
            changed = self._changed
            for number, frame in [one for one in self._frames if one[0] > told]:
                told = number
                yield "frame", frame
            now = "paused" if self.paused else "running"
            if now != state:
                state = now
                yield "state", msgspec.json.encode({"state": state})
            if not await self._news(changed):
                yield BEAT


async def show(
    run: Callable[[int], np.ndarray],
    signals: Signals,
    pace: float,
    ready: Callable[[str], object],
    port: int = 0,
) -> None:
    """Run a system and serve its page until Ctrl-C or SIGTERM.

    Parameters
    ----------
    run : callable
        Goes on by so many samples; returns them, real, shape (samples, traces).
    signals : Signals
    pace : float
        Time that is simulated in a second, at most.
    ready : callable
        Called with the page's address.
    port : int
        0 for any free one.

    Raises
    ------
    ConfigError
        The port is taken.
    """
    scope, loop = Scope(signals), asyncio.get_running_loop()

    async def ask(what: str) -> bool:
        scope.pause(what == "pause")
        return True

    page, asked = Page(scope, ask, SCOPE), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    samples = max(1, round(pace * FRAME_S / signals.step))
    await page.start(port)
    try:
        ready(page.url)
        while not asked.is_set():
            due = loop.time() + FRAME_S
            if not scope.paused:
                # Another thread: the page stays alive meanwhile.
                scope.take(await loop.run_in_executor(None, run, samples))
            try:
                await asyncio.wait_for(asked.wait(), max(due - loop.time(), 0.001))
            except TimeoutError:
                continue
    finally:
        await page.stop()
