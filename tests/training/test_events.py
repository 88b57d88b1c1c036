"""Event files for TensorBoard: what is in them is the run's own history, each epoch once."""

import json
import struct
from pathlib import Path

from click.testing import CliRunner
from tensorboardX.proto.event_pb2 import Event

from ohmgrid.cli import cli


def events(folder: Path) -> list[Event]:
    """Return all events of a folder: records of length, its check, bytes, their check."""
    found = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        data = path.read_bytes()
        while data:
            (size,) = struct.unpack("<Q", data[:8])
            found.append(Event.FromString(data[12 : 12 + size]))
            data = data[12 + size + 4 :]
    return found


def run(folder: Path, *more: str) -> dict:
    words = ["train", "--layers", "64-8-10", "--device", "pcm", "--out", str(folder / "run")]
    words += ["--tensorboard", str(folder / "tb"), "--json", *more]
    result = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_event_files_hold_the_history_of_a_run_that_goes_on(tmp_path):
    run(tmp_path, "--epochs", "1")
    history = run(tmp_path, "--epochs", "2", "--resume")["epochs"]
    values = [(one.step, value) for one in events(tmp_path / "tb") for value in one.summary.value]
    accuracies = [(step, v.simple_value) for step, v in values if v.tag == "accuracy/test"]
    assert [step for step, _ in accuracies] == [0, 1, 2]
    for (_, value), row in zip(accuracies, history, strict=True):
        assert abs(value - row["test_accuracy"]) < 1e-6
    losses = [step for step, v in values if v.tag == "loss/train"]
    assert losses == [1, 2]
    histograms = {(step, v.tag): v.histo for step, v in values if v.HasField("histo")}
    assert {tag for _, tag in histograms} == {
        f"{name}/layer {layer}" for name in ("W", "G+", "G-") for layer in (0, 1)
    }
    one = history[2]["layers"][0]["W"]
    assert histograms[2, "W/layer 0"].num == 8 * 65 == sum(one["counts"])
    assert list(histograms[2, "W/layer 0"].bucket) == one["counts"]
