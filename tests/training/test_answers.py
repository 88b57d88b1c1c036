"""What a run says of itself: why it cannot learn, what it takes, and what made it."""

import json

import numpy as np
from click.testing import CliRunner

from ohmgrid.cli import cli
from ohmgrid.config import Config
from ohmgrid.devices.presets import PRESETS
from ohmgrid.devices.steps import ConstantStep
from ohmgrid.net import Net
from ohmgrid.training.data import Dataset
from ohmgrid.training.identity import identity
from ohmgrid.training.memory import BIG, memory_line, needed_bytes


def run(*words):
    done = CliRunner().invoke(cli, ["train", *(str(word) for word in words)])
    assert done.exit_code == 0, (done.stderr, done.exception)
    return done


def hints(done):
    return [line for line in done.stderr.splitlines() if line.startswith("hint: ")]


def test_a_run_at_chance_says_why_after_two_epochs(blobs, tmp_path):
    words = ("--data", blobs, "--layers", "16-6-3", "--epochs", "3")
    lines = hints(run(*words, "--lr", "0.00001"))
    assert len(lines) == 2
    for layer, line in enumerate(lines):
        assert line.startswith("hint: after 2 epochs the net is no better than chance: ")
        assert f"layer {layer}: updates ask for less than one pulse" in line
    assert hints(run(*words, "--lr", "0.2")) == []
    # Large errors on a device of tiny steps: trains are as long as they can be, and not enough.
    (tmp_path / "d.toml").write_text("class = 'ConstantStep'\ndw_min = 1e-6\n")
    lines = hints(run(*words, "--lr", "0.5", "--device", tmp_path / "d.toml"))
    assert any("updates ask for more pulses than a train has" in line for line in lines)
    # Huge steps: every device stands at a bound.
    (tmp_path / "d.toml").write_text("class = 'ConstantStep'\ndw_min = 2.0\nw_max_dtod = 0.0\n")
    lines = hints(run(*words, "--lr", "5", "--device", tmp_path / "d.toml"))
    assert any("devices stand at their bounds" in line for line in lines)


def test_a_big_run_says_what_memory_it_takes():
    pixels, labels = np.zeros((4, 3000), np.int32), np.zeros(4, np.int64)
    data = Dataset("zeros", pixels, labels, pixels, labels, (3000,))
    small, big = Net((3000, 10)), Net((3000, 2000, 10))
    assert memory_line(Config(), small, data) is None
    line = memory_line(Config(), big, data)
    assert line is not None
    assert line.startswith(f"memory: up to 1.8 GB for {big.cells} cells")
    assert needed_bytes(Config(), big, data) > BIG
    pair = Config(device=PRESETS["pcm"])
    assert needed_bytes(pair, big, data) > 1.99 * needed_bytes(Config(), big, data)


def test_hashes_name_what_decides(blobs):
    one = identity(Config())
    assert set(one) == {"version", "seed", "config_sha256", "device_sha256"}
    device = identity(Config(device=ConstantStep(dw_min=0.0017, w_max=1.0, w_min=-1.0)))
    assert one["device_sha256"] != device["device_sha256"]
    assert one["config_sha256"] != device["config_sha256"]
    seed = identity(Config(seed=2))
    assert (one["device_sha256"], one["config_sha256"]) != (
        device["device_sha256"],
        seed["config_sha256"],
    )
    assert one["device_sha256"] == seed["device_sha256"]
    assert one == identity(Config().replace(build={"lanes": 4}))
    words = ("--data", blobs, "--layers", "16-6-3", "--epochs", "1", "--json")
    found = json.loads(run(*words).stdout)
    assert {key: found[key] for key in one} == one
