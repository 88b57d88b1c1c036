"""What is in the cache is verified, whole, trimmed by last use and nobody else's to write."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from ohmgrid.storage import cache, published
from ohmgrid.storage.cache import cache_dir, places, room
from ohmgrid.storage.published import Shelf, read_sealed, write_sealed


@pytest.fixture(autouse=True)
def root(monkeypatch, tmp_path):
    """A cache of the test's own, in a process that has said nothing and uses nothing yet."""
    monkeypatch.setenv("OHMGRID_CACHE", str(tmp_path / "cache"))
    cache.note.cache_clear()
    cache._temporary.cache_clear()
    yield tmp_path / "cache"
    cache._temporary.cache_clear()
    for folder in list(published._in_use):
        published._leave(folder)


def test_the_folder_follows_the_environment(monkeypatch, tmp_path):
    assert cache_dir() == tmp_path / "cache"
    monkeypatch.delenv("OHMGRID_CACHE")
    assert cache_dir().name == "ohmgrid"


def fill(text="content"):
    """Return what makes a thing of two files, one of them in a folder."""

    def make(folder):
        (folder / "below").mkdir()
        (folder / "below" / "one").write_text(text)
        (folder / "two").write_bytes(bytes(range(256)))

    return make


def never(folder):
    raise AssertionError("it is there already")


def contents(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_a_thing_is_made_once_and_verified_by_sha256sum(root):
    shelf = Shelf("things", keep=9)
    assert shelf.find("a") is None
    folder = shelf.publish("a", fill())
    assert folder == root / "things" / "a"
    assert shelf.find("a") == folder
    assert shelf.publish("a", never) == folder
    assert [entry.name for entry in folder.parent.iterdir()] == ["a"]
    subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=folder,
        check=True,
        capture_output=True,
    )


def test_a_maker_that_fails_leaves_nothing(root):
    def fail(folder):
        (folder / "half").write_text("")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Shelf("things", keep=9).publish("a", fail)
    assert list((root / "things").iterdir()) == []


def test_any_damage_is_found_and_mended(rng, caplog):
    """A flipped bit, a cut, a missing file, one too many: each is built anew, with one line."""
    shelf = Shelf("things", keep=9)
    folder = shelf.publish("a", fill())
    good = contents(folder)
    for turn in range(100):
        file = folder / str(rng.choice(sorted(good)))
        data = bytearray(file.read_bytes())
        kind = ("flip", "cut", "missing", "more", "empty folder")[turn % 5]
        if kind == "flip":
            data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
            file.write_bytes(data)
        elif kind == "cut":
            file.write_bytes(data[: rng.integers(len(data))])
        elif kind == "missing":
            file.unlink()
        elif kind == "more":
            (folder / "three").write_text("")
        else:
            for place in folder.rglob("*"):
                if place.is_file():
                    place.unlink()
        cache.note.cache_clear()
        caplog.clear()
        assert shelf.find("a") is None, kind
        (record,) = caplog.records
        assert record.getMessage().startswith(f"{folder}: ")
        assert record.getMessage().endswith("; it is built anew")
        assert shelf.publish("a", fill()) == folder
        assert contents(folder) == good
        assert shelf.find("a") == folder


@pytest.mark.parametrize("place", ["", "things", "things/a", "things/a/two", "things/a/below"])
def test_what_others_can_write_is_not_used(root, place, caplog):
    shelf = Shelf("things", keep=9)
    shelf.publish("a", fill())
    (root / place).chmod(0o777)
    assert shelf.find("a") is None
    line = f"{root / place}: expected that nobody else can write to it, got mode 777"
    assert caplog.records[0].getMessage().startswith(line)
    made = shelf.publish("a", fill("anew"))
    assert (made / "below" / "one").read_text() == "anew"
    assert (made.parent.parent == root) == place.startswith("things/")
    assert (root / place).exists()


def test_what_belongs_to_another_user_is_not_used(root, monkeypatch, caplog):
    shelf = Shelf("things", keep=9)
    shelf.publish("a", fill())
    owner = root.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    if owner == 0:  # root's is good for all
        assert shelf.find("a") is not None
        for entry in (root, *root.rglob("*")):
            os.chown(entry, 4242, -1)
        owner = 4242
    assert shelf.find("a") is None
    line = f"{root}: expected it to be yours or root's, got one of user {owner}"
    assert caplog.records[0].getMessage() == f"{line}; nothing is taken from this cache"


def test_whatever_the_umask_nobody_else_can_write(root):
    before = os.umask(0)
    try:
        shelf = Shelf("things", keep=9)
        folder = shelf.publish("a", fill())
        write_sealed(shelf.folder("b") / "file", b"content")
    finally:
        os.umask(before)
    assert all(not entry.stat().st_mode & 0o022 for entry in (root, *root.rglob("*")))
    assert shelf.find("a") == folder
    assert read_sealed(root / "things" / "b" / "file") == b"content"


def test_where_nothing_can_be_written_a_temporary_folder_is_used(root, caplog):
    """Root may write everywhere: a file where the folder belongs stands for it."""
    root.parent.joinpath("cache").write_text("")
    shelf = Shelf("things", keep=9)
    folder = shelf.publish("a", fill())
    assert root not in folder.parents
    assert shelf.find("a") == folder
    assert shelf.publish("a", never) == folder
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{root / 'things'}: expected a folder to write to, got:")
    assert record.getMessage().endswith("; a temporary cache is used until this process ends")
    assert room("things") == folder.parent
    assert places("things") == [folder.parent]


USER = """
import os, sys
from pathlib import Path
from ohmgrid.storage.published import Shelf
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(4242)
    os.setuid(4242)

def make(folder):
    print("made")
    (folder / "file").write_text("")

for name in sys.argv[1:]:
    folder = Shelf("things", keep=9).publish(name, make)
    print(folder.parent.parent == Path(os.environ["OHMGRID_CACHE"]), file=sys.stderr)
print(folder.parent.parent)
"""


@pytest.fixture
def open_folder():
    """A folder that other users reach, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def test_a_read_only_cache_gives_what_it_has_and_takes_nothing(open_folder, monkeypatch):
    """In a process without root's rights: what root has built, others use."""
    root = open_folder / "cache"
    monkeypatch.setenv("OHMGRID_CACHE", str(root))
    Shelf("things", keep=9).publish("a", fill())
    for folder in (root, root / "things"):
        folder.chmod(0o555)

    def run(*names):
        return subprocess.run(
            [sys.executable, "-c", USER, *names],
            capture_output=True,
            text=True,
            check=True,
        )

    found = run("a")
    assert (found.stdout, found.stderr) == (f"{root}\n", "True\n")
    made = run("a", "b")
    assert made.stderr.splitlines()[0] == "True"
    assert made.stderr.splitlines()[1:] == [
        f"{root / 'things'}: expected a folder to write to, got: Permission denied; "
        "a temporary cache is used until this process ends",
        "False",
    ]
    assert made.stdout.splitlines()[0] == "made"
    # What was temporary is gone.
    assert not Path(made.stdout.splitlines()[-1]).exists()


RACER = """
import sys, time
from ohmgrid.storage.published import Shelf

def make(folder):
    (folder / "file").write_text(sys.argv[1])
    time.sleep(0.5)

folder = Shelf("things", keep=9).publish("a", make)
print((folder / "file").read_text())
"""


@pytest.mark.parametrize("damaged", [False, True])
def test_processes_that_make_the_same_thing_all_succeed(root, damaged):
    if damaged:
        (Shelf("things", keep=9).publish("a", fill()) / "two").unlink()
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(k)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for k in range(4)
    ]
    said = {racer.communicate(timeout=60)[0] for racer in racers}
    assert [racer.returncode for racer in racers] == [0] * 4
    assert len(said) == 1
    assert [entry.name for entry in (root / "things").iterdir()] == ["a"]


def age(folder, seconds):
    at = time.time() - seconds
    os.utime(folder, (at, at))


def test_what_was_used_last_is_kept(root):
    shelf = Shelf("things", keep=3)
    for k in range(3):
        folder = shelf.publish(f"thing{k}", fill())
        published._leave(folder)
        age(folder, 100 - k)
    assert shelf.find("thing0") is not None
    published._leave(root / "things" / "thing0")
    shelf.publish("thing3", fill())
    left = sorted(entry.name for entry in (root / "things").iterdir())
    assert left == ["thing0", "thing2", "thing3"]


HOLDER = """
import sys
from ohmgrid.storage.published import Shelf

assert Shelf("things", keep=9).find("old") is not None
Shelf("things", keep=9).folders("sealed")
print("holds", flush=True)
sys.stdin.read()
"""


def test_what_a_running_process_uses_stays(root):
    shelf = Shelf("things", keep=1)
    folder = shelf.publish("old", fill())
    write_sealed(Shelf("things", keep=9).folder("sealed") / "file", b"content")
    for name in ("old", "sealed"):
        published._leave(root / "things" / name)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "holds\n"
        age(folder, 100)
        age(root / "things" / "sealed", 100)
        published._leave(shelf.publish("new", fill()))
        assert len(list((root / "things").iterdir())) == 3
        holder.communicate("")
    shelf.publish("newest", fill())
    assert [entry.name for entry in (root / "things").iterdir()] == ["newest"]


def test_what_a_killed_maker_leaves_is_removed(root):
    killed = (
        "import os; from ohmgrid.storage.published import *; Shelf('things', 9).publish('a', {})"
    )
    maker = "lambda folder: os.kill(os.getpid(), 9)"
    done = subprocess.run([sys.executable, "-c", killed.format(maker)], check=False)
    assert done.returncode == -9
    (left,) = (root / "things").iterdir()
    assert left.name.startswith(".a-")
    Shelf("things", keep=9).publish("b", fill())
    assert [entry.name for entry in (root / "things").iterdir()] == ["b"]


def test_a_sealed_file_is_itself_or_absent(tmp_path, rng, caplog):
    file = tmp_path / "file"
    assert read_sealed(file) is None
    assert not caplog.records
    content = rng.bytes(300)
    write_sealed(file, content)
    assert read_sealed(file) == content
    whole = file.read_bytes()
    for _ in range(100):
        data = bytearray(whole)
        if rng.integers(2):
            data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        else:
            del data[rng.integers(len(data)) :]
        file.write_bytes(data)
        cache.note.cache_clear()
        caplog.clear()
        assert read_sealed(file) is None
        (record,) = caplog.records
        assert record.getMessage() == f"{file}: damaged; it is built anew"
    file.write_bytes(whole)
    file.chmod(0o666)
    assert read_sealed(file) is None
