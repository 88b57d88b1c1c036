"""``ohmgrid device``, ``symmetry`` and ``devices``."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from ohmgrid.cli import cli
from ohmgrid.devices.presets import NAMED, PRESETS
from ohmgrid.training.settings import device_from_dict

MODEL = ("--engine", "model", "--cells", "64")


def run(*words: object) -> str:
    result = CliRunner().invoke(cli, [str(word) for word in words])
    assert result.exit_code == 0, (result.stdout, result.stderr, result.exception)
    return result.stdout


def fails(*words: object) -> str:
    result = CliRunner().invoke(cli, [str(word) for word in words])
    assert result.exit_code != 0
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


def test_devices_lists_all_presets_with_their_parameters():
    table = json.loads(run("devices", "--json"))["devices"]
    assert {name: device_from_dict(values) for name, values in table.items()} == NAMED
    text = run("devices")
    for name in PRESETS:
        assert name in text
    assert "pow_gamma" not in text
    assert "refresh_every=1" in text


@pytest.mark.parametrize("name", ["reram-sb", "pcm"])
def test_device_writes_its_statistics_and_draws_them(name: str, tmp_path: Path):
    out = tmp_path / "d.npz"
    found = json.loads(
        run("device", name, "--up", 6, "--down", 4, *MODEL, "--out", out, "--plot", "--json")
    )
    assert (found["device"], found["up"], found["down"], found["cells"]) == (name, 6, 4, 64)
    with np.load(out) as arrays:
        sizes = {key: len(arrays[key]) for key in arrays.files}
        assert arrays["mean"][6] == found["mean_up"]
        assert arrays["std"][10] == found["std_down"]
    assert sizes == {
        "mean": 11, "std": 11, "q05": 11, "q50": 11, "q95": 11, "step_mean": 10, "step_std": 10,
    }  # fmt: skip
    assert Path(found["plot"]).read_bytes().startswith(b"\x89PNG")
    assert Path(found["plot"]) == tmp_path / "d.png"
    words = ("device", name, "--up", 2, "--down", 0, *MODEL, "--out", out, "--plot")
    assert f"out: expected a new file, got {out}, which exists" in fails(*words)
    assert json.loads(run(*words, "--force", "--json"))["up"] == 2


def test_a_picture_without_a_file_takes_a_free_name(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("device", "ecram", "--up", 1, "--down", 0, *MODEL, "--plot", "--json")
    assert [json.loads(run(*words))["plot"] for _ in range(3)] == [
        *("ecram.png", "ecram-2.png", "ecram-3.png")
    ]


def test_device_takes_a_file_and_a_seed(tmp_path: Path):
    path = tmp_path / "pow.toml"
    path.write_text('class = "PowStep"\ndw_min = 0.01\npow_gamma = 1.7\n')
    means = [
        json.loads(run("device", path, "--up", 5, *MODEL, "--seed", seed, "--json"))["mean_up"]
        for seed in (1, 1, 2)
    ]
    assert means[0] == means[1] != means[2]
    path.write_text('class = "OneSided"\nrefresh_every = 2\n[device]\npreset = "pcm-device"\n')
    assert "OneSided" in run("device", path, "--up", 3, *MODEL)


def test_symmetry_prints_and_writes(tmp_path: Path):
    out = tmp_path / "s.npz"
    words = ("symmetry", "capacitor", "--pairs", 8, *MODEL, "--out", out, "--plot")
    found = json.loads(run(*words, "--json"))
    with np.load(out) as arrays:
        assert arrays["symmetry_point"].shape == (64,)
        assert arrays["symmetry_point"].mean() == found["mean"]
        assert len(arrays["mean"]) == 8
    assert Path(found["plot"]).exists()
    assert "symmetry point" in run(*words, "--force")


def test_wrong_input_gets_one_line(tmp_path: Path):
    assert "device: expected one of idealized" in fails("device", "foo")
    assert "up: expected 0..1000000, got -1" in fails("device", "ecram", "--up", -1, *MODEL)
    assert "cells: expected 1..1048576, got 0" in fails(
        "device", "ecram", "--cells", 0, "--engine", "model"
    )
    assert "engine: expected one of" in fails("device", "ecram", "--engine", "x")
    assert "out: expected a file FILE.npz" in fails("device", "ecram", "--out", tmp_path / "a.txt")
    assert "out: expected a file in an existing folder" in fails(
        "device", "ecram", "--out", tmp_path / "none" / "a.npz"
    )
    assert "pairs: expected 4..1000000, got 1" in fails("symmetry", "ecram", "--pairs", 1, *MODEL)
    path = tmp_path / "bad.toml"
    path.write_text('class = "PowStep"\npow_gama = 1\n')
    assert f"{path}: device: unknown key 'pow_gama'; expected dw_min, " in fails("device", path)
    path.write_text('class = "ExpStep"\ndw_min_std_slope = 10.0\ndw_min = 0.00001\n')
    line = fails("device", path, *MODEL)
    assert "device: expected steps and noise of at most a few thousand dw_min" in line
    assert not list(tmp_path.glob("*.npz"))
