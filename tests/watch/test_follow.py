"""Which run is meant, and what is followed while it lives and after."""

import asyncio
import json
import os
from pathlib import Path

import pytest
from watched import own_registry, session

from ohmgrid.doors.checks import OhmgridError
from ohmgrid.watch.follow import Follower, Target
from ohmgrid.watch.registry import enter, leave, listen, live_runs
from ohmgrid.watch.view import View


@pytest.fixture(autouse=True)
def _own_registry(tmp_path, monkeypatch):
    own_registry(tmp_path, monkeypatch)


def test_a_run_is_meant_by_folder_port_process_or_as_the_newest(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    (tmp_path / "tty").write_text("")
    (tmp_path / "by-id").symlink_to(tmp_path / "tty")
    listeners = [listen() for _ in range(3)]
    engines, folders = ("model", "virtual", str(tmp_path / "tty")), (tmp_path / "a", None, None)
    entries = []
    for listener, engine, folder in zip(listeners, engines, folders, strict=True):
        monkeypatch.setattr("time.time", lambda: float(len(entries)))
        entries.append(enter(listener, engine, folder))
    monkeypatch.chdir(tmp_path)
    for target, place in (
        (Target(), 2),
        (Target(folder=Path("a")), 0),
        (Target(folder=Path("link")), 0),
        (Target(engine="virtual"), 1),
        (Target(engine=str(tmp_path / "tty")), 2),
        (Target(engine=str(tmp_path / "by-id")), 2),
        (Target(engine=f"{tmp_path / 'by-id'}@115200"), 2),
        (Target(pid=os.getpid()), 2),
    ):
        assert target.find() == entries[place]
    for target in (
        Target(folder=Path(".")),
        Target(engine="rtl"),
        Target(engine="/dev/ttyUSB0"),
        Target(pid=os.getppid()),
    ):
        assert target.find() is None
    for entry, listener in zip(entries, listeners, strict=True):
        leave(entry)
        listener.close()


def test_a_socket_that_nobody_listens_to_is_forgotten():
    """A killed process whose number is another one's now."""
    listener = listen()
    enter(listener, "model", None)
    listener.close()
    assert len(live_runs()) == 1
    view = View()

    async def test() -> None:
        task = asyncio.create_task(Follower(Target(engine="model"), view).run())
        while live_runs():
            await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(asyncio.wait_for(test(), 10))
    assert view.state == "waiting"


@pytest.mark.parametrize(
    ("said", "state"),
    [
        (b'{"kind": "hello", "protocol": 99}\n', None),
        (b'{"kind": "hello", "protocol": 1, "other": 3}\n', None),
        (b'{"kind": "song"}\n', None),
        (b"GET / HTTP/1.1\n", None),
        (b'{"kind": "upd', "lost"),
        (b"", "lost"),
        (b'{"kind": "end", "state": "failed"}\n', "failed"),
    ],
)
def test_what_a_run_may_say(said, state):
    listener = listen()
    entry = enter(listener, "model", None)
    view = View()

    async def test() -> None:
        task = asyncio.create_task(Follower(Target(engine="model"), view).run())
        connection, _ = await asyncio.to_thread(listener.accept)
        leave(entry)
        connection.sendall(said)
        connection.close()
        if state is None:
            with pytest.raises(OhmgridError, match="of another version of ohmgrid"):
                await task
            return
        while view.state != state:
            await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(asyncio.wait_for(test(), 10))
    listener.close()


def test_a_checkpoint_is_followed(tmp_path):
    run = session(epochs=2)
    run.checkpoint().write(tmp_path / "checkpoint.npz")
    view = View()
    follower = Follower(Target(folder=tmp_path), view)

    async def test() -> None:
        task, seen = asyncio.create_task(follower.run()), []
        async for name, content in view.events():
            seen.append((name, json.loads(content)))
            if name == "state" and seen[-1][1]["state"] == "stopped" and run.done:
                continue
            if name == "state" and seen[-1][1]["state"] == "stopped":
                assert not await follower.ask("pause")
                run.run(lambda: False, lambda progress: None, lambda row: None)
                (tmp_path / "checkpoint.npz").unlink()
                run.checkpoint().write(tmp_path / "checkpoint.npz")
            if name == "state" and seen[-1][1]["state"] == "finished":
                break
        task.cancel()
        updates = [content for name, content in seen if name == "update"]
        assert updates[0]["rows"] == []
        assert updates[-1]["rows"] == run.history

    asyncio.run(asyncio.wait_for(test(), 20))
