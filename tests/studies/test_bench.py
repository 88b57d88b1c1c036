"""``ohmgrid bench``: its rows, its chart, the process of the peer, and the line of wrong input."""

import json
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from ohmgrid.cli import cli
from ohmgrid.devices.presets import PRESETS
from ohmgrid.doors.checks import OhmgridError
from ohmgrid.studies.peer import PEER_PRESETS, Peer
from ohmgrid.training.data import Dataset

QUICK = ("--layers", "16-6-3", "--rounds", "2", "--seconds", "0.01", "--warm-up", "10")

# Speaks the protocol of `peer_worker.py` without torch: an example takes a hundredth of a second.
STUB = """
import json, sys
if sys.argv[1] == "-c":
    print("1.2.0")
    sys.exit()
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    seconds = len(request) / 100
    print(json.dumps({"seconds": seconds, "cpu_seconds": seconds, "accuracy": 0.5}), flush=True)
"""


@pytest.fixture
def blobs(tmp_path):
    """A small file of three kinds of 4x4 images."""
    labels = np.arange(30) % 3
    images = np.zeros((30, 4, 4), np.uint8)
    for row in range(3):
        images[labels == row, row] = 200
    path = tmp_path / "blobs.npz"
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    return str(path)


def fake_interpreter(folder, text: str) -> str:
    """Return an interpreter that runs ``text`` whatever it is asked to run."""
    (folder / "stub.py").write_text(text)
    path = folder / "python"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} {folder / "stub.py"} "$@"\n')
    path.chmod(0o755)
    return str(path)


def run(*words: str):
    return CliRunner().invoke(cli, ["bench", *map(str, words)])


def test_rows_of_all_contenders_and_the_chart(blobs, tmp_path):
    out = tmp_path / "speed"
    peer = fake_interpreter(tmp_path, STUB)
    result = run(
        *("--data", blobs, *QUICK, "--engines", "model,compiled", "--batch", "1,4"),
        *("--threads", "1,2", "--peer-python", peer, "--out", out, "--json"),
    )
    assert result.exit_code == 0, result.stderr
    rows = json.loads(result.stdout)["rows"]
    assert [(row["engine"], row["batch"], row["threads"]) for row in rows] == [
        ("model", 1, 1),
        ("compiled", 1, 1),
        ("aihwkit 1.2.0", 1, 1),
        ("model", 4, 1),
        ("compiled", 4, 1),
        ("compiled", 4, 2),
        ("aihwkit 1.2.0", 4, 1),
    ]
    for row in rows:
        assert row["samples"] == 2
        assert row["spread"][0] <= row["examples_per_s"] <= row["spread"][1]
    assert rows[2]["examples_per_s"] == pytest.approx(100)
    assert rows[2]["times_peer"] == 1
    assert rows[1]["times_peer"] == pytest.approx(rows[1]["examples_per_s"] / 100)
    assert json.loads((out / "speed.json").read_text())["rows"] == rows
    assert (out / "speed.png").read_bytes().startswith(b"\x89PNG")


def test_without_the_peer_a_line_says_how_to_name_it(blobs, tmp_path):
    peer = fake_interpreter(tmp_path, "raise SystemExit(1)")
    result = run("--data", blobs, *QUICK, "--engines", "model", "--peer-python", peer)
    assert result.exit_code == 1
    assert (
        result.stderr == f"error: peer-python: expected an interpreter with aihwkit, got {peer}\n"
    )
    result = run("--data", blobs, *QUICK, "--engines", "model", "--batch", "1")
    assert result.exit_code == 0
    assert "--peer-python PATH names where it is" in result.stdout
    assert "gokmen-vlasov" in result.stdout


def test_a_peer_that_stops_says_why(tmp_path):
    peer = fake_interpreter(tmp_path, "raise RuntimeError('no such preset')")
    x, labels = np.zeros((2, 4), np.int32), np.zeros(2, np.int64)
    data = Dataset("zeros", x, labels, x, labels, (4,))
    with pytest.raises(OhmgridError, match="aihwkit: stopped with: RuntimeError: no such preset"):
        Peer(peer, "ecram", (4, 2), 1, 0.1, data, 12)


def test_every_preset_of_the_peer_is_one_of_ours():
    assert set(PEER_PRESETS) - {"float"} <= set(PRESETS)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--engines", "gpu"), "engine: expected one of model, compiled, rtl, got 'gpu'"),
        (("--batch", "x"), "batch: expected an integer, got 'x'"),
        (("--batch", "0"), "batch: expected 1..65536, got 0"),
        (("--threads", "0"), "threads: expected 1..256, got 0"),
        (("--rounds", "0"), "rounds: expected 1..1000, got 0"),
        (("--seconds", "0"), "seconds: expected 0.001..3600, got 0"),
        (("--device", "pcm2"), "device: expected one of idealized"),
        (("--peer-python", "/no/python"), "peer-python: /no/python: No such file"),
    ],
)
def test_wrong_input_gets_one_line(words, line):
    result = run(*words)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert line in result.stderr
    assert len(result.stderr.splitlines()) == 1
