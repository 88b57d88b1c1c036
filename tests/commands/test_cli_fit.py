"""``ohmgrid fit``: from a file to a device that trains, or one line that says why not."""

import json
import tomllib
from pathlib import Path

import fault_files
import numpy as np
import pytest
from click.testing import CliRunner, Result
from measured import course, known_devices

from ohmgrid.cli import cli
from ohmgrid.commands.fit import UNTRUSTED
from ohmgrid.training.settings import device_from_dict

MODEL = ("--engine", "model", "--cells", "64")


def invoke(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


def run(*words: object) -> str:
    result = invoke(*words)
    assert result.exit_code == 0, (result.stdout, result.stderr, result.exception)
    return result.stdout


def fails(*words: object) -> str:
    result = invoke(*words)
    assert result.exit_code == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


def write(path: Path, weights: np.ndarray, up: np.ndarray) -> Path:
    """Write a course as a table with directions, in siemens."""
    words = np.where(up, "up", "down")
    rows = [
        f"{k},{5e-6 + 3e-6 * w:.6e},{way}"
        for k, (w, way) in enumerate(zip(weights, words, strict=True))
    ]
    path.write_text("pulse,conductance,direction\n" + "\n".join(rows) + "\n")
    return path


def test_a_fit_says_what_it_read_and_what_it_tried(tmp_path: Path, fixed_rng: np.random.Generator):
    data = write(tmp_path / "m.csv", *course(known_devices()[2], fixed_rng, 60, 1, 0.1))
    found = json.loads(run("fit", data, "--json"))
    assert found["read"] == "61 up, 60 down, siemens"
    assert {one["class"] for one in found["candidates"]} == {
        *("ConstantStep", "LinearStep", "SoftBounds", "ExpStep", "PowStep", "PiecewiseStep")
    }
    assert found["class"] == found["candidates"][0]["class"]
    for key in ("dw_min", "dw_min_error", "dw_min_std", "dw_min_std_error", "misfit", "floor"):
        assert 0 < found[key] < 1
    assert min(one["behind"] for one in found["candidates"]) == 0
    # Soft bounds are straight lines, and powers of 1.
    assert {"LinearStep", "SoftBounds"} <= {found["class"], *found["alike"]}
    device = device_from_dict(tomllib.loads(Path(found["device"]).read_text())["device"])
    assert device.kind == found["class"]
    assert device.unit.dw_min == found["parameters"]["dw_min"]
    assert Path(found["plot"]).read_bytes().startswith(b"\x89PNG")
    assert found["class"] in run("device", found["device"], "--up", 4, *MODEL)
    before = Path(found["device"]).read_bytes()
    assert f"out: expected a new file, got {found['device']}, which exists" in fails("fit", data)
    assert Path(found["device"]).read_bytes() == before
    text = run("fit", data, "--force", "--class", "PiecewiseStep", "--nodes", 7)
    assert "misfit" in text
    assert "+-" in text
    assert "PowStep" in text
    assert 'class = "PiecewiseStep"' in Path(found["device"]).read_text()


@pytest.mark.slow
def test_a_fit_that_is_off_says_so_and_has_a_status_of_its_own(tmp_path: Path):
    rise = np.r_[np.linspace(0, 1, 40), np.linspace(1, 0.1, 40)]
    data = write(tmp_path / "m.csv", np.r_[rise, rise[::-1]], np.arange(160) < 80)
    result = invoke("fit", data, "--strict")
    assert result.exit_code == UNTRUSTED
    assert "warning: the fit is off by" in result.stderr
    assert "# Warning: the fit is off by" in (tmp_path / "m.toml").read_text()
    assert invoke("fit", data, "--force").exit_code == 0


def test_two_files_and_steps_on_bins(tmp_path: Path):
    up, down = tmp_path / "d_ltp.txt", tmp_path / "d_ltd.txt"
    up.write_text("".join(f"{k}\t{1 - 0.9**k:.5f}\n" for k in range(30)))
    down.write_text("".join(f"{30 - k}\t{0.95 * 0.9**k:.5f}\n" for k in range(30)))
    found = json.loads(run("fit", down, up, "--json"))
    assert found["read"].startswith("30 up, 30 down")
    assert found["misfit"] < 0.01
    steps = tmp_path / "s.csv"
    steps.write_text("0.001,0.004\n0.005,0.006\n0.001,0.002\n")
    found = json.loads(run("fit", steps, "--json"))
    assert (found["class"], found["dw_min"], found["misfit"]) == ("PiecewiseStep", 0.0055, 0)


def test_retention_alone_and_with_a_device(tmp_path: Path):
    kept = tmp_path / "r.csv"
    kept.write_text("minutes,volts\n" + "".join(f"{k},{np.exp(-k / 9):.6f}\n" for k in range(9)))
    found = json.loads(run("fit", "--retention", kept, "--update-time", 0.5, "--json"))
    assert found["lifetime_s"] == pytest.approx(540, rel=1e-3)
    assert found["lifetime"] == pytest.approx(1080, rel=1e-3)
    assert "540" in run("fit", "--retention", kept)
    steps = tmp_path / "s.csv"
    steps.write_text("0.001,0.004\n0.005,0.006\n0.001,0.002\n")
    run("fit", steps, "--retention", kept, "--update-time", 0.5)
    device = tomllib.loads((tmp_path / "s.toml").read_text())["device"]
    assert device["lifetime"] == pytest.approx(1080, rel=1e-3)


@pytest.mark.slow
def test_devices_that_differ_give_curves_and_accuracies_that_differ(
    tmp_path: Path, fixed_rng: np.random.Generator
):
    accuracies, curves = [], []
    for name, pulses, noise in (("fine", 120, 0.05), ("coarse", 10, 0.3)):
        # The coarse device goes through the same range in a tenth of the pulses.
        device = known_devices()[1]
        gain = 120 / pulses
        weights, up = course(device, fixed_rng, pulses, 3, noise, gain=gain)
        data = write(tmp_path / f"{name}.csv", weights, up)
        file = json.loads(run("fit", data, "--json"))["device"]
        pulsed = json.loads(run("device", file, "--up", 5, "--down", 0, *MODEL, "--json"))
        curves.append(pulsed["mean_up"])
        words = ("train", "--data", "digits", "--layers", "64-10", "--epochs", 1, "--json")
        trained = json.loads(run(*words, "--device", file, "--out", tmp_path / f"run-{name}"))
        accuracies.append(trained["test_accuracy"])
    assert curves[1] > 3 * curves[0]
    assert accuracies[0] > accuracies[1] + 0.05


def test_wrong_options_get_one_line(tmp_path: Path):
    none = tmp_path / "none.csv"
    assert "data: expected a file of measured pulses, or --retention FILE" in fails("fit")
    assert "cannot be read" in fails("fit", none)
    assert "out: expected a file FILE.toml" in fails("fit", none, "--out", tmp_path / "a.json")
    assert "class: expected one of ConstantStep" in fails("fit", none, "--class", "x")
    assert "positive: expected one of up, down" in fails("fit", none, "--positive", "x")
    assert "up, down: expected both" in fails("fit", none, "--up", 3)
    assert "update-time: expected --retention FILE" in fails("fit", none, "--update-time", 3)
    assert "files: expected one, or one for each branch, got 3" in fails("fit", none, none, none)


def test_a_hundred_broken_files_get_one_line_each(tmp_path: Path, rng: np.random.Generator):
    data = tmp_path / "m.csv"
    left = 100
    while left:
        content = fault_files.broken_measurement(rng)
        data.write_bytes(content)
        result = invoke("fit", data, "--json")
        assert result.exit_code == 1, (content, result.exception, result.stdout)
        (line,) = result.stderr.splitlines()
        assert line.startswith("error: ")
        assert str(data) in line
        assert list(tmp_path.iterdir()) == [data]
        left -= 1
