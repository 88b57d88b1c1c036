"""Which runs are live: whatever became of those that were."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from watched import own_registry

from ohmgrid.watch.registry import PREFIX, Entry, enter, leave, listen, live_runs


@pytest.fixture(autouse=True)
def live(tmp_path, monkeypatch) -> Path:
    own_registry(tmp_path, monkeypatch)
    return tmp_path / "live"


def test_runs_come_the_newest_first_and_go(tmp_path, monkeypatch):
    first, second = listen(), listen()
    monkeypatch.setattr("time.time", lambda: 100.0)
    one = enter(first, "model", None)
    monkeypatch.setattr("time.time", lambda: 200.0)
    other = enter(second, "virtual", tmp_path)
    assert live_runs() == [other, one]
    leave(other)
    assert live_runs() == [one]
    leave(one)
    assert live_runs() == []
    for listener in (first, second):
        listener.close()
    assert not Path(one.socket).parent.exists()


def test_what_a_killed_process_left_goes(live):
    listener = listen()
    entry = enter(listener, "model", None)
    listener.close()
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    (file,) = live.iterdir()
    file.write_text(json.dumps({**json.loads(file.read_text()), "pid": done.pid}))
    assert live_runs() == []
    assert not list(live.iterdir())
    assert not Path(entry.socket).parent.exists()


def test_an_entry_without_its_socket_goes(live):
    listener = listen()
    entry = enter(listener, "model", None)
    listener.close()
    os.unlink(entry.socket)
    assert live_runs() == []
    assert not list(live.iterdir())


def test_nothing_of_somebody_elses_is_removed(live, tmp_path):
    keep = tmp_path / "keep" / "socket"
    keep.parent.mkdir()
    keep.write_text("mine")
    entry = Entry(pid=1 << 22, began=0.0, engine="", folder="", socket=str(keep))
    (live / entry.name).write_text(
        json.dumps({**{f: getattr(entry, f) for f in entry.__struct_fields__}})
    )
    (live / "other.json").write_text("nonsense")
    assert live_runs() == []
    assert keep.read_text() == "mine"
    assert [file.name for file in live.iterdir()] == ["other.json"]


@pytest.mark.parametrize("letters", [10, 200])
def test_a_path_that_is_too_long_for_a_socket_is_not_taken(tmp_path, monkeypatch, letters):
    deep = tmp_path / ("x" * letters)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    listener = listen()
    path = Path(listener.getsockname())
    assert path.parent.name.startswith(PREFIX)
    assert len(os.fsencode(path)) <= 100
    assert (path.parent.parent == deep) == (len(os.fsencode(deep)) + len("/socket") + 24 <= 100)
    leave(Entry(os.getpid(), 0.0, "", "", str(path)))
    listener.close()
