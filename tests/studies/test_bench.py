"""``ohmgrid bench``: rows, chart, price of physics, the peer's process, lines of wrong input."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from ohmgrid.cli import cli
from ohmgrid.config import Config
from ohmgrid.devices.presets import NAMED
from ohmgrid.doors.checks import OhmgridError
from ohmgrid.net import Net
from ohmgrid.studies import benchmark
from ohmgrid.studies.benchmark import Workload, engine_contender, plain_contender, prices
from ohmgrid.studies.peer import PEER_PRESETS, Peer
from ohmgrid.studies.plain_c import PlainNet
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


def test_plain_c_is_measured_in_turns_and_gives_the_price(blobs, tmp_path):
    out = tmp_path / "speed"
    words = ("--data", blobs, *QUICK, "--engines", "model", "--batch", "1,4", "--plain-c")
    peer = fake_interpreter(tmp_path, STUB)
    result = run(*words, "--peer-python", peer, "--out", out, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert "-O3 -march=native -ffast-math" in found["plain_c"]["flags"]
    rows = found["rows"]
    assert [(row["engine"], row["device"], row["batch"]) for row in rows] == [
        ("model", "gokmen-vlasov", 1),
        ("aihwkit 1.2.0", "gokmen-vlasov", 1),
        ("model", "gokmen-vlasov", 4),
        ("aihwkit 1.2.0", "gokmen-vlasov", 4),
        ("plain C", "no device", 1),
    ]
    model, peer, *batches, plain = rows
    assert plain["samples"] == 2
    assert (plain["price"], plain["price_spread"], plain["times_peer"]) == (1, [1, 1], None)
    # The stub always trains a hundred a second: its price is the rate of plain C alone.
    assert peer["price"] == pytest.approx(plain["examples_per_s"] / 100)
    assert peer["price_spread"] == pytest.approx([rate / 100 for rate in plain["spread"]])
    low, high = model["price_spread"]
    assert 10 < low <= model["price"] <= high
    assert all(row["price"] is row["price_spread"] is None for row in batches)
    assert json.loads((out / "speed.json").read_text()) == found


def test_the_table_shows_the_price_where_it_is_asked_for(blobs):
    words = ("--data", blobs, *QUICK, "--engines", "model", "--batch", "1,4")
    head, one, four, plain, note = run(*words, "--plain-c").stdout.splitlines()[-5:]
    assert head.split()[-4:] == ["price", "of", "physics", "spread"]
    price, low, to, high = one.replace(",", "").split()[-4:]
    assert to == "to"
    assert 10 < float(low) <= float(price) <= float(high)
    assert plain.split()[:6] == ["no", "device", "1", "plain", "C", "1"]
    assert plain.split()[-4:] == ["1.00", "1.00", "to", "1.00"]
    assert len(four.split()) == len(one.split()) - 4
    assert "batch 1 only" in note
    without = run(*words)
    assert without.exit_code == 0
    assert "price" not in without.stdout
    assert "plain C" not in without.stdout


def test_prices_are_taken_round_by_round():
    """A neighbour that slows a whole round slows both sides of it."""
    net, config = Net((4, 2)), Config()
    x, labels = np.zeros((2, 4), np.int32), np.zeros(2, np.int64)
    work = Workload("ecram", config, net, Dataset("zeros", x, labels, x, labels, (4,)), 0.1, 1)
    plain = plain_contender(work)
    engine = engine_contender("model", work, 1, [])
    plain.rates, engine.rates = [100.0, 50.0, 120.0], [10.0, 5.0, 10.0]
    assert prices(engine, plain) == [10.0, 10.0, 12.0]
    batch = engine_contender("model", replace(work, config=config.replace(batch=2)), 1, [])
    assert prices(batch, plain) is None
    assert plain.work.batch == plain_contender(batch.work).work.batch == 1


def test_plain_c_trains_each_example_of_a_long_sample_once(monkeypatch):
    monkeypatch.setattr(benchmark, "PART", 4)
    x, labels = np.arange(10, dtype=np.int32)[:, None] << 8, np.arange(10) % 2
    data = Dataset("ramp", x, labels, x, labels, (1,))
    runner = plain_contender(Workload("ecram", Config(), Net((1, 2)), data, 0.1, 1)).start()
    seen = []

    def train(net, pixels, labels, lr):
        seen.append((pixels[:, 0], labels, lr))

    monkeypatch.setattr(PlainNet, "train", train)
    order = np.array([3, 1, 4, 1, 5, 9, 2, 6, 5])
    runner.train(order)
    assert [len(labels) for _, labels, _ in seen] == [4, 4, 1]
    one = 1 << Config().formats.x_frac
    assert np.array_equal(np.concatenate([pixels for pixels, _, _ in seen]), x[order, 0] / one)
    assert np.array_equal(np.concatenate([found for _, found, _ in seen]), labels[order])
    assert {lr for _, _, lr in seen} == {0.1}
    runner.close()


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
    assert set(PEER_PRESETS) - {"float"} <= set(NAMED)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ("--engines", "gpu"),
            "engine: expected one of model, compiled, rtl, virtual, PORT, got 'gpu'",
        ),
        (("--batch", "x"), "batch: expected an integer, got 'x'"),
        (("--batch", "0"), "batch: expected 1..65536, got 0"),
        (("--threads", "0"), "threads: expected 1..256, got 0"),
        (("--rounds", "0"), "rounds: expected 1..1000, got 0"),
        (("--seconds", "0"), "seconds: expected 0.001..3600, got 0"),
        (
            ("--plain-c", "--batch", "2,32"),
            "plain-c: expected a --batch of 1, plain C has no other, got 2,32",
        ),
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
