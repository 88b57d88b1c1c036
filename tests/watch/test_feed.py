"""A run that is watched tells how it stands, can be paused, and learns the same bits."""

import base64
import json
import os
import socket
import stat
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from tile_cases import BUILDS
from watched import Listener, listening, own_registry, session

from ohmgrid.config import Config
from ohmgrid.devices.presets import preset
from ohmgrid.watch.feed import Feed
from ohmgrid.watch.registry import live_runs


def finish(run, feed) -> None:
    assert run.run(lambda: False, lambda progress: feed.look(), lambda row: None)


@contextmanager
def training(run, feed, stop):
    """Train in another thread until the end, or `stop`."""

    def train():
        run.run(stop.is_set, lambda progress: feed.look(), lambda row: None)

    thread = threading.Thread(target=train)
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def until_watched(run) -> None:
    """Wait until the feed has taken a watcher in: the hello comes just before."""
    end = time.monotonic() + 10
    while not run.pace.watched:
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.fixture(autouse=True)
def _own_registry(tmp_path, monkeypatch):
    own_registry(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("engine", "config"),
    [
        ("model", Config()),
        ("model", Config(device=preset("pcm"), batch=5)),
        ("compiled", Config()),
        ("rtl", Config(build=BUILDS[4])),
    ],
    ids=["model", "model-batch-pair", "compiled", "rtl"],
)
def test_no_bit_depends_on_a_watcher(engine, config):
    alone = session(engine, config)
    alone.run(lambda: False, lambda progress: None, lambda row: None)
    run = session(engine, config)
    sizes = set()
    with Feed(run, engine) as feed, listening(feed) as listener:
        until_watched(run)
        # Blocks of any length: the clock of this machine decides no bit.
        run.pace.size = lambda: sizes.add(len(sizes)) or config.batch * (1 + len(sizes) % 3)
        finish(run, feed)
        listener.wait(lambda: listener.seen("update"))
    assert len(sizes) > 5
    assert run.state_sha256 == alone.state_sha256
    assert run.core.counters == alone.core.counters
    assert [row["test_accuracy"] for row in run.history] == [
        row["test_accuracy"] for row in alone.history
    ]


def test_a_watcher_is_told_all_of_a_run(tmp_path):
    run = session()
    with Feed(run, "model", tmp_path / "a") as feed:
        with listening(feed) as listener:
            until_watched(run)
            finish(run, feed)
            feed.__exit__(None, None, None)
            listener.wait_closed()
            messages = list(listener.messages)
    hello, last = messages[0], messages[-1]
    assert hello["kind"] == "hello"
    assert (hello["engine"], hello["folder"], hello["net"]) == (
        "model",
        str((tmp_path / "a").resolve()),
        "8-4-3",
    )
    assert hello["shapes"] == [[4, 9], [3, 5]]
    assert (hello["epochs"], hello["examples"]) == (3, 40)
    assert last == {"kind": "end", "state": "finished"}
    rows = [row for update in listener.seen("update") for row in update["rows"]]
    assert rows == run.history
    final = listener.seen("update")[-1]
    assert (final["epoch"], final["position"], final["examples"]) == (3, 0, 120)
    assert final["counters"] == run.core.counters.as_dict()
    assert final["seconds"] == pytest.approx(sum(row["seconds"] for row in run.history))
    pictures = listener.seen("weights")[-1]["layers"]
    for picture, state, tile in zip(pictures, run.core.state(), run.core.tiles, strict=True):
        levels = np.frombuffer(base64.b64decode(picture["map"]), np.int8)
        shown = levels.reshape(picture["rows"], picture["cols"]) * (picture["reach"] / 127)
        assert np.abs(shown - state.weights * tile.lsb).max() <= picture["reach"] / 254 + 1e-9
        assert sum(picture["counts"]) == state.weights.size
    starts = hello["start"]
    assert [sum(picture["counts"]) for picture in starts] == [36, 15]


def paused(listener) -> bool:
    return any(update["paused"] for update in listener.seen("update"))


def place(run) -> tuple[int, int]:
    return run.progress.epoch, run.progress.position


def test_it_pauses_and_goes_on():
    run, said, stop = session(epochs=1000), [], threading.Event()
    feed = Feed(run, "model", stop=stop.is_set, say=said.append)
    with feed, listening(feed) as listener:
        until_watched(run)
        with training(run, feed, stop):
            listener.ask("pause")
            listener.wait(lambda: paused(listener))
            before = place(run)
            # One who comes while it is paused is told how it stands.
            with listening(feed) as second:
                second.wait(lambda: second.seen("update") and second.seen("weights"))
                assert second.seen("update")[-1]["paused"]
            assert place(run) == before
            listener.ask("resume")
            listener.wait(lambda: not listener.seen("update")[-1]["paused"])
            listener.wait(lambda: place(run) > before)
    assert [line.split()[0] for line in said] == ["paused", "the"]


@pytest.mark.parametrize("how", ["it stops", "its watcher leaves"])
def test_a_paused_run_is_not_stuck(how):
    run, stop = session(epochs=1000), threading.Event()
    feed = Feed(run, "model", stop=stop.is_set)
    with feed, ExitStack() as stack:
        listener = stack.enter_context(listening(feed))
        until_watched(run)
        with training(run, feed, stop) as thread:
            listener.ask("pause")
            listener.wait(lambda: paused(listener))
            before, end = place(run), time.monotonic() + 10
            if how == "it stops":
                stop.set()
                thread.join(10)
                assert not thread.is_alive()
            else:
                stack.close()
                while place(run) == before:
                    assert time.monotonic() < end
                    time.sleep(0.001)


def test_a_run_that_goes_back_to_its_checkpoint_is_told_anew():
    """A board whose line was lost begins again where it was last kept."""
    run = session(epochs=3)
    run.advance()
    checkpoint = run.checkpoint()
    with Feed(run, "virtual") as feed, listening(feed) as listener:
        until_watched(run)
        while len(run.history) < 3:
            run.advance()
        feed._next_update = 0.0
        feed.look()
        run.resume(checkpoint)
        feed._next_update = 0.0
        feed.look()
        # An example back at 0, with the row of the checkpoint and no other.
        places = ("first", "rows", "seconds", "examples")
        back = [1, [], 0.0, 0]
        listener.wait(
            lambda: back in [[one[name] for name in places] for one in listener.seen("update")]
        )
        finish(run, feed)
        feed.__exit__(None, None, None)
        listener.wait_closed()
    rows: list[dict] = []
    for update in listener.seen("update"):
        rows[update["first"] :] = update["rows"]
    assert rows == run.history


def test_who_does_not_read_slows_nothing_and_loses_no_row():
    run = session(epochs=2)
    with Feed(run, "model") as feed:
        assert feed.entry is not None
        lazy = socket.socket(socket.AF_UNIX)
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        lazy.connect(feed.entry.socket)
        until_watched(run)
        run.start()
        for _ in range(3000):  # far more than any buffer holds
            feed._next_update = feed._next_weights = 0.0
            begin = time.perf_counter()
            feed.look()
            assert time.perf_counter() - begin < 1.0
        finish(run, feed)
        # Now it reads, and what it missed is told in one go.
        received = bytearray()
        reader = threading.Thread(target=lambda: received.extend(_all_of(lazy)))
        reader.start()
        feed.__exit__(None, None, None)
        reader.join(10)
    messages = [json.loads(line) for line in bytes(received).splitlines()]
    updates = [message for message in messages if message["kind"] == "update"]
    assert 1 <= len(updates) < 3000
    assert [row for update in updates for row in update["rows"]] == run.history
    assert messages[-1]["state"] == "finished"


def _all_of(connection: socket.socket) -> bytes:
    with connection, connection.makefile("rb") as file:
        return file.read()


def test_pictures_are_taken_as_often_as_they_are_cheap(monkeypatch):
    run, now, cost = session(), [100.0], [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    with Feed(run, "model") as feed:

        def paint() -> bytes:
            now[0] += cost[0]
            return b""

        feed._paint = paint  # type: ignore[method-assign]

        def gap() -> float:
            begin = now[0]
            while not feed._paint_if_due(now[0]):
                now[0] += 0.01
            return now[0] - begin

        for cost[0], least, most in ((1e-4, 0.05, 0.07), (2.0, 399.0, 403.0), (1e-3, 0.19, 0.22)):
            for _ in range(4):
                gap()
            assert least <= gap() <= most
        # One that took long on a busy machine is no reason to wait.
        cost[0] = 5.0
        gap()
        cost[0] = 1e-3
        assert gap() < 0.22


@pytest.mark.parametrize("line", [b"nonsense\n", b'{"ask": "stop"}\n', b"x" * 100000, b"\xff\n"])
def test_a_watcher_that_talks_nonsense_is_dropped(line):
    run = session()
    with Feed(run, "model") as feed, listening(feed) as listener:
        until_watched(run)
        with suppress(OSError):  # refused half way
            listener.connection.sendall(line)
        listener.wait_closed()
        finish(run, feed)
        assert not run.pace.watched


def test_a_run_is_known_from_its_begin_to_its_end(tmp_path):
    run = session()
    assert live_runs() == []
    with Feed(run, "model", tmp_path / "a") as feed:
        (entry,) = live_runs()
        assert entry == feed.entry
        assert (entry.pid, entry.engine) == (os.getpid(), "model")
        assert entry.folder == str((tmp_path / "a").resolve())
        folder = Path(entry.socket).parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert len(entry.socket) <= 100
    assert live_runs() == []
    assert not folder.exists()
    waiting = [thread for thread in threading.enumerate() if "_accept" in thread.name]
    for thread in waiting:
        thread.join(5)
    assert not any(thread.is_alive() for thread in waiting)


@pytest.mark.parametrize(
    ("error", "state"),
    [(KeyboardInterrupt, "stopped"), (RuntimeError, "failed"), (None, "stopped")],
)
def test_the_end_says_how(error, state):
    run = session()
    feed = Feed(run, "model")
    with feed.__enter__(), listening(feed) as listener:
        until_watched(run)
        feed.__exit__(error, None, None)
        listener.wait_closed()
    assert listener.messages[-1] == {"kind": "end", "state": state}


def test_a_run_that_cannot_be_watched_runs(monkeypatch, tmp_path, caplog):
    def refuse(*args, **options):
        raise OSError("no room")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    run = session()
    with Feed(run, "model") as feed:
        finish(run, feed)
    assert run.done
    assert caplog.messages[0].startswith("this run cannot be watched: no folder for a socket in ")


def test_many_come_and_go():
    run, stop = session(epochs=1000), threading.Event()
    with Feed(run, "model") as feed, training(run, feed, stop):
        assert feed.entry is not None
        for _ in range(30):
            listener = Listener(feed.entry.socket)
            listener.wait(lambda listener=listener: listener.seen("hello"))
            listener.close()
        with listening(feed) as last:
            last.wait(lambda: last.seen("update"))
