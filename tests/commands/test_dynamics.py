"""``ohmgrid dynamics`` and its studies: what they print and write, wrong input in one line."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from ohmgrid.cli import cli


def run(*words: object) -> str:
    result = CliRunner().invoke(cli, [str(word) for word in words])
    assert result.exit_code == 0, (result.stdout, result.stderr, result.exception)
    return result.stdout


def fail(*words: object) -> str:
    result = CliRunner().invoke(cli, [str(word) for word in words])
    assert result.exit_code != 0
    (line,) = result.stderr.splitlines()
    return line


def test_a_network_its_onset_and_its_pictures(tmp_path):
    out = tmp_path / "net.npz"
    args = ("dynamics", "delay-net", "inhibitory", "--neurons", 3, "--gain", 2, "--delay", 1.5)
    found = json.loads(run(*args, "--out", out, "--plot", "--json"))
    assert found["state"] == "oscillates"
    assert found["critical_delay"] == pytest.approx(found["critical_delay_theory"], rel=0.01)
    assert found["period"] == pytest.approx(1 / found["frequency"])
    assert found["rate"] is None
    with np.load(out) as arrays:
        assert arrays["u"].shape == (len(arrays["time"]), 3)
    assert (tmp_path / "net.png").read_bytes().startswith(b"\x89PNG")
    assert "out: expected a new file" in fail(*args, "--out", out)
    text = run(*args, "--no-onset", "--time", 20)
    assert "critical_delay none" in text


@pytest.mark.slow
def test_the_model_prints_what_the_compiled_engine_does(tmp_path):
    (tmp_path / "j.csv").write_text("0,-1\n0.5,0\n")
    args = ("dynamics", "delay-net", tmp_path / "j.csv", "--time", 10, "--step", 0.05)
    args = (*args, "--no-onset", "--device", "gokmen-vlasov", "--delay", "1,0.3", "--json")
    first, second = (json.loads(run(*args, "--engine", name)) for name in ("model", "compiled"))
    assert first.pop("engine") != second.pop("engine")
    assert first == second
    assert first["delay"] == [1.0, 0.3]


@pytest.mark.parametrize(
    "words",
    [
        ("delay-net", "inhibitory", "--step", 0.05, "--time", 5, "--no-onset"),
        ("lif", "--count", 3, "--time", 4, "--event-rate", 4, "--kick", 0.5),
    ],
)
def test_the_gateware_prints_what_the_compiled_engine_does(words):
    engines = ("rtl", "compiled")
    both = [json.loads(run("dynamics", *words, "--engine", name, "--json")) for name in engines]
    assert tuple(found.pop("engine") for found in both) == engines
    assert both[0].pop("cycles_per_sample") > 100
    assert both[1].pop("cycles_per_sample") is None
    assert both[0] == both[1]


def test_a_map(tmp_path):
    out = tmp_path / "map.npz"
    args = ("dynamics", "delay-net", "inhibitory", "--sweep", "--points", 3, "--delays", "0.2:2.2")
    found = json.loads(run(*args, "--out", out, "--plot", "--json"))
    assert found["points"] == 9
    assert 0 < found["oscillating"] < 9
    with np.load(out) as arrays:
        assert arrays["swing"].shape == (3, 3)
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


def test_neurons_and_their_pictures(tmp_path):
    out = tmp_path / "fhn.npz"
    args = ("dynamics", "fhn", "--current", 0.5, "--time", 300, "--hopf", "--out", out, "--plot")
    found = json.loads(run(*args, "--json"))
    assert found["period"] == pytest.approx(39.5, rel=0.01)
    assert found["hopf_points"] == pytest.approx([0.33128, 1.41872], rel=0.01)
    with np.load(out) as arrays:
        assert set(arrays) == {"time", "spikes", "v", "w"}
    args = ("dynamics", "lif", "--current", 3, "--refractory", 0.1, "--count", 2)
    found = json.loads(run(*args, "--out", tmp_path / "lif.npz", "--plot", "--json"))
    assert found["rate"] == pytest.approx(found["rate_theory"], rel=0.01)
    for name in ("fhn", "lif"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert "rate_theory" in run(*args)


def test_studies(tmp_path):
    out = tmp_path / "studies"
    args = ("study", "delay", "--effects", "dac", "--neurons", 3, "--seeds", 1, "--out", out)
    rows = json.loads(run(*args, "--json"))["rows"]
    assert [row["level"] for row in rows] == [2, 3, 4, 5, 6, 8]
    args = ("study", "recall", "--neurons", 16, "--patterns", "2", "--seeds", 1, "--out", out)
    rows = json.loads(run(*args, "--json"))["rows"]
    assert {row["crossbar"] for row in rows} == {"exact", "tile"}
    assert "tile" in run(*args)
    for name in ("delay", "recall"):
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("delay-net", "none.csv"), "none.csv: cannot be read"),
        (("delay-net", "--delay", "1,2"), "delay: expected one delay or one for each of 3 lines"),
        (("delay-net", "--gain", "x"), "gain: expected a number"),
        (("delay-net", "--device", "agad-ecram"), "device: expected a single device or a pair"),
        (("delay-net", "--sweep", "--gains", "1"), "gains: expected LOW:HIGH, got '1'"),
        (("delay-net", "--sweep", "--gains", "2:1"), "gains: expected LOW below HIGH"),
        (("delay-net", "--out", "x.txt"), "out: expected a file FILE.npz"),
        (("lif", "--current", "x"), "current: expected a number"),
        (("fhn", "--engine", "fpga"), "engine: expected one of model, compiled, rtl"),
        (("lif", "--time", "0"), "time: expected"),
    ],
)
def test_wrong_input_gets_one_line(words, message):
    assert message in fail("dynamics", *words)
