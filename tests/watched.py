"""Small runs for the tests of what watches them."""

import json
import socket
import threading
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ohmgrid.config import Config
from ohmgrid.core import Core
from ohmgrid.engines import make_core
from ohmgrid.training.data import Dataset
from ohmgrid.training.plan import Plan
from ohmgrid.training.session import Session
from ohmgrid.watch import registry
from ohmgrid.watch.feed import Feed


def own_registry(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a test live runs of its own: those of this process alone."""
    live = folder / "live"
    live.mkdir(mode=0o755)
    monkeypatch.setattr(registry, "room", lambda kind: live)
    monkeypatch.setattr(registry, "places", lambda kind: [live])


def blobs(examples: int = 40) -> Dataset:
    rng = np.random.default_rng(3)
    labels = np.arange(examples) % 3
    x = rng.integers(0, 4097, (examples, 8)).astype(np.int32)
    return Dataset("blobs", x, labels, x[:9], labels[:9], (8,))


def session(
    engine: str = "model",
    config: Config | None = None,
    epochs: int = 3,
    examples: int = 40,
    start: bool = True,
) -> Session:
    """A run of 8-4-3 before its first epoch."""
    plan = Plan("blobs", "", "8-4-3", epochs=epochs)
    config = config or Config()
    core: Core = make_core(engine, config, plan.net())
    core.block = 8
    run = Session(config, plan, blobs(examples), core)
    if start:
        run.start()
    return run


class Listener:
    """Reads all that a run tells, in a thread of its own.

    ``seen(kind)`` has the messages of one kind so far.
    """

    def __init__(self, path: str) -> None:
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.connect(path)
        self.messages: list[dict[str, Any]] = []
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        # Where it was hung up on while it still said something, the end is an error.
        with suppress(OSError), self.connection.makefile("rb") as lines:
            for line in lines:
                with self._changed:
                    self.messages.append(json.loads(line))
                    self._changed.notify_all()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def seen(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in list(self.messages) if message["kind"] == kind]

    def wait(self, what: Callable[[], object], seconds: float = 10.0) -> None:
        """Wait until something is true of what came; fail where it does not become so."""
        with self._changed:
            assert self._changed.wait_for(what, seconds), self.messages[-3:]

    def wait_closed(self) -> None:
        self.wait(lambda: self._closed)

    def ask(self, what: str) -> None:
        self.connection.sendall(json.dumps({"ask": what}).encode() + b"\n")

    def close(self) -> None:
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self.connection.close()


@contextmanager
def listening(feed: Feed):
    """A listener that training knows of."""
    entry = feed.entry
    assert entry is not None
    listener = Listener(entry.socket)
    try:
        listener.wait(lambda: listener.seen("hello"))
        yield listener
    finally:
        listener.close()
