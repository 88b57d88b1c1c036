"""Fault injection in runs: killed at any time, on a full disk, in folders that cannot be written.

A run that was killed goes on to the same bits; a disk that is full, and a folder that is closed,
get one line that names the user's file, and nothing half written stays.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fault_files
import numpy as np
import pytest
from click.testing import CliRunner

from ohmgrid.cli import cli
from ohmgrid.training.runs import CHECKPOINT, read_checkpoint

SEED = int(os.environ.get("OHMGRID_TEST_SEED", "13"))
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
COMMAND = (sys.executable, "-c", "from ohmgrid.cli import main; main()", "train")
PICTURES = ("accuracy.png", "conductance.png", "weights.png")
RESULTS = {CHECKPOINT, "config.toml", "metrics.json", *PICTURES}


def finished(words: tuple[object, ...]) -> str:
    """Run a command to its end; return the hash of its weights."""
    done = subprocess.run(
        [*COMMAND, *map(str, words), "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)["state_sha256"]


def kill(options: tuple[str, ...], points: int, folder: Path) -> int:
    """Kill a run at random points, each in a folder of its own, and let it go on.

    Returns how many of the runs were in the middle of their training.
    """
    rng = np.random.default_rng(SEED)
    wanted, halfway = finished((*options, "--out", folder / "whole")), 0
    for point in range(points):
        out, number = folder / str(point), SIGNALS[point % len(SIGNALS)]
        words = (*options, "--checkpoint-every", "0", "--out", str(out))
        process = subprocess.Popen(
            [*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        # From the first checkpoint on: before it there is nothing to go on with.
        begin = time.monotonic()
        while not (out / CHECKPOINT).exists() and time.monotonic() - begin < 120:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.7))
        process.send_signal(number)
        _, stderr = process.communicate(timeout=120)
        where = f"OHMGRID_TEST_SEED={SEED}, point {point}, {number.name}"
        assert process.returncode in (0, -number, 128 + number), f"{where}: {stderr[-2000:]}"
        assert "Traceback" not in stderr, f"{where}: {stderr[-2000:]}"
        progress = read_checkpoint(out / CHECKPOINT).progress
        halfway += process.returncode != 0 and progress.epoch + progress.position > 0
        got = finished(("--resume", "--out", out, *options[-2:]))
        assert got == wanted, f"{where}: resumed at {progress}, it ends at {got}"
        # What SIGKILL leaves of a write goes an hour later (`write_whole`).
        left = {entry.name for entry in out.iterdir() if not entry.name.startswith(".ohmgrid-")}
        assert left == RESULTS, where
    return halfway


def small(tmp_path: Path, epochs: int) -> tuple[str, ...]:
    """Return options of a run on a data file of 36 examples, by the golden model."""
    data = tmp_path / "blobs.npz"
    data.write_bytes(fault_files.blobs())
    words = ("--data", data, "--layers", "16-6-3", "--epochs", epochs, "--engine", "model")
    return tuple(map(str, words))


def test_a_killed_run_goes_on_to_the_same_bits(tmp_path):
    kill(small(tmp_path, 8), 2, tmp_path)


@pytest.mark.slow
def test_runs_killed_at_twenty_points_go_on_to_the_same_bits(tmp_path):
    words = ("--data", "digits", "--layers", "64-32-10", "--epochs", "10", "--engine", "compiled")
    assert kill(words, 20, tmp_path) >= 5


def refused(words: tuple[object, ...]) -> str:
    """Run a command that must fail in one line; return it."""
    result = CliRunner().invoke(cli, [*map(str, words)])
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code == 1, result.stderr
    *before, line = result.stderr.splitlines()
    assert all(one.startswith("warning: ") for one in before), result.stderr
    assert line.startswith("error: ")
    return line


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Let no file grow beyond a size: the write fails, as on a full disk (Python has SIGXFSZ off).

    The limit is one of the process, root's too; only its soft half is moved.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("file", ["config.toml", CHECKPOINT, *PICTURES])
def test_a_full_disk_names_the_file_of_a_run(file, tmp_path):
    """The disk is full where nine tenths of a file are written; of all files, in their order."""
    options = small(tmp_path, 1)
    good = tmp_path / "good"
    assert CliRunner().invoke(cli, ["train", *options, "--out", str(good)]).exit_code == 0
    size = (good / file).stat().st_size * 9 // 10
    written = ("config.toml", CHECKPOINT, *PICTURES, "metrics.json")
    file = next(name for name in written if (good / name).stat().st_size > size)
    with full_disk(size):
        line = refused(("train", *options, "--out", tmp_path / "run"))
    assert line == f"error: {tmp_path / 'run' / file}: File too large"
    left = {entry.name for entry in (tmp_path / "run").iterdir()}
    # Of checkpoints the one before is there still: the first ones are smaller.
    assert left <= RESULTS - ({file} - {CHECKPOINT})
    if CHECKPOINT in left:
        read_checkpoint(tmp_path / "run" / CHECKPOINT)


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path):
    """A run that goes on when the disk is full stops, and what was there is as it was."""
    out = tmp_path / "run"
    words = ("train", *small(tmp_path, 1), "--out", out)
    assert CliRunner().invoke(cli, [*map(str, words)]).exit_code == 0
    before = {entry.name: entry.read_bytes() for entry in out.iterdir()}
    with full_disk(100):
        line = refused(("train", "--resume", "--epochs", 2, "--out", out, "--engine", "model"))
    assert line == f"error: {out / 'config.toml'}: File too large"
    assert {entry.name for entry in out.iterdir()} <= RESULTS
    for name in (CHECKPOINT, "config.toml"):
        assert (out / name).read_bytes() == before[name]
    resumed = CliRunner().invoke(cli, ["train", "--resume", "--out", str(out), "--engine", "model"])
    assert resumed.exit_code == 0, resumed.stderr


def other_words(folder: Path) -> dict[Path, tuple[object, ...]]:
    """Return the files that other verbs write, and the words for each."""
    pulses = ("--cells", 8, "--engine", "model")
    return {
        folder / "d.npz": ("device", "ecram", "--up", 2, *pulses, "--out", folder / "d.npz"),
        folder / "s.npz": ("symmetry", "ecram", "--pairs", 4, *pulses, "--out", folder / "s.npz"),
        folder / "f.toml": ("fit", folder.parent / "m.csv", "--out", folder / "f.toml"),
    }


@pytest.mark.parametrize("number", range(3))
def test_a_full_disk_names_the_file_of_other_verbs(number, tmp_path):
    (tmp_path / "m.csv").write_text(fault_files.measurement(np.random.default_rng(SEED)))
    folder = tmp_path / "out"
    folder.mkdir()
    path, words = list(other_words(folder).items())[number]
    with full_disk(50):
        line = refused(words)
    assert line == f"error: {path}: File too large"
    assert list(folder.iterdir()) == []


@contextmanager
def nobody() -> Iterator[None]:
    """Act without root's rights: for root no folder is read-only."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(4242)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def closed() -> Iterator[Path]:
    """A folder below one that all can reach (pytest's own are private); nothing can be put there.

    What lies beside it is readable to all.
    """
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        base.chmod(0o755)
        (base / "m.csv").write_text(fault_files.measurement(np.random.default_rng(SEED)))
        (base / "closed").mkdir()
        yield base / "closed"


@pytest.mark.parametrize("number", range(3))
def test_a_read_only_folder_gets_one_line(number, closed):
    path, words = list(other_words(closed).items())[number]
    # Once as root, to import all that is imported late, from folders that may be root's alone.
    assert CliRunner().invoke(cli, [*map(str, words)]).exit_code == 0
    for file in closed.iterdir():
        file.unlink()
    closed.chmod(0o555)
    with nobody():
        line = refused(words)
    assert line == f"error: {path}: Permission denied"
    assert list(closed.iterdir()) == []


def test_a_read_only_folder_of_a_run_gets_one_line(closed):
    options = small(closed.parent, 1)
    words = ("train", *options, "--out", closed)
    assert CliRunner().invoke(cli, [*map(str, words)]).exit_code == 0
    before = {entry.name: entry.read_bytes() for entry in closed.iterdir()}
    closed.chmod(0o555)
    with nobody():
        for more in (("--force",), ("--resume",)):
            line = refused(("train", *options, "--out", closed, *more))
            wanted = "expected a folder to write to, got: Permission denied"
            assert line == f"error: {closed}: {wanted}"
        below = closed / "below"
        assert "Permission denied" in refused(("train", *options, "--out", below))
    assert {entry.name: entry.read_bytes() for entry in closed.iterdir()} == before
