"""The side of a run that is watched: it tells how it stands, and can be paused.

Training calls `Feed.look` after each block. With nobody there that reads one attribute. A thread
waits for watchers in ``accept``, another for what each of them asks; what is told is sent by the
training thread itself, without waiting: what a watcher does not take in time it does not get.
"""

import contextlib
import logging
import math
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import msgspec
import numpy as np

from ohmgrid.devices.presets import device_name
from ohmgrid.doors.checks import OhmgridError
from ohmgrid.training.session import Session
from ohmgrid.watch.messages import PROTOCOL, Ask, End, Hello, Message, Picture, Update, Weights
from ohmgrid.watch.pictures import Painter
from ohmgrid.watch.registry import Entry, enter, leave, listen

__all__ = ["Feed"]

_log = logging.getLogger("ohmgrid")

UPDATE_S = 1 / 72
"""Seconds between updates, as a mean."""
WEIGHTS_S = 1 / 20
"""Seconds between pictures of the weights, at least."""
WEIGHTS_SHARE = 0.005
"""Part of the time that they may take: a slow link shows them seldom."""
GREET_S = 5.0
"""Seconds that a watcher may take for its first message, and for the last ones."""
LINE = 1 << 12
"""Bytes of the longest line that a watcher may send."""
PAUSED_S = 0.05
"""Seconds between two looks of a paused run."""


class Watcher:
    """One that listens: a connection, and what it has not taken yet."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._left = b""
        self.rows = 0
        """Rows of the history that it was told."""
        self.pictured = False
        """It has a picture of the weights."""

    def send(self, message: bytes) -> bool:
        """Send a message unless some of the last one is left; return whether it went.

        Raises
        ------
        OSError
            Nobody is there any more.
        """
        self._left = self._push(self._left)
        if self._left:
            return False
        self._left = self._push(message)
        return True

    def _push(self, data: bytes) -> bytes:
        """Send what goes at once; return the rest."""
        try:
            return data[self._connection.send(data, socket.MSG_DONTWAIT) :] if data else b""
        except (BlockingIOError, InterruptedError):
            return data

    def finish(self, message: bytes) -> None:
        """Send a last message, waiting for what is left before it, and hang up."""
        with contextlib.suppress(OSError):
            self._connection.settimeout(GREET_S)
            self._connection.sendall(self._left + message)
        self.hang_up()

    def hang_up(self) -> None:
        """End the connection; whoever waits on it wakes up."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()


def _line(message: Message) -> bytes:
    return msgspec.json.encode(message) + b"\n"


class Feed:
    """Tells whoever connects how a session stands, from entering to leaving the context.

    Where no socket can be made, the run goes on and a line says that it cannot be watched.

    Parameters
    ----------
    session : Session
        Started or resumed.
    engine : str
    folder : Path, optional
        Of the run.
    stop : callable, optional
        Whether the run is to end, paused or not.
    say : callable, optional
        Called with a line when the run pauses, and when it goes on.
    """

    def __init__(
        self,
        session: Session,
        engine: str,
        folder: Path | None = None,
        stop: Callable[[], bool] = lambda: False,
        say: Callable[[str], object] = lambda line: None,
    ) -> None:
        self._session, self._engine, self._folder = session, engine, folder
        self._stop, self._say = stop, say
        self._painter = Painter(session.config)
        self._start: list[Picture] | None = None
        self._listener: socket.socket | None = None
        self.entry: Entry | None = None
        self._lock = threading.Lock()
        self._painting = threading.Lock()
        self._watchers: tuple[Watcher, ...] = ()
        self._going = threading.Event()
        self._going.set()
        self._next_update = self._next_weights = 0.0
        self._weights = b""
        self._took: deque[float] = deque(maxlen=4)
        self._added, self._seconds = 0, 0.0

    def __enter__(self) -> "Feed":
        try:
            self._listener = listen()
            self.entry = enter(self._listener, self._engine, self._folder)
        except OSError as error:
            _log.warning("this run cannot be watched: %s", error)
            self._close()
            return self
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session.done:
            state = "finished"
        elif self._stop() or kind is None or not issubclass(kind, Exception):
            state = "stopped"
        else:
            state = "failed"
        self._close(state)

    def _close(self, state: str = "failed") -> None:
        """Tell all watchers the end, and be gone."""
        if self.entry is not None:
            leave(self.entry)
            self.entry = None
        listener, self._listener = self._listener, None
        if listener is None:
            return
        # A thread in `accept` sleeps on when its socket is closed: it is woken, and closes it.
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        with self._lock:
            watchers, self._watchers = self._watchers, ()
            self._going.set()
        if not watchers:
            return
        pictures = b""
        if state != "failed":
            with contextlib.suppress(OhmgridError):  # a line that is lost at the end
                pictures = self._paint()
        for watcher in watchers:
            update = _line(self._update(watcher.rows))
            watcher.finish(update + pictures + _line(End(state)))

    # The threads of watchers.

    def _accept(self, listener: socket.socket) -> None:
        """Take watchers in until the socket is closed."""
        while self._listener is listener:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._attend, args=(connection,), daemon=True).start()

    def _attend(self, connection: socket.socket) -> None:
        """Greet a watcher, then do what it asks for until it is gone."""
        watcher = Watcher(connection)
        try:
            connection.settimeout(GREET_S)
            connection.sendall(_line(self._hello()))
            connection.settimeout(None)
        except OSError:
            watcher.hang_up()
            return
        with self._lock:
            if self._listener is None:
                watcher.hang_up()
                return
            self._watchers += (watcher,)
            self._session.pace.watched = True
            self._session.between_tests = self.look
        try:
            with connection.makefile("rb") as lines:
                while line := lines.readline(LINE):
                    self._do(line)
        except (OSError, ValueError, msgspec.MsgspecError):
            pass  # it is gone, or talks nonsense: both end it
        finally:
            self._drop(watcher)

    def _do(self, line: bytes) -> None:
        """Do what a watcher asks for; raise `ValueError` where that is nothing known."""
        asked = msgspec.json.decode(line, type=Ask).ask
        if asked == "pause":
            self._going.clear()
        elif asked == "resume":
            self._going.set()
        else:
            raise ValueError(f"expected pause or resume, got {asked!r}")

    def _drop(self, watcher: Watcher) -> None:
        """Forget a watcher; a run that is paused goes on when nobody is left to resume it."""
        with self._lock:
            self._watchers = tuple(one for one in self._watchers if one is not watcher)
            if not self._watchers:
                self._session.pace.watched = False
                self._session.between_tests = lambda: None
                self._going.set()
        watcher.hang_up()

    def _hello(self) -> Hello:
        session, plan, config = self._session, self._session.plan, self._session.config
        with self._painting:  # once, which takes a moment, and holds up no training
            if self._start is None:
                self._start = self._painter.paint(session.initial_states())
        labels = session.data.test_labels
        return Hello(
            protocol=PROTOCOL,
            engine=self._engine,
            folder="" if self._folder is None else str(self._folder.resolve()),
            data=plan.data,
            device=device_name(config.device),
            net=plan.layers,
            activation=plan.activation,
            loss=plan.loss,
            shapes=plan.net().shapes,
            lr=plan.lr,
            batch=config.batch,
            seed=config.seed,
            epochs=plan.epochs,
            examples=len(session.data.train_labels),
            chance=float(np.bincount(labels).max()) / len(labels),
            bins=self._painter.bins,
            full=self._painter.full,
            start=self._start,
        )

    # The thread that trains.

    def look(self) -> None:
        """Tell the watchers how the run stands; stay while it is paused."""
        if not self._watchers:
            return
        now = time.perf_counter()
        if now >= self._next_update:
            self._next_update = max(self._next_update + UPDATE_S, now)
            self._tell(now)
        if self._going.is_set() or self._stop():
            return
        self._say("paused by whoever watches; Ctrl-C stops the run")
        self._next_weights = 0.0
        while not self._going.is_set() and not self._stop():
            self._tell(time.perf_counter())
            self._next_weights = math.inf  # they do not change
            self._going.wait(PAUSED_S)
        self._say("the run goes on")
        self._next_weights = self._next_update = 0.0
        self._tell(time.perf_counter())

    def _tell(self, now: float) -> None:
        """Send an update, and pictures where they are due."""
        new = self._paint_if_due(now)
        count = len(self._session.history)
        lines: dict[int, bytes] = {}
        for watcher in self._watchers:
            try:
                if watcher.rows not in lines:
                    lines[watcher.rows] = _line(self._update(watcher.rows))
                if not watcher.send(lines[watcher.rows]):
                    continue
                watcher.rows = count
                if new or not watcher.pictured:
                    watcher.pictured = watcher.send(self._weights) or watcher.pictured
            except OSError:
                self._drop(watcher)

    def _paint_if_due(self, now: float) -> bool:
        """Paint the weights if it is time to; return whether it was."""
        if now < self._next_weights:
            return False
        self._paint()
        # The least of some: a busy machine now and then takes its time between.
        self._took.append(time.perf_counter() - now)
        self._next_weights = now + max(WEIGHTS_S, min(self._took) / WEIGHTS_SHARE)
        return True

    def _paint(self) -> bytes:
        layers = self._painter.paint(self._session.core.state())
        self._weights = _line(Weights(self._examples, layers))
        return self._weights

    @property
    def _examples(self) -> int:
        """Training examples of all epochs."""
        progress = self._session.progress
        return progress.epoch * len(self._session.data.train_labels) + progress.position

    def _update(self, first: int) -> Update:
        """Return how the run stands, with rows of the history from ``first`` on."""
        session, progress = self._session, self._session.progress
        if self._added > len(session.history):  # it went back to a checkpoint
            self._added, self._seconds = 0, 0.0
        # In a history of thousands of epochs, a row is added once.
        new = session.history[self._added :]
        self._added += len(new)
        self._seconds += sum(row["seconds"] for row in new)
        return Update(
            paused=not self._going.is_set(),
            epoch=progress.epoch,
            position=progress.position,
            hits=progress.hits,
            loss=progress.loss,
            examples=self._examples,
            seconds=self._seconds + progress.seconds,
            counters=session.core.counters.as_dict(),
            first=min(first, len(session.history)),
            rows=session.history[first:],
        )
